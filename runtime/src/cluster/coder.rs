//! How the values of objects are encoded, where only the object is known and not its type.
//!
//! Whoever knows the type notes it in the cell ([`note`]): who serializes a ref, and who submits a call for
//! another process. So whatever another process can ask for by its id can be encoded.

use std::io::Write;

use serde::Serialize;
use uuid::Uuid;

use crate::cluster::argument::{self, What};
use crate::error::{Error, ErrorKind, Result};
use crate::local::cell::{AnyRef, Ref};
use crate::local::ids;
use crate::wire::{self, Held};

/// The id of an object, by which it can be found from now on.
pub(crate) fn id_of(any: &AnyRef) -> Uuid {
    ids::make_findable(any)
}

/// Lets an object that nobody else has yet be found by the id that another process gave it.
pub(crate) fn named(any: &AnyRef, id: Uuid) {
    let _ = any.extra().id.set(id);
    id_of(any);
}

/// Gives an object that nobody else has yet an id.
pub(crate) fn fresh_id(any: &AnyRef) -> Uuid {
    let _ = any.extra().id.set(Uuid::new_v4());
    id_of(any)
}

/// Lets the object's value be encoded by [`encode`].
pub(crate) fn note<T: Serialize + Send + Sync + 'static>(any: &AnyRef) {
    let _ = any.extra().encode.set(encode_as::<T>);
}

/// Whether it was noted.
pub(crate) fn is_noted(any: &AnyRef) -> bool {
    any.extra().encode.get().is_some()
}

/// Encodes the value of a complete object; the errors of what has failed are its own.
///
/// # Errors
/// The object's own, and `Serialization`.
pub(crate) fn encode(any: &AnyRef, sink: &mut dyn Write) -> Result<Vec<Held>> {
    let Some(encode) = any.extra().encode.get() else {
        if let Some(why) = any.failure() {
            return Err(why);
        }
        let message = format!("the value of {} stays in its process", any.hop());
        return Err(Error::new(ErrorKind::Serialization, message));
    };
    encode(any, sink)
}

fn encode_as<T: Serialize + Send + Sync + 'static>(
    any: &AnyRef,
    sink: &mut dyn Write,
) -> Result<Vec<Held>> {
    let object = Ref::<T>::from_any(any.clone()).expect("noted with the type of its value");
    wire::encode_to(&*object.share()?, sink)
}

/// A value that a worker stored: bytes, until somebody who knows its type reads them.
pub(crate) struct Stored {
    pub(crate) bytes: Vec<u8>,
    /// What the ids among them stand for.
    pub(crate) held: Vec<(Uuid, What)>,
}

/// Lets the bytes go on as they came.
pub(crate) fn note_stored(any: &AnyRef) {
    let _ = any.extra().encode.set(encode_stored);
}

fn encode_stored(any: &AnyRef, sink: &mut dyn Write) -> Result<Vec<Held>> {
    let object = Ref::<Stored>::from_any(any.clone()).expect("noted with the type of its value");
    let stored = object.share()?;
    argument::write(sink, &stored.bytes)?;
    Ok(stored.held.iter().map(|(id, what)| what.clone().held(*id)).collect())
}
