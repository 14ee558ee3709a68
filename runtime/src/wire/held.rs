//! What has to live as long as some bytes do.
//!
//! A ref to an object is written as an id, and an id keeps nothing alive. So what is written as one calls
//! [`hold`], with itself, while it is serialized, and the encoding that is under way on this thread takes it
//! along. Other serializers, such as serde_json's, collect nothing.

use std::any::Any;
use std::cell::RefCell;

use uuid::Uuid;

/// A ref to an object or a handle of an actor that was met while a value was encoded.
///
/// To drop one may run the program's code: not while a lock is held.
pub struct Held {
    /// How it is named in the bytes.
    pub id: Uuid,
    /// The ref itself.
    pub what: Box<dyn Any + Send + Sync>,
}

thread_local! {
    /// What the encoding that is under way has met.
    static MET: RefCell<Option<Vec<Held>>> = const { RefCell::new(None) };
}

/// Lets the encoding that is under way on this thread, if one is, hold what is being written as `id`.
pub(crate) fn hold<W: Any + Send + Sync>(id: Uuid, what: impl FnOnce() -> W) {
    if MET.with_borrow(Option::is_some) {
        let held = Held { id, what: Box::new(what()) };
        MET.with_borrow_mut(|met| met.as_mut().expect("we looked just now").push(held));
    }
}

/// Gives what `encode` returns, and what was met meanwhile.
pub(super) fn collect<R>(encode: impl FnOnce() -> R) -> (R, Vec<Held>) {
    let outer = Outer(MET.replace(Some(Vec::new())));
    let result = encode();
    let met = MET.take().unwrap_or_default();
    drop(outer);
    (result, met)
}

/// The encoding during which this one began, if there is one: a value's `Serialize` may encode others.
struct Outer(Option<Vec<Held>>);

impl Drop for Outer {
    fn drop(&mut self) {
        drop(MET.replace(self.0.take()));
    }
}
