//! Where in the tree of calls a task stands, which is what its random numbers are made from.
//!
//! The root of the tree is the thread that started the runtime; the children of a caller are its calls, in
//! order. So the place of a task is a list of indices, and its stream is NumPy's for that list as a spawn
//! key: nothing in it depends on when or where the task runs.
//!
//! Every task has a place, and few ask for it, so a place must cost next to nothing to make. It is the *way*
//! from a base: the indices, one behind the other in a word, where small ones take few bits. Only where that
//! is full, such as below a thousandth call of a thousandth call of a millionth, does a child get a base of
//! its own, an allocation. A base is a pool (`random/pool.rs`), all that the streams below it are made of, so
//! places stay small however deep the tree gets.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::num::NonZeroU64;
use std::ptr;
use std::sync::Arc;

use crate::random::Pool;

/// A list of indices, one behind the other in Elias's delta code ("Universal codeword sets and
/// representations of the integers", 1975), after a first bit that is set.
///
/// The code of a number from 1 on that has `n` binary digits behind its first one: as many zeros as `n + 1`
/// has digits behind its own first one, then `n + 1`, then those `n` digits. So 0 takes one bit, 1 takes
/// four, 1000 takes 16 and a million 28.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way(u64);

impl Way {
    const EMPTY: Self = Self(1);

    /// One index more, if there is room for it.
    #[inline]
    fn child(self, index: u64) -> Option<Self> {
        if index == 0 {
            // Along a chain of calls each makes one.
            return (self.0 >> 63 == 0).then_some(Self(self.0 << 1 | 1));
        }
        let number = NonZeroU64::new(index.wrapping_add(1))?;
        let digits = number.ilog2();
        let width = digits + 2 * (digits + 1).ilog2() + 1;
        // `digits + 1`, then the digits: the first one of `number` adds 1.
        let code = (u64::from(digits) << digits).wrapping_add(number.get());
        (width <= self.0.leading_zeros()).then(|| Self(self.0 << width | code))
    }

    fn indices(self) -> impl Iterator<Item = u64> {
        let before = self.0.leading_zeros() + 1;
        // What is left of the codes, at the top, and how many bits it has.
        let mut rest = (self.0 << (before - 1) << 1, u64::BITS - before);
        let take = |rest: &mut (u64, u32), width| {
            let taken = rest.0 >> 1 >> (u64::BITS - 1 - width);
            *rest = (rest.0 << width, rest.1 - width);
            taken
        };
        std::iter::from_fn(move || {
            let zeros = (rest.1 > 0).then_some(rest.0.leading_zeros())?;
            if zeros == 0 {
                rest = (rest.0 << 1, rest.1 - 1);
                return Some(0);
            }
            let digits = take(&mut rest, 2 * zeros + 1) as u32 - 1;
            Some((1 << digits | take(&mut rest, digits)) - 1)
        })
    }
}

/// A pool that many places share.
///
/// Along a chain of calls each has the same one, and ends as soon as it has made the next. So a thread keeps its hold
/// on the base of the place that it dropped last, for the next place that is made there, and nothing is counted.
struct Base(ManuallyDrop<Arc<Pool>>);

thread_local! {
    static AT_HAND: Cell<Option<Arc<Pool>>> = const { Cell::new(None) };
}

impl Base {
    fn new(pool: Pool) -> Self {
        Self(ManuallyDrop::new(Arc::new(pool)))
    }
}

impl Clone for Base {
    fn clone(&self) -> Self {
        let take = |at_hand: &Cell<Option<Arc<Pool>>>| match at_hand.take() {
            Some(pool) if Arc::ptr_eq(&pool, &self.0) => Some(pool),
            other => {
                at_hand.set(other);
                None
            }
        };
        // While the thread ends there is none any more.
        let taken = AT_HAND.try_with(take).ok().flatten();
        Self(taken.map_or_else(|| self.0.clone(), ManuallyDrop::new))
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        // SAFETY: it is taken once.
        let pool = unsafe { ManuallyDrop::take(&mut self.0) };
        drop(AT_HAND.try_with(move |at_hand| at_hand.replace(Some(pool))));
    }
}

/// A place in the tree of calls.
#[derive(Clone)]
pub(crate) struct Place {
    /// None: the root of the runtime's tree.
    base: Option<Base>,
    way: Way,
}

impl Place {
    /// That of the thread that started the runtime, and of what nobody calls.
    pub(crate) const ROOT: Self = Self { base: None, way: Way::EMPTY };

    /// The place that has this pool.
    pub(crate) fn of_pool(pool: Pool) -> Self {
        Self { base: Some(Base::new(pool)), way: Way::EMPTY }
    }

    /// The place of the call of this index, in the tree of that root.
    pub(crate) fn child(&self, index: u64, root: &Pool) -> Self {
        match self.way.child(index) {
            Some(way) => Self { base: self.base.clone(), way },
            None => {
                let mut pool = self.pool(root);
                pool.descend(index);
                Self::of_pool(pool)
            }
        }
    }

    /// Drops what is there. Few places own anything.
    ///
    /// # Safety
    /// There is a place, which nobody uses any more.
    #[inline]
    pub(super) unsafe fn drop_at(place: *const Self) {
        #[inline(never)]
        fn release(place: Place) {
            drop(place);
        }
        // SAFETY: by the caller's promise.
        if unsafe { &*place }.base.is_some() {
            // SAFETY: by the caller's promise.
            release(unsafe { ptr::read(place) });
        }
    }

    /// What the stream of this place is made of.
    pub(crate) fn pool(&self, root: &Pool) -> Pool {
        let mut pool = self.base.as_ref().map_or(root, |base| &**base.0).clone();
        self.way.indices().for_each(|index| pool.descend(index));
        pool
    }
}

/// The places of a caller's calls, in order. The codes of numbers with as many digits follow each other, so
/// most ways are the last one plus 1.
#[derive(Default)]
pub(super) struct Children {
    /// How many calls there have been when the codes that are `left` are used up.
    counted: Cell<u64>,
    last: Cell<u64>,
    left: Cell<u64>,
}

impl Children {
    /// The place of the next call of the caller, who is always the same.
    #[inline]
    pub(super) fn next(&self, caller: &Place, root: &Pool) -> Place {
        let left = self.left.get();
        if left == 0 {
            return self.next_and_more(caller, root);
        }
        self.left.set(left - 1);
        self.last.set(self.last.get() + 1);
        Place { base: caller.base.clone(), way: Way(self.last.get()) }
    }

    /// Begins with the first call again, of another caller.
    pub(super) fn begin_again(&self) {
        self.counted.set(0);
        self.left.set(0);
    }

    #[inline(never)]
    fn next_and_more(&self, caller: &Place, root: &Pool) -> Place {
        let index = self.counted.get();
        let Some(way) = caller.way.child(index) else {
            self.counted.set(index + 1);
            return caller.child(index, root);
        };
        // Up to the number that has one digit more.
        let until = (2 << (index + 1).ilog2()) - 1;
        self.last.set(way.0);
        self.left.set(until - index - 1);
        self.counted.set(until);
        Place { base: caller.base.clone(), way }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeedSequence;

    #[test]
    fn a_way_gives_back_its_indices_until_it_is_full() {
        let lists: [&[u64]; 6] = [
            &[],
            &[0],
            &[(1 << 53) - 2],
            &[1_000_000, 1000, 1000],
            &[0; 63],
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        ];
        for list in lists {
            let way = list.iter().try_fold(Way::EMPTY, |way, index| way.child(*index)).unwrap();
            assert_eq!(way.indices().collect::<Vec<_>>(), list);
        }
        let full = (0..63).fold(Way::EMPTY, |way, _| way.child(0).unwrap());
        assert_eq!(full.child(0), None);
        assert_eq!(Way::EMPTY.child((1 << 53) - 1), None);
        assert_eq!(Way::EMPTY.child(u64::MAX), None);
    }

    /// The place at the end of a list, and what NumPy has for it as a spawn key.
    fn both(list: &[u64]) -> (Pool, Pool) {
        let root = SeedSequence::new(42_u64).into_pool();
        let place = list.iter().fold(Place::ROOT, |place, index| place.child(*index, &root));
        (place.pool(&root), SeedSequence::new(42_u64).descendant(list).into_pool())
    }

    #[test]
    fn children_in_order_have_the_places_of_their_indices() {
        let root = SeedSequence::new(42_u64).into_pool();
        for list in [&[][..], &[1_000_000, 1000], &[1 << 50], &[0; 61], &[0; 62], &[0; 63]] {
            let caller = list.iter().fold(Place::ROOT, |place, index| place.child(*index, &root));
            let children = Children::default();
            for index in 0..300 {
                let (in_order, by_index) =
                    (children.next(&caller, &root), caller.child(index, &root));
                assert_eq!(in_order.way, by_index.way, "{list:?}, {index}");
                assert_eq!(in_order.pool(&root), by_index.pool(&root), "{list:?}, {index}");
            }
        }
    }

    #[test]
    fn a_place_has_the_pool_of_its_spawn_key_at_any_depth() {
        for index in [0, 1, 2, 7, 1 << 20, u32::MAX.into(), 1 << 32, (1 << 53) - 1] {
            for depth in [1, 2, 3, 64, 200] {
                let (ours, numpys) = both(&vec![index; depth]);
                assert_eq!(ours, numpys, "{index}, {depth} times");
            }
        }
        let mixed: Vec<u64> = (0..500).map(|nth: u64| nth.pow(3) % 1009).collect();
        let (ours, numpys) = both(&mixed);
        assert_eq!(ours, numpys);
        let (ours, numpys) = both(&[u64::MAX, 0, u64::MAX - 1]);
        assert_eq!(ours, numpys);
    }
}
