//! Values as bytes: the codec that spilled objects and calls to other processes go through.
//!
//! A *frame* is a byte that tells the version, and then the value in MessagePack, as rmp-serde writes it with
//! names: structs are maps from the names of their fields, so that all of serde's attributes work, and a
//! variant goes by its name. Two things are different.
//!
//! **Numbers lie raw.** A sequence of numbers of one type, be it a `Vec<f64>`, a slice or what is in an
//! ndarray array, wherever in the value it stands, is one extension value that holds them as they lie in
//! memory, little-endian. Writing and reading it is a copy, and no step is made for each element. serde
//! itself has no specialization: `numbers.rs` and `arrays.rs` tell how the codec finds out what it is given.
//!
//! **What goes in comes out.** A `Some` around nothing (`Some(None)`, `Some(())`) is told from `None` by a
//! byte in front of it, [`SOME`], which MessagePack leaves unused.
//!
//! Refs to objects and handles of actors are written as ids. Whoever has the bytes needs the objects to be
//! alive, so encoding hands out what it met, to be held together with the bytes: see [`Held`]. Decoding finds
//! the objects by their ids.
//!
//! Decoding trusts nothing. Lengths are checked against the bytes that are there before anything is made
//! of them, memory grows with what was read, and depth is limited.

use std::any::type_name;
use std::io;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::wire::decoder::Decoder;
use crate::wire::encoder::Encoder;
use crate::wire::failure::Failure;

mod arrays;
mod compounds;
mod decoder;
mod encoder;
mod failure;
mod head;
mod held;
mod numbers;
mod raw;
mod sequences;
#[cfg(test)]
mod tests;

pub use self::held::Held;
pub(crate) use self::held::hold;

/// The first byte of each frame. It changes when what is behind it does.
const VERSION: u8 = 1;
/// In front of what a `Some` holds, where that would pass for `None`.
const SOME: u8 = 0xc1;
/// MessagePack's nil: `None`, `()` and the like.
const NIL: u8 = 0xc0;
/// How deep values may be nested.
const DEPTH_MAX: usize = 1024;
/// From this depth on the stack is looked after.
const DEPTH_UNCHECKED_MAX: usize = 16;
/// How much of the stack one level may need.
const LEVEL_BYTES_MAX: usize = 64 << 10;
/// How much there is more when it ends.
const STACK_BYTES: usize = 1 << 20;

/// A value as bytes, and what has to live as long as they do.
pub struct Encoded {
    /// The frame.
    pub bytes: Vec<u8>,
    /// What was met in the value.
    pub held: Vec<Held>,
}

/// Turns a value into a frame.
///
/// # Errors
/// `Serialization`, if the value's own `Serialize` fails, or if it is nested too deep.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Encoded> {
    let mut bytes = Vec::new();
    let held = encode_into(value, &mut bytes)?;
    Ok(Encoded { bytes, held })
}

/// As [`encode`], appending to `bytes`. They are as before where it fails.
pub fn encode_into<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) -> Result<Vec<Held>> {
    let before = bytes.len();
    bytes.push(VERSION);
    let (outcome, held) = held::collect(|| Encoder::new(bytes).value(value));
    match outcome {
        Ok(()) => Ok(held),
        Err(failure) => {
            bytes.truncate(before);
            Err(cannot_encode::<T>(&failure))
        }
    }
}

/// As [`encode`], to a file or the like: long arrays are written from where they lie, without a copy.
///
/// # Errors
/// Those of `encode`, and those of `sink`, whose text the error has.
pub fn encode_to<T: Serialize + ?Sized>(value: &T, sink: &mut dyn io::Write) -> Result<Vec<Held>> {
    let mut buffer = vec![VERSION];
    let (outcome, held) = held::collect(|| {
        let mut encoder = Encoder::to_sink(&mut buffer, sink);
        encoder.value(value)?;
        encoder.flush()
    });
    outcome.map(|()| held).map_err(|failure| cannot_encode::<T>(&failure))
}

/// Turns a frame back into the value.
///
/// # Errors
/// `Serialization`, if the bytes are no frame of ours, or not one of a `T`.
pub fn decode<'de, T: Deserialize<'de>>(frame: &'de [u8]) -> Result<T> {
    let mut decoder = Decoder::new(frame);
    let outcome = decoder.version().and_then(|()| T::deserialize(&mut decoder));
    let outcome = outcome.and_then(|value| decoder.end().map(|()| value));
    outcome.map_err(|failure| {
        let (name, place) = (type_name::<T>(), frame.len() - decoder.left());
        let message = format!("these bytes are no `{name}`: {failure}, at byte {place}");
        Error::new(ErrorKind::Serialization, message)
    })
}

/// How many bytes of numbers `value` holds, if it is a vector or the like of numbers.
pub(crate) fn numbers_in<T: ?Sized>(value: &T) -> Option<usize> {
    numbers::slice(value).map(|(_, bytes)| bytes.len())
}

/// Whether a `T` is an ndarray array of numbers.
pub(crate) fn is_array<T: ?Sized>() -> bool {
    arrays::is_one::<T>()
}

/// The frame of a sequence, made of the frames of its elements.
///
/// # Errors
/// `Serialization`, if there are too many.
pub(crate) fn sequence(frames: &[impl AsRef<[u8]>]) -> Result<Vec<u8>> {
    let mut bytes = vec![VERSION];
    let written =
        u32::try_from(frames.len()).map_err(|_| Failure::new("there are too many elements"));
    let len = written.map_err(|failure| cannot_encode::<[Vec<u8>]>(&failure))?;
    rmp::encode::write_array_len(&mut bytes, len).expect("a vector takes all that is written");
    for frame in frames {
        bytes.extend_from_slice(frame.as_ref().get(1..).unwrap_or_default());
    }
    Ok(bytes)
}

#[cold]
fn cannot_encode<T: ?Sized>(failure: &Failure) -> Error {
    let name = type_name::<T>();
    let message = format!(
        "a value of type `{name}` cannot be turned into bytes: {failure}; see to its `Serialize`, or keep \
         it in this process with `#[remote(local)]`"
    );
    Error::new(ErrorKind::Serialization, message)
}

/// Goes one level deeper, with enough of a stack for it.
#[inline]
fn deeper<R>(depth: usize, run: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
    if depth < DEPTH_UNCHECKED_MAX {
        run()
    } else if depth < DEPTH_MAX {
        stacker::maybe_grow(LEVEL_BYTES_MAX, STACK_BYTES, run)
    } else {
        Err(Failure::new(format_args!("it is nested more than {DEPTH_MAX} deep")))
    }
}
