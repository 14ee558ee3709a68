//! A ref to a cell whose value is a `T`: how such cells are made, and how their values are read, shared
//! and taken.
//!
//! The type is checked once, where a [`Ref`] is made; from then on the cell is known to begin with a
//! `Typed<T>`. S2 says when the value may be touched.

use std::any::TypeId;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

use super::doomed::{Doomed, drop_shallow, free_empty};
use super::{AnyRef, Cell, Header, Job, NoJob, Promise, Typed, Unstarted};
use crate::error::Error;
use crate::function::Call;
use crate::local::caller::Origin;
use crate::local::queue::Entry;
use crate::local::state::State;
use crate::local::value::Value;

/// A counted reference to a cell whose value is a `T`.
pub(crate) struct Ref<T> {
    pub(super) any: AnyRef,
    marker: PhantomData<T>,
}

/// It only points to the value.
impl<T> Unpin for Ref<T> {}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Self {
        Self { any: self.any.clone(), marker: PhantomData }
    }
}

impl<T: Send + Sync + 'static> Ref<T> {
    /// A task, and its entry, which goes into a queue at once if it is `ready`, else when its arguments
    /// are there.
    #[inline]
    pub(crate) fn task<J: Job<T>>(
        job: J,
        ready: bool,
        home: usize,
        origin: Origin,
        call: Call,
    ) -> (Self, Entry) {
        let cell = Cell::<T, J>::undone(State::task(ready), job, home, origin, call);
        // SAFETY: the state counts one entry for the queue.
        let entry = unsafe { Entry::from_pointer(cell.cast()) };
        (Self::from_cell(cell), entry)
    }

    /// A task that is in no queue: whoever has the second part begins it.
    pub(crate) fn unstarted<J: Job<T>>(
        job: J,
        home: usize,
        origin: Origin,
        call: Call,
    ) -> (Self, Unstarted<T, J>) {
        let cell = Cell::<T, J>::undone(State::task(false), job, home, origin, call);
        (Self::from_cell(cell), Unstarted { cell, marker: PhantomData })
    }

    /// A cell that is born with its value.
    pub(crate) fn complete(value: Result<T, Error>, call: Call) -> Self {
        let state = State::complete(value.is_err());
        Self::from_cell(Cell::<T, NoJob>::done(state, value.into(), call))
    }

    /// A cell, and the right to complete it; `actor`: the address of the one whose call it is, or 0.
    pub(crate) fn promise(call: Call, actor: usize) -> (Self, Promise<T>) {
        Self::birth(Origin::NONE, call, actor)
    }

    /// As `promise`, for what is called like a task.
    pub(crate) fn birth(origin: Origin, call: Call, actor: usize) -> (Self, Promise<T>) {
        let cell = Cell::<T, NoJob>::undone(State::promise(), NoJob, actor, origin, call);
        (Self::from_cell(cell), Promise::of(cell))
    }

    fn from_cell(cell: NonNull<Header>) -> Self {
        Self { any: AnyRef(cell), marker: PhantomData }
    }

    /// None: the cell's value is no `T`.
    pub(crate) fn from_any(any: AnyRef) -> Option<Self> {
        (any.value_type() == TypeId::of::<T>()).then_some(Self { any, marker: PhantomData })
    }

    pub(super) fn typed(&self) -> &Typed<T> {
        // SAFETY: every cell of a `Ref<T>` begins with a `Typed<T>`, and we keep it alive.
        unsafe { self.any.0.cast().as_ref() }
    }

    /// The value of a complete cell, moved into an `Arc` the first time.
    pub(crate) fn share(&self) -> Result<Arc<T>, Error> {
        Ok(self.lend()?.unwrap_or_else(|| Arc::clone(self.shared())))
    }

    /// As `share`. None: the `Arc` stays in the cell as long as there are refs, so `shared` reads it.
    pub(crate) fn lend(&self) -> Result<Option<Arc<T>>, Error> {
        if self.is_stored() {
            return self.read_stored().map(Some);
        }
        if self.typed().shared().is_none() {
            self.typed().with_value(|value| value.share().map(drop)).transpose()?;
        }
        Ok(None)
    }

    fn is_stored(&self) -> bool {
        self.any.header().state.load().is_stored()
    }

    /// The value of a cell that was shared before.
    pub(crate) fn shared(&self) -> &Arc<T> {
        self.typed().shared().expect("the value was shared before")
    }

    /// The value of a complete cell; moved out where this is the last ref, else a copy.
    pub(crate) fn into_owned(self) -> Result<T, Error>
    where
        T: Clone,
    {
        match self.take_if_sole() {
            Ok(value) => value.into_owned(),
            Err(shared) => shared.copy_and_release(),
        }
    }

    fn copy_and_release(self) -> Result<T, Error>
    where
        T: Clone,
    {
        let state = &self.any.header().state;
        if !state.load().is_shared() && Value::<T>::IS_PLAIN {
            let locked = state.lock();
            let is_ours = locked.is_complete() && !locked.is_shared();
            // SAFETY: complete, and we hold the lock (S2).
            let bits = || unsafe { &*self.typed().value() }.copy_of_bits();
            if let Some(bits) = is_ours.then(bits).flatten() {
                // The lock and the ref go in one step.
                let last = state.unlock_and_release_ref();
                let cell = ManuallyDrop::new(self).any.0;
                if last {
                    drop_shallow(Doomed::Unheld(cell));
                }
                return Ok(T::clone(&bits));
            }
            state.unlock_and_keep();
        }
        self.to_owned()
    }

    /// A copy of the value of a complete cell.
    pub(crate) fn to_owned(&self) -> Result<T, Error>
    where
        T: Clone,
    {
        // What is cloned is the program's code, so it runs without the lock.
        match self.typed().with_value(|value| value.copy_of_bits()).flatten() {
            Some(bits) => Ok(T::clone(&bits)),
            None => Ok(match self.lend()? {
                Some(value) => T::clone(&value),
                None => T::clone(self.shared()),
            }),
        }
    }

    /// Takes the value out of a complete cell, whatever other refs there are: they must be such that
    /// nobody asks them for the value.
    pub(crate) fn take_value(&self) -> Value<T> {
        if self.is_stored() {
            return self.take_stored();
        }
        let taken = self.typed().with_value(|value| std::mem::replace(value, Value::Empty));
        taken.expect("nobody shares what is to be taken")
    }

    /// Takes the value out if this is the only ref to it; else gives the ref back.
    pub(crate) fn take_if_sole(self) -> Result<Value<T>, Self> {
        let mut state = self.any.header().state.load();
        if state.is_sole_but_findable() && self.any.hide_if_sole() {
            state = self.any.header().state.load();
        }
        let sole = state.is_sole_and_complete() || (state.is_stored() && self.strike_if_sole());
        if !sole {
            return Err(self);
        }
        // SAFETY: ours is the only ref, so the value is ours (S2).
        let value = unsafe { &mut *self.typed().value() };
        let value = std::mem::replace(value, Value::Empty);
        let cell = ManuallyDrop::new(self).any.0;
        // SAFETY: our ref keeps the cell alive.
        if unsafe { cell.as_ref() }.state.release_last_ref() {
            // SAFETY: the state says that ours was the last hold, and the value is out.
            unsafe { free_empty(cell) };
        }
        Ok(value)
    }
}

impl<T> Ref<T> {
    pub(crate) fn any(&self) -> &AnyRef {
        &self.any
    }

    pub(crate) fn into_any(self) -> AnyRef {
        self.any
    }
}
