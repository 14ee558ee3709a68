//! The threads of rayon that one task computes on.
//!
//! Any of them may wait for a call in the middle of a parallel iterator, while the others compute or have nothing
//! left to do, which nobody can tell. **A task that waits holds no CPU**: that keeps tasks from waiting for CPUs in a
//! circle. So the CPUs of such a task are no thread's but the crew's. The first thread that waits lays all of them down,
//! and the last one that ends its wait collects as many again, before it goes on. Whoever ends a wait sooner, or does not
//! wait, computes on without: the others' waits may be for what only it can do.
//!
//! No thread of a crew runs another task while it waits: what that asked of rayon would wait for threads that wait, or be
//! mixed with this task's.

use std::any::Any;
use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

use crate::local::current::{self, Held, Task};
use crate::local::pool::{self, Cpus};
use crate::local::{Local, budget, grant};

/// Where the threads of a pool find whose crew they are.
#[derive(Clone, Default)]
pub(super) struct Berth(Arc<Mutex<Option<Arc<Crew>>>>);

thread_local! {
    static BERTH: RefCell<Option<Berth>> = const { RefCell::new(None) };
}

impl Berth {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Crew>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This thread is of the pool, for good.
    pub(super) fn board(&self) {
        BERTH.set(Some(self.clone()));
    }
}

/// The crew that this thread is of.
pub(crate) fn here() -> Option<Arc<Crew>> {
    // A thread that ends is of none.
    let berth = |berth: &RefCell<Option<Berth>>| berth.borrow().as_ref()?.lock().clone();
    BERTH.try_with(berth).ok().flatten()
}

pub(crate) struct Crew {
    local: Arc<Local>,
    /// The thread that runs the task.
    leader: ThreadId,
    /// How many CPUs it has when none of it waits.
    count: usize,
    hold: Mutex<Hold>,
    /// How its threads ask the program whose worker this process is.
    asks: OnceLock<Arc<dyn Any + Send + Sync>>,
}

#[derive(Default)]
struct Hold {
    cpus: Cpus,
    /// Threads that wait, or collect the CPUs after that.
    waiting: usize,
    /// The task that has the crew: shown with its first CPU.
    task: Option<Task>,
    over: bool,
}

// SAFETY: what a `Task` leads to is there until its leader has taken it from here, which it does by the lock.
unsafe impl Send for Hold {}

impl Crew {
    /// Runs `run` on this thread, of a crew that has what was `held`, and gives that back.
    pub(super) fn run<R>(
        local: &Arc<Local>,
        berth: &Berth,
        held: Held,
        run: impl FnOnce() -> R,
    ) -> (R, Held) {
        let cpus = held.into_cpus();
        let count = cpus.len();
        let hold = Mutex::new(Hold { cpus, ..Hold::default() });
        let crew = Arc::new(Self {
            local: Arc::clone(local),
            leader: thread::current().id(),
            count,
            hold,
            asks: OnceLock::new(),
        });
        *berth.lock() = Some(Arc::clone(&crew));
        let result = if count > 0 { budget::with(count, run) } else { run() };
        *berth.lock() = None;
        (result, Held::of_cpus(crew.end()))
    }

    fn lock(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `wait` sleep, while others have the CPUs.
    pub(crate) fn block<R>(&self, wait: impl FnOnce() -> R) -> R {
        /// Also when the wait panics.
        struct GoOn<'a>(&'a Crew);
        impl Drop for GoOn<'_> {
            fn drop(&mut self) {
                self.0.go_on();
            }
        }
        let mut hold = self.lock();
        hold.waiting += 1;
        hold.show(None);
        let cpus = std::mem::take(&mut hold.cpus);
        drop(hold);
        cpus.into_iter().for_each(pool::lay_down);
        let _go_on = GoOn(self);
        // What the others ask of BLAS is not counted.
        if current::task().is_some() { budget::with(0, wait) } else { wait() }
    }

    fn go_on(&self) {
        let mut hold = self.lock();
        if hold.waiting > 1 || hold.over {
            hold.waiting -= 1;
            return;
        }
        drop(hold);
        let mut cpus = grant::gather(&self.local, self.count);
        let mut hold = self.lock();
        hold.waiting -= 1;
        // Else another began to wait meanwhile, or the task has ended and left this behind.
        if hold.waiting == 0 && !hold.over {
            std::mem::swap(&mut hold.cpus, &mut cpus);
            let task = hold.task;
            hold.show(task.as_ref());
        }
        drop(hold);
        cpus.into_iter().for_each(pool::lay_down);
    }

    /// The task ends, with its CPUs, whatever it left behind on the crew's threads.
    fn end(&self) -> Cpus {
        let mut hold = self.lock();
        hold.over = true;
        hold.show(None);
        let cpus = std::mem::take(&mut hold.cpus);
        drop(hold);
        if cpus.len() == self.count { cpus } else { grant::gather(&self.local, self.count) }
    }

    /// From now on its threads ask like that.
    pub(crate) fn set_asks(&self, asks: Arc<dyn Any + Send + Sync>) {
        let _ = self.asks.set(asks);
    }

    pub(crate) fn asks<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(self.asks.get()?).downcast().ok()
    }

    /// The number of the first of its CPUs.
    pub(crate) fn worker(&self) -> Option<usize> {
        self.lock().cpus.first().map(|cpu| cpu.index())
    }

    /// Lets `look` see the task that has the crew, which is there as long as that takes.
    pub(crate) fn with_task<R>(&self, look: impl FnOnce(&Task) -> R) -> Option<R> {
        self.lock().task.as_ref().map(look)
    }

    /// The leader's task from now on: shows that it is computed.
    pub(crate) fn show(&self, task: Option<&Task>) {
        if thread::current().id() != self.leader {
            return;
        }
        let mut hold = self.lock();
        hold.task = task.copied();
        hold.show(task);
    }
}

impl Hold {
    fn show(&self, task: Option<&Task>) {
        if let Some(cpu) = self.cpus.first() {
            cpu.shown().set(task);
        }
    }
}
