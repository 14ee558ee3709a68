//! Arguments on their way to another process: values as bytes, refs by their ids.

use std::any::Any;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::cluster::coder;
use crate::cluster::detached::Detached;
use crate::cluster::frame::{Body, Part};
use crate::cluster::placement::{Placement, Reservation};
use crate::error::{Error, ErrorKind, Result};
use crate::local::cell::AnyRef;
use crate::local::place::Place;
use crate::local::retries::RetryDelay;
use crate::wire::{self, Held};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// One argument of a call, as it crosses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Argument {
    /// The value.
    Value(Part),
    /// The value of an object that the function borrows, which the other side has or gets.
    Object(Uuid),
    /// The values of several objects.
    List(Vec<Uuid>),
}

/// Collects the arguments of one call.
pub struct Packing<'a> {
    pub(crate) arguments: Vec<Argument>,
    /// What has to live until the other side has let go of it.
    pub(crate) held: Vec<Held>,
    /// Refs that are passed as such.
    pub(crate) objects: Vec<(Uuid, AnyRef)>,
    /// The actor whose call it is, where that is elsewhere.
    pub(crate) to: Option<Uuid>,
    pub(crate) body: &'a mut Body,
    /// Whether refs may be passed although they are not complete, to be resolved over there.
    by_id: bool,
}

impl<'a> Packing<'a> {
    /// For a worker, from the driver: all refs are complete.
    pub(crate) fn values(body: &'a mut Body) -> Self {
        Self {
            arguments: Vec::new(),
            held: Vec::new(),
            objects: Vec::new(),
            to: None,
            body,
            by_id: false,
        }
    }

    /// For the driver, from a worker: refs go by id, and wait over there.
    pub(crate) fn ids(body: &'a mut Body) -> Self {
        Self { by_id: true, ..Self::values(body) }
    }

    pub(crate) fn is_by_id(&self) -> bool {
        self.by_id
    }

    pub(crate) fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.written(|sink| wire::encode_to(value, sink))
    }

    /// The actor whose call it is, by its id and as a handle. Whoever calls has one until the call is sent.
    pub(crate) fn addressed(&mut self, actor: Uuid, handle: &impl Serialize) -> Result<()> {
        self.to = Some(actor);
        self.value(handle)
    }

    /// What `write` writes, with the refs that it gives.
    pub(crate) fn written(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> Result<Vec<Held>>,
    ) -> Result<()> {
        let held = &mut self.held;
        let part = self.body.part(|sink| {
            held.extend(write(sink)?);
            Ok(())
        })?;
        self.arguments.push(Argument::Value(part));
        Ok(())
    }

    /// The value of an object whose type is noted.
    pub(crate) fn encoded(&mut self, any: &AnyRef) -> Result<()> {
        self.written(|sink| coder::encode(any, sink))
    }

    /// An object by its id. To a worker it is sent once, and for what borrows it.
    pub(crate) fn object(&mut self, any: &AnyRef) -> Result<()> {
        let id = coder::id_of(any);
        self.objects.push((id, any.clone()));
        self.arguments.push(Argument::Object(id));
        Ok(())
    }

    /// Objects by their ids.
    pub(crate) fn list(&mut self, list: &[AnyRef]) -> Result<()> {
        let ids = list.iter().map(coder::id_of).collect();
        self.objects.extend(list.iter().map(|any| (coder::id_of(any), any.clone())));
        self.arguments.push(Argument::List(ids));
        Ok(())
    }
}

/// What an id stands for.
#[derive(Clone)]
pub(crate) enum What {
    Object(AnyRef),
    /// A handle of an actor, whose type is the reader's to know.
    Handle(Arc<dyn Any + Send + Sync>),
}

impl What {
    pub(crate) fn held(self, id: Uuid) -> Held {
        let what: Box<dyn Any + Send + Sync> = match self {
            Self::Object(any) => Box::new(any),
            Self::Handle(handle) => Box::new(handle),
        };
        Held { id, what }
    }
}

/// A call that a worker made: its arguments stay bytes on their way through the driver.
pub(crate) struct Forwarded {
    pub(crate) id: Uuid,
    pub(crate) arguments: Vec<ForwardedArgument>,
    /// What the ids in the values stand for.
    pub(crate) keep: Vec<(Uuid, What)>,
    pub(crate) options: Option<Asked>,
    /// Where it stands in the tree of calls.
    pub(crate) place: Place,
    /// Where it stands in the source.
    pub(crate) stands_at: Arc<str>,
}

/// One of its arguments.
pub(crate) enum ForwardedArgument {
    Value(Vec<u8>),
    Object(AnyRef),
    List(Vec<AnyRef>),
}

impl ForwardedArgument {
    /// Takes the first of those that a worker sent, a value that says what it wants.
    ///
    /// # Errors
    /// `Serialization`, if it is none.
    pub(crate) fn take_first<T: DeserializeOwned>(arguments: &mut Vec<Self>) -> Result<T> {
        match (!arguments.is_empty()).then(|| arguments.remove(0)) {
            Some(Self::Value(bytes)) => wire::decode(&bytes),
            _ => Err(unfit("no first argument")),
        }
    }

    /// The refs that the call waits for.
    pub(crate) fn refs(&self) -> &[AnyRef] {
        match self {
            Self::Value(_) => &[],
            Self::Object(any) => std::slice::from_ref(any),
            Self::List(list) => list,
        }
    }

    /// As what goes on to a worker; `shares`: the function borrows it.
    pub(crate) fn pack(&self, shares: bool, packing: &mut Packing<'_>) -> Result<()> {
        let held = &mut packing.held;
        let part = match self {
            Self::Object(any) if shares => return packing.object(any),
            Self::Object(any) => return packing.encoded(any),
            Self::Value(bytes) => packing.body.part(|sink| write(sink, bytes)),
            Self::List(list) => packing.body.part(|sink| {
                let mut values = Vec::with_capacity(list.len());
                for any in list {
                    let mut bytes = Vec::new();
                    held.extend(coder::encode(any, &mut bytes)?);
                    values.push(bytes);
                }
                write(sink, &wire::sequence(&values)?)
            }),
        }?;
        packing.arguments.push(Argument::Value(part));
        Ok(())
    }
}

/// Writes bytes as they are.
pub(crate) fn write(sink: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    let failed = |error: std::io::Error| Error::new(ErrorKind::Serialization, error.to_string());
    sink.write_all(bytes).map_err(failed)
}

/// The options of a call, as they cross; of an actor, those that the cluster is to know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) name: Option<String>,
    pub(crate) num_cpus: Option<f64>,
    pub(crate) resources: Vec<(String, f64)>,
    pub(crate) max_retries: Option<u32>,
    /// Whether failures are tried again as the function's attribute says.
    pub(crate) retries_as_declared: bool,
    pub(crate) retry_delay: Option<RetryDelay>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) priority: Option<i32>,
    pub(crate) placement: Option<Placement>,
    /// Resources are asked for instead of a call.
    pub(crate) reservation: Option<Reservation>,
    /// Of an actor that outlives the program. Of a call: it is asked whether that lives, and nothing is called.
    pub(crate) detached: Option<Detached>,
    /// The function is one of Python's.
    pub(crate) python: bool,
}

/// What is not among the arguments that a function takes.
pub(crate) fn unfit(what: &str) -> Error {
    Error::new(ErrorKind::Serialization, format!("{what} came for a call, and does not fit it"))
}
