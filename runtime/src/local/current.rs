//! What a thread is doing: which CPU it holds, which runtime its calls go to, which task it runs.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::error::Result;
use crate::function::Call;
use crate::local::caller::{Caller, Lent, Origin};
use crate::local::cell::RunningTask;
use crate::local::family::{Family, FamilyId};
use crate::local::job::TimeLimit;
#[cfg(feature = "rayon")]
use crate::local::parallel::crew;
use crate::local::place::Place;
use crate::local::pool::Cpu;
#[cfg(feature = "rayon")]
use crate::local::pool::Cpus;
use crate::local::queue::Entry;
use crate::local::{Local, budget, default, outsider, panics, runtimes, waits};
use crate::millis::Millis;
use crate::observe::Number;
use crate::random::Pool;

/// The words that every call reads. They have no destructors, so reading one is a plain load.
struct Here {
    /// The CPU that this thread holds, and owns.
    cpu: Cell<Option<NonNull<Cpu>>>,
    /// The runtime that it has entered; `ENTERED` keeps it alive.
    entered: Cell<*const Local>,
    /// How many visits there were that have numbers.
    visits: Cell<u64>,
    share: Cell<Option<Millis>>,
    frame: Cell<*const Frame>,
    on_tokio: Cell<bool>,
}

impl Here {
    /// Shows what this thread's CPU computes.
    #[inline]
    fn show(&self, frame: Option<&Frame>) {
        let task = frame.map(Frame::task);
        match self.cpu.get() {
            // SAFETY: as in `with_cpu`.
            Some(cpu) => unsafe { cpu.as_ref() }.shown().set(task),
            #[cfg(feature = "rayon")]
            None => crew::here().into_iter().for_each(|crew| crew.show(task)),
            #[cfg(not(feature = "rayon"))]
            None => {}
        }
    }
}

thread_local! {
    static HERE: Here = const {
        Here {
            cpu: Cell::new(None),
            entered: Cell::new(ptr::null()),
            visits: Cell::new(0),
            share: Cell::new(None),
            frame: Cell::new(ptr::null()),
            on_tokio: Cell::new(false),
        }
    };
    static ENTERED: KeepEntered = const { KeepEntered(RefCell::new(Vec::new())) };
}

/// The runtimes that this thread has entered and not left, the last one at the end. It owns what `Here::entered` points
/// to, which is that one.
struct KeepEntered(RefCell<Vec<Visit>>);

struct Visit {
    /// Gone when it was left before what came after it.
    local: Option<Arc<Local>>,
    /// Tells it from those that were in its place; 0: nobody asks.
    number: u64,
}

impl KeepEntered {
    /// Gives the place of the visit.
    fn enter(&self, local: Arc<Local>, number: u64) -> usize {
        let mut visits = self.0.borrow_mut();
        HERE.with(|here| here.entered.set(Arc::as_ptr(&local)));
        visits.push(Visit { local: Some(local), number });
        visits.len() - 1
    }

    /// Leaves the last one, if it is at this place or came after. What was left is the caller's to drop.
    fn leave_above(&self, place: usize) -> Option<Visit> {
        let mut visits = self.0.borrow_mut();
        let left = if visits.len() > place { visits.pop() } else { None };
        Self::show_last(&mut visits);
        left
    }

    /// Leaves the one of that number, wherever it is, if it is there still.
    fn leave(&self, number: u64) -> Option<Arc<Local>> {
        let mut visits = self.0.borrow_mut();
        // What came after it stays in its place.
        let left = visits.iter_mut().rfind(|visit| visit.number == number)?.local.take();
        Self::show_last(&mut visits);
        left
    }

    fn show_last(visits: &mut Vec<Visit>) {
        while visits.pop_if(|visit| visit.local.is_none()).is_some() {}
        let last = visits.last().and_then(|visit| visit.local.as_ref());
        HERE.with(|here| here.entered.set(last.map_or(ptr::null(), Arc::as_ptr)));
    }
}

impl Drop for KeepEntered {
    fn drop(&mut self) {
        HERE.with(|here| here.entered.set(ptr::null()));
    }
}

/// Lets `look` see a runtime by its address.
///
/// # Safety
/// The address is that of an `Arc`'s contents, which stays alive until `look` returns.
pub(super) unsafe fn with_local_at<R>(
    local: *const Local,
    look: impl FnOnce(&Arc<Local>) -> R,
) -> R {
    // SAFETY: by the caller's promise; what is not dropped counts nothing down.
    look(&ManuallyDrop::new(unsafe { Arc::from_raw(local) }))
}

/// The task that a thread runs at the moment.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    pub(crate) running: RunningTask,
    pub(crate) call: Call,
    /// How many CPUs it was granted.
    pub(crate) cpus: Millis,
    /// Which actor's method it is, by the actor's address; 0: none.
    pub(crate) actor: usize,
    /// Whether others of that actor may run beside it: then it has not the actor's turn.
    pub(crate) shared: bool,
    /// Which try this is, counted from 1.
    pub(crate) attempt: u32,
    pub(crate) limit: Option<TimeLimit>,
}

impl Task {
    /// A task that computes on one CPU, or waits and has none.
    #[inline]
    pub(crate) fn new(running: RunningTask, call: Call, cpus: Millis, actor: usize) -> Self {
        Self { running, call, cpus, actor, shared: false, attempt: 1, limit: None }
    }

    /// # Errors
    /// `TimeLimit`, if its time is over.
    pub(crate) fn check_time(&self) -> Result<()> {
        let exceeded = self.limit.filter(TimeLimit::is_over).map(|limit| limit.exceeded());
        exceeded.map_or(Ok(()), Err)
    }
}

/// Whether this thread is at work for the runtime at `home`.
pub(crate) fn is_in_task_of(home: usize) -> bool {
    let is_it = |visit: &Visit| visit.local.as_ref().is_some_and(|local| local.home() == home);
    let entered = ENTERED.with(|entered| entered.0.borrow().last().is_some_and(is_it));
    with_cpu(|cpu| cpu.is_some_and(|cpu| cpu.is_of(home))) || (entered && task().is_some())
}

/// Takes the CPU that this thread holds.
pub(crate) fn take_cpu() -> Option<Box<Cpu>> {
    let cpu = HERE.with(|here| here.cpu.take())?;
    // SAFETY: `set_cpu` put a box there, and we took it out.
    let cpu = unsafe { Box::from_raw(cpu.as_ptr()) };
    cpu.shown().set(None);
    budget::computes_with(0);
    Some(cpu)
}

/// Gives this thread a CPU, while it holds none, to go on with.
pub(crate) fn set_cpu_to_compute(cpu: Box<Cpu>) {
    set_cpu(cpu);
    budget::computes_with(1);
}

/// Gives this thread a CPU, while it holds none.
pub(crate) fn set_cpu(cpu: Box<Cpu>) {
    cpu.shown().set(task().as_ref());
    let before = HERE.with(|here| here.cpu.replace(Some(NonNull::from(Box::leak(cpu)))));
    assert!(before.is_none(), "a thread can hold one CPU only");
}

/// What a thread computes with, on its way to another thread.
#[cfg(feature = "rayon")]
pub(super) struct Held {
    cpu: Option<Box<Cpu>>,
    share: Option<Millis>,
}

#[cfg(feature = "rayon")]
impl Held {
    pub(super) fn into_cpus(self) -> Cpus {
        let further = self.cpu.as_ref().map(|cpu| cpu.take_further(cpu.further()));
        self.cpu.into_iter().chain(further.into_iter().flatten()).collect()
    }

    pub(super) fn of_cpus(cpus: Cpus) -> Self {
        let mut cpus = cpus.into_iter();
        let cpu = cpus.next();
        if let Some(cpu) = &cpu {
            cpus.for_each(|further| cpu.add_further(further));
        }
        Self { cpu, share: None }
    }
}

/// Takes what this thread computes with.
#[cfg(feature = "rayon")]
pub(super) fn take_held() -> Held {
    let share = share().and_then(|_| set_share(None));
    Held { cpu: take_cpu(), share }
}

/// Lets this thread compute with it.
#[cfg(feature = "rayon")]
pub(super) fn hold(held: Held) {
    if held.share.is_some() {
        set_share(held.share);
    }
    if let Some(cpu) = held.cpu {
        let further = cpu.further();
        set_cpu(cpu);
        budget::computes_with(1 + further);
    }
}

/// The part of a CPU that this thread computes on, where it holds no whole one.
pub(crate) fn share() -> Option<Millis> {
    HERE.with(|here| here.share.get())
}

/// Changes the part; gives the one before.
pub(crate) fn set_share(part: Option<Millis>) -> Option<Millis> {
    budget::computes_with(usize::from(part.is_some()));
    HERE.with(|here| here.share.replace(part))
}

/// Lets `look` use this thread's CPU. It must not run anything of the program's, nor lay the CPU down.
#[inline]
pub(crate) fn with_cpu<R>(look: impl FnOnce(Option<&Cpu>) -> R) -> R {
    let cpu = HERE.with(|here| here.cpu.get());
    // SAFETY: the thread owns the CPU until `take_cpu`, which `look` does not call.
    look(cpu.map(|cpu| unsafe { cpu.as_ref() }))
}

/// The index of the CPU that this thread computes on.
pub(crate) fn worker() -> Option<usize> {
    let own = with_cpu(|cpu| cpu.map(Cpu::index));
    #[cfg(feature = "rayon")]
    let own = own.or_else(|| crew::here()?.worker());
    own
}

/// The number, in the stream of events, of the task that this thread runs.
#[inline]
pub(crate) fn number() -> Number {
    let frame = HERE.with(|here| here.frame.get());
    // SAFETY: a frame is in the list only while it is on this thread's stack.
    let Some(frame) = (unsafe { frame.as_ref() }) else {
        return Number::NONE;
    };
    // SAFETY: the thread is running the task at this very moment.
    unsafe { frame.task().running.number() }
}

/// Puts `entry` on the deque of this thread's CPU, if it holds one of the runtime at `home`.
#[inline]
pub(crate) fn push_to_cpu(home: usize, entry: Entry) -> Result<(), Entry> {
    with_cpu(|cpu| match cpu {
        Some(cpu) if cpu.is_of(home) => {
            cpu.push(entry);
            Ok(())
        }
        _ => Err(entry),
    })
}

/// Notes that this thread is one of a runtime's own tokio threads.
pub(super) fn mark_as_tokio() {
    HERE.with(|here| here.on_tokio.set(true));
    budget::waits();
}

/// Whether it is one, and polls an async task: then it may block, but has to tell tokio.
pub(crate) fn is_on_tokio() -> bool {
    HERE.with(|here| here.on_tokio.get()) && task().is_some()
}

/// Makes `local` the runtime of this thread, until it ends.
pub(super) fn enter_for_ever(local: Arc<Local>) {
    ENTERED.with(|entered| entered.enter(local, 0));
}

/// Makes `local` the runtime of this thread, until the guard drops. Guards of this kind go in the reverse of their order.
pub(crate) fn enter(local: Arc<Local>) -> Entered {
    Entered(ENTERED.with(|entered| entered.enter(local, 0)), PhantomData)
}

/// Gives the thread back to the runtime it had before, whatever was entered meanwhile and not left.
pub(crate) struct Entered(usize, PhantomData<*const ()>);

impl Drop for Entered {
    fn drop(&mut self) {
        while let Some(left) = ENTERED.with(|entered| entered.leave_above(self.0)) {
            drop(left);
        }
    }
}

/// As `enter`, for guards that may go in any order.
pub(crate) fn visit(local: Arc<Local>) -> Visited {
    let number = HERE.with(|here| {
        here.visits.set(here.visits.get() + 1);
        here.visits.get()
    });
    ENTERED.with(|entered| entered.enter(local, number));
    Visited(number, PhantomData)
}

/// Takes its own runtime from the thread, and no other.
pub(crate) struct Visited(u64, PhantomData<*const ()>);

impl Drop for Visited {
    fn drop(&mut self) {
        // Where the thread ends, it has left all of them.
        drop(ENTERED.try_with(|entered| entered.leave(self.0)));
    }
}

/// Where the runtime is that this thread has entered; null: there is none. It is kept alive until the
/// thread leaves it.
#[inline]
pub(super) fn entered() -> *const Local {
    HERE.with(|here| here.entered.get())
}

/// A task on this thread's stack, and the one it runs on top of.
struct Frame {
    /// In its place for as long as the frame is.
    task: *const Task,
    own: Own,
    /// The item of a map that the task is at, by the map's place and the item's index.
    item: Cell<Option<(NonNull<Place>, u64)>>,
    /// The runtime that the thread's calls went to when the task began: only compared.
    local: *const Local,
    below: *const Frame,
    /// Whether it is known to `waits.rs`.
    known: Cell<bool>,
}

/// What a task has of its own while it runs.
#[derive(Default)]
pub(crate) struct Own {
    /// What it submits.
    family: Family,
    caller: Caller,
}

impl Frame {
    #[inline]
    fn new(task: &Task, own: Own) -> Self {
        let (local, item) = (default::known_address(), Cell::new(None));
        Self { task, own, item, local, below: ptr::null(), known: Cell::new(false) }
    }

    /// What the task submits belongs to.
    #[inline]
    fn family(&self) -> FamilyId {
        // SAFETY: the thread is running the task at this very moment.
        unsafe { self.task().running.family_of_children(&self.own.family) }
    }

    /// The place of the task's next call, which goes to this runtime.
    #[inline]
    fn next_place(&self, local: &Arc<Local>) -> Place {
        if self.item.get().is_some() || !ptr::eq(self.local, Arc::as_ptr(local)) {
            return self.place_of_a_call(local);
        }
        // SAFETY: the thread is running the task at this very moment.
        let place = unsafe { self.task().running.place() };
        self.own.caller.next_place(place, local.tree().root())
    }

    /// As `next_place`, where an item of a map calls, or the runtime may be another than the task's.
    #[cold]
    fn place_of_a_call(&self, local: &Arc<Local>) -> Place {
        let own = self.runtime().unwrap_or_else(|| Arc::clone(local));
        let root = own.tree().root();
        let next = self.own.caller.next_place(&self.place(root), root);
        if Arc::ptr_eq(&own, local) { next } else { Place::of_pool(next.pool(root)) }
    }

    /// Where the task, or the item that it is at, stands in the tree of calls with that root.
    fn place(&self, root: &Pool) -> Place {
        match self.item.get() {
            // SAFETY: the thread is running the task at this very moment.
            None => unsafe { self.task().running.place() }.clone(),
            // SAFETY: `in_item` keeps it in its place.
            Some((map, index)) => unsafe { map.as_ref() }.child(index, root),
        }
    }

    /// The runtime that the task is of.
    fn runtime(&self) -> Option<Arc<Local>> {
        let known = default::with_current_if_any(|local| {
            local.filter(|local| ptr::eq(self.local, Arc::as_ptr(local))).cloned()
        });
        known.or_else(|| {
            let Task { actor, running, .. } = *self.task();
            // SAFETY: the thread is running the task at this very moment.
            runtimes::of(if actor == 0 { unsafe { running.home() } } else { actor })
        })
    }

    #[inline]
    fn task(&self) -> &Task {
        // SAFETY: whoever makes a frame keeps the task at its place for as long: see `in_task`.
        unsafe { &*self.task }
    }
}

/// The task that this thread runs.
pub(crate) fn task() -> Option<Task> {
    tasks().next()
}

/// Lets `look` see the task that cannot end before this thread goes on: the one that it runs, or of whose crew it is.
pub(super) fn with_task_kept<R>(look: impl FnOnce(&Task) -> R) -> Option<R> {
    if let Some(task) = task() {
        return Some(look(&task));
    }
    #[cfg(feature = "rayon")]
    return crew::here()?.with_task(look);
    #[cfg(not(feature = "rayon"))]
    None
}

/// The tasks on this thread's stack, the running one first.
fn tasks() -> impl Iterator<Item = Task> {
    let mut frame = HERE.with(|here| here.frame.get());
    std::iter::from_fn(move || {
        // SAFETY: a frame is in the list only while it is on this thread's stack; see `in_task`.
        let here = unsafe { frame.as_ref() }?;
        frame = here.below;
        Some(*here.task())
    })
}

/// Tells of each task on this thread's stack that was not told of before.
pub(super) fn make_known(mut tell: impl FnMut(&Task)) {
    let mut frame = HERE.with(|here| here.frame.get());
    // SAFETY: a frame is in the list only while it is on this thread's stack; see `in_task`.
    while let Some(here) = unsafe { frame.as_ref() }
        && !here.known.replace(true)
    {
        tell(here.task());
        frame = here.below;
    }
}

/// Runs `run` as `task`; a panic becomes an error.
#[inline]
pub(crate) fn in_task<T>(task: Task, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut frame = Frame::new(&task, Own::default());
    enter_frame(&mut frame);
    let result = panics::catch(run);
    leave_frame(&frame);
    result
}

/// As `in_task`, for a task that runs in several pieces and keeps what is its own meanwhile.
pub(crate) fn in_task_with<T>(
    task: &Task,
    own: &mut Own,
    run: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let mut frame = Frame::new(task, std::mem::take(own));
    enter_frame(&mut frame);
    let result = panics::catch(run);
    leave_frame(&frame);
    *own = frame.own;
    result
}

/// Runs `run` as an item of a map that the task on this thread is at. It is a caller like a task: it counts
/// its own calls, and has its own stream.
pub(crate) fn in_item<T>(map: &Place, index: u64, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let frame = HERE.with(|here| here.frame.get());
    // SAFETY: a frame is in the list only while it is on this thread's stack.
    let Some(frame) = (unsafe { frame.as_ref() }) else {
        return panics::catch(run);
    };
    frame.own.caller.begin_again();
    frame.item.set(Some((NonNull::from(map), index)));
    let result = panics::catch(run);
    frame.item.set(None);
    result
}

/// What is called by this thread now, on that runtime, has from its caller.
#[inline]
pub(crate) fn origin(local: &Arc<Local>) -> Origin {
    let frame = HERE.with(|here| here.frame.get());
    // SAFETY: a frame is in the list only while it is on this thread's stack.
    match unsafe { frame.as_ref() } {
        Some(frame) => Origin { family: frame.family(), place: frame.next_place(local) },
        None => Origin { family: FamilyId::NONE, place: place_outside(local) },
    }
}

/// What is submitted by this thread now belongs to: the task that it runs.
#[inline]
pub(crate) fn family() -> FamilyId {
    let frame = HERE.with(|here| here.frame.get());
    // SAFETY: a frame is in the list only while it is on this thread's stack.
    unsafe { frame.as_ref() }.map_or(FamilyId::NONE, Frame::family)
}

/// The place in the tree of calls of what this thread calls next, on that runtime.
#[inline]
pub(crate) fn next_place(local: &Arc<Local>) -> Place {
    let frame = HERE.with(|here| here.frame.get());
    // SAFETY: a frame is in the list only while it is on this thread's stack.
    unsafe { frame.as_ref() }.map_or_else(|| place_outside(local), |frame| frame.next_place(local))
}

/// The same, where this thread runs no task.
fn place_outside(local: &Local) -> Place {
    outsider::with(local.tree(), |outsider| {
        outsider.caller.next_place(&outsider.place, local.tree().root())
    })
}

/// Lends the stream of random numbers of the task that this thread runs, or else the thread's own.
pub(crate) fn lend_stream() -> Lent {
    let frame = HERE.with(|here| here.frame.get());
    // SAFETY: a frame is in the list only while it is on this thread's stack.
    if let Some(frame) = unsafe { frame.as_ref() } {
        let local = frame.runtime().unwrap_or_else(default::current);
        let root = local.tree().root();
        return frame.own.caller.lend(&frame.place(root), root);
    }
    let local = default::current();
    outsider::with(local.tree(), |outsider| {
        outsider.caller.lend(&outsider.place, local.tree().root())
    })
}

#[inline]
fn enter_frame(frame: &mut Frame) {
    HERE.with(|here| {
        frame.below = here.frame.replace(&raw const *frame);
        here.show(Some(frame));
    });
}

#[inline]
fn leave_frame(frame: &Frame) {
    // SAFETY: the task is running until its promise is complete, which comes after this.
    frame.own.family.end_if(|| unsafe { frame.task().running.cancels_children() });
    HERE.with(|here| {
        here.frame.set(frame.below);
        // SAFETY: the frame below is on this thread's stack until its own end.
        here.show(unsafe { frame.below.as_ref() });
    });
    if frame.known.get() {
        waits::forget(frame.task());
    }
}

/// Who makes the calls that this thread makes now: an actor, a task, or the thread.
pub(crate) fn caller() -> usize {
    match task() {
        Some(Task { actor: 0, running, .. } | Task { shared: true, running, .. }) => {
            running.address()
        }
        Some(Task { actor, .. }) => actor,
        // An address that no other thread's local and no cell has.
        None => HERE.with(|here| ptr::from_ref(here) as usize),
    }
}
