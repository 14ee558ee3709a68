//! One stream of events: what became of each task and each actor, and when.
//!
//! Whoever changes the state of a task tells [`record`], or [`Recorder::submitted`] for a new one. That
//! writes a [`Record`](record::Record) of 32 bytes into a ring that only this thread writes to (`writer`),
//! and returns: it never waits. Where the ring is full, the event is dropped, and counted. A reader
//! (`reader`) empties the rings, puts the records in the order of their times, and gives each the name, the
//! call site and the parent that came with the task's submission: that makes an [`Event`] of it.
//!
//! A task is known by its [`Number`], which also says whose task it is. Number 0 stands for a task of which
//! nothing is recorded, so a runtime without events pays one look at a number.
//!
//! What is bounded: a ring by its capacity, the rings by [`THREADS_MAX`], what the reader knows of
//! unfinished tasks by [`UNFINISHED_MAX`].

mod event;
mod number;
mod reader;
mod record;
mod recorder;
mod writer;

pub use event::{Event, EventKind, Events};

pub(crate) use number::Number;
pub(crate) use recorder::Recorder;
pub(crate) use writer::record;

/// How many threads of one runtime have rings. Those that ended count until their events were read.
const THREADS_MAX: usize = 4096;
/// Of how many unfinished tasks the reader keeps name, call site and parent, at the least. It forgets the
/// oldest first. Half of what it keeps at the most.
const UNFINISHED_MAX: usize = if cfg!(test) { 8 } else { 1 << 20 };
