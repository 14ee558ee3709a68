//! The sizes of values of std, ndarray and Mobula itself.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::ffi::{CString, OsString};
use std::marker::PhantomData;
use std::num::{NonZero, Wrapping};
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use ndarray::{ArrayBase, Dimension, OwnedArcRepr, OwnedRepr};

use crate::size::Size;

/// What a control byte of a hash table guards, and how many of them are read at once.
const HASH_GROUP: usize = if cfg!(target_arch = "x86_64") { 16 } else { 8 };
/// How many entries a node of a B-tree holds at most, and at least unless it is the root.
const NODE_MAX: usize = 11;
const NODE_MIN: usize = 5;
/// What is in a node beside its entries: a link to its parent, its place there, its length.
const NODE_HEAD: usize = 16;

macro_rules! flat {
    ($($flat:ty)*) => { $(
        impl Size for $flat {
            const FLAT: bool = true;
            fn heap_size(&self) -> usize {
                0
            }
        }
    )* };
}

flat! {
    () bool char u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 str
    Duration Instant SystemTime uuid::Uuid
    NonZero<u8> NonZero<u16> NonZero<u32> NonZero<u64> NonZero<usize>
    std::net::IpAddr std::net::Ipv4Addr std::net::Ipv6Addr std::net::SocketAddr
}

impl<T: ?Sized> Size for PhantomData<T> {
    const FLAT: bool = true;
    fn heap_size(&self) -> usize {
        0
    }
}

/// What is behind a reference belongs to somebody else.
impl<T: ?Sized> Size for &T {
    const FLAT: bool = true;
    fn heap_size(&self) -> usize {
        0
    }
}

/// What elements own beside their own bytes.
fn owned_by<'a, T: Size + 'a>(elements: impl IntoIterator<Item = &'a T>) -> usize {
    if T::FLAT { 0 } else { elements.into_iter().map(T::heap_size).sum() }
}

impl<T: Size> Size for [T] {
    const FLAT: bool = T::FLAT;
    fn heap_size(&self) -> usize {
        owned_by(self)
    }
}

impl<T: Size, const N: usize> Size for [T; N] {
    const FLAT: bool = T::FLAT;
    fn heap_size(&self) -> usize {
        owned_by(self)
    }
}

impl<T: Size + ?Sized> Size for Box<T> {
    fn heap_size(&self) -> usize {
        T::size(self)
    }
}

macro_rules! counted {
    ($($counted:ident)*) => { $(
        impl<T: Size + ?Sized> Size for $counted<T> {
            fn heap_size(&self) -> usize {
                2 * size_of::<usize>() + T::size(self)
            }
        }
    )* };
}

counted! { Arc Rc }

impl Size for String {
    fn heap_size(&self) -> usize {
        self.capacity()
    }
}

impl Size for OsString {
    fn heap_size(&self) -> usize {
        self.capacity()
    }
}

impl Size for PathBuf {
    fn heap_size(&self) -> usize {
        self.capacity()
    }
}

impl Size for CString {
    fn heap_size(&self) -> usize {
        self.as_bytes_with_nul().len()
    }
}

macro_rules! buffers {
    ($($buffer:ident)*) => { $(
        impl<T: Size> Size for $buffer<T> {
            fn heap_size(&self) -> usize {
                self.capacity() * size_of::<T>() + owned_by(self)
            }
        }
    )* };
}

buffers! { Vec VecDeque BinaryHeap }

impl<T: Size> Size for LinkedList<T> {
    fn heap_size(&self) -> usize {
        self.len() * (size_of::<T>() + 2 * size_of::<usize>()) + owned_by(self)
    }
}

/// What a hash table for so many entries has allocated.
fn hash_table(capacity: usize, entry: usize) -> usize {
    let buckets = match capacity {
        0 => return 0,
        1..4 => 4,
        4..8 => 8,
        _ => (capacity * 8 / 7).next_power_of_two(),
    };
    (buckets * entry).next_multiple_of(HASH_GROUP) + buckets + HASH_GROUP
}

impl<K: Size, V: Size, S> Size for HashMap<K, V, S> {
    fn heap_size(&self) -> usize {
        hash_table(self.capacity(), size_of::<(K, V)>())
            + owned_by(self.keys())
            + owned_by(self.values())
    }
}

impl<K: Size, S> Size for HashSet<K, S> {
    fn heap_size(&self) -> usize {
        hash_table(self.capacity(), size_of::<K>()) + owned_by(self)
    }
}

/// What a B-tree of so many entries has allocated, its nodes being as full as they are on average. How full
/// they really are it does not tell.
fn tree(len: usize, entry: usize) -> usize {
    match len {
        0 => 0,
        1..=NODE_MAX => NODE_MAX * entry + NODE_HEAD,
        _ => {
            let nodes = len.div_ceil((NODE_MAX + NODE_MIN) / 2);
            let inner = nodes.div_ceil((NODE_MAX + NODE_MIN) / 2);
            nodes * (NODE_MAX * entry + NODE_HEAD) + inner * (NODE_MAX + 1) * size_of::<usize>()
        }
    }
}

impl<K: Size, V: Size> Size for BTreeMap<K, V> {
    fn heap_size(&self) -> usize {
        tree(self.len(), size_of::<K>() + size_of::<V>())
            + owned_by(self.keys())
            + owned_by(self.values())
    }
}

impl<K: Size> Size for BTreeSet<K> {
    fn heap_size(&self) -> usize {
        tree(self.len(), size_of::<K>()) + owned_by(self)
    }
}

impl<T: Size> Size for Option<T> {
    const FLAT: bool = T::FLAT;
    fn heap_size(&self) -> usize {
        self.as_ref().map_or(0, T::heap_size)
    }
}

impl<T: Size, E: Size> Size for Result<T, E> {
    const FLAT: bool = T::FLAT && E::FLAT;
    fn heap_size(&self) -> usize {
        self.as_ref().map_or_else(E::heap_size, T::heap_size)
    }
}

impl<T: Size> Size for Wrapping<T> {
    const FLAT: bool = T::FLAT;
    fn heap_size(&self) -> usize {
        self.0.heap_size()
    }
}

impl<T: Size> Size for Range<T> {
    const FLAT: bool = T::FLAT;
    fn heap_size(&self) -> usize {
        self.start.heap_size() + self.end.heap_size()
    }
}

impl<T: Size> Size for RangeInclusive<T> {
    const FLAT: bool = T::FLAT;
    fn heap_size(&self) -> usize {
        self.start().heap_size() + self.end().heap_size()
    }
}

impl<T: Size + Copy> Size for Cell<T> {
    const FLAT: bool = T::FLAT;
    fn heap_size(&self) -> usize {
        self.get().heap_size()
    }
}

impl<T: Size> Size for RefCell<T> {
    const FLAT: bool = T::FLAT;
    fn heap_size(&self) -> usize {
        self.borrow().heap_size()
    }
}

impl<T: Size> Size for Mutex<T> {
    const FLAT: bool = T::FLAT;
    fn heap_size(&self) -> usize {
        self.lock().unwrap_or_else(PoisonError::into_inner).heap_size()
    }
}

impl<T: Size> Size for RwLock<T> {
    const FLAT: bool = T::FLAT;
    fn heap_size(&self) -> usize {
        self.read().unwrap_or_else(PoisonError::into_inner).heap_size()
    }
}

/// What slicing has cut off from an array is not seen.
impl<A: Size, D: Dimension> Size for ArrayBase<OwnedRepr<A>, D> {
    fn heap_size(&self) -> usize {
        self.len() * size_of::<A>() + owned_by(self)
    }
}

impl<A: Size, D: Dimension> Size for ArrayBase<OwnedArcRepr<A>, D> {
    fn heap_size(&self) -> usize {
        2 * size_of::<usize>() + size_of::<Vec<A>>() + self.len() * size_of::<A>() + owned_by(self)
    }
}

macro_rules! tuples {
    ($( ($($part:ident $index:tt),*) )*) => { $(
        impl<$($part: Size),*> Size for ($($part,)*) {
            const FLAT: bool = $($part::FLAT &&)* true;
            fn heap_size(&self) -> usize {
                $(self.$index.heap_size() +)* 0
            }
        }
    )* };
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11)
}
