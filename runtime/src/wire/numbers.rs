//! Which sequences are numbers of one type, and how those lie in memory.
//!
//! serde hands values over as `&T` with any `T: Serialize`, and asks for values by visitors of any type.
//! Neither says what it is, and Rust has no specialization that could ask. But types have ids, which are
//! known when the code for a `T` is made, so a comparison costs nothing when it runs:
//!
//! - what is to be written is compared with the types that are numbers, or hold nothing else ([`Kind::of`],
//!   [`slice`]);
//! - what is to be read is known by its visitor. The visitor of a `Vec<f64>` is serde's own and private, so
//!   we ask: [`VisitorOf`] is a deserializer that only looks at the visitor which it is given.

use std::any::TypeId;
use std::fmt::{self, Display};
use std::mem::{ManuallyDrop, transmute_copy};
use std::sync::Arc;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer, forward_to_deserialize_any};

use crate::pages;

macro_rules! kinds {
    ($($kind:ident $code:literal $visit:ident $first:ident $(or $other:ident)?,)*) => {
        /// A type of raw numbers. Its value is the type of the extension that holds them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i8)]
        pub(super) enum Kind {
            $($kind = $code,)*
        }

        impl Kind {
            /// What an extension of this type holds, if it is one of ours.
            pub(super) fn from_code(code: i8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$kind),)*
                    _ => None,
                }
            }

            /// How many bytes a number has.
            #[inline]
            pub(super) fn size(self) -> usize {
                match self {
                    $(Self::$kind => size_of::<$first>(),)*
                }
            }

            /// The kind of a `T`, if that is a number.
            #[inline]
            pub(super) fn of<T: ?Sized>() -> Option<Self> {
                match () {
                    $(
                        () if is_number::<T, $first, $first>() => Some(Self::$kind),
                        $(() if is_number::<T, $other, $first>() => Some(Self::$kind),)?
                    )*
                    () => None,
                }
            }

            /// Writes the number in these bytes as a value of its own.
            pub(super) fn write_value<S: Serializer>(
                self,
                bytes: &[u8],
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$kind => $first::read(bytes).serialize(serializer),)*
                }
            }

            /// Shows the visitor the number in these bytes.
            #[inline]
            pub(super) fn visit<'de, V: Visitor<'de>, E: serde::de::Error>(
                self,
                bytes: &[u8],
                visitor: V,
            ) -> Result<V::Value, E> {
                match self {
                    $(Self::$kind => visitor.$visit($first::read(bytes)),)*
                }
            }

            /// What the visitor `V` makes of raw numbers of so many bytes, which lie in these pieces, if it is
            /// the one that makes a vector of them.
            #[inline]
            pub(super) fn vector<'a, 'de, V: Visitor<'de>>(
                self,
                bytes: usize,
                pieces: impl Iterator<Item = &'a [u8]>,
            ) -> Option<V::Value> {
                match self {
                    $(
                        Self::$kind if makes_vector::<V, $first>() => {
                            Some(cast(all::<$first>(bytes, pieces)))
                        }
                        $(
                            Self::$kind
                                if size_of::<$other>() == size_of::<$first>()
                                    && makes_vector::<V, $other>() =>
                            {
                                Some(cast(all::<$other>(bytes, pieces)))
                            }
                        )?
                    )*
                    _ => None,
                }
            }
        }

        /// Writes a number raw. What is none is not written.
        #[inline]
        pub(super) fn write<T: ?Sized>(value: &T, out: &mut Vec<u8>) {
            $(
                if let Some(number) = look_at::<T, $first>(value) {
                    return number.write(out);
                }
                $(
                    if let Some(number) = look_at::<T, $other>(value) {
                        return number.write(out);
                    }
                )?
            )*
        }

        /// The numbers in `value` as they lie in memory, if it is a vector or the like of numbers.
        #[inline]
        pub(super) fn slice<T: ?Sized>(value: &T) -> Option<(Kind, &[u8])> {
            $(
                if let Some(numbers) = slice_of::<T, $first>(value) {
                    return Some((Kind::$kind, bytemuck::cast_slice(numbers)));
                }
                $(
                    if size_of::<$other>() == size_of::<$first>()
                        && let Some(numbers) = slice_of::<T, $other>(value)
                    {
                        return Some((Kind::$kind, bytemuck::cast_slice(numbers)));
                    }
                )?
            )*
            None
        }
    };
}

#[cfg(target_pointer_width = "64")]
kinds! {
    U8 1 visit_u8 u8,
    I8 2 visit_i8 i8,
    U16 3 visit_u16 u16,
    I16 4 visit_i16 i16,
    U32 5 visit_u32 u32,
    I32 6 visit_i32 i32,
    U64 7 visit_u64 u64 or usize,
    I64 8 visit_i64 i64 or isize,
    U128 9 visit_u128 u128,
    I128 10 visit_i128 i128,
    F32 11 visit_f32 f32,
    F64 12 visit_f64 f64,
    Bool 13 visit_bool bool,
}

/// A type of number, or of truth.
pub(super) trait Number: bytemuck::NoUninit + Serialize + for<'de> Deserialize<'de> {
    /// Whether any bytes are one, and lie in memory as they do in a frame.
    const LIES_RAW: bool = cfg!(target_endian = "little");

    /// The number in these bytes, which are as many as it has.
    fn read(bytes: &[u8]) -> Self;
    /// Appends its bytes.
    fn write(self, out: &mut Vec<u8>);
}

macro_rules! numbers {
    ($($number:ident)*) => { $(
        impl Number for $number {
            #[inline]
            fn read(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().expect("as many bytes as the number has"))
            }

            #[inline]
            fn write(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )* };
}

numbers! { u8 i8 u16 i16 u32 i32 u64 i64 usize isize u128 i128 f32 f64 }

impl Number for bool {
    const LIES_RAW: bool = false;

    #[inline]
    fn read(bytes: &[u8]) -> Self {
        bytes[0] != 0
    }

    #[inline]
    fn write(self, out: &mut Vec<u8>) {
        out.push(self.into());
    }
}

/// Whether `T` is `A` or a reference to one, and an `A` is as large as an `L`: `usize` is not everywhere.
#[inline]
fn is_number<T: ?Sized, A: 'static, L>() -> bool {
    let id = typeid::of::<T>();
    size_of::<A>() == size_of::<L>()
        && (id == TypeId::of::<A>() || id == TypeId::of::<&'static A>())
}

/// `value` as a `U`, if it is one or a reference to one: that is how serde hands elements over.
#[inline]
fn look_at<T: ?Sized, U: 'static>(value: &T) -> Option<&U> {
    let id = typeid::of::<T>();
    let address = std::ptr::from_ref(value);
    if id == TypeId::of::<U>() {
        // SAFETY: the ids are equal, and `U` has no lifetimes, so `T` is `U`.
        Some(unsafe { &*address.cast::<U>() })
    } else if id == TypeId::of::<&'static U>() {
        // SAFETY: `T` is `&'a U` for some `'a` that outlives the borrow of `value`.
        Some(unsafe { *address.cast::<&U>() })
    } else {
        None
    }
}

/// `value` as a slice of `A`, if it is one or owns one.
#[inline]
fn slice_of<T: ?Sized, A: Number>(value: &T) -> Option<&[A]> {
    if cfg!(target_endian = "big") {
        // In memory they do not lie as they do in a frame.
        None
    } else if let Some(vector) = look_at::<T, Vec<A>>(value) {
        Some(vector)
    } else if let Some(boxed) = look_at::<T, Box<[A]>>(value) {
        Some(boxed)
    } else if let Some(shared) = look_at::<T, Arc<[A]>>(value) {
        Some(shared)
    } else if let Some(slice) = look_at::<T, &'static [A]>(value) {
        Some(slice)
    } else if typeid::of::<T>() == TypeId::of::<[A]>() {
        // SAFETY: `T` is `[A]`, so this copies a reference to one.
        Some(unsafe { transmute_copy::<&T, &[A]>(&value) })
    } else {
        None
    }
}

/// The numbers of so many bytes, which lie in these pieces; each holds whole ones.
#[inline]
fn all<'a, A: Number>(bytes: usize, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<A> {
    let mut numbers = Vec::with_capacity(bytes / size_of::<A>());
    pages::expect_large(&mut numbers);
    for piece in pieces {
        if A::LIES_RAW {
            append(&mut numbers, piece);
        } else {
            numbers.extend(piece.chunks_exact(size_of::<A>()).map(A::read));
        }
    }
    numbers
}

/// Appends the numbers in these bytes by one copy. The optimizer would make one of a loop, too; without it that
/// is a hundred times as slow.
#[inline]
fn append<A: Number>(numbers: &mut Vec<A>, piece: &[u8]) {
    assert!(A::LIES_RAW, "these bytes are to be looked at");
    let count = piece.len() / size_of::<A>();
    numbers.reserve(count);
    let end = numbers.spare_capacity_mut().as_mut_ptr().cast::<u8>();
    // SAFETY: behind the numbers is room for `count` more, in memory that nobody else has.
    unsafe { end.copy_from_nonoverlapping(piece.as_ptr(), count * size_of::<A>()) };
    // SAFETY: so many were written just now, and any bytes are a number (`LIES_RAW`).
    unsafe { numbers.set_len(numbers.len() + count) };
}

/// Whether `V` is the visitor by which a `Vec<A>` is read.
#[inline]
fn makes_vector<'de, V: Visitor<'de>, A: Number>() -> bool {
    let of_vector = Vec::<A>::deserialize(VisitorOf).err();
    of_vector.is_some_and(|Seen(visitor)| visitor == Some(typeid::of::<V>()))
}

/// Gives out a `T` as the `U` that it is.
#[inline]
fn cast<T: 'static, U>(value: T) -> U {
    assert!(typeid::of::<U>() == TypeId::of::<T>(), "the visitor of a vector makes that vector");
    // SAFETY: the ids are equal, and `T` has no lifetimes, so `U` is `T`; the original is forgotten.
    unsafe { transmute_copy(&ManuallyDrop::new(value)) }
}

/// Deserializes nothing, but tells by which visitor a type wants its sequence.
struct VisitorOf;

/// What it has seen. There is always this error, and never a value.
#[derive(Debug)]
struct Seen(Option<TypeId>);

impl<'de> Deserializer<'de> for VisitorOf {
    type Error = Seen;

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Seen> {
        Err(Seen(Some(typeid::of::<V>())))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Seen> {
        Err(Seen(None))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a visitor was looked at")
    }
}

impl std::error::Error for Seen {}

impl serde::de::Error for Seen {
    fn custom<T: Display>(_: T) -> Self {
        Self(None)
    }
}
