//! What the store asks of the place where an object is.

use std::sync::Arc;

use crate::function::Hop;

/// A value of any type.
pub(crate) type Any = Arc<dyn std::any::Any + Send + Sync>;

/// Where an object is. While it is listed it is alive (B3).
pub(crate) trait Place: Send + 'static {
    type Hold: Hold;

    /// Keeps the object. None: nobody holds it any more, or it has no value yet.
    fn hold(&self) -> Option<Self::Hold>;
    /// Whether somebody reads the value, and so keeps it in memory.
    fn is_read(&self) -> bool;
    /// How many refs there are.
    fn refs(&self) -> usize;
    /// What made the object, and where.
    fn hop(&self) -> Hop;
    /// Lets `sleep` sleep for a while, and others compute meanwhile. It is given what to call between its
    /// looks, with a way to tell whether the sleep is over.
    fn asleep<R>(sleep: impl FnOnce(&mut dyn FnMut(&dyn Fn() -> bool)) -> R) -> R;
}

/// Keeps an object.
pub(crate) trait Hold: Sized + Send {
    /// The value. None: it is not in memory, or somebody reads it.
    fn value(&self) -> Option<Any>;
    /// Takes the value out of memory and drops it. False: it is not there, or somebody reads it.
    fn evict(&self) -> bool;
    /// Brings the value back, which was taken out.
    fn put_back(&self, value: Any);
    /// Gives the hold up, unless it is the last of the object's.
    fn release(self) -> Result<(), Self>;
}
