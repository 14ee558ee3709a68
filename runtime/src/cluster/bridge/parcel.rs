//! A value on its way to the other side: written to a block where it is long and there is one, and else to memory of
//! its own, from where it goes in a frame.

use std::io::{self, Write};
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::cluster::bridge::blocks::{Block, Blocks};
use crate::cluster::bridge::message::Lies;

/// From here on a value is long. On Ray what is shorter may go with the news of a call's end, and is to be bytes there.
const LONG_BYTES: usize = 128 << 10;
/// No more goes in a frame, whose length has 4 bytes, with what else is said.
const FRAME_BYTES_MAX: usize = (1 << 32) - (1 << 20);

/// The value, or as much of it as was written.
#[derive(Default)]
pub(crate) struct Parcel {
    bytes: Vec<u8>,
    block: Option<Block>,
    /// Where a block may be had.
    blocks: Option<Arc<Blocks>>,
}

impl Parcel {
    pub(super) fn new(blocks: Option<Arc<Blocks>>) -> Self {
        Self { blocks, ..Self::default() }
    }

    /// How much was written.
    pub(in crate::cluster) fn written(&self) -> usize {
        self.block.as_ref().map_or(self.bytes.len(), |block| block.span().bytes)
    }

    /// Nothing more is written.
    pub(super) fn close(&mut self) {
        if let Some(block) = &mut self.block {
            block.close();
        }
    }

    /// The bytes, if they are not in a block.
    pub(super) fn own(&self) -> Option<&[u8]> {
        self.block.is_none().then_some(&self.bytes)
    }

    /// The bytes of one that is not in a block.
    pub(super) fn into_own(self) -> Vec<u8> {
        self.bytes
    }

    /// It is sent.
    pub(super) fn sent(self) {
        if let Some(block) = self.block {
            block.lent();
        }
    }
}

impl From<Vec<u8>> for Parcel {
    /// It goes in a frame.
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }
}

impl Write for Parcel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.is_none() && self.bytes.len() + bytes.len() >= LONG_BYTES {
            // Once is enough: where there is no room now, it goes in a frame.
            let blocks = self.blocks.take();
            self.block = blocks.and_then(|blocks| blocks.take(self.bytes.len() + bytes.len()));
            if let Some(block) = &mut self.block {
                block.write(&self.bytes);
                self.bytes = Vec::new();
            }
        }
        if let Some(block) = &mut self.block {
            if block.write(bytes) {
                return Ok(bytes.len());
            }
            self.bytes = block.bytes();
            self.block = None;
        }
        if self.bytes.len() + bytes.len() > FRAME_BYTES_MAX {
            let message = "it is too long for one frame";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As it is said: the bytes, or where they lie.
impl Serialize for Parcel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.block {
            Some(block) => Lies(block.span()).serialize(serializer),
            None => serializer.serialize_bytes(&self.bytes),
        }
    }
}
