//! From values to bytes: serde's `Serializer`.

use std::io;

use rmp::encode as write;
use serde::{Serialize, Serializer};

use crate::wire::arrays::{Array, Subject};
use crate::wire::compounds::{Elements, Entries, Fields};
use crate::wire::failure::Failure;
use crate::wire::numbers::{self, Kind, Number};
use crate::wire::raw::{Extension, PIECE_BYTES_MAX};
use crate::wire::{NIL, SOME, deeper};

/// From this length on numbers go to the sink from where they lie.
const DIRECT_BYTES_MIN: usize = if cfg!(test) { PIECE_BYTES_MAX } else { 64 << 10 };
/// What ndarray calls its arrays.
const ARRAY: &str = "Array";
/// How much is in the buffer when it goes to the sink.
const BUFFER_BYTES_MAX: usize = if cfg!(test) { 100 } else { 64 << 10 };

/// Writes values to a buffer, and that to a sink if there is one.
pub(super) struct Encoder<'a> {
    pub(super) out: &'a mut Vec<u8>,
    sink: Option<&'a mut dyn io::Write>,
    /// How often the buffer went to the sink.
    flushes: u64,
    /// How many sequences are under way whose beginning may yet change. So long nothing is flushed.
    pub(super) unsettled: usize,
    pub(super) depth: usize,
    /// What is being serialized, until it has begun to be written.
    subject: Option<Subject>,
}

pub(super) type Outcome = Result<(), Failure>;

impl<'a> Encoder<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, sink: None, flushes: 0, unsettled: 0, depth: 0, subject: None }
    }

    pub(super) fn to_sink(out: &'a mut Vec<u8>, sink: &'a mut dyn io::Write) -> Self {
        Self { sink: Some(sink), ..Self::new(out) }
    }

    /// Writes what is still in the buffer to the sink.
    pub(super) fn flush(&mut self) -> Outcome {
        self.flush_with(&[])
    }

    /// Writes what is in the buffer to the sink, and behind it what is not.
    fn flush_with(&mut self, bytes: &[u8]) -> Outcome {
        let sink = self.sink.as_mut().expect("what has no sink is not flushed");
        sink.write_all(self.out).and_then(|()| sink.write_all(bytes)).map_err(Failure::new)?;
        self.flushes += 1;
        self.out.clear();
        Ok(())
    }

    /// Whether so much may go to the sink now.
    fn may_flush(&self, bytes: usize, bytes_min: usize) -> bool {
        self.sink.is_some() && self.unsettled == 0 && bytes >= bytes_min
    }

    /// Writes any value.
    #[inline]
    pub(super) fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        self.content(value)?;
        if self.may_flush(self.out.len(), BUFFER_BYTES_MAX) {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what makes up a value, or all of one.
    #[inline]
    fn content<T: Serialize + ?Sized>(&mut self, content: &T) -> Outcome {
        if Kind::of::<T>().is_some() {
            return content.serialize(self);
        }
        if let Some((kind, bytes)) = numbers::slice(content) {
            return self.numbers(kind, bytes);
        }
        self.subject = Some(Subject::of(content));
        let outcome = deeper(self.depth, || content.serialize(&mut *self));
        self.subject = None;
        outcome
    }

    /// Writes raw numbers.
    pub(super) fn numbers(&mut self, kind: Kind, bytes: &[u8]) -> Outcome {
        if bytes.len() <= PIECE_BYTES_MAX {
            return self.extension(Extension::Whole(kind), bytes);
        }
        self.array(bytes.len().div_ceil(PIECE_BYTES_MAX))?;
        let mut pieces = bytes.chunks(PIECE_BYTES_MAX);
        pieces.try_for_each(|piece| self.extension(Extension::Piece(kind), piece))
    }

    /// Writes numbers raw that do not lie side by side, of which there are `len`.
    pub(super) fn scattered<A: Number>(
        &mut self,
        kind: Kind,
        len: usize,
        mut numbers: impl Iterator<Item = A>,
    ) -> Outcome {
        let mut left = len * size_of::<A>();
        let mut extension = Extension::Whole(kind);
        if left > PIECE_BYTES_MAX {
            self.array(left.div_ceil(PIECE_BYTES_MAX))?;
            extension = Extension::Piece(kind);
        }
        loop {
            let bytes = left.min(PIECE_BYTES_MAX);
            self.extension_header(extension, bytes);
            if !self.may_flush(bytes, 0) {
                self.out.reserve(bytes);
            }
            for number in numbers.by_ref().take(bytes / size_of::<A>()) {
                number.write(self.out);
                if self.may_flush(self.out.len(), BUFFER_BYTES_MAX) {
                    self.flush()?;
                }
            }
            left -= bytes;
            if left == 0 {
                return Ok(());
            }
        }
    }

    pub(super) fn extension(&mut self, extension: Extension, bytes: &[u8]) -> Outcome {
        self.extension_header(extension, bytes.len());
        self.body(bytes)
    }

    /// Writes bytes that may be many.
    fn body(&mut self, bytes: &[u8]) -> Outcome {
        if self.may_flush(bytes.len(), DIRECT_BYTES_MIN) {
            return self.flush_with(bytes);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn extension_header(&mut self, extension: Extension, bytes: usize) {
        let bytes = u32::try_from(bytes).expect("a piece is shorter than 4 GiB");
        write::write_ext_meta(self.out, bytes, extension.code()).expect(TAKES_ALL);
    }

    pub(super) fn array(&mut self, len: usize) -> Outcome {
        write::write_array_len(self.out, counted(len, "elements")?).expect(TAKES_ALL);
        Ok(())
    }

    pub(super) fn map(&mut self, len: usize) -> Outcome {
        write::write_map_len(self.out, counted(len, "entries")?).expect(TAKES_ALL);
        Ok(())
    }

    /// Begins what stands for a variant that has a content.
    fn variant(&mut self, variant: &str) -> Outcome {
        self.map(1)?;
        self.serialize_str(variant)
    }
}

/// Why no error of writing to a vector is handled.
const TAKES_ALL: &str = "a vector takes any byte";

/// A length as MessagePack has them.
fn counted(len: usize, of_what: &str) -> Result<u32, Failure> {
    u32::try_from(len)
        .map_err(|_| Failure::new(format_args!("it has {len} {of_what}: at most 2^32 - 1 fit")))
}

impl<'e, 'a> Serializer for &'e mut Encoder<'a> {
    type Ok = ();
    type Error = Failure;
    type SerializeSeq = Elements<'e, 'a>;
    type SerializeTuple = Fields<'e, 'a>;
    type SerializeTupleStruct = Fields<'e, 'a>;
    type SerializeTupleVariant = Fields<'e, 'a>;
    type SerializeMap = Entries<'e, 'a>;
    type SerializeStruct = Fields<'e, 'a>;
    type SerializeStructVariant = Fields<'e, 'a>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Outcome {
        write::write_bool(self.out, value).expect(TAKES_ALL);
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Outcome {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Outcome {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Outcome {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Outcome {
        write::write_sint(self.out, value).expect(TAKES_ALL);
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Outcome {
        match (u64::try_from(value), i64::try_from(value)) {
            (Ok(value), _) => self.serialize_u64(value),
            (_, Ok(value)) => self.serialize_i64(value),
            _ => self.serialize_bytes(&value.to_be_bytes()),
        }
    }

    fn serialize_u8(self, value: u8) -> Outcome {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Outcome {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Outcome {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Outcome {
        write::write_uint(self.out, value).expect(TAKES_ALL);
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Outcome {
        match u64::try_from(value) {
            Ok(value) => self.serialize_u64(value),
            Err(_) => self.serialize_bytes(&value.to_be_bytes()),
        }
    }

    fn serialize_f32(self, value: f32) -> Outcome {
        write::write_f32(self.out, value).expect(TAKES_ALL);
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Outcome {
        write::write_f64(self.out, value).expect(TAKES_ALL);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Outcome {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Outcome {
        let len = counted(value.len(), "bytes of text")?;
        write::write_str_len(self.out, len).expect(TAKES_ALL);
        self.body(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Outcome {
        let Ok(len) = u32::try_from(value.len()) else {
            return self.numbers(Kind::U8, value);
        };
        write::write_bin_len(self.out, len).expect(TAKES_ALL);
        self.body(value)
    }

    fn serialize_none(self) -> Outcome {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Outcome {
        let (flushes, start) = (self.flushes, self.out.len());
        self.depth += 1;
        self.content(value)?;
        self.depth -= 1;
        let passes_for_none = |first: &&u8| matches!(**first, SOME | NIL);
        if flushes == self.flushes && self.out.get(start).filter(passes_for_none).is_some() {
            self.out.insert(start, SOME);
        }
        Ok(())
    }

    fn serialize_unit(self) -> Outcome {
        self.out.push(NIL);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Outcome {
        self.array(0)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Outcome {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Outcome {
        self.content(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Outcome {
        self.variant(variant)?;
        self.depth += 1;
        self.value(value)?;
        self.depth -= 1;
        Ok(())
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Elements<'e, 'a>, Failure> {
        Ok(Elements::begin(self, len))
    }

    fn serialize_tuple(self, len: usize) -> Result<Fields<'e, 'a>, Failure> {
        self.array(len)?;
        Ok(Fields::begin(self, len))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        len: usize,
    ) -> Result<Fields<'e, 'a>, Failure> {
        self.serialize_tuple(len)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'e, 'a>, Failure> {
        self.variant(variant)?;
        self.serialize_tuple(len)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Entries<'e, 'a>, Failure> {
        Entries::begin(self, len)
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Fields<'e, 'a>, Failure> {
        self.map(len)?;
        let subject = self.subject.take();
        let array = subject.filter(|_| name == ARRAY).and_then(|subject| Array::of(&subject));
        Ok(Fields::begin(self, len).with_array(array))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'e, 'a>, Failure> {
        self.variant(variant)?;
        self.serialize_struct("", len)
    }
}
