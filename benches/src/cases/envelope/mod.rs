//! How much of everything there can be at once: the single-node envelope of
//! Ray's release tests (`release/benchmarks/single_node` of Ray).
//!
//! Ray's objects there are lists of 10,000 numbers, which it copies between
//! processes. Here an object is one number wherever the case is about how many
//! there are; the one about size is `large_object`. All figures are for each
//! item, so Ray takes part with fewer items where it would take minutes.
//!
//! `arc` is the least that it can cost: the same with the standard library's
//! `Arc` and nothing else.

mod large_object;
mod many_objects;
mod queued_tasks;

use crate::cases::Group;

pub(crate) const GROUP: Group = Group {
    name: "envelope",
    about: "how much of everything there can be at once, after Ray's single-node envelope",
    cases: &[
        many_objects::MANY_ARGUMENTS,
        many_objects::MANY_RETURNS,
        many_objects::MANY_GETS,
        many_objects::REFS_IN_OBJECT,
        many_objects::WAIT,
        queued_tasks::CASE,
        large_object::CASE,
    ],
};
