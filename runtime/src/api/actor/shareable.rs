//! Whether several threads may use an actor at once, which is whether its type is `Sync`.
//!
//! Only the compiler knows. The macro knows the type but cannot ask which traits it has, so method look-up
//! asks: [`shareable!`](crate::shareable) calls a method that two traits have, one for types that are `Sync`,
//! one for all, and the first that fits is taken.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::{Arc, RwLock};

/// Evidence: whoever has one knows that `A` is `Sync`.
pub struct Shareable<A>(fn(A) -> Arc<dyn Any + Send + Sync>);

impl<A> Shareable<A> {
    /// An actor as a state that several threads have by a lock: an `RwLock<A>`.
    pub(crate) fn share(&self, actor: A) -> Arc<dyn Any + Send + Sync> {
        (self.0)(actor)
    }
}

/// A type of which it is asked.
pub struct Sharing<A>(PhantomData<fn() -> A>);

impl<A> Sharing<A> {
    /// The question.
    #[expect(clippy::new_without_default, reason = "for the macro only")]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

/// First choice: a type that is `Sync`.
pub trait IsShareable<A> {
    /// That it is.
    fn shareable(&self) -> Option<Shareable<A>>;
}

impl<A: Send + Sync + 'static> IsShareable<A> for &Sharing<A> {
    fn shareable(&self) -> Option<Shareable<A>> {
        Some(Shareable(|actor| Arc::new(RwLock::new(actor))))
    }
}

/// Last choice: any type.
pub trait NotShareable<A> {
    /// That nobody knows.
    fn shareable(&self) -> Option<Shareable<A>>;
}

impl<A> NotShareable<A> for Sharing<A> {
    fn shareable(&self) -> Option<Shareable<A>> {
        None
    }
}
