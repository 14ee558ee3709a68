//! What a thread is doing: which CPU it holds, which runtime its calls go to, which task it runs.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::Arc;

use crate::function::Call;
use crate::local::Local;
use crate::local::cell::{AnyRef, RunningTask};
use crate::local::pool::Cpu;
use crate::local::queue::Entry;
use crate::millis::Millis;

thread_local! {
    static CPU: Cell<Option<Box<Cpu>>> = const { Cell::new(None) };
    static ON_TOKIO: Cell<bool> = const { Cell::new(false) };
    static ENTERED: RefCell<Option<Arc<Local>>> = const { RefCell::new(None) };
    static SHARE: Cell<Option<Millis>> = const { Cell::new(None) };
    static TASK: Cell<*const Frame> = const { Cell::new(ptr::null()) };
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
}

/// Whether this thread is at work for the runtime at `home`.
pub(crate) fn is_in_task_of(home: usize) -> bool {
    let entered = with_entered(|local| local.is_some_and(|local| local.home() == home));
    with_cpu(|cpu| cpu.is_some_and(|cpu| cpu.is_of(home))) || (entered && task().is_some())
}

/// Takes the CPU that this thread holds.
pub(crate) fn take_cpu() -> Option<Box<Cpu>> {
    CPU.take()
}

/// Gives this thread a CPU, while it holds none.
pub(crate) fn set_cpu(cpu: Box<Cpu>) {
    let before = CPU.replace(Some(cpu));
    assert!(before.is_none(), "a thread can hold one CPU only");
}

/// The part of a CPU that this thread computes on, where it holds no whole one.
pub(crate) fn share() -> Option<Millis> {
    SHARE.get()
}

/// Changes the part; gives the one before.
pub(crate) fn set_share(part: Option<Millis>) -> Option<Millis> {
    SHARE.replace(part)
}

/// Lets `look` use this thread's CPU. It must not run anything of the program's.
pub(crate) fn with_cpu<R>(look: impl FnOnce(Option<&Cpu>) -> R) -> R {
    CPU.with(|slot| {
        let cpu = slot.take();
        let result = look(cpu.as_deref());
        slot.set(cpu);
        result
    })
}

/// Puts `entry` on the deque of this thread's CPU, if it holds one of the runtime at `home`.
pub(crate) fn push_to_cpu(home: usize, entry: Entry) -> Result<(), Entry> {
    // In a thread's last moments its locals are gone; then it holds no CPU either.
    let mut entry = Some(entry);
    let _ = CPU.try_with(|slot| {
        let cpu = slot.take();
        if let Some(cpu) = cpu.as_deref().filter(|cpu| cpu.is_of(home)) {
            cpu.push(entry.take().expect("pushed once"));
        }
        slot.set(cpu);
    });
    entry.map_or(Ok(()), Err)
}

/// Notes that this thread is one of a runtime's own tokio threads.
pub(super) fn mark_as_tokio() {
    ON_TOKIO.set(true);
}

/// Whether it is one, and polls an async task: then it may block, but has to tell tokio.
pub(crate) fn is_on_tokio() -> bool {
    ON_TOKIO.get() && task().is_some()
}

/// Makes `local` the runtime of this thread, until it ends.
pub(super) fn enter_for_ever(local: Arc<Local>) {
    ENTERED.set(Some(local));
}

/// Makes `local` the runtime of this thread, until the guard drops.
pub(crate) fn enter(local: Arc<Local>) -> Entered {
    Entered(ENTERED.replace(Some(local)), std::marker::PhantomData)
}

/// Gives the thread back to the runtime it had before.
pub(crate) struct Entered(Option<Arc<Local>>, std::marker::PhantomData<*const ()>);

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.0.take();
        drop(ENTERED.replace(before));
    }
}

/// Lets `look` see the runtime that this thread has entered.
pub(crate) fn with_entered<R>(look: impl FnOnce(Option<&Arc<Local>>) -> R) -> R {
    ENTERED.with_borrow(|entered| look(entered.as_ref()))
}

/// A task on this thread's stack, and the one it runs on top of.
struct Frame {
    task: Task,
    below: *const Frame,
}

/// The task that this thread runs.
pub(crate) fn task() -> Option<Task> {
    tasks().next()
}

/// The tasks on this thread's stack, the running one first.
fn tasks() -> impl Iterator<Item = Task> {
    let mut frame = TASK.try_with(Cell::get).unwrap_or(ptr::null());
    std::iter::from_fn(move || {
        // SAFETY: a frame is in the list only while it is on this thread's stack; see `in_task`.
        let Frame { task, below } = unsafe { frame.as_ref() }?;
        frame = *below;
        Some(*task)
    })
}

/// A task on this thread's stack that must end before `any` can: it is that task, or has the turn of
/// the actor whose call it is.
pub(crate) fn blocked_by(any: &AnyRef) -> Option<Task> {
    tasks().find(|task| task.running.address() == any.address() || any.is_of_actor(task.actor))
}

/// Runs `run` as `task`.
pub(crate) fn in_task<R>(task: Task, run: impl FnOnce() -> R) -> R {
    struct Restore(*const Frame);
    impl Drop for Restore {
        fn drop(&mut self) {
            TASK.set(self.0);
        }
    }
    let frame = Frame { task, below: TASK.get() };
    let _restore = Restore(TASK.replace(&raw const frame));
    run()
}

/// Who makes the calls that this thread makes now: an actor, a task, or the thread.
pub(crate) fn caller() -> usize {
    match task() {
        Some(Task { actor: 0, running, .. }) => running.address(),
        Some(Task { actor, .. }) => actor,
        // An address that no other thread's local and no cell has.
        None => TASK.with(|own| ptr::from_ref(own) as usize),
    }
}
