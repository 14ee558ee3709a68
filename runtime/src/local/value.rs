//! Where a result sits: in its cell until somebody shares it, then in an `Arc`.
//!
//! The program never sees a reference into a cell. So a value can be moved out of it, bit by bit,
//! whenever the cell's lock is held, and most results (made once, read once) need no allocation of
//! their own.

use std::mem::{ManuallyDrop, needs_drop};
use std::sync::Arc;

use crate::error::Error;

/// Plain values up to this many bytes are cloned from a copy on the stack, which spares them the `Arc`.
const COPY_BYTES_MAX: usize = 256;

/// Who looks at a value makes sure that it is there.
const ABSENT: &str = "the value was given away, or is on disk";

/// The value of a cell.
pub(crate) enum Value<T> {
    /// Moved out.
    Empty,
    Inline(T),
    Shared(Arc<T>),
    Failed(Error),
    /// The object store has it on disk.
    Spilled,
}

impl<T> From<Result<T, Error>> for Value<T> {
    fn from(result: Result<T, Error>) -> Self {
        match result {
            Ok(value) => Self::Inline(value),
            Err(error) => Self::Failed(error),
        }
    }
}

impl<T> Value<T> {
    /// Whether such values are cloned from a copy of their bits.
    pub(crate) const IS_PLAIN: bool = !needs_drop::<T>() && size_of::<T>() <= COPY_BYTES_MAX;

    /// Moves the value into an `Arc`.
    pub(crate) fn share(&mut self) -> Result<&Arc<T>, Error> {
        match std::mem::replace(self, Self::Empty) {
            Self::Inline(value) => *self = Self::Shared(Arc::new(value)),
            other => *self = other,
        }
        match self {
            Self::Shared(value) => Ok(value),
            Self::Failed(error) => Err(error.clone()),
            Self::Empty | Self::Inline(_) | Self::Spilled => unreachable!("{ABSENT}"),
        }
    }

    /// A copy of the bits of a small, plain value, to be cloned from and never dropped.
    pub(crate) fn copy_of_bits(&self) -> Option<ManuallyDrop<T>> {
        match self {
            Self::Inline(value) if Self::IS_PLAIN => {
                // SAFETY: the pointer is valid and aligned, being a reference's. The copy is only
                // read, through `Clone`, and never dropped; the type has no drop glue, so it owns
                // nothing that the original could free meanwhile.
                Some(unsafe { std::ptr::read(std::ptr::from_ref(value).cast()) })
            }
            _ => None,
        }
    }

    /// The value itself; cloned only where others still share it.
    pub(crate) fn into_owned(self) -> Result<T, Error>
    where
        T: Clone,
    {
        match self {
            Self::Inline(value) => Ok(value),
            Self::Shared(value) => Ok(Arc::unwrap_or_clone(value)),
            Self::Failed(error) => Err(error),
            Self::Empty | Self::Spilled => unreachable!("{ABSENT}"),
        }
    }

    /// The value itself, as it was kept.
    pub(crate) fn into_kept<R>(
        self,
        shared: impl FnOnce(Arc<T>) -> R,
        own: impl FnOnce(T) -> R,
    ) -> Result<R, Error> {
        match self {
            Self::Inline(value) => Ok(own(value)),
            Self::Shared(value) => Ok(shared(value)),
            Self::Failed(error) => Err(error),
            Self::Empty | Self::Spilled => unreachable!("{ABSENT}"),
        }
    }

    /// The value itself, which nobody else has.
    pub(crate) fn into_unshared(self) -> Result<T, Error> {
        match self {
            Self::Inline(value) => Ok(value),
            // The store shared it with itself, to write it.
            Self::Shared(value) => {
                Ok(Arc::into_inner(value).unwrap_or_else(|| unreachable!("{ABSENT}")))
            }
            Self::Failed(error) => Err(error),
            Self::Empty | Self::Spilled => unreachable!("{ABSENT}"),
        }
    }

    /// The value itself, shared.
    pub(crate) fn into_shared(self) -> Result<Arc<T>, Error> {
        match self {
            Self::Inline(value) => Ok(Arc::new(value)),
            Self::Shared(value) => Ok(value),
            Self::Failed(error) => Err(error),
            Self::Empty | Self::Spilled => unreachable!("{ABSENT}"),
        }
    }
}
