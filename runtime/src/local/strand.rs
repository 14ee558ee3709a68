//! Actors that compute. A strand is an actor's state, a mailbox and a flag: no thread, no channel. It is
//! in the pool's queue while its mailbox has something and no thread is at it, so its calls run
//! one at a time, in order, and a strand without calls costs only its memory.
//!
//! The mailbox is a stack of calls that anybody pushes onto and the turn takes whole. One word points to the newest,
//! and says whether there is a turn and whose it is: see `mail.rs`.
//!
//! An offered turn of an actor that computes is taken by a thread of the pool, which finds the strand in its queue,
//! or by one that waits for a call of it. Where `&self` calls may run side by side, the turn goes on without them
//! (`readers.rs`).
//!
//! A call whose arguments are missing is held back before it gets there: see `held_back.rs`.
//!
//! What ends an actor beside its own calls is written down first, and then the strand is *nudged*: if it
//! was idle, it is queued as for a call. A turn that becomes idle looks once more for what was written down
//! before it did. So either the nudge finds the strand idle, or the turn finds the reason for the nudge.

use std::cell::UnsafeCell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock};

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::function::{Call, Hop};
use crate::local::actors::{Identity, Living, Reading, Watcher};
use crate::local::arguments::{Awaited, Refs, Then};
use crate::local::caller::Origin;
use crate::local::cell::{AnyRef, Elsewhere, Header, Job, Promise, Ref};
use crate::local::counted::{Counted, Weak};
use crate::local::held_back::{HeldBack, Pass};
use crate::local::life::{ActorEnd, Life, Terms};
use crate::local::names::{Claimed, Findable};
use crate::local::place::Place;
use crate::local::queue::{Entry, EntryHeader, EntryVtable};
use crate::local::room::Room;
use crate::local::{Local, actors, current, note};
use crate::millis::Millis;
use crate::observe::Number;

mod birth;
mod ending;
mod hosted;
mod lease;
mod line;
mod mail;
mod mailbox;
mod method;
mod readers;
mod turn;

use self::birth::Birth;
use self::ending::Watchers;
pub use self::hosted::{Body, Borrowing};
pub(crate) use self::hosted::{Call as HostedCall, HostedHandle, Waits};
use self::lease::Lease;
use self::mail::{Entered, Mail};
use self::mailbox::{Batch, Take};
pub(crate) use self::method::Access;
pub(crate) use self::method::{Method, MethodOnce};
pub(crate) use self::turn::Turn;

/// How many calls one turn runs before other work gets its chance.
const CALLS_PER_TURN: usize = 64;

/// At which end of a queue a strand is put.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// It comes soon.
    Front,
    /// It comes after what is there.
    Back,
}

/// How a thread leaves a turn.
pub(crate) enum Left {
    /// There is more to do, and the turn is still the caller's.
    More,
    /// There is nothing to do, or another has the turn.
    Nothing,
    /// It was the last turn, and the strand's hold on itself is the caller's to give up.
    Closed,
}

/// A job that calls strands of type `S`.
///
/// # Safety
/// It calls no others: by the job it is known what its cell's `home` points to.
pub(crate) unsafe trait CallOf<S> {}

/// A kind of actor: where it has its turns, and what is done in them. The type is what belongs to the turn.
pub(crate) trait Kind<A: Life>: Sized + 'static {
    /// What the turn shares with calls that go on without it.
    type Aside;
    /// Whether its calls begin and end in one order.
    const IN_ORDER: bool;
    /// Whether whoever posts the first call offers the turn to anybody.
    const OFFERS: bool;
    fn new(seed: A::Seed, terms: Option<&Terms>, place: Place) -> Self;
    fn aside(local: &Arc<Local>) -> Self::Aside;
    /// The constructor's call.
    fn birth(&mut self) -> &mut Birth;
    /// Puts a strand where its turn comes, which is the caller's to give.
    fn queue(strand: &Strand<A, Self>, side: Side);
    /// As `queue`, for whoever was told to by [`Strand::post`], which has given the turn where the kind `OFFERS`.
    fn queue_posted(strand: &Strand<A, Self>);
    /// Runs up to `calls_max` calls.
    ///
    /// # Safety
    /// The caller has the turn.
    unsafe fn take(strand: &Strand<A, Self>, calls_max: usize) -> Left;
    /// As [`Living::help`].
    fn help(_: &Strand<A, Self>, _: &AnyRef) {}
    /// As [`Living::reading`]; `all`: of the actor's life, which lasts until they all have ended.
    fn reading(_: &Strand<A, Self>, _all: bool) -> Option<Reading> {
        None
    }
    /// Whether a call that goes on without the turn has crashed the actor.
    fn has_crashed(_: &Strand<A, Self>) -> bool {
        false
    }
    /// The actor is to end, and its turn may be left to what takes long.
    fn hurry(_: &Strand<A, Self>) {}
    /// On which arbiter it has its turns.
    fn arbiter(_: &Self::Aside) -> Option<usize> {
        None
    }
}

/// An actor.
///
/// The order of the fields keeps apart what different threads write, as far as that needs no padding: first
/// what callers and the turn both write, and what callers only read; in between what is seldom written, about as much as
/// a line of cache holds; then the turn's own.
#[repr(C)]
pub(crate) struct Strand<A: Life, T: Kind<A> = Turn<A>> {
    entry: EntryHeader,
    mail: Mail<Header>,
    local: Arc<Local>,
    /// The actor's number in the stream of events.
    number: Number,
    /// What it was asked for at its start, if anything.
    asked: Option<Box<Asked>>,
    /// What few actors have.
    rare: OnceLock<Box<Rare>>,
    /// Handles, and calls that are held back: when the last goes, so does the actor.
    handles: AtomicUsize,
    /// How the actor is to end, once that is clear.
    end: OnceLock<Box<ActorEnd>>,
    call: Call,
    /// Whether it has ended.
    over: AtomicBool,
    batch: Batch,
    turn: UnsafeCell<T>,
    /// What the turn shares with calls that go on without it.
    aside: T::Aside,
}

/// What an actor has that was asked for something at its start.
struct Asked {
    terms: Terms,
    room: Option<Room>,
    /// How often it was made anew.
    restarts: AtomicU32,
    /// What it has for its life.
    lease: Option<Box<Lease>>,
}

/// The rarely needed part of a strand.
#[derive(Default)]
struct Rare {
    held_back: HeldBack<Entry>,
    identity: Identity,
    /// Complete once the actor has begun, where that has to wait for arguments or resources.
    birth: OnceLock<AnyRef>,
    /// Whether it does so, and was not queued yet.
    unqueued: AtomicBool,
    /// Whether it takes no more calls, and ends when those made so far are done.
    stopping: AtomicBool,
    /// Who is to be told how the actor ended.
    watchers: Mutex<Watchers>,
    /// Lets go of what the constructor waits for that is under way.
    constructor_waits: Mutex<Option<Watcher>>,
}

/// A counted handle of a strand.
pub(crate) struct StrandHandle<A: Life, T: Kind<A> = Turn<A>>(Counted<Strand<A, T>>);

impl<A: Life, T: Kind<A>> StrandHandle<A, T> {
    pub(crate) fn strand(&self) -> &Counted<Strand<A, T>> {
        &self.0
    }

    /// The actor's id, by which [`find`](Self::find) gives another handle as long as there is one.
    pub(crate) fn id(&self) -> Uuid {
        self.0.rare().identity.findable(|| Counted::downgrade(&self.0))
    }

    pub(crate) fn find(id: Uuid) -> Option<Self> {
        actors::find(id, |actor: &Weak<Strand<A, T>>| actor.upgrade()?.another_handle())
    }
}

impl<A: Life, T: Kind<A>> Clone for StrandHandle<A, T> {
    fn clone(&self) -> Self {
        self.0.handles.fetch_add(1, Ordering::Relaxed);
        Self(Counted::clone(&self.0))
    }
}

impl<A: Life, T: Kind<A>> Drop for StrandHandle<A, T> {
    fn drop(&mut self) {
        // The last handle's end comes after whatever others did through theirs; SeqCst: see `nudge`.
        if self.0.handles.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.nudge();
        }
    }
}

impl<A: Life, T: Kind<A>> Findable for Weak<Strand<A, T>> {
    type Handle = StrandHandle<A, T>;

    fn find(&self) -> Option<StrandHandle<A, T>> {
        self.upgrade()?.callable()
    }

    fn of_any_type(&self) -> Weak<dyn Living> {
        self.clone().of_any_type()
    }
}

// SAFETY: the turn, and so the actor's state, is touched by one thread at a time: see `mail.rs`. Readers share the
// state between threads only where the type was seen to be `Sync` (`api/actor/shareable.rs`). Entries are `Send`.
unsafe impl<A: Life, T: Kind<A>> Send for Strand<A, T> {}
// SAFETY: as above.
unsafe impl<A: Life, T: Kind<A>> Sync for Strand<A, T> {}

impl<A: Life, T: Kind<A>> Strand<A, T> {
    const VTABLE: EntryVtable =
        EntryVtable { execute: Self::execute, abandon: Self::abandon_entry, is_sent: false };

    /// An actor that will be made from `seed`, once `arguments` are complete.
    pub(crate) fn start(
        local: Arc<Local>,
        seed: A::Seed,
        terms: Option<Terms>,
        arguments: Refs,
        call: Call,
        place: impl FnOnce(&Arc<Local>) -> Place,
    ) -> Claimed<StrandHandle<A, T>> {
        let name = terms.as_ref().and_then(|terms| terms.name.clone());
        let names = Arc::clone(&local);
        let mut arguments = Some(arguments);
        let make = || {
            let place = place(&local);
            Self::unstarted(local, seed, terms, call, place)
        };
        let claimed = match name {
            None => Claimed::Started(make()),
            Some(name) => names.names().claim(&name, call, || {
                let handle = make();
                (Counted::downgrade(&handle.0), handle)
            }),
        };
        if let Claimed::Started(handle) = &claimed {
            Self::begin(&handle.0, arguments.take().unwrap_or_default());
        }
        claimed
    }

    /// An actor that has yet to begin, and is in no queue although it does not look idle.
    fn unstarted(
        local: Arc<Local>,
        seed: A::Seed,
        terms: Option<Terms>,
        call: Call,
        place: Place,
    ) -> StrandHandle<A, T> {
        let turn = T::new(seed, terms.as_ref(), place);
        let asked = terms.map(|terms| {
            let room = terms.max_pending_calls;
            let room = room.map(|places| Room::new(places, terms.block_when_full));
            let lease = Lease::of(&terms, &local);
            Box::new(Asked { terms, room, restarts: AtomicU32::new(0), lease })
        });
        StrandHandle(Counted::new(Self {
            entry: EntryHeader::new(&Self::VTABLE),
            mail: Mail::new(),
            handles: AtomicUsize::new(1),
            call,
            end: OnceLock::new(),
            over: AtomicBool::new(false),
            number: note::new_actor(&local, call),
            aside: T::aside(&local),
            local,
            asked,
            rare: OnceLock::new(),
            turn: UnsafeCell::new(turn),
            batch: Batch::default(),
        }))
    }

    /// Lets the actor begin when `arguments` are complete, and it has its resources. Called once, before anybody else
    /// has the strand.
    fn begin(this: &Counted<Self>, arguments: Refs) {
        let add =
            || this.local.actors().add(this.address(), Counted::downgrade(this).of_any_type());
        if arguments.is_empty() && this.lease().is_none() {
            add();
            return this.queue_the_first_time();
        }
        // SAFETY: nobody else knows the strand.
        let birth = unsafe { &mut *this.turn.get() }.birth();
        let birth = birth.announce(this.call, this.local.home());
        add();
        let _ = this.rare().birth.set(birth.clone());
        // Release: pairs with the swap in `queue_first`.
        this.rare().unqueued.store(true, Ordering::Release);
        if arguments.is_empty() {
            return this.take_resources();
        }
        let first = Counted::clone(this);
        let then = Then::Run(Some(birth), Box::new(move || first.take_resources()));
        Awaited::when_ready(arguments, then);
    }

    /// Queues a strand that waits for its arguments or resources, unless it was before. Only the first to do so has the
    /// turn to give.
    fn queue_first(&self) {
        let waits = self.rare.get().is_some_and(|rare| rare.unqueued.swap(false, Ordering::AcqRel));
        if waits {
            self.queue_the_first_time();
        }
    }

    /// Gives the strand its first turn, and, where entries rely on that, its hold on itself.
    fn queue_the_first_time(&self) {
        if T::OFFERS {
            std::mem::forget(self.to_counted());
        }
        self.queue();
    }

    /// Gives up the strand's hold on itself.
    ///
    /// # Safety
    /// It is the caller's to give up, and the strand is not used after this.
    unsafe fn let_go(this: *const Self) {
        // SAFETY: by the caller's promise; `queue_the_first_time` has counted it.
        unsafe { Counted::give_up(this) };
    }

    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// The address, by which `of_call` comes back to the strand.
    fn exposed(&self) -> usize {
        ptr::from_ref(self).expose_provenance()
    }

    /// The strand whose call it is.
    ///
    /// # Safety
    /// The promise is that of a job which is a [`CallOf`] strands of this type, and whoever runs it keeps the strand
    /// alive for as long as `'a`.
    unsafe fn of_call<'a, V: Send + Sync + 'static>(call: &Promise<V>) -> &'a Self {
        // SAFETY: `call_from` has given the call its strand's address, and by the caller's promise that is there.
        unsafe { &*ptr::with_exposed_provenance(call.home()) }
    }

    fn to_counted(&self) -> Counted<Self> {
        // SAFETY: strands are made by `unstarted`, and we have a borrow of this one.
        unsafe { Counted::of(self) }
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    fn name(&self) -> &'static str {
        self.call.function.name()
    }

    /// The runtime that it is of.
    pub(crate) fn local(&self) -> &Arc<Local> {
        &self.local
    }

    /// How many CPUs its calls are granted.
    fn cpus(&self) -> Millis {
        self.asked.as_ref().map_or(Millis::ONE, |asked| asked.terms.cpus)
    }

    /// How often a call is run again that crashed the actor.
    pub(crate) fn max_task_retries(&self) -> u32 {
        self.asked.as_ref().map_or(0, |asked| asked.terms.max_task_retries)
    }

    /// Whether it was asked to let several calls be under way at once.
    pub(crate) fn is_concurrent(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.terms.is_concurrent())
    }

    /// A handle, if the actor may still be called. None is made to be dropped: that may end the actor, and whoever looks
    /// for one by its name has the lock of all names.
    pub(crate) fn callable(&self) -> Option<StrandHandle<A, T>> {
        self.is_callable().then(|| self.another_handle())?
    }

    /// None: the last is gone.
    fn another_handle(&self) -> Option<StrandHandle<A, T>> {
        let add = |handles| (handles > 0).then_some(handles + 1);
        self.handles.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(StrandHandle(self.to_counted()))
    }

    /// Calls the actor: the job is run in the strand's turn, when that has come and `arguments` are complete.
    pub(crate) fn call<V: Send + Sync + 'static, J: Job<V> + CallOf<Self>>(
        &self,
        job: J,
        arguments: Refs,
        call: Call,
    ) -> Ref<V> {
        self.call_from(current::origin, None, job, arguments, call)
    }

    /// As `call`; `origin`: what the call has from its caller, which may be `elsewhere`.
    pub(crate) fn call_from<V: Send + Sync + 'static, J: Job<V> + CallOf<Self>>(
        &self,
        origin: impl FnOnce(&Arc<Local>) -> Origin,
        elsewhere: Option<Elsewhere>,
        job: J,
        arguments: Refs,
        call: Call,
    ) -> Ref<V> {
        if (self.asked.is_some() || self.rare.get().is_some())
            && let Err(error) = self.admit(call)
        {
            return self.refuse(error, call, elsewhere.as_ref().map(|elsewhere| &elsewhere.at));
        }
        // What is put back for another try is not ready: it waits for its entry.
        let ready = T::IN_ORDER && !A::AWAY && self.max_task_retries() == 0;
        let origin = origin(&self.local);
        let (result, entry) = Ref::task(job, ready, self.exposed(), origin, call);
        if let Some(elsewhere) = elsewhere {
            result.any().extra().note_elsewhere(elsewhere);
        }
        note::submitted(&self.local, result.any(), self.number);
        let passed = match self.rare.get() {
            None if arguments.is_empty() => Pass::Go(entry),
            _ => {
                let cell = result.any().unheld();
                self.rare().held_back.pass(entry, cell, arguments.is_empty())
            }
        };
        match passed {
            Pass::Go(entry) => {
                if self.post(entry) {
                    T::queue_posted(self);
                }
                // Others have their turn for as long as a call is under way.
                if A::AWAY && !T::IN_ORDER {
                    self.look_after();
                }
            }
            Pass::Held { .. } if arguments.is_empty() => {}
            Pass::Held { caller, number } => {
                // The handle keeps the actor alive until the call is in its mailbox.
                self.handles.fetch_add(1, Ordering::Relaxed);
                let handle = StrandHandle(self.to_counted());
                let release = move || handle.0.release(caller, number);
                let cell = Some(result.any().clone());
                Awaited::when_ready(arguments, Then::Run(cell, Box::new(release)));
            }
        }
        result
    }

    /// A call was posted: where the actor is to end, it fails soon, also while another is under way.
    fn look_after(&self) {
        // It pairs with the one of whoever leaves the turn to what is under way: so one of the two sees the other.
        fence(Ordering::SeqCst);
        if self.end.get().is_some() {
            T::hurry(self);
        }
    }

    /// Whether one more call may be made, which then has a place.
    fn admit(&self, call: Call) -> Result<()> {
        if self.rare.get().is_some_and(|rare| rare.stopping.load(Ordering::Relaxed)) {
            return Err(ActorEnd::Stopped.to_error(self.name()));
        }
        match self.room() {
            Some(room) => room.enter(self.address(), call),
            None => Ok(()),
        }
    }

    /// A call whose turn had come waits again.
    fn come_back(&self) {
        if let Some(room) = self.room() {
            room.come_back();
        }
    }

    fn room(&self) -> Option<&Room> {
        self.asked.as_ref()?.room.as_ref()
    }

    /// A call that fails before it begins; `stands_at`: where, in another process.
    pub(crate) fn refuse<V: Send + Sync + 'static>(
        &self,
        error: Error,
        call: Call,
        stands_at: Option<&Arc<str>>,
    ) -> Ref<V> {
        let refused = Ref::complete(Err(error.through(Hop::from(call).at(stands_at))), call);
        note::refused(&self.local, refused.any(), self.number);
        refused
    }

    /// It is made anew, as number `count`.
    fn count_restart(&self, count: u32) {
        if let Some(asked) = &self.asked {
            asked.restarts.store(count, Ordering::Relaxed);
        }
    }

    /// Lets the turn see what was written down just now: handles, `end`, `stopping`, what is held back.
    fn nudge(&self) {
        fence(Ordering::SeqCst);
        if self.mail.wake() {
            self.queue();
        }
    }

    /// Gives the turn, which is the caller's, to whoever comes to it.
    fn queue(&self) {
        T::queue(self, Side::Front);
    }

    /// What stands for the strand in a queue. Its hold on itself keeps it alive: see `mail.rs`.
    fn entry(&self) -> Entry {
        // SAFETY: a strand begins with its entry header, and there is one entry at a time.
        unsafe { Entry::from_pointer(NonNull::from(self).cast()) }
    }

    /// # Safety
    /// The entry is one of a strand of this type, and used up by this.
    unsafe fn execute(entry: Entry) {
        // SAFETY: where it is called, the turn is the caller's.
        let take = |strand: &Self| unsafe { T::take(strand, CALLS_PER_TURN) };
        // SAFETY: by the caller's promise.
        unsafe { Self::enter(entry.cast().as_ptr(), take) };
    }

    /// # Safety
    /// As for `execute`.
    unsafe fn abandon_entry(entry: Entry, _: Error) -> bool {
        let take = |strand: &Self| {
            // Without the turn it is not ours to end: whoever ends all actors would find it told, and not nudge it.
            let _ = strand.end.set(Box::new(ActorEnd::ShutDown));
            // SAFETY: where it is called, the turn is the caller's.
            unsafe { T::take(strand, usize::MAX) }
        };
        // SAFETY: by the caller's promise.
        unsafe { Self::enter(entry.cast().as_ptr(), take) };
        false
    }

    /// Has the turn that comes with an entry, if that is not stale, by `take`.
    ///
    /// # Safety
    /// The strand's entry was taken out of a queue, and is used up by this.
    unsafe fn enter(this: *const Self, take: impl FnOnce(&Self) -> Left) {
        // SAFETY: as long as there is an entry, or a turn, the strand holds itself.
        let strand = unsafe { &*this };
        let left = match strand.mail.take_by_entry() {
            Entered::Turn => take(strand),
            Entered::Stale => Left::Nothing,
            Entered::Closed => Left::Closed,
        };
        match left {
            Left::More => T::queue(strand, Side::Back),
            Left::Nothing => {}
            // SAFETY: the hold is ours to give up, and there is neither an entry nor a turn any more.
            Left::Closed => unsafe { Self::let_go(this) },
        }
    }
}

impl<A: Life, T: Kind<A>> Drop for Strand<A, T> {
    fn drop(&mut self) {
        self.local.actors().remove(ptr::from_ref(self) as usize);
    }
}

impl<A: Life, T: Kind<A>> Living for Strand<A, T> {
    fn end_at_once(&self, how: ActorEnd) {
        self.end(how);
    }

    fn is_callable(&self) -> bool {
        self.end.get().is_none()
            && self.handles.load(Ordering::Relaxed) > 0
            && !self.rare.get().is_some_and(|rare| rare.stopping.load(Ordering::Relaxed))
    }

    fn restarts(&self) -> u32 {
        self.asked.as_ref().map_or(0, |asked| asked.restarts.load(Ordering::Relaxed))
    }

    fn call(&self) -> Call {
        self.call
    }

    fn missing_before(&self, call: usize) -> Option<Vec<AnyRef>> {
        self.rare.get()?.held_back.missing_before(call)
    }

    fn birth(&self) -> Option<AnyRef> {
        self.rare.get()?.birth.get().cloned()
    }

    fn ahead(&self, call: &AnyRef) -> Option<usize> {
        T::IN_ORDER.then(|| Self::ahead(self, call))?
    }

    fn arbiter(&self) -> Option<usize> {
        T::arbiter(&self.aside)
    }

    fn reading(&self, cell: usize) -> Option<Reading> {
        T::reading(self, self.is_life(cell))
    }

    fn is_life(&self, cell: usize) -> bool {
        Self::is_life(self, cell)
    }

    fn begin_with_resources(&self) {
        self.queue_first();
    }

    fn help(&self, call: &AnyRef) {
        T::help(self, call);
    }

    fn look(&self) {
        self.nudge();
    }

    fn constructor_waits(&self, let_go: Watcher) {
        self.constructor_waits(let_go);
    }
}
