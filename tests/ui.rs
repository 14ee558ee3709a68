//! What `#[remote]` accepts, and what it says where it refuses.
//!
//! Each file in `ui/refused` holds one mistake; the `.stderr` beside it is the message, and that
//! there is one message only. The callers in those files are innocent, and stay unmentioned.
//! After a change of wording, `TRYBUILD=overwrite` writes the messages anew, to be read.

#[path = "ui/accepted.rs"]
mod accepted;

#[test]
fn a_mistake_gives_one_message() {
    trybuild::TestCases::new().compile_fail("ui/refused/*.rs");
}
