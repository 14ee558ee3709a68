//! Actors that compute. A strand is an actor's state, a mailbox and a flag: no thread, no channel. It is
//! in the pool's queue exactly while its mailbox has something and no thread is at it, so its calls run
//! one at a time, in order, and a strand without calls costs only its memory.
//!
//! The mailbox is a stack of calls that anybody pushes onto and the turn takes whole; `mail` points to
//! the newest, or says that there is none:
//!
//! | `mail`  | the strand                                                     |
//! |---------|----------------------------------------------------------------|
//! | IDLE    | is in no queue; whoever pushes the first call queues it        |
//! | BUSY    | is queued or has a turn, and nothing has come since            |
//! | a call  | is queued or has a turn, and this came since                   |
//!
//! A call whose arguments are missing is held back before it gets there: see `held_back.rs`.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::function::Call;
use crate::local::actors::{Identity, Living};
use crate::local::arguments::{Awaited, Refs, Then};
use crate::local::caller::Origin;
use crate::local::cell::{AnyRef, Header, Job, Promise, Ref};
use crate::local::current::{self, Task};
use crate::local::held_back::{HeldBack, Pass};
use crate::local::queue::{Entry, EntryHeader, EntryVtable};
use crate::local::sync::spin;
use crate::local::{Local, actors, cancelling, note, panics};
use crate::millis::Millis;
use crate::observe::{EventKind, Number};

/// How many calls one turn runs before other work gets its chance.
const CALLS_PER_TURN: usize = 64;

const IDLE: *mut Header = ptr::null_mut();
/// No header is at this address: headers are aligned to more than 1.
const BUSY: *mut Header = ptr::without_provenance_mut(1);

/// An actor that computes.
#[repr(C)]
pub(crate) struct Strand<A> {
    entry: EntryHeader,
    mail: AtomicPtr<Header>,
    /// Why the actor is to end, once somebody said so.
    end: OnceLock<Error>,
    turn: UnsafeCell<Turn<A>>,
    /// Complete once the actor has begun; None where that had to wait for nothing.
    birth: Option<AnyRef>,
    held_back: HeldBack<Entry>,
    /// Handles, and calls that are held back: when the last goes, so does the actor.
    handles: AtomicUsize,
    identity: Identity,
    local: Arc<Local>,
    call: Call,
    /// The actor's number in the stream of events.
    number: Number,
    batch: Batch,
}

/// What the turn last took out of the mailbox, for those who ask for a call's place. Only the turn writes
/// the first two, one plain store for each call.
#[derive(Default)]
struct Batch {
    /// How many calls. Each knows how many of them came after it: that is in its `next`, doubled.
    size: AtomicUsize,
    begun: AtomicUsize,
    /// Threads that walk the mailbox: the turn runs nothing of what it took meanwhile.
    watchers: AtomicUsize,
}

/// A counted handle of a strand.
pub(crate) struct StrandHandle<A: Send + 'static>(Arc<Strand<A>>);

impl<A: Send + 'static> StrandHandle<A> {
    pub(crate) fn strand(&self) -> &Arc<Strand<A>> {
        &self.0
    }
}

impl<A: Send + 'static> StrandHandle<A> {
    /// The actor's id, by which [`find`](Self::find) gives another handle as long as there is one.
    pub(crate) fn id(&self) -> Uuid {
        self.0.identity.findable(|| Arc::downgrade(&self.0))
    }

    pub(crate) fn find(id: Uuid) -> Option<Self> {
        actors::find(id, |actor: &Weak<Strand<A>>| {
            let actor = actor.upgrade()?;
            let add = |handles| (handles > 0).then_some(handles + 1);
            actor.handles.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
            Some(Self(actor))
        })
    }
}

impl<A: Send + 'static> Clone for StrandHandle<A> {
    fn clone(&self) -> Self {
        self.0.handles.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl<A: Send + 'static> Drop for StrandHandle<A> {
    fn drop(&mut self) {
        // AcqRel: the last handle's end comes after whatever others did through theirs.
        if self.0.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.end(None);
        }
    }
}

/// What belongs to whoever has the turn.
struct Turn<A> {
    state: State<A>,
    /// Calls taken out of the mailbox, in order.
    next: VecDeque<Entry>,
}

enum State<A> {
    /// Its constructor, and what tells that it has run.
    New(Box<dyn FnOnce() -> Result<A> + Send>, Promise<()>),
    Alive(A),
    Ended(Error),
}

// SAFETY: the turn, and so the actor's state, is touched by one thread at a time: whoever took `mail`
// from IDLE queued the strand, and only the turn's holder sets it back. Entries are `Send`.
unsafe impl<A: Send> Send for Strand<A> {}
// SAFETY: as above.
unsafe impl<A: Send> Sync for Strand<A> {}

impl<A: Send + 'static> Strand<A> {
    const VTABLE: EntryVtable =
        EntryVtable { execute: Self::execute, abandon: Self::abandon_entry };

    /// An actor that begins its life by `construct`, once `arguments` are complete.
    pub(crate) fn start(
        local: Arc<Local>,
        construct: impl FnOnce() -> Result<A> + Send + 'static,
        arguments: Refs,
        call: Call,
    ) -> StrandHandle<A> {
        let origin = Origin { place: current::next_place(&local), ..Origin::NONE };
        let (birth, promise) = Ref::<()>::birth(origin, call, 0);
        let birth = (!arguments.is_empty()).then(|| birth.into_any());
        let state = State::New(Box::new(construct), promise);
        let turn = Turn { state, next: VecDeque::new() };
        let strand = Arc::new(Self {
            entry: EntryHeader::new(&Self::VTABLE),
            mail: AtomicPtr::new(BUSY),
            end: OnceLock::new(),
            turn: UnsafeCell::new(turn),
            birth: birth.clone(),
            held_back: HeldBack::default(),
            handles: AtomicUsize::new(1),
            identity: Identity::default(),
            number: note::new_actor(&local, call),
            local,
            call,
            batch: Batch::default(),
        });
        strand.local.actors().add(strand.address(), Arc::downgrade(&strand) as Weak<dyn Living>);
        let first = Arc::clone(&strand);
        Awaited::when_ready(arguments, Then::Run(birth, Box::new(move || first.queue())));
        StrandHandle(strand)
    }

    fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self) as usize
    }

    /// Calls the actor: `body` runs with its state when its turn has come and `arguments` are complete.
    pub(crate) fn call<T: Send + Sync + 'static>(
        self: &Arc<Self>,
        body: impl FnOnce(&mut A) -> Result<T> + Send + 'static,
        arguments: Refs,
        call: Call,
    ) -> Ref<T> {
        let job = Method { strand: Arc::as_ptr(self), body };
        let (result, entry) =
            Ref::task(job, true, self.address(), current::origin(&self.local), call);
        note::submitted(&self.local, result.any(), self.number);
        let cell = result.any().unheld();
        match self.held_back.pass(entry, cell, arguments.is_empty()) {
            Pass::Go(entry) => {
                if self.post(entry) {
                    Arc::clone(self).queue();
                }
            }
            Pass::Held { .. } if arguments.is_empty() => {}
            Pass::Held { caller, number } => {
                // The handle keeps the actor alive until the call is in its mailbox.
                self.handles.fetch_add(1, Ordering::Relaxed);
                let handle = StrandHandle(Arc::clone(self));
                let release = move || handle.0.release(caller, number);
                let cell = Some(result.any().clone());
                Awaited::when_ready(arguments, Then::Run(cell, Box::new(release)));
            }
        }
        result
    }

    /// Ends the actor: at once, after the call that runs now, or (`None`) after all calls made so far.
    pub(crate) fn end(self: &Arc<Self>, at_once: Option<Error>) {
        if let Some(why) = at_once {
            let _ = self.end.set(Error::actor_died(self.call.function.name(), why));
        }
        let job = Last { strand: Arc::as_ptr(self) };
        let (_, entry) = Ref::<()>::task(job, true, self.address(), Origin::NONE, self.call);
        if self.post(entry) {
            Arc::clone(self).queue();
        }
    }

    /// Puts a call into the mailbox. True: the strand was idle, and the caller queues it.
    #[must_use]
    fn post(&self, entry: Entry) -> bool {
        let cell = entry.cast::<Header>();
        let mut newest = self.mail.load(Ordering::Relaxed);
        loop {
            let below = if newest == BUSY { IDLE } else { newest };
            // SAFETY: the entry keeps the cell alive, and is still ours.
            unsafe { cell.as_ref() }.next.store(below, Ordering::Relaxed);
            // Release: the turn sees the call. Acquire, where the strand was idle: we see what the
            // last turn did.
            match self.mail.compare_exchange_weak(
                newest,
                cell.as_ptr(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return newest == IDLE,
                Err(seen) => newest = seen,
            }
        }
    }

    fn queue(self: Arc<Self>) {
        let local = Arc::clone(&self.local);
        local.schedule(self.into_entry()).now();
    }

    fn into_entry(self: Arc<Self>) -> Entry {
        let pointer = NonNull::new(Arc::into_raw(self).cast_mut()).expect("an Arc is not null");
        // SAFETY: a strand begins with its entry header, and the entry holds our count.
        unsafe { Entry::from_pointer(pointer.cast()) }
    }

    /// # Safety
    /// The entry is one of a strand of this type, and used up by this.
    unsafe fn from_entry(entry: &Entry) -> Arc<Self> {
        // SAFETY: `into_entry` made it from an Arc.
        unsafe { Arc::from_raw(entry.cast::<Self>().as_ptr()) }
    }

    /// # Safety
    /// As for `from_entry`.
    unsafe fn execute(entry: Entry) {
        // SAFETY: by the caller's promise.
        let strand = unsafe { Self::from_entry(&entry) };
        // SAFETY: a strand in a queue has its turn with whoever takes it out.
        if unsafe { strand.take_turn(CALLS_PER_TURN) } {
            let local = Arc::clone(&strand.local);
            local.schedule_last(strand.into_entry()).now();
        }
    }

    /// # Safety
    /// As for `from_entry`.
    unsafe fn abandon_entry(entry: Entry, why: Error) -> bool {
        // SAFETY: by the caller's promise.
        let strand = unsafe { Self::from_entry(&entry) };
        let _ = strand.end.set(why);
        // SAFETY: as in `execute`.
        let left = unsafe { strand.take_turn(usize::MAX) };
        debug_assert!(!left, "a turn without bound leaves nothing");
        false
    }

    /// Runs up to `calls_max` calls. True: there are more, and the turn is still ours.
    ///
    /// # Safety
    /// The caller has the turn.
    unsafe fn take_turn(&self, calls_max: usize) -> bool {
        let pointer = self.turn.get();
        // SAFETY: the turn is ours. References into it end before a call runs, because the call makes
        // its own: see `Method`.
        unsafe { &mut *pointer }.begin(self);
        for _ in 0..calls_max {
            // SAFETY: as above.
            let turn = unsafe { &mut *pointer };
            turn.end_if_told(self);
            if turn.next.is_empty() && !self.take_mail(&mut turn.next) {
                return false;
            }
            let Some(entry) = turn.next.pop_front() else {
                return false;
            };
            let begun = self.batch.size.load(Ordering::Relaxed) - turn.next.len();
            self.batch.begun.store(begun, Ordering::Relaxed);
            match &turn.state {
                State::Ended(why) => drop(entry.abandon(why.clone())),
                _ => entry.execute(),
            }
        }
        true
    }

    /// Takes what is in the mailbox. False: there was nothing, and the turn is over.
    fn take_mail(&self, into: &mut VecDeque<Entry>) -> bool {
        // Release: who queues the strand next sees what this turn did.
        let idle =
            self.mail.compare_exchange(BUSY, IDLE, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if idle {
            return false;
        }
        // Acquire: see the calls. SeqCst, here and below: pairs with `ahead`, which counts itself among the
        // watchers and then looks at the mailbox. Either it finds nothing of this there, or we find it.
        let mut newest = self.mail.swap(BUSY, Ordering::SeqCst);
        let mut tries = 0;
        while self.batch.watchers.load(Ordering::SeqCst) > 0 {
            spin(&mut tries);
        }
        while let Some(cell) = NonNull::new(newest) {
            // SAFETY: what is in the mailbox is kept alive by its entry.
            let next = &unsafe { cell.as_ref() }.next;
            newest = next.load(Ordering::Relaxed);
            next.store(ptr::without_provenance_mut(2 * into.len()), Ordering::Relaxed);
            // SAFETY: `post` put the entry there, and we hand its hold on.
            into.push_front(unsafe { Entry::from_pointer(cell.cast()) });
        }
        self.batch.begun.store(0, Ordering::Relaxed);
        self.batch.size.store(into.len(), Ordering::Relaxed);
        true
    }

    /// How many calls are before this one that have not begun.
    fn ahead(&self, call: &AnyRef) -> Option<usize> {
        struct Leave<'a>(&'a AtomicUsize);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                // Release: the turn goes on after we have read what it then runs.
                self.0.fetch_sub(1, Ordering::Release);
            }
        }
        let Batch { size, begun, watchers } = &self.batch;
        let left = || size.load(Ordering::Relaxed).checked_sub(begun.load(Ordering::Relaxed));
        watchers.fetch_add(1, Ordering::SeqCst);
        let leave = Leave(watchers);
        let mut next = self.mail.load(Ordering::SeqCst);
        let mut older = None;
        while let Some(cell) = NonNull::new(next).filter(|_| next != BUSY) {
            older = match older {
                None => (cell.as_ptr() as usize == call.address()).then_some(0),
                Some(count) => Some(count + 1),
            };
            // SAFETY: what is in the mailbox when we look stays there, or with a turn that waits for us.
            next = unsafe { cell.as_ref() }.next.load(Ordering::Relaxed);
        }
        drop(leave);
        match older {
            Some(older) => Some(left()? + older),
            // Taken out: of those that were taken with it, less those that came after it.
            None => left()?.checked_sub(call.number_in_batch() + 1),
        }
    }

    /// Call `number` of `caller` has its arguments: posts all that now may go.
    fn release(self: &Arc<Self>, caller: usize, number: usize) {
        let mut idle = false;
        self.held_back.release(caller, number, |entry| idle |= self.post(entry));
        if idle {
            Arc::clone(self).queue();
        }
    }
}

impl<A> Drop for Strand<A> {
    fn drop(&mut self) {
        self.local.actors().remove(ptr::from_ref(self) as usize);
    }
}

impl<A: Send + 'static> Living for Strand<A> {
    fn end_at_once(self: Arc<Self>, why: Error) {
        self.end(Some(why));
    }

    fn call(&self) -> Call {
        self.call
    }

    fn missing_before(&self, call: usize) -> Option<Vec<AnyRef>> {
        self.held_back.missing_before(call)
    }

    fn birth(&self) -> Option<AnyRef> {
        self.birth.clone()
    }

    fn ahead(&self, call: &AnyRef) -> Option<usize> {
        Self::ahead(self, call)
    }
}

impl<A> Turn<A> {
    /// The first turn makes the actor.
    fn begin(&mut self, strand: &Strand<A>) {
        if !matches!(self.state, State::New(..)) || strand.end.get().is_some() {
            return;
        }
        let State::New(construct, promise) =
            std::mem::replace(&mut self.state, State::Ended(no_state()))
        else {
            return;
        };
        note::step(strand.number, EventKind::Started);
        let (call, actor) = (strand.call, ptr::from_ref(strand) as usize);
        let task = Task::new(promise.task(), call, Millis::ONE, actor);
        self.state = match current::in_task(task, construct) {
            Ok(actor) => {
                note::step(strand.number, EventKind::ActorStarted);
                State::Alive(actor)
            }
            Err(why) => {
                note::ended(strand.number, Some(why.kind()));
                note::step(strand.number, EventKind::ActorEnded);
                let name = strand.call.function.name();
                State::Ended(Error::actor_died(name, why.through(strand.call)))
            }
        };
        promise.complete(Ok(()));
    }

    fn end_if_told(&mut self, strand: &Strand<A>) {
        if let Some(why) = strand.end.get() {
            self.end(strand, why.clone());
        }
    }

    /// Ends the actor, if it lives, and drops its state.
    fn end(&mut self, strand: &Strand<A>, why: Error) {
        if !matches!(self.state, State::Ended(_)) {
            let state = std::mem::replace(&mut self.state, State::Ended(why));
            panics::drop_quietly(state);
            note::step(strand.number, EventKind::ActorEnded);
        }
    }
}

fn no_state() -> Error {
    Error::new(crate::error::ErrorKind::ActorDied, "the actor has not begun")
}

/// A method call: it runs in its strand's turn only, which is what makes the state its own.
struct Method<A, B> {
    strand: *const Strand<A>,
    body: B,
}

// SAFETY: the pointer is followed in the strand's turn only, which keeps the strand alive.
unsafe impl<A, B: Send> Send for Method<A, B> {}

impl<A, T, B> Job<T> for Method<A, B>
where
    A: Send + 'static,
    T: Send + Sync + 'static,
    B: FnOnce(&mut A) -> Result<T> + Send + 'static,
{
    fn run(self, promise: Promise<T>) {
        let call = promise.call();
        // SAFETY: we run in the strand's turn, which keeps it alive.
        let strand = unsafe { &*self.strand };
        let task = Task::new(promise.task(), call, Millis::ONE, self.strand as usize);
        // SAFETY: the turn is ours, and `take_turn` holds no reference into it meanwhile.
        let turn = unsafe { &mut *strand.turn.get() };
        let State::Alive(actor) = &mut turn.state else {
            unreachable!("calls run while the actor lives")
        };
        note::step(promise.number(), EventKind::Started);
        let mut panicked = true;
        let result = current::in_task(task, || {
            let result = (self.body)(actor);
            panicked = false;
            result
        });
        cancelling::note_end(&promise, &result, Some(&strand.local));
        let result = result.map_err(|error| error.through(call));
        if panicked && let Err(why) = &result {
            turn.end(strand, Error::actor_died(strand.call.function.name(), why.clone()));
        }
        promise.complete(result);
    }
}

/// The end of an actor whose last handle is gone: behind all calls, it drops the state.
struct Last<A> {
    strand: *const Strand<A>,
}

// SAFETY: as for `Method`.
unsafe impl<A> Send for Last<A> {}

impl<A: Send + 'static> Job<()> for Last<A> {
    fn run(self, promise: Promise<()>) {
        // SAFETY: we run in the strand's turn, which keeps it alive.
        let strand = unsafe { &*self.strand };
        // SAFETY: the turn is ours, and `take_turn` holds no reference into it meanwhile.
        let turn = unsafe { &mut *strand.turn.get() };
        turn.end(strand, no_state());
        promise.complete(Ok(()));
    }
}
