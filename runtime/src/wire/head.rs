//! What stands at the beginning of each value in a frame.
//!
//! Nothing is believed: what has a length is taken only if it is all there, and an array or a map only if
//! there is a byte at least for each of its elements.

use rmp::Marker;

use crate::wire::SOME;
use crate::wire::failure::Failure;
use crate::wire::raw::Extension;

/// The beginning of a value, or all of it where it is simple.
#[derive(Clone, Copy)]
pub(super) enum Head<'de> {
    Nil,
    /// A `Some`, whose content follows and would pass for `None`.
    Some,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
    Text(&'de str),
    Bytes(&'de [u8]),
    /// So many values follow.
    Array(usize),
    /// So many keys follow, each with its value.
    Map(usize),
    Extension(Extension, &'de [u8]),
}

/// What is left of a frame.
#[derive(Clone, Copy)]
pub(super) struct Rest<'de>(pub(super) &'de [u8]);

impl<'de> Rest<'de> {
    /// Takes the beginning of the next value.
    pub(super) fn head(&mut self) -> Result<Head<'de>, Failure> {
        Ok(match Marker::from_u8(self.byte()?) {
            Marker::Null => Head::Nil,
            Marker::Reserved => {
                const { assert!(Marker::Reserved.to_u8() == SOME) };
                Head::Some
            }
            Marker::False => Head::Bool(false),
            Marker::True => Head::Bool(true),
            Marker::FixPos(value) => Head::Unsigned(value.into()),
            Marker::U8 => Head::Unsigned(self.byte()?.into()),
            Marker::U16 => Head::Unsigned(u16::from_be_bytes(self.array()?).into()),
            Marker::U32 => Head::Unsigned(u32::from_be_bytes(self.array()?).into()),
            Marker::U64 => Head::Unsigned(u64::from_be_bytes(self.array()?)),
            Marker::FixNeg(value) => Head::Signed(value.into()),
            Marker::I8 => Head::Signed(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => Head::Signed(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => Head::Signed(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => Head::Signed(i64::from_be_bytes(self.array()?)),
            Marker::F32 => Head::F32(f32::from_be_bytes(self.array()?)),
            Marker::F64 => Head::F64(f64::from_be_bytes(self.array()?)),
            Marker::FixStr(bytes) => self.text(bytes.into())?,
            Marker::Str8 => self.text_of(Self::length8)?,
            Marker::Str16 => self.text_of(Self::length16)?,
            Marker::Str32 => self.text_of(Self::length32)?,
            Marker::Bin8 => self.bytes_of(Self::length8)?,
            Marker::Bin16 => self.bytes_of(Self::length16)?,
            Marker::Bin32 => self.bytes_of(Self::length32)?,
            Marker::FixArray(len) => Head::Array(self.hold(len.into(), 1)?),
            Marker::Array16 => Head::Array(self.length16().and_then(|len| self.hold(len, 1))?),
            Marker::Array32 => Head::Array(self.length32().and_then(|len| self.hold(len, 1))?),
            Marker::FixMap(len) => Head::Map(self.hold(len.into(), 2)?),
            Marker::Map16 => Head::Map(self.length16().and_then(|len| self.hold(len, 2))?),
            Marker::Map32 => Head::Map(self.length32().and_then(|len| self.hold(len, 2))?),
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => self.length8().and_then(|bytes| self.extension(bytes))?,
            Marker::Ext16 => self.length16().and_then(|bytes| self.extension(bytes))?,
            Marker::Ext32 => self.length32().and_then(|bytes| self.extension(bytes))?,
        })
    }

    /// The extension that comes next, if one does; it is not taken.
    pub(super) fn next_extension(mut self) -> Option<Extension> {
        // All markers of extensions; whatever else comes is not looked at.
        if !matches!(self.peek()?, 0xc7..=0xc9 | 0xd4..=0xd8) {
            return None;
        }
        match self.head() {
            Ok(Head::Extension(extension, _)) => Some(extension),
            _ => None,
        }
    }

    /// The byte that comes next; it is not taken.
    pub(super) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    pub(super) fn byte(&mut self) -> Result<u8, Failure> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        Ok(self.take(N)?.try_into().expect("as many were taken"))
    }

    fn take(&mut self, bytes: usize) -> Result<&'de [u8], Failure> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or_else(|| self.lacks(bytes))?;
        self.0 = rest;
        Ok(taken)
    }

    /// Checks that so many values can follow, of so many bytes at the least.
    fn hold(&self, values: usize, bytes_min: usize) -> Result<usize, Failure> {
        match values.checked_mul(bytes_min) {
            Some(bytes) if bytes <= self.0.len() => Ok(values),
            _ => Err(self.lacks(values)),
        }
    }

    #[cold]
    fn lacks(&self, bytes: usize) -> Failure {
        Failure::new(format_args!("{bytes} bytes or more should follow, and {} do", self.0.len()))
    }

    fn length8(&mut self) -> Result<usize, Failure> {
        self.byte().map(usize::from)
    }

    fn length16(&mut self) -> Result<usize, Failure> {
        self.array().map(|bytes| u16::from_be_bytes(bytes).into())
    }

    fn length32(&mut self) -> Result<usize, Failure> {
        self.array().map(|bytes| u32::from_be_bytes(bytes) as usize)
    }

    fn text_of(&mut self, length: Length<'de>) -> Result<Head<'de>, Failure> {
        length(self).and_then(|bytes| self.text(bytes))
    }

    fn bytes_of(&mut self, length: Length<'de>) -> Result<Head<'de>, Failure> {
        length(self).and_then(|bytes| self.take(bytes)).map(Head::Bytes)
    }

    fn text(&mut self, bytes: usize) -> Result<Head<'de>, Failure> {
        std::str::from_utf8(self.take(bytes)?).map(Head::Text).map_err(Failure::new)
    }

    fn extension(&mut self, bytes: usize) -> Result<Head<'de>, Failure> {
        let code = self.byte()? as i8;
        let content = self.take(bytes)?;
        let extension = Extension::from_code(code)
            .ok_or_else(|| Failure::new(format_args!("extension {code} is unknown")))?;
        if extension.fits(content.len()) {
            return Ok(Head::Extension(extension, content));
        }
        Err(Failure::new(format_args!("{extension:?} cannot have {bytes} bytes")))
    }
}

type Length<'de> = fn(&mut Rest<'de>) -> Result<usize, Failure>;
