//! The pool: as many CPUs as were configured, threads that borrow them, and queues of what to run.
//!
//! A [`Cpu`] is a permit to compute together with a deque of work. A thread computes only while it
//! holds one, so at most `num_cpus` threads compute at any time, however many there are. A thread that
//! must wait gives its CPU back ([`block`]); another thread takes it and with it the work in its deque.
//! Threads are started when there is a CPU and work but no thread, and reused after that.
//!
//! `sleep.md` beside this file tells, and proves, how threads without work go to sleep and why no work
//! is forgotten.

#![expect(clippy::vec_box, reason = "a CPU goes from thread to thread as a pointer")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crossbeam_deque::Injector;

use crate::local::pool::deque::{Deque, Others, Seen};
use crate::local::pool::seat::Seat;
use crate::local::prioritized::Prioritized;
use crate::local::queue::Entry;
use crate::local::shown::Shown;
use crate::local::{Local, budget, current, parallel};

mod blocking;
mod closing;
mod deque;
mod seat;

pub(super) use blocking::lay_down;
pub(crate) use blocking::{Guest, Nap, block, with_a_cpu};
pub(crate) use closing::shut_down_before;

/// A thread looks at the injector first every so many turns, so that work from outside is not starved
/// by work that makes more work. A prime, so as not to beat with any period of the program's own.
const INJECTOR_EVERY: u32 = 61;
/// How many spare threads, beyond one for each CPU, stay for the next time that work blocks.
const SPARE_THREADS_MAX: usize = 16;
/// How many threads there may be beyond one for each CPU, where tasks wait for others. When so many
/// wait, the last that fell asleep works on top of its own task.
pub(crate) const EXTRA_THREADS_MAX: usize = 256;
/// How deep in the own deque `get` looks for the awaited task.
const DEQUE_SEARCH_MAX: usize = 8;
/// The stack that must be left for a task that runs on top of another, and the size of a new one.
const STACK_LEFT_BYTES: usize = 256 << 10;
const STACK_MORE_BYTES: usize = 4 << 20;

/// A permit to compute, with a deque of work. Whoever holds it computes; nobody else touches it.
pub(crate) struct Cpu {
    index: usize,
    /// Whose CPU it is.
    local: Weak<Local>,
    home: usize,
    deque: Deque,
    /// What it saw beneath the others' deques.
    seen: Seen,
    /// How often it looks at its own deque first before it looks at the injector.
    turns_left: Cell<u32>,
    shown: Arc<Shown>,
    /// CPUs that the same task holds besides.
    further: RefCell<Vec<Box<Cpu>>>,
}

impl Cpu {
    /// The runtime that it belongs to, unless that is gone.
    pub(crate) fn local(&self) -> Option<Arc<Local>> {
        self.local.upgrade()
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Whether it belongs to that runtime.
    pub(crate) fn is_of(&self, home: usize) -> bool {
        self.home == home
    }

    #[inline]
    pub(crate) fn push(&self, entry: Entry) {
        self.deque.push(entry);
    }

    /// How many CPUs the same task holds besides.
    pub(crate) fn further(&self) -> usize {
        self.further.borrow().len()
    }

    pub(crate) fn add_further(&self, cpu: Box<Self>) {
        self.further.borrow_mut().push(cpu);
    }

    pub(crate) fn take_further(&self, count: usize) -> Vec<Box<Self>> {
        let mut further = self.further.borrow_mut();
        let keep = further.len() - count;
        further.split_off(keep)
    }

    /// Removes `wanted` from the top of the deque, where a task's own children sit.
    pub(crate) fn pop_wanted(&self, wanted: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let mut above = [const { None }; DEQUE_SEARCH_MAX];
        let mut found = None;
        for place in &mut above {
            match self.deque.pop() {
                Some(entry) if wanted(&entry) => {
                    found = Some(entry);
                    break;
                }
                Some(entry) => *place = Some(entry),
                None => break,
            }
        }
        for entry in above.into_iter().rev().flatten() {
            self.deque.push(entry);
        }
        found
    }
}

/// Those that somebody computes with.
#[cfg(feature = "rayon")]
pub(super) type Cpus = Vec<Box<Cpu>>;

/// What all threads of one runtime share.
pub(crate) struct Pool {
    local: Weak<Local>,
    home: usize,
    injector: Injector<Entry>,
    /// The deque of each CPU, by its number.
    deques: Box<[Others]>,
    /// What each CPU computes.
    shown: Box<[Arc<Shown>]>,
    prioritized: Prioritized,
    counts: Counts,
    closed: AtomicBool,
    spin: Duration,
    desk: Mutex<Desk>,
    somebody_left: Condvar,
}

/// What changes whenever a thread begins or ends to look for work. It has cache lines of its own, since whoever makes a
/// call reads what lies around it.
#[derive(Default)]
#[repr(align(128))]
struct Counts {
    /// CPUs that nobody holds.
    idle: AtomicUsize,
    /// Threads that hold a CPU and look for work.
    searching: AtomicUsize,
    /// Threads whose wait is over and that want a CPU back.
    returning: AtomicUsize,
}

/// Who has what, for the moments when that changes.
struct Desk {
    idle: Vec<Box<Cpu>>,
    /// Threads that sleep without a CPU and without a task; the last to come is the first to go.
    spare: Vec<Arc<Seat>>,
    /// Threads that hold half a task and want a CPU to go on, in the order of their asking.
    returning: VecDeque<Arc<Seat>>,
    /// Threads that hold half a task and wait for something; the last to come is the last here.
    asleep: Vec<Arc<Seat>>,
    /// Worker threads that exist, and the most that ever did.
    threads: usize,
    threads_most: usize,
    /// Pieces of work that run elsewhere: on the driver's threads, on tokio, on arbiters.
    guests: usize,
    /// Tasks that were let go at the end.
    never_begun: usize,
}

impl Pool {
    pub(crate) fn new(num_cpus: usize, spin: Duration, local: &Weak<Local>) -> Self {
        // An odd number that no other runtime ever has; actors have even ones, their addresses.
        static HOMES: AtomicUsize = AtomicUsize::new(1);
        let home = HOMES.fetch_add(2, Ordering::Relaxed);
        let cpu = |index| Cpu {
            index,
            local: Weak::clone(local),
            home,
            deque: Deque::new(),
            seen: Seen::of(num_cpus),
            turns_left: Cell::new(INJECTOR_EVERY),
            shown: Arc::default(),
            further: RefCell::default(),
        };
        // The first CPU is the last in the list, and so the first to be taken.
        let idle: Vec<Box<Cpu>> = (0..num_cpus).rev().map(|index| Box::new(cpu(index))).collect();
        Self {
            local: Weak::clone(local),
            home,
            injector: Injector::new(),
            deques: idle.iter().rev().map(|cpu| cpu.deque.others()).collect(),
            shown: idle.iter().rev().map(|cpu| Arc::clone(&cpu.shown)).collect(),
            prioritized: Prioritized::default(),
            counts: Counts { idle: AtomicUsize::new(num_cpus), ..Counts::default() },
            closed: AtomicBool::new(false),
            spin,
            desk: Mutex::new(Desk {
                idle,
                spare: Vec::new(),
                returning: VecDeque::new(),
                asleep: Vec::new(),
                threads: 0,
                threads_most: 0,
                guests: 0,
                never_begun: 0,
            }),
            somebody_left: Condvar::new(),
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Nothing of the program's runs while the lock is held.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// What each CPU computes, by its number.
    pub(crate) fn shown(&self) -> &[Arc<Shown>] {
        &self.shown
    }

    /// What tells this runtime's tasks from another's.
    pub(crate) fn home(&self) -> usize {
        self.home
    }

    /// How many worker threads there are.
    pub(crate) fn threads(&self) -> usize {
        self.desk().threads
    }

    /// The most worker threads that there ever were.
    pub(crate) fn threads_most(&self) -> usize {
        self.desk().threads_most
    }

    /// Queues `entry`, on top of the deque of the CPU that this thread holds, else behind everything
    /// from outside, and sees to it that somebody will run it.
    pub(crate) fn push(&self, entry: Entry) {
        match current::push_to_cpu(self.home, entry) {
            Ok(()) => self.wake_if_idle(),
            Err(entry) => self.push_last(entry),
        }
    }

    /// Queues `entry` behind everything else.
    pub(crate) fn push_last(&self, entry: Entry) {
        self.injector.push(entry);
        self.pushed();
    }

    /// Queues `entry` before (`priority` above 0) or behind (below 0) whatever has none.
    pub(crate) fn push_prioritized(&self, entry: Entry, priority: i32) {
        self.prioritized.push(entry, priority);
        self.pushed();
    }

    fn pushed(&self) {
        self.wake_if_needed();
        if self.is_closed() {
            self.abandon_what_came_late();
        }
    }

    /// Wakes a thread, unless one is already looking for work or all CPUs are busy.
    fn wake_if_needed(&self) {
        // The fence pairs with the one in `retire`: either we see that the CPU is idle, or its last
        // holder sees our entry (sleep.md, 2).
        fence(Ordering::SeqCst);
        self.wake_if_idle();
    }

    /// As `wake_if_needed`, after a push that comes before what follows it in the one order of all threads.
    #[inline]
    fn wake_if_idle(&self) {
        if self.counts.searching.load(Ordering::SeqCst) == 0
            && self.counts.idle.load(Ordering::SeqCst) > 0
        {
            self.wake_one();
        }
    }

    /// Gives an idle CPU to a spare or a new thread, which begins by looking for work.
    #[cold]
    fn wake_one(&self) {
        if self
            .counts
            .searching
            .compare_exchange(0, 1, Ordering::SeqCst, Ordering::Relaxed)
            .is_err()
        {
            return;
        }
        let mut desk = self.desk();
        let Some(cpu) = self.take_idle(&mut desk) else {
            // Before the desk is free: whoever lays a CPU down after this sees that nobody searches.
            self.counts.searching.fetch_sub(1, Ordering::SeqCst);
            return;
        };
        let seat = match desk.spare.pop() {
            None if desk.threads >= self.deques.len() + EXTRA_THREADS_MAX => desk.asleep.pop(),
            spare => spare,
        };
        match seat {
            Some(seat) => {
                drop(desk);
                seat.hand(cpu);
            }
            None => {
                desk.threads += 1;
                desk.threads_most = desk.threads_most.max(desk.threads);
                drop(desk);
                self.start_thread(cpu);
            }
        }
    }

    fn take_idle(&self, desk: &mut Desk) -> Option<Box<Cpu>> {
        let cpu = desk.idle.pop()?;
        self.counts.idle.store(desk.idle.len(), Ordering::SeqCst);
        Some(cpu)
    }

    /// Gives `cpu` to the thread that has waited longest for one, else leaves it idle.
    fn give_back(&self, desk: &mut Desk, cpu: Box<Cpu>) {
        if let Some(seat) = desk.returning.pop_front() {
            self.counts.returning.store(desk.returning.len(), Ordering::SeqCst);
            seat.hand(cpu);
        } else {
            desk.idle.push(cpu);
            self.counts.idle.store(desk.idle.len(), Ordering::SeqCst);
        }
    }

    fn has_work(&self) -> bool {
        !self.injector.is_empty()
            || !self.prioritized.is_empty()
            || self.deques.iter().any(|deque| !deque.is_empty())
    }

    /// Whether this thread may go on after a turn, for nothing and nobody waits for its CPU, nor a task below on its stack
    /// for the end of this.
    pub(super) fn may_go_on(&self) -> bool {
        if self.has_work()
            || self.somebody_returns()
            || self.is_closed()
            || current::task().is_some()
        {
            return false;
        }
        current::with_cpu(|cpu| cpu.into_iter().for_each(|cpu| cpu.shown.tick()));
        true
    }

    /// Whether anybody waits for a CPU beside so many entries in the queues.
    pub(super) fn has_work_beside(&self, entries: usize) -> bool {
        let deques: usize = self.deques.iter().map(Others::len).sum();
        let queued = self.injector.len() + self.prioritized.len() + deques;
        queued > entries || self.counts.returning.load(Ordering::Relaxed) > 0
    }

    /// The next thing for `cpu` to run: its own newest, else the oldest from outside, else another's.
    fn find(&self, cpu: &Cpu) -> Option<Entry> {
        if self.prioritized.has_urgent()
            && let Some(entry) = self.prioritized.pop_urgent()
        {
            return Some(entry);
        }
        let turns_left = cpu.turns_left.get();
        if turns_left == 0 {
            cpu.turns_left.set(INJECTOR_EVERY);
            cpu.shown.tick();
            return self.injected(cpu).or_else(|| cpu.deque.pop()).or_else(|| self.stolen(cpu));
        }
        cpu.turns_left.set(turns_left - 1);
        cpu.deque.pop().or_else(|| self.find_elsewhere(cpu))
    }

    /// The next task for the process that this thread's CPU computes with, while that is busy still.
    pub(crate) fn next_to_send(&self) -> Option<Entry> {
        if self.is_closed() || self.prioritized.has_urgent() || self.somebody_returns() {
            return None;
        }
        current::with_cpu(|cpu| {
            let cpu = cpu.filter(|cpu| cpu.is_of(self.home))?;
            let entry = cpu.deque.pop().or_else(|| self.injected(cpu))?;
            if entry.is_sent() {
                return Some(entry);
            }
            // It is for whoever looks for work next.
            cpu.deque.push(entry);
            None
        })
    }

    fn find_elsewhere(&self, cpu: &Cpu) -> Option<Entry> {
        let equal = self.injected(cpu).or_else(|| self.stolen(cpu));
        equal.or_else(|| self.prioritized.pop_any())
    }

    fn injected(&self, cpu: &Cpu) -> Option<Entry> {
        self.share(cpu, cpu.deque.fill(&self.injector))
    }

    /// Passes on what was taken in a batch, of which the rest is now this CPU's: it was nobody's while it
    /// was on its way, so who looked for work just then may have missed it.
    fn share(&self, cpu: &Cpu, taken: Option<Entry>) -> Option<Entry> {
        if taken.is_some() && !cpu.deque.is_empty() {
            self.wake_if_needed();
        }
        taken
    }

    /// Looks at the others in turn, beginning with the next, so that thieves spread out.
    fn stolen(&self, cpu: &Cpu) -> Option<Entry> {
        let others = || {
            let indices = (cpu.index + 1..self.deques.len()).chain(0..cpu.index);
            indices.map(|index| (index, &self.deques[index]))
        };
        let stolen = others().find_map(|(_, other)| cpu.deque.steal(other));
        let stolen = stolen
            .or_else(|| others().find_map(|(index, other)| other.steal_settled(index, &cpu.seen)));
        self.share(cpu, stolen)
    }

    /// Runs `entry`, unless the pool has closed.
    pub(super) fn run(&self, entry: Entry) {
        if self.is_closed() {
            self.abandon(entry);
        } else {
            entry.execute();
        }
    }

    /// Starts a worker with a CPU in its hands.
    fn start_thread(&self, cpu: Box<Cpu>) {
        let local = self.local.upgrade().expect("whoever queues work keeps the runtime alive");
        let name = format!("mobula-{}", cpu.index);
        let handed = Arc::new(Mutex::new(Some(cpu)));
        let take = |slot: &Mutex<Option<Box<Cpu>>>| {
            slot.lock().unwrap_or_else(PoisonError::into_inner).take().expect("taken once")
        };
        let theirs = Arc::clone(&handed);
        let started = parallel::start(name, move || {
            current::enter_for_ever(Arc::clone(&local));
            local.pool().work(take(&theirs));
            local.pool().desk().threads -= 1;
            local.pool().tell_closer();
        });
        if let Err(error) = started {
            // The threads that there are will do the work, in their time.
            let mut desk = self.desk();
            desk.threads -= 1;
            let others = desk.threads;
            if let Some(seat) = desk.asleep.pop() {
                drop(desk);
                return seat.hand(take(&handed));
            }
            self.give_back(&mut desk, take(&handed));
            self.counts.searching.fetch_sub(1, Ordering::SeqCst);
            drop(desk);
            assert!(others > 0, "failed to start the first worker thread: {error}");
        }
    }

    /// One thread's life: wait for a CPU, run what there is, give it back.
    fn work(&self, first: Box<Cpu>) {
        let seat = Seat::here();
        IS_WORKER.set(true);
        let mut next = Some(first);
        while let Some(cpu) = next {
            current::set_cpu(cpu);
            let mut searching = true;
            while let Some(entry) = self.next_entry(&mut searching) {
                self.run(entry);
                if self.somebody_returns() {
                    break;
                }
            }
            next = self.retire(&seat, searching);
        }
    }

    /// The next entry for this thread's CPU, after looking for a while; None when there is none.
    fn next_entry(&self, searching: &mut bool) -> Option<Entry> {
        let found = current::with_cpu(|cpu| {
            let cpu = cpu.expect("a worker that looks for work holds a CPU");
            if let Some(entry) = self.find(cpu) {
                return Some(entry);
            }
            if self.is_closed() {
                return None;
            }
            if !*searching {
                self.counts.searching.fetch_add(1, Ordering::SeqCst);
                *searching = true;
            }
            budget::computes_with(0);
            let until = Instant::now() + self.spin;
            loop {
                for _ in 0..32 {
                    std::hint::spin_loop();
                }
                if self.has_work()
                    && let Some(entry) = self.find(cpu)
                {
                    return Some(entry);
                }
                if self.somebody_returns() || Instant::now() >= until {
                    return None;
                }
            }
        });
        if found.is_some() && *searching {
            *searching = false;
            budget::computes_with(1);
            current::with_cpu(|cpu| cpu.inspect(|cpu| cpu.shown.tick()).is_some());
            self.found_work();
        }
        found
    }

    /// A searcher has something to do, and searches no more.
    fn found_work(&self) {
        // The last one who looked found something: whoever pushed meanwhile relied on the look, so look
        // once more for more, and wake the next one if there is (sleep.md, 3).
        if self.counts.searching.fetch_sub(1, Ordering::SeqCst) == 1 {
            fence(Ordering::SeqCst);
            if self.has_work() {
                self.wake_if_needed();
            }
        }
    }

    /// Whether a thread with half a task waits for a CPU; it goes before new work.
    fn somebody_returns(&self) -> bool {
        self.counts.returning.load(Ordering::Relaxed) > 0
    }

    /// Lays this thread's CPU down and sleeps until the next; None: the thread is to end.
    fn retire(&self, seat: &Arc<Seat>, searching: bool) -> Option<Box<Cpu>> {
        let cpu = current::take_cpu().expect("a worker that retires holds a CPU");
        let mut desk = self.desk();
        self.give_back(&mut desk, cpu);
        if searching {
            self.counts.searching.fetch_sub(1, Ordering::SeqCst);
        }
        let enough = desk.spare.len() >= self.deques.len() + SPARE_THREADS_MAX;
        // The fence pairs with the one in `wake_if_needed` (sleep.md, 2).
        fence(Ordering::SeqCst);
        if !self.is_closed()
            && self.has_work()
            && self.counts.searching.load(Ordering::Relaxed) == 0
            && let Some(cpu) = self.take_idle(&mut desk)
        {
            self.counts.searching.fetch_add(1, Ordering::SeqCst);
            return Some(cpu);
        }
        if self.is_closed() {
            drop(desk);
            // Others may have relied on this thread's last look.
            self.abandon_queued();
            return None;
        }
        if enough {
            return None;
        }
        desk.spare.push(Arc::clone(seat));
        drop(desk);
        seat.wait()
    }

    /// Lays down a CPU outside of the worker's loop.
    fn lay_down(&self, cpu: Box<Cpu>) {
        self.give_back(&mut self.desk(), cpu);
        self.laid_down();
    }

    fn laid_down(&self) {
        fence(Ordering::SeqCst);
        if self.has_work() {
            self.wake_if_needed();
        }
        // `close` may be waiting to empty this CPU's deque.
        self.tell_closer();
    }

    /// Waits for a CPU for a thread that holds half a task.
    pub(crate) fn pick_up(&self) -> Box<Cpu> {
        self.pick_up_at(self.desk())
    }

    fn pick_up_at(&self, mut desk: MutexGuard<'_, Desk>) -> Box<Cpu> {
        if let Some(cpu) = self.take_idle(&mut desk) {
            return cpu;
        }
        let seat = Seat::here();
        desk.returning.push_back(Arc::clone(&seat));
        self.counts.returning.store(desk.returning.len(), Ordering::SeqCst);
        drop(desk);
        seat.wait().expect("a returning thread is never dismissed")
    }
}

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Whether what this thread runs comes from the pool's queues: it helps nobody who waits for one thing.
pub(crate) fn is_at_work() -> bool {
    IS_WORKER.get() && current::task().is_none()
}

/// Runs `run` with enough stack, however deep we are in tasks on top of tasks.
pub(crate) fn with_stack<R>(run: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(STACK_LEFT_BYTES, STACK_MORE_BYTES, run)
}
