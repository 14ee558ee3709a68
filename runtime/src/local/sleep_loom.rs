//! The protocol of `sleep.md` under every order of steps that the memory model allows.
//!
//! This is a model, not the pool itself: the same words, changed by the same steps with the same
//! orderings, but a queue is a number, a CPU is a number, and a thread that was woken is only counted. A
//! run ends when all its threads have done their part. Then no entry may be left beside an idle CPU
//! unless somebody was woken for it, which is (A) of `sleep.md` with nobody under way.
//!
//! Every push has its fence here. What `sleep.md` says of the place beneath a deque rests on the one order of
//! sequentially consistent steps, which loom does not model.

use loom::sync::atomic::{AtomicUsize, Ordering, fence};
use loom::sync::{Arc, Mutex};
use loom::thread;

/// How often loom may take a thread off the CPU where it need not, with two threads and with more.
const PREEMPTIONS_MAX: usize = 4;
const PREEMPTIONS_OF_MANY_MAX: usize = 2;

/// What only the desk's lock holder changes.
struct Desk {
    idle: usize,
    /// Threads that were given a CPU and the count of a searcher, and have not done anything yet.
    woken: usize,
}

struct Model {
    desk: Mutex<Desk>,
    queue: AtomicUsize,
    idle: AtomicUsize,
    searching: AtomicUsize,
}

impl Model {
    /// As many CPUs, some of which threads hold already.
    fn new(cpus: usize, held: usize) -> Arc<Self> {
        Arc::new(Self {
            desk: Mutex::new(Desk { idle: cpus - held, woken: 0 }),
            queue: AtomicUsize::new(0),
            idle: AtomicUsize::new(cpus - held),
            searching: AtomicUsize::new(0),
        })
    }

    fn has_work(&self) -> bool {
        self.queue.load(Ordering::SeqCst) > 0
    }

    /// Takes an entry, if there is one.
    fn find(&self) -> bool {
        let take = |entries: usize| entries.checked_sub(1);
        self.queue.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }

    /// `Pool::push`.
    fn push(&self) {
        self.queue.fetch_add(1, Ordering::SeqCst);
        self.wake_if_needed();
    }

    fn wake_if_needed(&self) {
        fence(Ordering::SeqCst);
        if self.searching.load(Ordering::Relaxed) == 0 && self.idle.load(Ordering::Relaxed) > 0 {
            self.wake_one();
        }
    }

    fn wake_one(&self) {
        if self.searching.compare_exchange(0, 1, Ordering::SeqCst, Ordering::Relaxed).is_err() {
            return;
        }
        let mut desk = self.desk.lock().unwrap();
        if !self.take_idle(&mut desk) {
            self.searching.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        desk.woken += 1;
    }

    fn take_idle(&self, desk: &mut Desk) -> bool {
        if desk.idle == 0 {
            return false;
        }
        desk.idle -= 1;
        self.idle.store(desk.idle, Ordering::SeqCst);
        true
    }

    fn give_back(&self, desk: &mut Desk) {
        desk.idle += 1;
        self.idle.store(desk.idle, Ordering::SeqCst);
    }

    /// `Pool::work` of a thread that holds a CPU, until it sleeps: it looks once where the pool looks
    /// for a while, which only makes it sleep the sooner.
    fn work(&self, mut searching: bool) {
        loop {
            if self.next_entry(&mut searching) {
                continue;
            }
            let mut desk = self.desk.lock().unwrap();
            self.give_back(&mut desk);
            if searching {
                self.searching.fetch_sub(1, Ordering::SeqCst);
            }
            fence(Ordering::SeqCst);
            let again = self.has_work()
                && self.searching.load(Ordering::Relaxed) == 0
                && self.take_idle(&mut desk);
            if !again {
                return;
            }
            self.searching.fetch_add(1, Ordering::SeqCst);
            searching = true;
        }
    }

    /// `Pool::next_entry`.
    fn next_entry(&self, searching: &mut bool) -> bool {
        let mut found = self.find();
        if !found && !*searching {
            self.searching.fetch_add(1, Ordering::SeqCst);
            *searching = true;
            found = self.find();
        }
        if found && *searching {
            *searching = false;
            if self.searching.fetch_sub(1, Ordering::SeqCst) == 1 && self.has_work() {
                self.wake_if_needed();
            }
        }
        found
    }

    /// `Pool::lay_down`: of a task that waits, or of a driver that has helped.
    fn lay_down(&self) {
        self.give_back(&mut self.desk.lock().unwrap());
        fence(Ordering::SeqCst);
        if self.has_work() {
            self.wake_if_needed();
        }
    }

    /// `with_a_cpu`: a driver that helps with something that is in no queue.
    fn help(&self) {
        let taken = self.take_idle(&mut self.desk.lock().unwrap());
        if taken {
            self.lay_down();
        }
    }

    fn assert_nothing_forgotten(&self) {
        let desk = self.desk.lock().unwrap();
        let entries = self.queue.load(Ordering::SeqCst);
        assert!(
            entries == 0 || desk.idle == 0 || desk.woken > 0,
            "{entries} entries beside {} idle CPUs, and nobody was woken",
            desk.idle
        );
        assert_eq!(self.searching.load(Ordering::SeqCst), desk.woken, "counts without a thread");
        assert_eq!(self.idle.load(Ordering::SeqCst), desk.idle);
    }
}

fn race<const N: usize>(cpus: usize, held: usize, parts: [fn(&Model); N]) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(if N > 2 { PREEMPTIONS_OF_MANY_MAX } else { PREEMPTIONS_MAX });
    builder.check(move || {
        let model = Model::new(cpus, held);
        let threads = parts.map(|part| {
            let model = Arc::clone(&model);
            thread::spawn(move || part(&model))
        });
        for thread in threads {
            thread.join().unwrap();
        }
        model.assert_nothing_forgotten();
    });
}

#[test]
fn loom_a_push_against_a_worker_that_retires() {
    race(1, 1, [Model::push, |model| model.work(false)]);
}

#[test]
fn loom_two_pushes_against_a_worker_that_retires() {
    race(2, 1, [Model::push, Model::push, |model| model.work(false)]);
}

#[test]
fn loom_a_push_against_two_workers_that_retire() {
    race(2, 2, [Model::push, |model| model.work(false), |model| model.work(false)]);
}

#[test]
fn loom_a_push_against_a_driver_that_helps() {
    race(1, 0, [Model::push, Model::help]);
}

#[test]
fn loom_two_pushes_against_a_driver_that_helps() {
    race(1, 0, [Model::push, Model::push, Model::help]);
}

#[test]
fn loom_a_push_against_a_worker_that_blocks_and_a_driver() {
    race(2, 1, [Model::push, Model::lay_down, Model::help]);
}
