//! From bytes to values: serde's `Deserializer`.
//!
//! `head.rs` takes a value's beginning and believes no length. What is made room for beforehand is bounded by
//! what is left of the frame, and the rest grows as it is read.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, MapAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use crate::wire::failure::Failure;
use crate::wire::head::{Head, Rest};
use crate::wire::numbers::Kind;
use crate::wire::raw::Extension;
use crate::wire::sequences::{Array, Numbers};
use crate::wire::{NIL, SOME, VERSION, deeper};

/// What an element may take in memory, where nobody knows.
const ELEMENT_BYTES: usize = 16;

/// Reads values from a frame.
pub(super) struct Decoder<'de> {
    pub(super) rest: Rest<'de>,
    depth: usize,
}

impl<'de> Decoder<'de> {
    pub(super) fn new(frame: &'de [u8]) -> Self {
        Self { rest: Rest(frame), depth: 0 }
    }

    /// How many bytes were not read.
    pub(super) fn left(&self) -> usize {
        self.rest.0.len()
    }

    /// Reads the version.
    pub(super) fn version(&mut self) -> Result<(), Failure> {
        match self.rest.byte()? {
            VERSION => Ok(()),
            other => Err(Failure::new(format_args!(
                "they are in version {other} of the format, and this program reads version {VERSION}: run \
                 programs with the same version of mobula together"
            ))),
        }
    }

    /// Checks that everything was read.
    pub(super) fn end(&self) -> Result<(), Failure> {
        match self.left() {
            0 => Ok(()),
            left => Err(Failure::new(format_args!("{left} bytes are left behind the value"))),
        }
    }

    /// Reads what is inside a value.
    fn inside<R>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        self.depth += 1;
        let result = deeper(self.depth, || read(self));
        self.depth -= 1;
        result
    }

    fn array<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> Result<V::Value, Failure> {
        if let Some(Extension::Piece(kind)) = self.rest.next_extension() {
            return Numbers::pieces(self, kind, len)?.show(visitor);
        }
        self.inside(|decoder| {
            let mut array = Array::new(decoder, len);
            let value = visitor.visit_seq(&mut array)?;
            array.end().map(|()| value)
        })
    }

    fn map<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> Result<V::Value, Failure> {
        self.inside(|decoder| {
            let mut entries = Entries { decoder, left: len };
            let value = visitor.visit_map(&mut entries)?;
            match entries.left {
                0 => Ok(value),
                left => Err(too_many(len, len - left)),
            }
        })
    }

    /// Takes a value without looking at it.
    fn skip(&mut self) -> Result<(), Failure> {
        let values = match self.rest.head()? {
            Head::Array(len) => len,
            Head::Map(len) => 2 * len,
            Head::Some => 1,
            _ => return Ok(()),
        };
        self.inside(|decoder| (0..values).try_for_each(|_| decoder.skip()))
    }

    /// Takes a number of 128 bits, if one comes that was written as bytes, since it has more than 64.
    fn wide(&mut self) -> Result<Option<[u8; 16]>, Failure> {
        let mut ahead = self.rest;
        let Head::Bytes(bytes) = ahead.head()? else {
            return Ok(None);
        };
        self.rest = ahead;
        bytes.try_into().map(Some).map_err(|_| Failure::new("a number of 128 bits has 16 bytes"))
    }

    /// For how many elements to make room at most.
    pub(super) fn room(&self) -> usize {
        self.left() / ELEMENT_BYTES
    }
}

impl<'de> Deserializer<'de> for &mut Decoder<'de> {
    type Error = Failure;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.rest.head()? {
            Head::Nil => visitor.visit_unit(),
            Head::Some => self.inside(|decoder| visitor.visit_some(decoder)),
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Unsigned(value) => visitor.visit_u64(value),
            Head::Signed(value) => visitor.visit_i64(value),
            Head::F32(value) => visitor.visit_f32(value),
            Head::F64(value) => visitor.visit_f64(value),
            Head::Text(value) => visitor.visit_borrowed_str(value),
            Head::Bytes(value) => visitor.visit_borrowed_bytes(value),
            Head::Array(len) => self.array(len, visitor),
            Head::Map(len) => self.map(len, visitor),
            Head::Extension(Extension::Whole(kind), numbers) => {
                Numbers::whole(kind, numbers).show(visitor)
            }
            Head::Extension(Extension::Piece(_), _) => Err(stray_piece()),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let mut ahead = self.rest;
        match ahead.head()? {
            Head::Bytes(bytes) => {
                self.rest = ahead;
                Numbers::whole(Kind::U8, bytes).show(visitor)
            }
            Head::Map(3) if matches!(ahead.head(), Ok(Head::Text("v"))) => Err(Failure::new(
                "it is an array with a shape, as NumPy's of more than one dimension are, and a list was expected: \
                 let the type be an array of ndarray, such as `Array2<f64>`",
            )),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let mut ahead = self.rest;
        let Head::Extension(Extension::Whole(Kind::U8), bytes) = ahead.head()? else {
            return self.deserialize_any(visitor);
        };
        self.rest = ahead;
        visitor.visit_borrowed_bytes(bytes)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.wide()? {
            Some(bytes) => visitor.visit_i128(i128::from_be_bytes(bytes)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.wide()? {
            Some(bytes) => visitor.visit_u128(u128::from_be_bytes(bytes)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.rest.peek() {
            Some(NIL) => {
                self.rest.byte()?;
                visitor.visit_none()
            }
            Some(SOME) => self.deserialize_any(visitor),
            _ => self.inside(|decoder| visitor.visit_some(decoder)),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let mut ahead = self.rest;
        let Head::Array(0) = ahead.head()? else {
            return self.deserialize_any(visitor);
        };
        self.rest = ahead;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.rest.head()? {
            Head::Text(name) => visitor.visit_enum(BorrowedStrDeserializer::new(name)),
            Head::Map(1) => self.inside(|decoder| visitor.visit_enum(Variant(decoder))),
            _ => Err(Failure::new("a variant's name should stand here")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string unit tuple tuple_struct map struct identifier
    }
}

/// The entries of a map.
struct Entries<'d, 'de> {
    decoder: &'d mut Decoder<'de>,
    left: usize,
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Failure> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.decoder).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        seed.deserialize(&mut *self.decoder)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(self.decoder.room() / 2))
    }
}

/// A variant that has a content: its name, and then that.
struct Variant<'d, 'de>(&'d mut Decoder<'de>);

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Failure> {
        let name = seed.deserialize(&mut *self.0)?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        <()>::deserialize(self.0)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Failure> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Failure> {
        self.0.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.0.deserialize_struct("", fields, visitor)
    }
}

#[cold]
fn stray_piece() -> Failure {
    Failure::new("a piece of an array stands alone")
}

/// An array or a map that has more than its type takes.
#[cold]
pub(super) fn too_many(there: usize, taken: usize) -> Failure {
    Failure::new(format_args!("there are {there} elements, and {taken} are expected"))
}
