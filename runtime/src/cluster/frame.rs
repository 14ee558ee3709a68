//! What goes over a connection: frames.
//!
//! A frame is two lengths (of the whole and of its head, 4 bytes each, little-endian), a head, which says
//! what it is, in the codec of `wire`, and a body: the bytes of values, one after the other. The head names
//! the [`Part`]s of the body, so that values are read from where they arrived. Long values are not in the body
//! but in memory that both sides share (`arena.rs`).
//!
//! Nothing that arrives is trusted: lengths are bounded, memory grows with what has come, and each part is
//! checked against the bytes that are there. What does not fit ends the connection.

use std::io::{self, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::cluster::arena::{Reader, Writer};
use crate::cluster::argument::{self, Argument, Asked};
use crate::cluster::bridge::parcel::Parcel;
use crate::cluster::turn::Ticket;
use crate::error::{Error, ErrorKind, Failed, Result};
use crate::wire;

/// No frame is longer.
pub(crate) const FRAME_BYTES_MAX: usize = 1 << 30;
/// The lengths in front of a frame.
pub(crate) const PREFIX_BYTES: usize = 8;
/// Values that are longer go through shared memory, where there is some.
pub(crate) const INLINE_BYTES_MAX: usize = 32 << 10;

/// Where the bytes of a value are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// In the frame's body.
    Inline { start: u32, end: u32 },
    /// In the memory that both sides share.
    Shared { start: u64, end: u64 },
}

impl Part {
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Shared { .. })
    }
}

/// A value, or why there is none.
pub(crate) type Outcome = std::result::Result<Part, Failed>;

/// What the driver says to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// The first of all.
    Welcome { num_cpus: usize, block_warning: Duration },
    /// Run this, unless the turn says that it was taken back.
    Task(Box<TaskHead>),
    /// An object that tasks will borrow; `once`: the next one, and none after that.
    Object { id: Uuid, value: Part, once: bool },
    /// The next item of the stream that a task produces is wanted, or no more are.
    More { ticket: Ticket, wanted: bool },
    /// The actor that lives there ends.
    EndActor,
    /// Objects that no longer exist.
    Forget { ids: Vec<Uuid> },
    /// The answer to `Await`: what is there of what was asked for, and what ended the wait before it was.
    Arrived { values: Vec<(Uuid, Outcome)>, ended: Option<EndedWait> },
    /// The answer to `TaskId`.
    TaskId { id: Uuid },
    /// The task is to stop.
    Cancel { ticket: Ticket },
    /// An object that was subscribed to, or that a call waits for which is one of several.
    Value { id: Uuid, outcome: Outcome },
    /// The answer to what such a call has asked.
    Answered { ticket: Ticket, answer: Answered },
}

/// The answer to a call that is one of several.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answered {
    /// To `Await`: what is there has come before; and what ended the wait before the rest was.
    Waited(Option<EndedWait>),
    /// To `TaskId`.
    TaskId(Uuid),
}

/// A task, without the bytes of its arguments.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TaskHead {
    pub(crate) ticket: Ticket,
    pub(crate) function: String,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) about: About,
}

/// What a task can learn about itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) name: Option<String>,
    pub(crate) attempt: u32,
    pub(crate) cpus: f64,
    pub(crate) worker: Option<usize>,
    pub(crate) time_limit: Option<Duration>,
    /// Where the task stands in the tree of calls: a pool's words.
    pub(crate) place: Vec<u32>,
    /// If it is a call of an actor, how often that was made anew.
    pub(crate) restarts: Option<u32>,
}

/// Why a wait ended before the work did.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum EndedWait {
    TimedOut,
    Never(Failed),
}

/// What a worker says to the driver.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToDriver {
    /// The first of all: it serves now.
    Ready,
    /// A task is done.
    Done { ticket: Ticket, outcome: Outcome, how: Ended, let_go: Vec<(Uuid, u32)> },
    /// An item of the stream that a task produces, with the objects whose ids are in it. It waits for `More`.
    Item { ticket: Ticket, outcome: Outcome, keep: Vec<Uuid> },
    /// A task calls a function.
    Submit(Box<SubmitHead>),
    /// A task waits for objects: for all, or until one has failed and all before it are there, or for any.
    Await { ids: Vec<Uuid>, any: bool, timeout: Option<Duration> },
    /// Say when this object is there.
    Subscribe { id: Uuid },
    /// A task cancels another.
    Cancel { id: Uuid, children: bool, force: bool },
    /// A task wants to know its id.
    TaskId,
    /// The answer to `EndActor`.
    ActorEnded,
    /// The actor whose call it is ends itself.
    ExitActor,
    /// An object that a task stored.
    Object { id: Uuid, value: Outcome, keep: Vec<Uuid> },
    /// Objects that the worker has let go of, and how often it had been given each.
    Release { ids: Vec<(Uuid, u32)> },
    /// What comes next is asked by the call of this ticket, which is one of several.
    By { ticket: Ticket },
}

/// How a task ended, beside what came of it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// It asked whether it was to stop.
    pub(crate) looked: bool,
    /// It was a call of an actor, and panicked.
    pub(crate) crashed: bool,
}

/// A call, without the bytes of its arguments.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SubmitHead {
    /// The id that the result is to have.
    pub(crate) id: Uuid,
    pub(crate) function: String,
    pub(crate) arguments: Vec<Argument>,
    /// The objects whose ids are in the values.
    pub(crate) keep: Vec<Uuid>,
    pub(crate) options: Option<Asked>,
    /// Where it stands in the source.
    pub(crate) stands_at: String,
    /// Where it stands in the tree of calls: a pool's words.
    pub(crate) place: Vec<u32>,
}

/// The bytes of the values that go with one frame, or with several that are sent together.
pub(crate) struct Body {
    bytes: Vec<u8>,
    shared: Option<Long>,
}

/// Where long values go.
enum Long {
    /// Memory shared with a driver or a worker of this program's.
    Arena(Writer),
    /// What goes over a bridge.
    Parcel(Parcel),
}

impl Long {
    fn written(&self) -> u64 {
        match self {
            Self::Arena(writer) => writer.written(),
            Self::Parcel(parcel) => parcel.written() as u64,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Arena(writer) => writer.write(bytes),
            Self::Parcel(parcel) => parcel.write_all(bytes),
        }
    }
}

impl Body {
    /// `shared`: where long values go.
    pub(crate) fn new(shared: Option<Writer>) -> Self {
        Self { bytes: Vec::new(), shared: shared.map(Long::Arena) }
    }

    /// One for a value that goes over a bridge.
    pub(crate) fn of_parcel(parcel: Parcel) -> Self {
        Self { bytes: Vec::new(), shared: Some(Long::Parcel(parcel)) }
    }

    /// Whether long values lie in shared memory.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.written() > 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a value, whose bytes `write` writes.
    pub(crate) fn part(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<Part> {
        let start = self.bytes.len();
        let mut sink = Sink { body: self, start, moved: None };
        let written = write(&mut sink);
        let moved = sink.moved;
        if let Err(error) = written {
            self.bytes.truncate(start);
            // The other side says what it has read of what it was told of.
            if let (Some(start), Some(Long::Arena(writer))) = (moved, &mut self.shared) {
                writer.take_back(start);
            }
            return Err(error);
        }
        Ok(match (moved, &self.shared) {
            (Some(start), Some(shared)) => Part::Shared { start, end: shared.written() },
            _ => Part::Inline { start: index(start), end: index(self.bytes.len()) },
        })
    }

    /// Takes the bytes that go with the frame.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    pub(crate) fn into_shared(self) -> Option<Writer> {
        match self.shared? {
            Long::Arena(writer) => Some(writer),
            Long::Parcel(_) => None,
        }
    }

    /// One value, to go over a bridge.
    pub(crate) fn into_parcel(self, part: Part) -> Parcel {
        let Self { mut bytes, shared } = self;
        match (part, shared) {
            (Part::Inline { start, end }, _) => {
                bytes.truncate(end as usize);
                bytes.drain(..start as usize);
                Parcel::from(bytes)
            }
            (Part::Shared { start: 0, .. }, Some(Long::Parcel(parcel))) => parcel,
            (Part::Shared { .. }, _) => unreachable!("a result is packed once, into what is its"),
        }
    }
}

fn index(position: usize) -> u32 {
    u32::try_from(position).expect("a body is no longer than a frame may be")
}

/// Writes one part: into the body, and from there to shared memory where it becomes long.
struct Sink<'a> {
    body: &'a mut Body,
    start: usize,
    moved: Option<u64>,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Body { bytes: inline, shared } = &mut *self.body;
        if self.moved.is_none()
            && inline.len() + bytes.len() - self.start > INLINE_BYTES_MAX
            && let Some(shared) = shared
        {
            self.moved = Some(shared.written());
            shared.write(&inline[self.start..])?;
            inline.truncate(self.start);
        }
        match (self.moved, shared) {
            (Some(_), Some(shared)) => shared.write(bytes)?,
            _ if inline.len() + bytes.len() > FRAME_BYTES_MAX / 2 => {
                let message = "it is too long for one frame";
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
            }
            _ => inline.extend_from_slice(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends a frame to what is to be sent.
pub(crate) fn append<H: Serialize>(head: &H, body: &[u8], to: &mut Vec<u8>) -> Result<()> {
    append_head(head, body, to)?;
    to.extend_from_slice(body);
    Ok(())
}

/// Writes a frame.
pub(crate) fn write<H: Serialize>(head: &H, body: &[u8], to: &mut dyn Write) -> Result<()> {
    let mut start = Vec::new();
    append_head(head, body, &mut start)?;
    argument::write(to, &start)?;
    argument::write(to, body)
}

/// Appends what comes before the body.
fn append_head<H: Serialize>(head: &H, body: &[u8], to: &mut Vec<u8>) -> Result<()> {
    let start = to.len();
    to.extend([0; PREFIX_BYTES]);
    wire::encode_into(head, to)?;
    let head_bytes = to.len() - start - PREFIX_BYTES;
    let whole = head_bytes + body.len();
    if whole > FRAME_BYTES_MAX {
        to.truncate(start);
        let message = format!("a frame of {whole} bytes is too long to be sent");
        return Err(Error::new(ErrorKind::Serialization, message));
    }
    to[start..start + 4].copy_from_slice(&index(whole).to_le_bytes());
    to[start + 4..start + 8].copy_from_slice(&index(head_bytes).to_le_bytes());
    Ok(())
}

/// The lengths that a frame begins with: of the whole, and of its head. None: they have not all come.
///
/// # Errors
/// If they cannot be those of a frame.
pub(crate) fn lengths(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let (Some(whole), Some(head)) = (word(bytes, 0), word(bytes, 4)) else { return Ok(None) };
    if whole > FRAME_BYTES_MAX || head > whole {
        let message = format!("{head} of {whole} bytes are no lengths of a frame");
        return Err(garbled(message));
    }
    Ok(Some((whole, head)))
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_le_bytes(word) as usize)
}

/// Reads a head.
pub(crate) fn head<H: DeserializeOwned>(bytes: &[u8]) -> Result<H> {
    wire::decode(bytes).map_err(|error| garbled(error.message()))
}

/// A frame that arrived, with what its parts lead to.
pub(crate) struct Bytes<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) shared: Option<&'a Reader>,
}

impl<'a> Bytes<'a> {
    /// The bytes of a value.
    ///
    /// # Errors
    /// If they are not there.
    pub(crate) fn part(&self, part: Part) -> Result<&'a [u8]> {
        let found = match part {
            Part::Inline { start, end } => self.body.get(start as usize..end as usize),
            Part::Shared { start, end } => self.shared.and_then(|shared| shared.get(start, end)),
        };
        found.ok_or_else(|| garbled(format!("{part:?} is not in the frame")))
    }
}

/// An error of what arrived.
pub(crate) fn garbled(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Engine, format!("what came over the connection makes no sense: {why}"))
}
