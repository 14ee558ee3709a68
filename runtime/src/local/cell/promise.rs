//! The right, and the duty, to complete a cell.
//!
//! Whoever has a [`Promise`] is the cell's runner (S1), and RUNNING keeps the cell alive for it (S4). It
//! ends in one of three ways: with a value or an error, put back for another try, or dropped, which is an
//! error too.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use super::doomed::free;
use super::stored::weigh;
use super::{Cell, Header, Job, RunningTask, Typed};
use crate::error::{Error, ErrorKind};
use crate::function::{Call, Hop};
use crate::local::lineage::Lineage;
use crate::local::note;
use crate::local::queue::Entry;
use crate::local::state::Completed;
use crate::local::value::Value;
use crate::local::waiters::WaiterList;
use crate::observe::Number;

pub(super) fn dropped() -> Error {
    Error::new(ErrorKind::Cancelled, "the work was dropped before it was done")
}

/// The right to complete a cell, and the duty: dropped without, it completes the cell with an error,
/// so that nobody waits for ever.
pub(crate) struct Promise<T: Send + Sync + 'static> {
    pub(super) cell: NonNull<Header>,
    marker: PhantomData<T>,
}

// SAFETY: a promise writes one `T`, from whichever thread.
unsafe impl<T: Send + Sync + 'static> Send for Promise<T> {}
// SAFETY: a shared promise gives out plain data only.
unsafe impl<T: Send + Sync + 'static> Sync for Promise<T> {}

impl<T: Send + Sync + 'static> Promise<T> {
    /// Of a cell whose runner the caller is.
    pub(super) fn of(cell: NonNull<Header>) -> Self {
        Self { cell, marker: PhantomData }
    }

    pub(super) fn header(&self) -> &Header {
        // SAFETY: RUNNING is set, which keeps the cell alive (S4).
        unsafe { self.cell.as_ref() }
    }

    pub(crate) fn call(&self) -> Call {
        self.header().call
    }

    /// The address of the runtime or of the actor whose task it is.
    #[inline]
    pub(crate) fn home(&self) -> usize {
        self.header().home
    }

    /// The call by the name it goes by.
    pub(crate) fn hop(&self) -> Hop {
        self.header().hop()
    }

    /// Whether the task was asked to stop, or the one that submitted it was.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.header().is_cancelled()
    }

    /// Whether it ever asked if it was to stop.
    pub(crate) fn has_looked(&self) -> bool {
        self.header().state.load().has_looked()
    }

    /// The running task, for the context: valid while the promise is.
    pub(crate) fn task(&self) -> RunningTask {
        RunningTask(self.cell)
    }

    /// Its number in the stream of events.
    #[inline]
    pub(crate) fn number(&self) -> Number {
        self.header().number()
    }

    /// Puts a job back for another try, and gives the entry by which it begins. Err: somebody asked the
    /// task to stop, so there is none.
    ///
    /// # Safety
    /// The cell was made with a job of type `J`, and the promise came of its entry.
    pub(crate) unsafe fn put_back<J: Job<T>>(self, job: J) -> Result<Entry, (J, Self)> {
        // SAFETY: by the caller's promise, and RUNNING keeps the cell alive.
        let place = unsafe { Cell::<T, J>::job(self.cell) };
        // SAFETY: the runner alone touches the job, which it took out before (S1).
        unsafe { place.write(job) };
        if !self.header().state.put_back() {
            // SAFETY: we are the runner still, and put the job there just now.
            return Err((unsafe { Cell::<T, J>::take_job(self.cell) }, self));
        }
        // The duty to complete goes to whoever claims the task next.
        let cell = ManuallyDrop::new(self).cell;
        // SAFETY: the state counts the entry.
        Ok(unsafe { Entry::from_pointer(cell.cast()) })
    }

    /// Writes the value and tells whoever waits for it.
    #[inline]
    pub(crate) fn complete(self, value: Result<T, Error>) {
        self.complete_with(value, None);
    }

    /// As `complete`; a large value that is lost one day is made again by its lineage.
    pub(crate) fn complete_with(self, value: Result<T, Error>, lineage: Option<Lineage>) {
        let this = ManuallyDrop::new(self);
        let cell = this.cell;
        let mut value = Value::from(value);
        if let Value::Inline(inline) = &value
            && let Some((bytes, kind)) = weigh(inline)
        {
            value = this.store(value, bytes, kind);
        }
        if let Some(lineage) = lineage {
            this.keep_lineage(lineage);
        }
        let failure = match &value {
            Value::Failed(error) => Some(error.kind()),
            _ => None,
        };
        // SAFETY: RUNNING keeps the cell alive, and the promise is the runner's (S1).
        let typed = unsafe { cell.cast::<Typed<T>>().as_ref() };
        // SAFETY: as above; the job that was in its place was taken out.
        unsafe { typed.value().write(value) };
        // Before anybody can see the value: who has it finds its event.
        note::ended(this.header().number(), failure);
        let state = &this.header().state;
        let free_it = match state.finish(failure.is_some()) {
            Completed::Done => false,
            Completed::Free => true,
            Completed::TellWaiters => {
                // SAFETY: RUNNING keeps the cell alive.
                unsafe { WaiterList::tell_all(cell) };
                state.release_runner()
            }
        };
        if free_it {
            // SAFETY: the state says that ours was the last hold.
            unsafe { free(cell) };
        }
    }
}

impl<T: Send + Sync + 'static> Drop for Promise<T> {
    fn drop(&mut self) {
        Self::of(self.cell).complete(Err(dropped()));
    }
}
