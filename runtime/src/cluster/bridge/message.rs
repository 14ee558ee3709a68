//! What is said over a bridge: messages, as `python/protocol.md` lists them.
//!
//! A message is an array in MessagePack whose first element is its name. Ids are 16 bytes. Values, calls and
//! errors are bytes for those who speak Python; only programs of ours look into them. In the place of long bytes an
//! extension says where they lie.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Formatter};
use std::sync::Arc;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::{ByteArray, ByteBuf};
use uuid::Uuid;

use crate::cluster::bridge::parcel::Parcel;
use crate::cluster::bridge::spans::Span;
use crate::cluster::bridge::views::{Value, Views};
use crate::cluster::detached::Detached;
use crate::cluster::placement::{Placement, Reservation};
use crate::error::{Error, ErrorKind, Result};

/// An id as it is sent.
pub(super) type Id = serde_bytes::ByteArray<16>;

pub(super) fn id(uuid: Uuid) -> Id {
    Id::new(uuid.into_bytes())
}

pub(super) fn uuid(id: Id) -> Uuid {
    Uuid::from_bytes(id.into_array())
}

/// What the sidecar is to start.
#[derive(Serialize)]
pub(super) struct Settings<'a> {
    pub(super) engine: &'a str,
    pub(super) address: Option<&'a str>,
    pub(super) namespace: Option<&'a str>,
    /// What a cluster of this program's own has.
    pub(super) num_cpus: usize,
    pub(super) resources: BTreeMap<&'a str, f64>,
    pub(super) program: &'a str,
    pub(super) arguments: Vec<Cow<'a, str>>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) serves: &'a str,
    /// Whether the program has actors, which tasks may ask for.
    pub(super) actors: bool,
    /// The descriptors of memory for long values, to the sidecar and from it, where there is such.
    pub(super) blocks: Option<(i32, i32)>,
}

/// What a call asks of the cluster. What is not asked for is not sent.
#[derive(Serialize, Default, Debug, PartialEq)]
pub(super) struct Asks {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) num_cpus: Option<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) resources: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_retries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) priority: Option<i32>,
    /// Of which actor it is a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) actor: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) placement: Option<Placement>,
    /// Resources are asked for instead of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<Reservation>,
    /// It is for the driver, which has the actors: from this caller, whose calls keep their order; and if it is a call,
    /// of which actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) of_actors: Option<(Id, Option<Id>)>,
    /// A place is asked for, of an actor whose calls run one after the other.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) in_turn: bool,
    /// An actor that outlives the programs which call it: to be made, or looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detached: Option<Detached>,
    /// It gives a stream, of which so many items may lie over there that nobody has asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream: Option<usize>,
    /// It is one of a Python function.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) python: bool,
}

/// A call: the id of its result, its function, the call itself, the objects that it needs and those that are
/// refs inside of its arguments, and what it asks for.
pub(super) type Call = (Id, String, Parcel, Vec<Id>, Vec<Id>, Asks);

/// The type of the extension that says where bytes lie.
const LIES: i8 = 1;
/// The number of the flag in 4 bytes, the start and the length in 8 each, little-endian.
const LIES_BYTES: usize = 20;

/// Where bytes lie that are not in the message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lies(pub(super) Span);

impl Serialize for Lies {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Span { slot, start, bytes } = self.0;
        let mut data = [0; LIES_BYTES];
        data[..4].copy_from_slice(&(slot as u32).to_le_bytes());
        data[4..12].copy_from_slice(&(start as u64).to_le_bytes());
        data[12..].copy_from_slice(&(bytes as u64).to_le_bytes());
        let extension = (LIES, ByteArray::new(data));
        serializer.serialize_newtype_struct(rmp_serde::MSGPACK_EXT_STRUCT_NAME, &extension)
    }
}

impl Lies {
    /// What an extension says.
    fn read<'de, D: Deserializer<'de>>(extension: D) -> std::result::Result<Self, D::Error> {
        let (kind, data): (i8, ByteBuf) = Deserialize::deserialize(extension)?;
        let unknown = || D::Error::custom("an extension that does not say where bytes lie");
        let data: &[u8; LIES_BYTES] = data[..].try_into().map_err(|_| unknown())?;
        let number = |bytes: &[u8]| {
            let number =
                bytes.iter().rev().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
            usize::try_from(number).map_err(|_| unknown())
        };
        let slot = number(&data[..4])?;
        let span = Span { slot, start: number(&data[4..12])?, bytes: number(&data[12..])? };
        if kind == LIES { Ok(Self(span)) } else { Err(unknown()) }
    }
}

/// A message without its last part, to be sent with it or without.
pub(super) fn encode(message: &impl Serialize) -> Vec<u8> {
    rmp_serde::encode::to_vec_named(message).expect("a message is made of what can be encoded")
}

/// The code of [`Status::Lost`].
pub(super) const LOST: u8 = 6;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Value,
    Error,
    Retry,
    Remote,
    Failed,
    Upstream,
    Lost,
}

impl Status {
    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Value,
            1 => Self::Error,
            5 => Self::Retry,
            2 => Self::Remote,
            3 => Self::Failed,
            4 => Self::Upstream,
            LOST => Self::Lost,
            _ => return None,
        })
    }
}

/// What is told of an object.
#[derive(Debug, PartialEq)]
pub(super) struct News {
    pub(super) id: Uuid,
    /// The ids of the refs inside of the value.
    pub(super) carries: Vec<Uuid>,
    pub(super) outcome: Told,
}

#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// The value.
    Value(Value),
    /// The value is on the cluster, and comes when it is asked for.
    Remote,
    /// The error; whether an argument's failure is all that it was; whether it was worth another try.
    Error { encoded: Vec<u8>, upstream: bool, retry: bool },
    /// The engine failed the call.
    Failed { kind: ErrorKind, text: String },
    /// The actor is gone whose call it is, which had begun or not.
    Lost { begun: bool, text: String },
}

/// A call that a host gives to its child.
#[derive(Debug, PartialEq)]
pub(super) struct Run {
    pub(super) id: Uuid,
    pub(super) attempt: u32,
    pub(super) call: Value,
    pub(super) values: Vec<Value>,
    pub(super) carries: Vec<Uuid>,
}

impl Run {
    fn new(
        id: Id,
        attempt: u32,
        call: RawValue,
        values: Vec<RawValue>,
        carries: Vec<Id>,
        views: Option<&Arc<Views>>,
    ) -> Result<Self> {
        let values = values.into_iter().map(|value| value.read(views));
        let values = values.collect::<Result<_>>()?;
        let carries = carries.into_iter().map(uuid).collect();
        Ok(Self { id: uuid(id), attempt, call: call.read(views)?, values, carries })
    }
}

/// What comes over a bridge.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming {
    Started {
        cpus: f64,
    },
    Refused {
        kind: ErrorKind,
        text: String,
    },
    Done(Vec<News>),
    Fetched(News),
    Run(Run),
    /// A call of an actor of ours, or a wish that concerns one, from whoever goes by this id on the cluster.
    Upcall(Uuid, Run),
    /// That call is to stop, and maybe what it has submitted.
    Cancel(Uuid, bool),
    /// That call is to stop if it has not begun.
    TakeBack(Uuid),
    /// An item of a stream.
    Item(Uuid, News),
    /// Another item of the stream is wanted.
    More(Uuid),
    Lost(Uuid, String),
    /// What was lent of the actor of that id, so often, nobody has any more.
    Back(Uuid, u32),
}

#[derive(Deserialize)]
struct RawNews(Id, u8, Vec<Id>, Payload);

/// What is told with a status, which says what it is.
enum Payload {
    Bytes(RawValue),
    Size,
    Failed(String, String),
    Lost(bool, String),
}

/// A value, wherever it is.
enum RawValue {
    Own(Vec<u8>),
    Lies(Lies),
}

impl RawValue {
    fn read(self, views: Option<&Arc<Views>>) -> Result<Value> {
        match self {
            Self::Own(bytes) => Ok(Value::Own(bytes)),
            Self::Lies(Lies(span)) => {
                let view = views.and_then(|views| views.view(span));
                view.map(Value::View)
                    .ok_or_else(|| garbled(format_args!("no bytes lie at {span:?}")))
            }
        }
    }
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match Payload::deserialize(deserializer)? {
            Payload::Bytes(value) => Ok(value),
            _ => Err(D::Error::custom("no bytes, nor where they lie")),
        }
    }
}

/// Each is of a type of its own in MessagePack. Long bytes in a frame are copied once.
impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(PayloadVisitor)
    }
}

struct PayloadVisitor;

/// What the first of two says what they are.
#[derive(Deserialize)]
#[serde(untagged)]
enum First {
    Kind(String),
    Begun(bool),
}

impl<'de> Visitor<'de> for PayloadVisitor {
    type Value = Payload;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("bytes, a size, or a pair that ends with a text")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> std::result::Result<Payload, E> {
        Ok(Payload::Bytes(RawValue::Own(bytes.to_vec())))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        extension: D,
    ) -> std::result::Result<Payload, D::Error> {
        Lies::read(extension).map(|lies| Payload::Bytes(RawValue::Lies(lies)))
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<Payload, E> {
        Ok(Payload::Size)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> std::result::Result<Payload, A::Error> {
        let missing = |length| move || A::Error::invalid_length(length, &PayloadVisitor);
        let first = pair.next_element()?.ok_or_else(missing(0))?;
        let text = pair.next_element()?.ok_or_else(missing(1))?;
        Ok(match first {
            First::Kind(kind) => Payload::Failed(kind, text),
            First::Begun(begun) => Payload::Lost(begun, text),
        })
    }
}

impl RawNews {
    fn read(self, views: Option<&Arc<Views>>) -> Result<News> {
        let Self(id, code, carries, payload) = self;
        let status = Status::from_code(code).ok_or_else(|| garbled("an unknown status"))?;
        let outcome = match (status, payload) {
            (Status::Value, Payload::Bytes(value)) => Told::Value(value.read(views)?),
            (Status::Remote, Payload::Size) => Told::Remote,
            (Status::Error | Status::Retry | Status::Upstream, Payload::Bytes(value)) => {
                let encoded = value.read(views)?.into_vec();
                let (upstream, retry) = (status == Status::Upstream, status == Status::Retry);
                Told::Error { encoded, upstream, retry }
            }
            (Status::Failed, Payload::Failed(kind, text)) => {
                Told::Failed { kind: self::kind(&kind), text }
            }
            (Status::Lost, Payload::Lost(begun, text)) => Told::Lost { begun, text },
            _ => return Err(garbled("a status with what is not its own")),
        };
        Ok(News { id: uuid(id), carries: carries.into_iter().map(uuid).collect(), outcome })
    }
}

/// The kind of that name; an unknown one is the engine's affair.
fn kind(name: &str) -> ErrorKind {
    use ErrorKind::{
        ActorDied, Cancelled, Config, Engine, Infeasible, ObjectLost, PendingCallsLimit, StoreFull,
        Task, Timeout, Value, WorkerCrashed,
    };
    let kinds = [
        ActorDied,
        Cancelled,
        Config,
        Infeasible,
        ObjectLost,
        PendingCallsLimit,
        StoreFull,
        Task,
        Timeout,
        Value,
        WorkerCrashed,
    ];
    kinds.into_iter().find(|kind| format!("{kind:?}") == name).unwrap_or(Engine)
}

impl Incoming {
    /// Reads a message; `views`: where its long values lie.
    ///
    /// # Errors
    /// `Engine`, if it is none.
    pub(super) fn decode(bytes: &[u8], views: Option<&Arc<Views>>) -> Result<Self> {
        Ok(match name(bytes)? {
            "started" => {
                let (_, cpus): (&str, _) = read(bytes)?;
                Self::Started { cpus }
            }
            "refused" => {
                let (_, kind, text): (&str, &str, _) = read(bytes)?;
                Self::Refused { kind: self::kind(kind), text }
            }
            "done" => {
                let (_, news): (&str, Vec<RawNews>) = read(bytes)?;
                let news = news.into_iter().map(|news| news.read(views));
                Self::Done(news.collect::<Result<_>>()?)
            }
            "fetched" => {
                let (_, id, status, carries, payload): (&str, _, _, _, _) = read(bytes)?;
                Self::Fetched(RawNews(id, status, carries, payload).read(views)?)
            }
            "run" => {
                let (_, id, attempt, call, values, carries): (
                    &str,
                    _,
                    _,
                    RawValue,
                    Vec<RawValue>,
                    Vec<Id>,
                ) = read(bytes)?;
                Self::Run(Run::new(id, attempt, call, values, carries, views)?)
            }
            "upcall" => {
                let (_, caller, id, call, values, carries): (
                    &str,
                    _,
                    _,
                    RawValue,
                    Vec<RawValue>,
                    Vec<Id>,
                ) = read(bytes)?;
                let run = Run::new(id, 1, call, values, carries, views)?;
                Self::Upcall(uuid(caller), run)
            }
            "cancel" => {
                let (_, id, children): (&str, _, _) = read(bytes)?;
                Self::Cancel(uuid(id), children)
            }
            "take_back" => {
                let (_, id): (&str, _) = read(bytes)?;
                Self::TakeBack(uuid(id))
            }
            "item" => {
                let (_, stream, id, status, carries, payload): (&str, _, _, _, _, _) = read(bytes)?;
                Self::Item(uuid(stream), RawNews(id, status, carries, payload).read(views)?)
            }
            "more" => {
                let (_, id): (&str, _) = read(bytes)?;
                Self::More(uuid(id))
            }
            "lost" => {
                let (_, id, text): (&str, _, _) = read(bytes)?;
                Self::Lost(uuid(id), text)
            }
            "back" => {
                let (_, id, count): (&str, _, _) = read(bytes)?;
                Self::Back(uuid(id), count)
            }
            other => return Err(garbled(format_args!("a message named {other:?}"))),
        })
    }
}

/// The name that a message begins with.
fn name(bytes: &[u8]) -> Result<&str> {
    let mut rest = bytes;
    let parts = rmp::decode::read_array_len(&mut rest).map_err(garbled)?;
    if parts == 0 {
        return Err(garbled("a message without a name"));
    }
    let (name, _) = rmp::decode::read_str_from_slice(rest).map_err(garbled)?;
    Ok(name)
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    rmp_serde::from_slice(bytes).map_err(garbled)
}

pub(super) fn garbled(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Engine, format!("what came over the bridge makes no sense: {why}"))
}
