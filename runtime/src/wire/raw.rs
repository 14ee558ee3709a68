//! How raw numbers lie in a frame.
//!
//! They are one extension value, whose type is their [`Kind`]. MessagePack counts an extension's bytes by 32
//! bits, so more than [`PIECE_BYTES_MAX`] are an array of pieces, each an extension whose type has [`PIECE`]
//! added. All pieces but the last are of that length.

use crate::wire::numbers::Kind;

/// How many bytes one extension holds.
pub(super) const PIECE_BYTES_MAX: usize = if cfg!(test) { 1 << 12 } else { 1 << 30 };
/// What tells the type of a piece from that of a whole.
const PIECE: i8 = 64;

/// What an extension is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    /// Raw numbers.
    Whole(Kind),
    /// A piece of raw numbers.
    Piece(Kind),
}

impl Extension {
    pub(super) fn code(self) -> i8 {
        match self {
            Self::Whole(kind) => kind as i8,
            Self::Piece(kind) => kind as i8 + PIECE,
        }
    }

    pub(super) fn from_code(code: i8) -> Option<Self> {
        match code {
            PIECE.. => Kind::from_code(code - PIECE).map(Self::Piece),
            _ => Kind::from_code(code).map(Self::Whole),
        }
    }

    /// Whether so many bytes can be one.
    pub(super) fn fits(self, bytes: usize) -> bool {
        match self {
            Self::Whole(kind) => bytes.is_multiple_of(kind.size()),
            Self::Piece(kind) => bytes > 0 && bytes.is_multiple_of(kind.size()),
        }
    }
}
