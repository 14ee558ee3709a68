//! Which parts of a file of blocks are taken: the bookkeeping of whoever writes there, and nobody else's.

use crate::cluster::arena::PAGE_BYTES;

/// How long the file is: no more is on its way at a time, and what has no room goes in a frame. Pages come when
/// something is written there.
pub(super) const FILE_BYTES: usize = 1 << 31;
/// How many blocks there are at a time, at most. Each has a flag in the file's first page.
pub(super) const SLOTS: usize = 512;
/// Blocks begin at multiples of this, so that each can be mapped alone, whatever the size of pages.
const ALIGN: usize = 64 << 10;
/// The first block lies behind the flags.
const FIRST: usize = ALIGN;

const _: () = assert!(SLOTS <= PAGE_BYTES && PAGE_BYTES <= FIRST);

/// A part of the file, and the flag that is its.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) slot: usize,
    pub(super) start: usize,
    pub(super) bytes: usize,
}

impl Span {
    /// Where another may begin.
    fn end(&self) -> usize {
        (self.start + self.bytes).next_multiple_of(ALIGN)
    }

    /// Whether it can be one: who reads asks, and trusts nobody.
    pub(super) fn is_possible(&self) -> bool {
        let end = self.start.checked_add(self.bytes);
        self.slot < SLOTS
            && self.start >= FIRST
            && self.start.is_multiple_of(ALIGN)
            && end.is_some_and(|end| end <= FILE_BYTES)
    }
}

/// Those that are taken.
#[derive(Default)]
pub(super) struct Spans {
    /// By their starts.
    taken: Vec<Span>,
    /// Where the last one ended of those that have pages still, and whether one was taken since it was asked.
    top: usize,
    is_fresh: bool,
}

impl Spans {
    /// Takes the first place that has room. None: there is no such place, or no flag.
    pub(super) fn take(&mut self, bytes: usize) -> Option<Span> {
        let mut slots = [false; SLOTS];
        let (mut place, mut start) = (self.taken.len(), FIRST);
        for (nth, span) in self.taken.iter().enumerate() {
            slots[span.slot] = true;
            if place == self.taken.len() {
                if span.start - start >= bytes {
                    place = nth;
                } else {
                    start = span.end();
                }
            }
        }
        let slot = slots.iter().position(|taken| !taken)?;
        let span = Span { slot, start, bytes };
        if !span.is_possible() {
            return None;
        }
        self.taken.insert(place, span);
        self.note(span);
        Some(span)
    }

    /// Lets one be of another length where it lies. None: the next one is in the way.
    pub(super) fn resize(&mut self, slot: usize, bytes: usize) -> Option<Span> {
        let nth = self.taken.iter().position(|span| span.slot == slot)?;
        let limit = self.taken.get(nth + 1).map_or(FILE_BYTES, |next| next.start);
        let span = Span { bytes, ..self.taken[nth] };
        if !span.is_possible() || span.start + bytes > limit {
            return None;
        }
        self.taken[nth] = span;
        self.note(span);
        Some(span)
    }

    fn note(&mut self, span: Span) {
        self.top = self.top.max(span.end());
        self.is_fresh = true;
    }

    /// Lets go of those that nobody has any more.
    pub(super) fn retain(&mut self, is_taken: impl Fn(usize) -> bool) {
        self.taken.retain(|span| is_taken(span.slot));
    }

    /// Whether there are pages that may be given back, now or later.
    pub(super) fn has_pages(&self) -> bool {
        self.top > FIRST
    }

    /// What may have pages and is not taken, as starts and lengths. Nothing, if one was taken since this was asked.
    pub(super) fn idle(&mut self) -> Vec<(usize, usize)> {
        let mut idle = Vec::new();
        if std::mem::take(&mut self.is_fresh) {
            return idle;
        }
        let mut start = FIRST;
        for span in &self.taken {
            idle.push((start, span.start - start));
            start = span.end();
        }
        idle.push((start, self.top - start.min(self.top)));
        self.top = start;
        idle.retain(|(_, bytes)| *bytes > 0);
        idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 10 * ALIGN + 1;

    #[test]
    fn the_first_room_is_taken_and_none_twice() {
        let mut spans = Spans::default();
        let [a, b, c] = [MANY; 3].map(|bytes| spans.take(bytes).unwrap());
        assert_eq!([a.start, b.start, c.start], [1, 12, 23].map(|nth| nth * ALIGN));
        assert_eq!([a.slot, b.slot, c.slot], [0, 1, 2]);
        spans.retain(|slot| slot != b.slot);
        assert_eq!(
            spans.take(MANY + ALIGN).unwrap().start,
            34 * ALIGN,
            "it is too long for the gap"
        );
        let d = spans.take(MANY).unwrap();
        assert_eq!((d.start, d.slot), (b.start, 3));
        assert_eq!(spans.resize(d.slot, MANY + ALIGN), None, "the next one is in the way");
        assert_eq!(spans.resize(d.slot, 1).unwrap().bytes, 1);
        assert_eq!(spans.take(ALIGN).unwrap().start, 13 * ALIGN);
    }

    #[test]
    fn there_is_an_end_of_room_and_of_flags() {
        let mut spans = Spans::default();
        assert_eq!(spans.take(FILE_BYTES), None);
        let whole = spans.take(FILE_BYTES - FIRST).unwrap();
        assert_eq!(spans.take(1), None);
        assert_eq!(spans.resize(whole.slot, FILE_BYTES), None);
        spans.retain(|_| false);
        assert!((0..SLOTS).all(|_| spans.take(1).is_some()));
        assert_eq!(spans.take(1), None);
    }

    #[test]
    fn what_was_not_used_for_a_while_is_idle() {
        let mut spans = Spans::default();
        assert!(!spans.has_pages());
        let [a, b, c] = [MANY; 3].map(|bytes| spans.take(bytes).unwrap());
        assert!(spans.idle().is_empty() && spans.has_pages());
        spans.retain(|slot| slot == b.slot);
        let span = |of: Span| (of.start, of.end() - of.start);
        assert_eq!(spans.idle(), [span(a), span(c)]);
        spans.retain(|_| false);
        assert_eq!(spans.idle(), [(FIRST, b.end() - FIRST)]);
        assert!(spans.idle().is_empty() && !spans.has_pages());
    }
}
