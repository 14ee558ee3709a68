//! The object store: what large objects there are, how much memory they take, and which of them lie on disk.
//!
//! Small objects never come here: a value that owns no memory and is shorter than [`LISTED_BYTES_MIN`] is
//! known to be small when the program is compiled, others are weighed once, when they are put or returned.
//! What is larger is *listed* in the books of its runtime's store (`books.rs`), with its size, its type and
//! the tick of its last use.
//!
//! | an object is     | its value is            | it becomes                                              |
//! |------------------|-------------------------|---------------------------------------------------------|
//! | in memory        | with its place          | written, by the writer, when memory runs short          |
//! | written          | with its place, on disk | spilled, by whoever needs room, unless somebody reads it|
//! | spilled          | on disk                 | written, by whoever needs the value                     |
//! | lost             | an error                | nothing else                                            |
//!
//! B1. The books change under their lock only, and no code of the program's, no file and no value's end is
//!     reached while it is held.
//! B2. To write an object, to take it out of memory or to bring it back, one has to be the one who is *busy*
//!     with it, which the books note. Others wait until that ends.
//! B3. A place that is listed is alive: it is struck off, under the lock, before it goes. So to look at it
//!     takes the lock and nothing else; to do more takes a hold.
//! B4. Whoever is busy has a hold, and gives it up under the lock, together with being busy. So nobody takes
//!     the writer's hold for a reader's, and a value that only one ref is left of still moves.
//!
//! `room.rs` makes room, `writer.rs` is the thread that writes ahead of need, and
//! brings back what queued tasks will need (`ahead.rs`); `folder.rs`, `segment.rs` and
//! `disk.rs` are about files. What an object's place is, the store does not know: `place.rs` says what it asks
//! of one, and `local` has cells.

use crate::config::StoreSettings;

mod ahead;
mod books;
mod disk;
mod folder;
mod kind;
mod place;
mod report;
mod room;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use self::books::{Store, Stored, Struck};
pub(crate) use self::disk::Files;
pub(crate) use self::folder::remove_leftovers;
pub use self::kind::{Kind, KindOf, Noted, NotedIfPortable, NotedIfSized, NotedNot};
pub(crate) use self::kind::{kind_of, register};
pub(crate) use self::place::{Any, Hold, Place};
pub use self::report::{Memory, ObjectInfo, ObjectState};

/// From this size on objects are listed one by one.
pub(crate) const LISTED_BYTES_MIN: usize = 1 << 10;
