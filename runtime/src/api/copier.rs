//! Arguments once more, for a task that is tried again.
//!
//! Refs and what a function borrows are shared by all tries. What it takes by value has to be cloned,
//! and whether its type can be, only the compiler knows. The macro knows the type but cannot ask which
//! traits it has, so method look-up asks: [`copier!`](crate::copier) calls a method that two traits
//! have, one for what can be copied, one for everything, and the first that fits is taken.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::api::parameter::{Borrowed, Lent, Owned, Param, Slot};

/// How an argument that the task holds as an `H` is made a second time.
pub struct Copier<H> {
    parameter: &'static str,
    how: Option<How<H>>,
}

/// Once, before the first try; then as often as need be.
struct How<H> {
    prepare: fn(H) -> H,
    copy: fn(&H) -> H,
}

impl<H> Copier<H> {
    /// Makes an argument such that `copy` can copy it.
    ///
    /// # Errors
    /// The parameter's name, if its type cannot be cloned.
    pub(crate) fn prepare(&self, slot: Slot<H>) -> Result<Slot<H>, &'static str> {
        match &self.how {
            Some(how) => Ok(slot.map_value(how.prepare)),
            None => Err(self.parameter),
        }
    }

    /// The argument once more.
    pub(crate) fn copy(&self, slot: &Slot<H>) -> Slot<H> {
        let how = self.how.as_ref().expect("only what was prepared is copied");
        slot.copy_with(how.copy)
    }
}

/// A parameter by its name and its marker.
pub struct Copying<P>(&'static str, PhantomData<fn() -> P>);

impl<P> Copying<P> {
    /// The parameter of this name.
    pub fn new(parameter: &'static str) -> Self {
        Self(parameter, PhantomData)
    }
}

/// First choice: what can be copied.
pub trait CopyEach<H> {
    /// How.
    fn copier(&self) -> Copier<H>;
}

impl<T: Clone + Send + 'static> CopyEach<T> for &Copying<Owned<T>> {
    fn copier(&self) -> Copier<T> {
        Copier { parameter: self.0, how: Some(How { prepare: |value| value, copy: T::clone }) }
    }
}

impl<T, B: ?Sized> CopyEach<Lent<T, B>> for &Copying<Borrowed<B>>
where
    Borrowed<B>: Param<Held = Lent<T, B>>,
{
    fn copier(&self) -> Copier<Lent<T, B>> {
        Copier { parameter: self.0, how: Some(How { prepare: share, copy: share_again }) }
    }
}

fn share<T, B: ?Sized>(lent: Lent<T, B>) -> Lent<T, B> {
    match lent {
        Lent::Own(value, _) => Lent::Shared(Arc::new(value)),
        shared @ (Lent::Shared(_) | Lent::Stored(_)) => shared,
    }
}

fn share_again<T, B: ?Sized>(lent: &Lent<T, B>) -> Lent<T, B> {
    match lent {
        Lent::Shared(value) => Lent::Shared(Arc::clone(value)),
        Lent::Stored(object) => Lent::Stored(object.clone()),
        Lent::Own(..) => unreachable!("what is lent was shared before the first try"),
    }
}

/// Last choice: what cannot.
pub trait CopyNone<H> {
    /// That there is no way.
    fn copier(&self) -> Copier<H>;
}

impl<P: Param> CopyNone<P::Held> for Copying<P> {
    fn copier(&self) -> Copier<P::Held> {
        Copier { parameter: self.0, how: None }
    }
}
