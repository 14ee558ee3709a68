//! Long values that the other side has written to memory which both have mapped (`blocks.rs`).
//!
//! The other side says where a value lies, and is not believed: the place is checked against a file that cannot shrink,
//! so whatever is read there is read, and what it is the codec checks. The other side does not write to a block until its
//! flag is put down, which is done when the last reader has gone.

use std::fmt::{self, Debug, Formatter};
use std::io;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cluster::arena::{self, Mapping, Page};
use crate::cluster::bridge::blocks::FREE;
use crate::cluster::bridge::spans::{FILE_BYTES, Span};

/// The end that reads.
pub(super) struct Views {
    page: Page,
    mapping: Mapping,
}

impl Views {
    /// # Errors
    /// If the file is none of ours, or there is no room to map it.
    pub(super) fn new(file: &OwnedFd) -> io::Result<Arc<Self>> {
        if !arena::has_for_good(file, FILE_BYTES) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Arc::new(Self { page: Page::map(file)?, mapping: Mapping::to_read(file, FILE_BYTES)? }))
    }

    /// The block that lies there. None: it cannot.
    pub(super) fn view(self: &Arc<Self>, span: Span) -> Option<View> {
        let place = self.mapping.at(span.start, span.bytes).filter(|_| span.is_possible())?;
        Some(View { views: Arc::clone(self), place, bytes: span.bytes, slot: span.slot })
    }
}

/// A block that was lent to this process, until it drops.
pub(super) struct View {
    views: Arc<Views>,
    place: NonNull<u8>,
    bytes: usize,
    slot: usize,
}

// SAFETY: it is memory like any other, which nobody writes to meanwhile.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl Deref for View {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping shows so many bytes of a file that cannot shrink, and stays as long as we do. The other
        // side does not write to them until the flag is put down.
        unsafe { NonNull::slice_from_raw_parts(self.place, self.bytes).as_ref() }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // Release: what was read here was read before.
        self.views.page.flag(self.slot).store(FREE, Ordering::Release);
    }
}

/// A value that has come.
pub(super) enum Value {
    /// In a frame.
    Own(Vec<u8>),
    /// In memory that both sides share.
    View(View),
}

impl Value {
    pub(super) fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Own(bytes) => bytes,
            Self::View(view) => view.to_vec(),
        }
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::View(view) => view,
        }
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Debug for Value {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::bridge::blocks;
    use crate::cluster::bridge::spans::SLOTS;

    /// All that it says can be read, or is refused.
    #[test]
    fn what_lies_nowhere_is_refused() {
        let views = Views::new(&blocks::file().unwrap()).unwrap();
        let first = 64 << 10;
        let span = |slot, start, bytes| Span { slot, start, bytes };
        for good in [
            span(0, first, 0),
            span(SLOTS - 1, first, 1),
            span(0, first, 1000),
            span(0, FILE_BYTES - first, first),
        ] {
            let view = views.view(good).unwrap();
            assert_eq!((view.len(), view.iter().any(|byte| *byte != 0)), (good.bytes, false));
        }
        for bad in [
            span(SLOTS, first, 1),
            span(usize::MAX, first, 1),
            span(0, 0, 1),
            span(0, first + 1, 1),
            span(0, first, FILE_BYTES),
            span(0, first, usize::MAX),
            span(0, FILE_BYTES - first, first + 1),
            span(0, FILE_BYTES, 1),
            span(0, usize::MAX - first + 1, first),
            span(0, usize::MAX, 1),
        ] {
            assert!(views.view(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_place_that_is_told_twice_is_read_twice() {
        let views = Views::new(&blocks::file().unwrap()).unwrap();
        let span = Span { slot: 0, start: 64 << 10, bytes: 10 };
        let [a, b] = [span; 2].map(|span| views.view(span).unwrap());
        drop(a);
        assert_eq!(*b, [0; 10]);
    }
}
