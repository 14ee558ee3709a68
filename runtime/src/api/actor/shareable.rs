//! Whether several threads may use an actor at once, which is whether its type is `Sync`.
//!
//! Only the compiler knows. The macro knows the type but cannot ask which traits it has, so method look-up
//! asks: [`shareable!`](crate::shareable) calls a method that two traits have, one for types that are `Sync`,
//! one for all, and the first that fits is taken.

use std::marker::PhantomData;

/// Evidence: whoever has one knows that `A` is `Sync`.
pub struct Shareable<A>(PhantomData<fn() -> A>);

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

impl<A: Sync> IsShareable<A> for &Sharing<A> {
    fn shareable(&self) -> Option<Shareable<A>> {
        Some(Shareable(PhantomData))
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
