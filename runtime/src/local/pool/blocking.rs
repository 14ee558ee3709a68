//! Threads that give their CPU away in the middle of a task, and threads that are not the pool's but
//! compute for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

#[cfg(feature = "rayon")]
use crate::local::parallel::crew;
use crate::local::pool::seat::Seat;
use crate::local::pool::{Cpu, Pool, with_stack};
use crate::local::{Local, current, default, grant, lending, note};

/// Work that runs on a thread that is not the pool's, and that `close` waits for.
pub(crate) struct Guest(Arc<Local>);

impl Guest {
    pub(crate) fn of(local: &Arc<Local>) -> Self {
        local.pool().desk().guests += 1;
        Self(Arc::clone(local))
    }

    pub(crate) fn local(&self) -> &Arc<Local> {
        &self.0
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let pool = self.0.pool();
        pool.desk().guests -= 1;
        pool.tell_closer();
    }
}

/// Lays down a CPU that this thread does not hold as its own.
pub(in crate::local) fn lay_down(cpu: Box<Cpu>) {
    let local = cpu.local.upgrade().expect("whoever holds a CPU keeps the runtime alive");
    local.pool().lay_down(cpu);
}

/// Lets `wait` sleep, by the nap it is given; meanwhile this thread's CPUs, or its part of one, or its crew's
/// CPUs, are others'.
pub(crate) fn block<R>(wait: impl FnOnce(&Nap<'_>) -> R) -> R {
    let _blocked = note::Blocked::here();
    let Some(cpu) = current::take_cpu() else {
        #[cfg(feature = "rayon")]
        if let Some(crew) = crew::here() {
            return crew.block(|| wait(&Nap(None)));
        }
        return match current::share() {
            Some(part) => lending::block(&default::current(), part, || wait(&Nap(None))),
            None => wait(&Nap(None)),
        };
    };
    let local = cpu.local.upgrade().expect("whoever holds a CPU keeps the runtime alive");
    let further = cpu.take_further(cpu.further());
    let asleep = Asleep { seat: Seat::here(), further: further.len(), local };
    let pool = asleep.local.pool();
    further.into_iter().for_each(|cpu| pool.lay_down(cpu));
    pool.fall_asleep(cpu, &asleep.seat);
    wait(&Nap(Some(&asleep)))
}

/// A thread that has laid its CPUs down in the middle of a task. They come back also when the wait panics:
/// the task goes on to unwind, and that computes.
struct Asleep {
    local: Arc<Local>,
    seat: Arc<Seat>,
    /// How many CPUs it had beside the one.
    further: usize,
}

impl Drop for Asleep {
    fn drop(&mut self) {
        current::set_cpu_to_compute(self.local.pool().wake_up(&self.seat));
        grant::collect(&self.local, self.further);
    }
}

/// How a thread sleeps in a wait. Where there must not be more threads, it may be handed a CPU, and runs
/// what there is to run on top of its own task.
pub(crate) struct Nap<'a>(Option<&'a Asleep>);

impl Nap<'_> {
    /// The CPU that this thread was handed in its sleep.
    pub(crate) fn handed_cpu(&self) -> Option<Box<Cpu>> {
        self.0?.seat.take()
    }

    /// Works with the CPU that it was handed, as long as the wait is not `over`.
    pub(crate) fn work(&self, cpu: Box<Cpu>, over: impl Fn() -> bool) {
        let Asleep { local, seat, .. } = self.0.expect("only sleepers are handed CPUs");
        local.pool().work_asleep(cpu, seat, over);
    }
}

impl Pool {
    /// Lays a CPU down in the middle of a task.
    fn fall_asleep(&self, cpu: Box<Cpu>, seat: &Arc<Seat>) {
        let mut desk = self.desk();
        desk.asleep.push(Arc::clone(seat));
        self.give_back(&mut desk, cpu);
        drop(desk);
        self.laid_down();
    }

    /// Gives the thread a CPU to go on with its task.
    fn wake_up(&self, seat: &Arc<Seat>) -> Box<Cpu> {
        let mut desk = self.desk();
        if let Some(place) = desk.asleep.iter().rposition(|other| Arc::ptr_eq(other, seat)) {
            desk.asleep.remove(place);
            return self.pick_up_at(desk);
        }
        drop(desk);
        // It was just handed one to look for work with. It has better to do now.
        let cpu = seat.wait().expect("a thread with half a task is never dismissed");
        self.found_work();
        cpu
    }

    /// Runs what there is to run, on top of the task that waits.
    fn work_asleep(&self, cpu: Box<Cpu>, seat: &Arc<Seat>, over: impl Fn() -> bool) {
        current::set_cpu(cpu);
        let mut searching = true;
        while !over()
            && let Some(entry) = self.next_entry(&mut searching)
        {
            with_stack(|| self.run(entry));
            if self.somebody_returns() {
                break;
            }
        }
        let cpu = current::take_cpu().expect("whoever blocks picks a CPU up again");
        let mut desk = self.desk();
        desk.asleep.push(Arc::clone(seat));
        self.give_back(&mut desk, cpu);
        if searching {
            self.counts.searching.fetch_sub(1, Ordering::SeqCst);
        }
        drop(desk);
        self.laid_down();
    }
}

/// Runs `run` while this thread holds a CPU of `local`: the one it has, or an idle one. None: there is
/// none to be had.
pub(crate) fn with_a_cpu<R>(local: &Arc<Local>, run: impl FnOnce() -> R) -> Option<R> {
    struct LayDown<'a>(&'a Pool);
    impl Drop for LayDown<'_> {
        fn drop(&mut self) {
            let cpu = current::take_cpu().expect("whoever blocks picks a CPU up again");
            let mut desk = self.0.desk();
            desk.guests -= 1;
            self.0.give_back(&mut desk, cpu);
            drop(desk);
            self.0.laid_down();
        }
    }
    let pool = local.pool();
    let home = local.home();
    match current::with_cpu(|cpu| cpu.map(|cpu| cpu.is_of(home))) {
        Some(true) => Some(run()),
        Some(false) => None,
        // A task on a part of a CPU would hold that besides while it runs, or waits inside: then one
        // that takes all CPUs could never have them. It gives its part back and sleeps instead.
        None if current::share().is_some() => None,
        // On a thread of the program's own rayon would have all of its threads.
        None if cfg!(feature = "rayon") => None,
        None => {
            let mut desk = (pool.counts.idle.load(Ordering::Relaxed) > 0).then(|| pool.desk())?;
            let cpu = pool.take_idle(&mut desk)?;
            desk.guests += 1;
            drop(desk);
            current::set_cpu_to_compute(cpu);
            let _lay_down = LayDown(pool);
            Some(run())
        }
    }
}
