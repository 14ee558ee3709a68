//! How much memory a value takes, as far as its `Serialize` tells.
//!
//! A serializer that writes nothing sees all parts of a value. Numbers, texts and arrays of numbers take what
//! they take; of structs it sees the fields, not the gaps between them. It stops after [`PARTS_MAX`] parts, by
//! an error that leads through all that is under way. Each sequence and map that is left so adds what its other
//! elements would take, were they like those that were seen. So an estimate takes some microseconds, however
//! large the value.

use std::cell::Cell;
use std::fmt::{self, Display};

use serde::ser::{self, Serialize};

use crate::wire;

/// How many parts of a value are looked at. Each takes a few nanoseconds.
const PARTS_MAX: usize = 4096;
/// How deep it goes.
const DEPTH_MAX: usize = 128;

/// About how many bytes of memory `value` takes.
pub fn estimate<T: Serialize>(value: &T) -> usize {
    let seen = Seen { bytes: Cell::new(0), parts_left: Cell::new(PARTS_MAX) };
    let _ = seen.look_at(value, 0);
    seen.bytes.get().max(size_of::<T>())
}

/// What was seen up to now.
struct Seen {
    bytes: Cell<usize>,
    parts_left: Cell<usize>,
}

impl Seen {
    fn add(&self, bytes: usize) -> Outcome {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        Ok(())
    }

    fn look_at<T: Serialize + ?Sized>(&self, value: &T, depth: usize) -> Outcome {
        if let Some(bytes) = wire::numbers_in(value) {
            return self.add(size_of::<Vec<u8>>() + bytes);
        }
        let left = self.parts_left.get().checked_sub(1).ok_or(Enough)?;
        self.parts_left.set(left);
        if depth > DEPTH_MAX {
            return Err(Enough);
        }
        value.serialize(Part { seen: self, depth })
    }
}

/// Enough was seen, or the value's own `Serialize` failed.
#[derive(Debug)]
struct Enough;

type Outcome = Result<(), Enough>;

impl Display for Enough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("enough was seen")
    }
}

impl std::error::Error for Enough {}

impl ser::Error for Enough {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

/// Takes one part of the value.
#[derive(Clone, Copy)]
struct Part<'s> {
    seen: &'s Seen,
    depth: usize,
}

impl<'s> Part<'s> {
    fn inner<T: Serialize + ?Sized>(self, value: &T) -> Outcome {
        self.seen.look_at(value, self.depth + 1)
    }

    /// Parts that are not alike.
    fn parts(self) -> Parts<'s> {
        self.elements(None)
    }

    /// Parts that are alike. There are so many, if that is known.
    fn elements(self, announced: Option<usize>) -> Parts<'s> {
        let before = self.seen.bytes.get();
        Parts { part: self, before, announced: announced.unwrap_or(0), complete: 0 }
    }
}

/// The parts of one value. If they are left before the last one, the others count as those that were seen.
struct Parts<'s> {
    part: Part<'s>,
    /// How many bytes were seen before the first.
    before: usize,
    announced: usize,
    complete: usize,
}

impl Parts<'_> {
    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        self.part.inner(value)?;
        self.complete += 1;
        Ok(())
    }
}

impl Drop for Parts<'_> {
    fn drop(&mut self) {
        let bytes = &self.part.seen.bytes;
        // The one under way has added what it would take itself.
        let seen = self.complete + 1;
        let (own, others) = (bytes.get() - self.before, self.announced.saturating_sub(seen));
        let estimated = own as u128 * others as u128 / seen as u128;
        bytes.set(bytes.get().saturating_add(usize::try_from(estimated).unwrap_or(usize::MAX)));
    }
}

macro_rules! simple {
    ($($serialize:ident $simple:ty)*) => { $(
        fn $serialize(self, value: $simple) -> Outcome {
            self.seen.add(size_of_val(&value))
        }
    )* };
}

impl<'s> ser::Serializer for Part<'s> {
    type Ok = ();
    type Error = Enough;
    type SerializeSeq = Parts<'s>;
    type SerializeTuple = Parts<'s>;
    type SerializeTupleStruct = Parts<'s>;
    type SerializeTupleVariant = Parts<'s>;
    type SerializeMap = Parts<'s>;
    type SerializeStruct = Parts<'s>;
    type SerializeStructVariant = Parts<'s>;

    fn is_human_readable(&self) -> bool {
        false
    }

    simple! {
        serialize_bool bool serialize_char char
        serialize_u8 u8 serialize_u16 u16 serialize_u32 u32 serialize_u64 u64 serialize_u128 u128
        serialize_i8 i8 serialize_i16 i16 serialize_i32 i32 serialize_i64 i64 serialize_i128 i128
        serialize_f32 f32 serialize_f64 f64
    }

    fn serialize_str(self, value: &str) -> Outcome {
        self.seen.add(size_of::<String>() + value.len())
    }

    fn serialize_bytes(self, value: &[u8]) -> Outcome {
        self.seen.add(size_of::<Vec<u8>>() + value.len())
    }

    fn serialize_none(self) -> Outcome {
        self.seen.add(size_of::<usize>())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Outcome {
        self.inner(value)
    }

    fn serialize_unit(self) -> Outcome {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Outcome {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Outcome {
        self.seen.add(1)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Outcome {
        self.inner(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Outcome {
        self.seen.add(size_of::<usize>())?;
        self.inner(value)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Parts<'s>, Enough> {
        self.seen.add(size_of::<Vec<u8>>())?;
        Ok(self.elements(len))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'s>, Enough> {
        Ok(self.parts())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'s>, Enough> {
        Ok(self.parts())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Parts<'s>, Enough> {
        self.seen.add(size_of::<usize>())?;
        Ok(self.parts())
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Parts<'s>, Enough> {
        self.seen.add(size_of::<std::collections::HashMap<u8, u8>>())?;
        Ok(self.elements(len))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'s>, Enough> {
        Ok(self.parts())
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Parts<'s>, Enough> {
        self.serialize_tuple_variant(name, index, variant, len)
    }
}

macro_rules! parts {
    ($($like:ident $add:ident($($name:ident)?),)*) => { $(
        impl ser::$like for Parts<'_> {
            type Ok = ();
            type Error = Enough;

            fn $add<T: Serialize + ?Sized>(
                &mut self,
                $($name: &'static str,)?
                value: &T,
            ) -> Outcome {
                self.add(value)
            }

            fn end(mut self) -> Outcome {
                // Now all were seen.
                self.announced = 0;
                Ok(())
            }
        }
    )* };
}

parts! {
    SerializeSeq serialize_element(),
    SerializeTuple serialize_element(),
    SerializeTupleStruct serialize_field(),
    SerializeTupleVariant serialize_field(),
    SerializeStruct serialize_field(_name),
    SerializeStructVariant serialize_field(_name),
}

impl ser::SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Enough;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Outcome {
        self.part.inner(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        self.add(value)
    }

    fn end(mut self) -> Outcome {
        self.announced = 0;
        Ok(())
    }
}
