//! Memory for long values that the other side reads where they lie: a file that both have mapped, and in it blocks, of
//! which frames say where they are.
//!
//! Who writes a block has it until the other side has put down its flag. There may be many at a time, and they come
//! free in any order. What finds no room goes in a frame, so nobody waits for the other side, which may be waiting.
//! The pages stay for the next value, since fresh ones cost more than the copy, and go back to the system when nothing
//! was written for a while. The file has no name: it goes with the two processes.

use std::io;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::FallocateFlags;

use crate::cluster::arena::{self, Mapping, Page};
use crate::cluster::bridge::spans::{FILE_BYTES, Span, Spans};

/// The flag of a block that somebody has, be it who writes it or who reads it.
const TAKEN: u8 = 1;
/// That of one which nobody has.
pub(super) const FREE: u8 = 0;

/// A file for the blocks of one direction. It takes no memory yet.
pub(super) fn file() -> io::Result<OwnedFd> {
    arena::file("mobula-blocks", FILE_BYTES)
}

/// The end that writes.
pub(super) struct Blocks {
    file: OwnedFd,
    page: Page,
    mapping: Mapping,
    spans: Mutex<Spans>,
}

impl Blocks {
    /// # Errors
    /// If the file is none of ours, or there is no room to map it.
    pub(super) fn new(file: OwnedFd) -> io::Result<Arc<Self>> {
        if !arena::has_for_good(&file, FILE_BYTES) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let page = Page::map(&file)?;
        let mapping = Mapping::to_write(&file, FILE_BYTES)?;
        Ok(Arc::new(Self { file, page, mapping, spans: Mutex::default() }))
    }

    /// Those that are taken, without what the other side has done with.
    fn spans(&self) -> MutexGuard<'_, Spans> {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        // Acquire: pairs with the Release of who has read.
        spans.retain(|slot| self.page.flag(slot).load(Ordering::Acquire) != FREE);
        spans
    }

    /// An empty block with room for so much. None: there is none.
    pub(super) fn take(self: &Arc<Self>, room: usize) -> Option<Block> {
        let span = self.spans().take(room).inspect(|span| self.mark(span))?;
        Some(Block { blocks: Arc::clone(self), span, written: 0, is_lent: false })
    }

    /// The block is somebody's. The spans are locked.
    fn mark(&self, span: &Span) {
        self.page.flag(span.slot).store(TAKEN, Ordering::Relaxed);
    }

    /// Whether there are pages to give back, now or later.
    pub(super) fn has_pages(&self) -> bool {
        self.spans().has_pages()
    }

    /// Gives those pages back to the system in which nothing was written since the last time.
    pub(super) fn give_back(&self) {
        let mut spans = self.spans();
        for (start, bytes) in spans.idle() {
            let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // Where that is not possible, the pages stay until the processes end.
            let _ = rustix::fs::fallocate(&self.file, how, start as u64, bytes as u64);
        }
    }
}

/// A block that is written, or was and is the other side's.
pub(super) struct Block {
    blocks: Arc<Blocks>,
    /// With all the room that it has.
    span: Span,
    written: usize,
    is_lent: bool,
}

impl Block {
    /// Where the bytes lie.
    pub(super) fn span(&self) -> Span {
        Span { bytes: self.written, ..self.span }
    }

    /// Adds to what is in it. False: there is no room.
    pub(super) fn write(&mut self, bytes: &[u8]) -> bool {
        let Some(end) = self.written.checked_add(bytes.len()) else { return false };
        if end > self.span.bytes && !self.grow(end) {
            return false;
        }
        let place = self.place(self.written, bytes.len());
        // SAFETY: the mapping has so many bytes there, which are in a span that is ours alone. What we are given is
        // no part of it.
        unsafe { place.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        self.written = end;
        true
    }

    fn place(&self, start: usize, bytes: usize) -> NonNull<u8> {
        let place = self.blocks.mapping.at(self.span.start + start, bytes);
        place.expect("a span lies in the file")
    }

    /// Makes room, here or elsewhere, for so much and what may come behind it.
    fn grow(&mut self, least: usize) -> bool {
        let more = least + least / 2;
        let resized = self.blocks.spans().resize(self.span.slot, more);
        if let Some(span) = resized {
            self.span = span;
            return true;
        }
        let Some(mut other) = self.blocks.take(more) else { return false };
        // The one before goes free as it drops.
        other.write(&self.bytes());
        *self = other;
        true
    }

    /// What was written, copied.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let place = self.place(0, self.written);
        // SAFETY: so many bytes were written there. Until the block is lent nobody else touches them: the other side
        // was not told of it.
        unsafe { NonNull::slice_from_raw_parts(place, self.written).as_ref() }.to_vec()
    }

    /// The other side was told of it, and has it from now on.
    pub(super) fn lent(mut self) {
        self.is_lent = true;
    }

    /// Nothing more is written: the rest of its room is free.
    pub(super) fn close(&mut self) {
        let resized = self.blocks.spans().resize(self.span.slot, self.written);
        self.span = resized.unwrap_or(self.span);
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if !self.is_lent {
            self.blocks.page.flag(self.span.slot).store(FREE, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::bridge::views::Views;

    const MANY: usize = 300 << 10;

    fn block(blocks: &Arc<Blocks>, byte: u8) -> Block {
        let mut block = blocks.take(MANY).unwrap();
        assert!(block.write(&[byte; MANY]));
        block
    }

    #[test]
    fn a_block_is_its_readers_until_that_drops_it_and_then_another_may_have_the_place() {
        let file = file().unwrap();
        let (blocks, views) =
            (Blocks::new(file.try_clone().unwrap()).unwrap(), Views::new(&file).unwrap());
        let [a, b] = [1, 2].map(|byte| block(&blocks, byte));
        let spans = [a.span(), b.span()];
        a.lent();
        b.lent();
        let [a, b] = spans.map(|span| views.view(span).unwrap());
        assert_eq!(block(&blocks, 3).span().slot, 2);
        drop(a);
        assert_eq!(
            block(&blocks, 4).span(),
            spans[0],
            "and a block that is not lent goes as it drops"
        );
        assert_eq!(block(&blocks, 5).span(), spans[0]);
        assert_eq!((b.len(), b.iter().all(|byte| *byte == 2)), (MANY, true));
    }

    #[test]
    fn a_block_grows_where_it_is_or_moves() {
        let file = file().unwrap();
        let (blocks, views) =
            (Blocks::new(file.try_clone().unwrap()).unwrap(), Views::new(&file).unwrap());
        let mut a = block(&blocks, 1);
        let mut before = a.span();
        assert!(a.write(&[1; MANY]));
        assert_eq!(a.span().start, before.start);
        let b = block(&blocks, 2);
        before = b.span();
        assert!(a.write(&[1; 2 * MANY]));
        a.close();
        assert!(a.span().start > before.start && a.span().bytes == 4 * MANY);
        assert_eq!(a.bytes(), [1; 4 * MANY]);
        assert_eq!(b.bytes(), [2; MANY]);
        let span = a.span();
        a.lent();
        assert!(views.view(span).unwrap().iter().all(|byte| *byte == 1));
        // What it had taken behind its end, and where it was before, is free.
        assert_eq!(block(&blocks, 3).span().start, 64 << 10);
        assert!(blocks.take(FILE_BYTES).is_none());
    }

    #[test]
    fn pages_go_back_to_the_system_and_blocks_that_somebody_has_stay() {
        let file = file().unwrap();
        let blocks = Blocks::new(file.try_clone().unwrap()).unwrap();
        let pages = || rustix::fs::fstat(&file).unwrap().st_blocks;
        let [a, b] = [1, 2].map(|byte| block(&blocks, byte));
        drop(a);
        let before = pages();
        blocks.give_back();
        assert_eq!(pages(), before, "it was used just now");
        blocks.give_back();
        assert!(pages() < before && blocks.has_pages());
        assert_eq!(b.bytes(), [2; MANY]);
        drop(b);
        blocks.give_back();
        assert!(!blocks.has_pages());
    }

    #[test]
    fn files_that_may_shrink_or_are_short_are_refused() {
        let short = arena::file("mobula-test", FILE_BYTES - 1).unwrap();
        let flags = rustix::fs::MemfdFlags::ALLOW_SEALING;
        let unsealed = rustix::fs::memfd_create("mobula-test", flags).unwrap();
        rustix::fs::ftruncate(&unsealed, FILE_BYTES as u64).unwrap();
        for file in [short, unsealed] {
            assert!(Views::new(&file).is_err() && Blocks::new(file).is_err());
        }
    }
}
