//! What a thread is doing: which CPU it holds, which runtime its calls go to, which task it runs.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::function::Call;
use crate::local::Local;
use crate::local::cell::RunningTask;
use crate::local::pool::Cpu;
use crate::local::queue::Entry;
use crate::millis::Millis;

thread_local! {
    static CPU: Cell<Option<Box<Cpu>>> = const { Cell::new(None) };
    static ENTERED: RefCell<Option<Arc<Local>>> = const { RefCell::new(None) };
    static SHARE: Cell<Option<Millis>> = const { Cell::new(None) };
    static TASK: Cell<Option<Task>> = const { Cell::new(None) };
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

/// The task that this thread runs.
pub(crate) fn task() -> Option<Task> {
    TASK.try_with(Cell::get).ok().flatten()
}

/// Runs `run` as `task`.
pub(crate) fn in_task<R>(task: Task, run: impl FnOnce() -> R) -> R {
    struct Restore(Option<Task>);
    impl Drop for Restore {
        fn drop(&mut self) {
            TASK.set(self.0);
        }
    }
    let _restore = Restore(TASK.replace(Some(task)));
    run()
}

/// Who makes the calls that this thread makes now: an actor, a task, or the thread.
pub(crate) fn caller() -> usize {
    match task() {
        Some(Task { actor: 0, running, .. }) => running.address(),
        Some(Task { actor, .. }) => actor,
        // An address that no other thread's local and no cell has.
        None => TASK.with(|own| std::ptr::from_ref(own) as usize),
    }
}
