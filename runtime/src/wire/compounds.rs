//! What is written part by part: sequences, maps, structs and tuples.

use serde::{Serialize, Serializer as _, ser};

use crate::wire::arrays::Array;
use crate::wire::encoder::{Encoder, Outcome};
use crate::wire::failure::Failure;
use crate::wire::numbers::{self, Kind};
use crate::wire::raw::{Extension, PIECE_BYTES_MAX};

/// A sequence. As long as its elements are numbers of one kind they are written raw, and what is in front
/// of them is set right at the end.
pub(super) struct Elements<'e, 'a> {
    encoder: &'e mut Encoder<'a>,
    /// How many elements were announced.
    announced: Option<usize>,
    /// Where it begins in the buffer, while it is not settled.
    start: usize,
    form: Form,
}

/// How the elements so far were written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// There are none.
    Empty,
    /// As raw numbers, from this place in the buffer on.
    Raw(Kind, usize),
    /// As so many values.
    Values(usize),
}

impl<'e, 'a> Elements<'e, 'a> {
    pub(super) fn begin(encoder: &'e mut Encoder<'a>, announced: Option<usize>) -> Self {
        encoder.unsettled += 1;
        encoder.depth += 1;
        Self { announced, start: encoder.out.len(), form: Form::Empty, encoder }
    }

    /// The first element is a number: there may be more.
    fn begin_raw(&mut self, kind: Kind) -> usize {
        let bytes = self.announced.and_then(|announced| announced.checked_mul(kind.size()));
        if let Some(bytes) = bytes.filter(|bytes| *bytes <= PIECE_BYTES_MAX) {
            self.encoder.extension_header(Extension::Whole(kind), bytes);
            // If there is not so much memory we shall see; the announcement may be wrong.
            let _ = self.encoder.out.try_reserve(bytes);
        }
        let body = self.encoder.out.len();
        self.form = Form::Raw(kind, body);
        body
    }

    /// An element is no number, or of another kind: from here on they are values.
    #[cold]
    fn begin_values(&mut self) -> Outcome {
        let numbers = match self.form {
            Form::Raw(kind, body) => Some((kind, self.encoder.out.split_off(body))),
            _ => None,
        };
        self.encoder.out.truncate(self.start);
        if let Some(announced) = self.announced {
            self.encoder.array(announced)?;
            self.encoder.unsettled -= 1;
        }
        let mut count = 0;
        if let Some((kind, numbers)) = numbers {
            for number in numbers.chunks_exact(kind.size()) {
                kind.write_value(number, &mut *self.encoder)?;
                count += 1;
            }
        }
        self.form = Form::Values(count);
        Ok(())
    }
}

impl ser::SerializeSeq for Elements<'_, '_> {
    type Ok = ();
    type Error = Failure;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        if let Some(kind) = Kind::of::<T>() {
            match self.form {
                Form::Empty => _ = self.begin_raw(kind),
                Form::Raw(before, _) if before == kind => {}
                _ => return self.value(value),
            }
            numbers::write(value, self.encoder.out);
            return Ok(());
        }
        self.value(value)
    }

    fn end(self) -> Outcome {
        let Self { encoder, announced, start, form } = self;
        encoder.depth -= 1;
        match (form, announced) {
            (Form::Empty, _) => {
                encoder.unsettled -= 1;
                encoder.array(0)
            }
            (Form::Raw(kind, body), _) => {
                encoder.unsettled -= 1;
                let bytes = encoder.out.len() - body;
                let expected = announced.and_then(|announced| announced.checked_mul(kind.size()));
                if body > start && expected == Some(bytes) {
                    return Ok(());
                }
                let numbers = encoder.out.split_off(body);
                encoder.out.truncate(start);
                encoder.numbers(kind, &numbers)
            }
            (Form::Values(count), Some(announced)) => as_announced(count, announced, "elements"),
            (Form::Values(count), None) => {
                encoder.unsettled -= 1;
                let values = encoder.out.split_off(start);
                encoder.array(count)?;
                encoder.out.extend_from_slice(&values);
                Ok(())
            }
        }
    }
}

impl Elements<'_, '_> {
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        if !matches!(self.form, Form::Values(_)) {
            self.begin_values()?;
        }
        if let Form::Values(count) = &mut self.form {
            *count += 1;
        }
        self.encoder.value(value)
    }
}

/// A map.
pub(super) struct Entries<'e, 'a> {
    encoder: &'e mut Encoder<'a>,
    announced: Option<usize>,
    start: usize,
    count: usize,
}

impl<'e, 'a> Entries<'e, 'a> {
    pub(super) fn begin(
        encoder: &'e mut Encoder<'a>,
        announced: Option<usize>,
    ) -> Result<Self, Failure> {
        match announced {
            Some(announced) => encoder.map(announced)?,
            None => encoder.unsettled += 1,
        }
        encoder.depth += 1;
        Ok(Self { start: encoder.out.len(), announced, count: 0, encoder })
    }
}

impl ser::SerializeMap for Entries<'_, '_> {
    type Ok = ();
    type Error = Failure;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Outcome {
        self.count += 1;
        self.encoder.value(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        self.encoder.value(value)
    }

    fn end(self) -> Outcome {
        let Self { encoder, announced, start, count } = self;
        encoder.depth -= 1;
        match announced {
            Some(announced) => as_announced(count, announced, "entries"),
            None => {
                encoder.unsettled -= 1;
                let entries = encoder.out.split_off(start);
                encoder.map(count)?;
                encoder.out.extend_from_slice(&entries);
                Ok(())
            }
        }
    }
}

/// What ndarray calls the field of an array that has its elements.
const ELEMENTS: &str = "data";

/// A tuple or the like, or a struct: its fields, with their names.
pub(super) struct Fields<'e, 'a> {
    encoder: &'e mut Encoder<'a>,
    announced: usize,
    count: usize,
    /// What the fields are of, if that is an array of numbers.
    array: Option<Array>,
}

impl<'e, 'a> Fields<'e, 'a> {
    pub(super) fn begin(encoder: &'e mut Encoder<'a>, announced: usize) -> Self {
        encoder.depth += 1;
        Self { encoder, announced, count: 0, array: None }
    }

    pub(super) fn with_array(self, array: Option<Array>) -> Self {
        Self { array, ..self }
    }

    fn field<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        self.count += 1;
        self.encoder.value(value)
    }

    fn end(self) -> Outcome {
        self.encoder.depth -= 1;
        as_announced(self.count, self.announced, "fields")
    }
}

macro_rules! tuples {
    ($($like:ident $write:ident)*) => { $(
        impl ser::$like for Fields<'_, '_> {
            type Ok = ();
            type Error = Failure;

            fn $write<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
                self.field(value)
            }

            fn end(self) -> Outcome {
                self.end()
            }
        }
    )* };
}

tuples! {
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

macro_rules! structs {
    ($($like:ident)*) => { $(
        impl ser::$like for Fields<'_, '_> {
            type Ok = ();
            type Error = Failure;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Outcome {
                self.encoder.serialize_str(name)?;
                if name == ELEMENTS && let Some(array) = &self.array {
                    self.count += 1;
                    // SAFETY: its `Serialize` has called this, so it is still being serialized.
                    return unsafe { array.write(self.encoder) };
                }
                self.field(value)
            }

            fn end(self) -> Outcome {
                self.end()
            }
        }
    )* };
}

structs! { SerializeStruct SerializeStructVariant }

fn as_announced(count: usize, announced: usize, of_what: &str) -> Outcome {
    if count == announced {
        return Ok(());
    }
    Err(Failure::new(format_args!("it announced {announced} {of_what} and wrote {count}")))
}
