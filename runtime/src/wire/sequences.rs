//! What is read element by element: arrays of values, and raw numbers where nobody wants them as a vector.

use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

use crate::wire::decoder::{Decoder, too_many};
use crate::wire::failure::Failure;
use crate::wire::head::{Head, Rest};
use crate::wire::numbers::Kind;
use crate::wire::raw::{Extension, PIECE_BYTES_MAX};

/// An array of values.
pub(super) struct Array<'d, 'de> {
    decoder: &'d mut Decoder<'de>,
    len: usize,
    left: usize,
}

impl<'d, 'de> Array<'d, 'de> {
    pub(super) fn new(decoder: &'d mut Decoder<'de>, len: usize) -> Self {
        Self { decoder, len, left: len }
    }

    /// Checks that everything was taken.
    pub(super) fn end(&self) -> Result<(), Failure> {
        match self.left {
            0 => Ok(()),
            left => Err(too_many(self.len, self.len - left)),
        }
    }
}

impl<'de> SeqAccess<'de> for Array<'_, 'de> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.decoder).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(self.decoder.room()))
    }
}

/// Raw numbers: one piece, and perhaps more.
pub(super) struct Numbers<'de> {
    kind: Kind,
    /// Of this piece, what was not read.
    piece: &'de [u8],
    /// Where the next pieces begin.
    rest: Rest<'de>,
    /// How many there are.
    pieces: usize,
    /// How many bytes all that was not read has.
    bytes: usize,
}

impl<'de> Numbers<'de> {
    pub(super) fn whole(kind: Kind, numbers: &'de [u8]) -> Self {
        Self { kind, piece: numbers, rest: Rest(&[]), pieces: 0, bytes: numbers.len() }
    }

    /// Takes an array of pieces.
    pub(super) fn pieces(
        decoder: &mut Decoder<'de>,
        kind: Kind,
        pieces: usize,
    ) -> Result<Self, Failure> {
        let rest = decoder.rest;
        let mut bytes = 0;
        for nth in 1..=pieces {
            let Head::Extension(Extension::Piece(of), piece) = decoder.rest.head()? else {
                return Err(Failure::new("a piece of an array is missing"));
            };
            if of != kind || (nth < pieces && piece.len() != PIECE_BYTES_MAX) {
                return Err(Failure::new("the pieces of an array do not fit together"));
            }
            bytes += piece.len();
        }
        Ok(Self { kind, piece: &[], rest, pieces, bytes })
    }

    /// Gives them to the visitor: as a vector if that is what it makes of them, else one by one.
    pub(super) fn show<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Failure> {
        let (kind, bytes) = (self.kind, self.bytes);
        let pieces = std::iter::from_fn(|| self.next_piece());
        if let Some(vector) = kind.vector::<V>(bytes, pieces) {
            return Ok(vector);
        }
        let value = visitor.visit_seq(&mut self)?;
        match self.bytes {
            0 => Ok(value),
            left => Err(too_many(bytes / kind.size(), (bytes - left) / kind.size())),
        }
    }

    fn next_piece(&mut self) -> Option<&'de [u8]> {
        let piece = match std::mem::take(&mut self.piece) {
            [] if self.pieces > 0 => {
                self.pieces -= 1;
                match self.rest.head() {
                    Ok(Head::Extension(_, piece)) => piece,
                    _ => unreachable!("the pieces were looked at"),
                }
            }
            piece => piece,
        };
        (!piece.is_empty()).then_some(piece)
    }
}

impl<'de> SeqAccess<'de> for Numbers<'de> {
    type Error = Failure;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        if self.piece.is_empty() {
            let Some(piece) = self.next_piece() else {
                return Ok(None);
            };
            self.piece = piece;
        }
        let (number, piece) = self.piece.split_at(self.kind.size());
        self.piece = piece;
        self.bytes -= number.len();
        seed.deserialize(Number { kind: self.kind, bytes: number }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.bytes / self.kind.size())
    }
}

/// One of raw numbers.
struct Number<'de> {
    kind: Kind,
    bytes: &'de [u8],
}

impl<'de> Deserializer<'de> for Number<'de> {
    type Error = Failure;

    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.kind.visit(self.bytes, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
