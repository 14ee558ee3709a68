//! The cell's word under every order of steps that the memory model allows.
//!
//! A [`Model`] is a cell as `cell.rs` and `waiters.rs` use it: the same steps on the same [`State`], with
//! loom's cells for what the word guards. Loom fails where two threads touch such a cell with nothing to
//! order them, and [`Memory`] where one is touched after its end, freed twice, or never. Each test is a
//! race that the rules S1 to S6 of `state.rs` are there to decide.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread::{self, Thread};

use crate::local::state::{Claim, Completed, State};

/// How often loom may take a thread off the CPU where it need not, with two threads and with more.
const PREEMPTIONS_MAX: usize = 4;
const PREEMPTIONS_OF_MANY_MAX: usize = 2;
/// What the task computes.
const VALUE: u32 = 7;
/// What lies in the value's place before.
const JOB: u32 = 0;

fn check(threads: usize, race: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound =
        Some(if threads > 2 { PREEMPTIONS_OF_MANY_MAX } else { PREEMPTIONS_MAX });
    builder.check(race);
}

/// Stands for the allocation: every use of the cell reads it, its end writes it.
struct Memory(UnsafeCell<bool>);

impl Memory {
    fn assert_alive(&self) {
        // SAFETY: loom checks that no end of the memory races with this.
        self.0.with(|freed| assert!(!unsafe { *freed }, "used after its end"));
    }

    fn free(&self) {
        self.0.with_mut(|freed| {
            // SAFETY: loom checks that nothing races with this.
            let freed = unsafe { &mut *freed };
            assert!(!std::mem::replace(freed, true), "freed twice");
        });
    }
}

/// A waiter's node: listed by its owner, told by the runner.
#[derive(Clone)]
struct Node {
    told: Arc<AtomicBool>,
    thread: Thread,
}

/// A cell, and what happened to it.
struct Model {
    state: State,
    memory: Memory,
    value: UnsafeCell<Option<u32>>,
    waiters: UnsafeCell<Vec<Node>>,
    runs: AtomicUsize,
    values_dropped: AtomicUsize,
}

impl Model {
    fn new(state: State) -> Arc<Self> {
        Arc::new(Self {
            state,
            memory: Memory(UnsafeCell::new(false)),
            value: UnsafeCell::new(Some(JOB)),
            waiters: UnsafeCell::new(Vec::new()),
            runs: AtomicUsize::new(0),
            values_dropped: AtomicUsize::new(0),
        })
    }

    /// `cell::free`.
    fn free(&self) {
        self.drop_value();
        self.memory.free();
    }

    fn drop_value(&self) {
        // SAFETY: by S2 the value is the caller's; loom checks that.
        let value = self.value.with_mut(|value| unsafe { &mut *value }.take());
        assert_ne!(value, Some(JOB), "a job was dropped as a value");
        if value.is_some() {
            self.values_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// `Cell::run` and `Promise::complete`.
    fn run(&self) {
        assert_eq!(self.runs.fetch_add(1, Ordering::Relaxed), 0, "run twice");
        self.memory.assert_alive();
        // SAFETY: by S1 the value is the runner's; loom checks that.
        let before = self.value.with_mut(|value| unsafe { &mut *value }.replace(VALUE));
        assert_eq!(before, Some(JOB));
        let free = match self.state.finish(false) {
            Completed::Done => false,
            Completed::Free => true,
            Completed::TellWaiters => {
                self.tell_all();
                self.state.release_runner()
            }
        };
        if free {
            self.free();
        }
    }

    /// `WaiterList::tell_all`.
    fn tell_all(&self) {
        loop {
            self.memory.assert_alive();
            self.state.lock();
            // SAFETY: by S3 the list is the lock holder's; loom checks that.
            let (node, more) = self.waiters.with_mut(|list| {
                let list = unsafe { &mut *list };
                (list.pop(), !list.is_empty())
            });
            self.state.unlock(more);
            match node {
                Some(Node { told, thread }) => {
                    told.store(true, Ordering::Release);
                    thread.unpark();
                }
                None => return,
            }
        }
    }

    /// `Cell::execute`: the holder of the entry.
    fn execute(&self) {
        self.memory.assert_alive();
        match self.state.claim_by_entry() {
            Claim::Won => self.run(),
            Claim::LostAndFree => self.free(),
            Claim::Lost => {}
        }
    }

    /// `AnyRef::run_if_unstarted` and, with `unready`, `abandon_if_unstarted`: the holder of a ref.
    fn help(&self, unready: bool) {
        self.memory.assert_alive();
        if self.state.claim_by_ref(unready) {
            self.run();
        }
    }

    /// `AnyRef::drop`.
    fn drop_ref(&self) {
        self.memory.assert_alive();
        match self.state.release_ref() {
            Ok(false) => {}
            Ok(true) => self.free(),
            Err(_) => {
                self.drop_value();
                if self.state.release_last_ref() {
                    self.free();
                }
            }
        }
    }

    /// `AnyRef::add_waiter`.
    fn add_waiter(&self, node: &Node) -> bool {
        self.memory.assert_alive();
        let wait = !self.state.lock().is_complete();
        // SAFETY: by S3 the list is the lock holder's; loom checks that.
        let any = self.waiters.with_mut(|list| {
            let list = unsafe { &mut *list };
            if wait {
                list.push(node.clone());
            }
            !list.is_empty()
        });
        self.state.unlock(any);
        wait
    }

    /// A `get`: waits, and then looks at the value of a complete cell under its lock.
    fn wait_and_read(&self) {
        let node = Node { told: Arc::new(AtomicBool::new(false)), thread: thread::current() };
        if self.add_waiter(&node) {
            while !node.told.load(Ordering::Acquire) {
                thread::park();
            }
        }
        assert!(self.state.load().is_complete());
        self.read();
    }

    fn read(&self) {
        self.memory.assert_alive();
        assert!(self.state.lock().is_complete());
        // SAFETY: by S2 the value is the lock holder's; loom checks that.
        let value = self.value.with_mut(|value| unsafe { *value });
        self.state.unlock(false);
        assert_eq!(value, Some(VALUE));
    }

    /// `Ref::take_if_sole`, else a look; and then the ref goes.
    fn take_or_read(&self) {
        self.memory.assert_alive();
        if self.state.load().is_sole_and_complete() {
            // SAFETY: by S2 the value is the only ref's; loom checks that.
            let value = self.value.with_mut(|value| unsafe { &mut *value }.take());
            assert_eq!(value, Some(VALUE));
            self.values_dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            self.read();
        }
        self.drop_ref();
    }

    /// `ids::find`, with whether the cell is in the registry.
    fn find(&self, registry: &Mutex<bool>) -> bool {
        let here = registry.lock().unwrap();
        *here && self.state.try_add_ref()
    }

    fn assert_ended(&self) {
        self.memory.0.with(|freed| {
            // SAFETY: all other threads were joined.
            assert!(unsafe { *freed }, "never freed");
        });
        assert_eq!(self.runs.load(Ordering::Relaxed), 1, "never run");
        assert_eq!(
            self.values_dropped.load(Ordering::Relaxed),
            1,
            "the value was not dropped once"
        );
    }
}

/// Runs `others` beside `here`, and then looks at what is left.
fn race<const N: usize>(cell: &Arc<Model>, others: [fn(&Model); N], here: fn(&Model)) {
    let threads = others.map(|other| {
        let cell = Arc::clone(cell);
        thread::spawn(move || other(&cell))
    });
    here(cell);
    for thread in threads {
        thread.join().unwrap();
    }
    cell.assert_ended();
}

#[test]
fn loom_entry_against_help_against_the_end_of_the_refs() {
    check(3, || {
        let cell = Model::new(State::task(true));
        cell.state.add_ref();
        let help = |cell: &Model| {
            cell.help(false);
            cell.drop_ref();
        };
        race(&cell, [Model::execute, help], Model::drop_ref);
    });
}

#[test]
fn loom_finish_against_waiters() {
    check(2, || {
        let cell = Model::new(State::task(true));
        let wait = |cell: &Model| {
            cell.wait_and_read();
            cell.drop_ref();
        };
        race(&cell, [Model::execute], wait);
    });
}

#[test]
fn loom_stale_entry_against_the_last_ref() {
    check(2, || {
        let cell = Model::new(State::task(true));
        cell.help(false);
        race(&cell, [Model::execute], Model::take_or_read);
    });
}

#[test]
fn loom_help_that_completes_against_a_stale_entry() {
    check(2, || {
        let cell = Model::new(State::task(true));
        let help = |cell: &Model| {
            cell.help(false);
            cell.wait_and_read();
            cell.drop_ref();
        };
        race(&cell, [Model::execute], help);
    });
}

#[test]
fn loom_cancelling_against_the_arrival_of_the_arguments() {
    check(2, || {
        let cell = Model::new(State::task(false));
        let arrive = |cell: &Model| {
            cell.state.arrive(true);
            cell.execute();
        };
        let cancel = |cell: &Model| {
            cell.state.request_cancel(true);
            cell.help(true);
            cell.drop_ref();
        };
        race(&cell, [arrive], cancel);
    });
}

#[test]
fn loom_another_try_against_cancelling() {
    check(2, || {
        let cell = Model::new(State::task(false));
        // `retries::conclude`, after a try that failed.
        let tries = |cell: &Model| match cell.state.claim_by_entry() {
            Claim::Won if cell.state.put_back() => cell.execute(),
            Claim::Won => cell.run(),
            Claim::LostAndFree => cell.free(),
            Claim::Lost => {}
        };
        let cancel = |cell: &Model| {
            cell.state.request_cancel(true);
            cell.help(true);
            cell.drop_ref();
        };
        race(&cell, [tries], cancel);
    });
}

#[test]
fn loom_reading_the_record_of_the_arguments_against_its_end() {
    check(2, || {
        let cell = Model::new(State::task(false));
        let record = Arc::new(Memory(UnsafeCell::new(false)));
        let arriver = {
            let (cell, record) = (Arc::clone(&cell), Arc::clone(&record));
            thread::spawn(move || {
                cell.state.arrive(true);
                record.free();
                cell.execute();
            })
        };
        // `Header::missing`.
        cell.memory.assert_alive();
        if !cell.state.lock().has_arrived() {
            record.assert_alive();
        }
        cell.state.unlock(false);
        cell.drop_ref();
        arriver.join().unwrap();
        cell.assert_ended();
    });
}

#[test]
fn loom_refs_that_take_or_read_the_value() {
    check(2, || {
        let cell = Model::new(State::promise());
        cell.state.add_ref();
        cell.run();
        race(&cell, [Model::take_or_read], Model::take_or_read);
    });
}

#[test]
fn loom_finding_by_id_against_the_last_ref() {
    check(2, || {
        let cell = Model::new(State::promise());
        cell.state.set_findable();
        cell.run();
        // The registry of `ids.rs`: an entry's lock guards whether the cell can be found.
        let registry = Arc::new(Mutex::new(true));
        let drop_ref = |cell: &Model, registry: &Mutex<bool>| {
            cell.memory.assert_alive();
            if cell.state.release_ref().expect("what can be found is never sole") {
                *registry.lock().unwrap() = false;
                cell.free();
            }
        };
        let finder = {
            let (cell, registry) = (Arc::clone(&cell), Arc::clone(&registry));
            thread::spawn(move || {
                if cell.find(&registry) {
                    cell.read();
                    drop_ref(&cell, &registry);
                }
            })
        };
        drop_ref(&cell, &registry);
        finder.join().unwrap();
        cell.assert_ended();
    });
}

#[test]
fn loom_finding_by_id_against_who_takes_the_value() {
    check(2, || {
        let cell = Model::new(State::promise());
        cell.state.set_findable();
        cell.run();
        let registry = Arc::new(Mutex::new(true));
        let finder = {
            let (cell, registry) = (Arc::clone(&cell), Arc::clone(&registry));
            thread::spawn(move || {
                if cell.find(&registry) {
                    cell.read();
                    assert!(!cell.state.release_any_ref(), "the other one is never last to go");
                }
            })
        };
        // `ids::hide_if_sole`.
        let hide = || {
            let mut here = registry.lock().unwrap();
            let sole = cell.state.load().is_sole_but_findable();
            if sole {
                cell.state.clear_findable();
                *here = false;
            }
            sole
        };
        while !hide() {
            thread::yield_now();
        }
        cell.take_or_read();
        finder.join().unwrap();
        cell.assert_ended();
    });
}

/// The line of one object in the books of its store; `store/books.rs`.
struct Line {
    listed: bool,
    busy: bool,
}

struct Books {
    line: Mutex<Line>,
    changed: Condvar,
}

impl Books {
    /// `Header::strike_if_sole`. False: the object is not the asker's alone.
    fn strike_if_sole(&self, cell: &Model) -> bool {
        let mut line = self.line.lock().unwrap();
        while line.busy && cell.state.load().refs() == 2 {
            line = self.changed.wait(line).unwrap();
        }
        let sole = !line.busy && cell.state.load().is_sole_but_stored();
        if sole {
            line.listed = false;
            cell.state.clear_stored();
        }
        sole
    }

    /// `AnyRef::drop`, of a cell that is stored.
    fn drop_ref(&self, cell: &Model) {
        cell.memory.assert_alive();
        match cell.state.release_ref() {
            Ok(false) => {}
            Ok(true) => self.free(cell),
            Err(last) if last.is_stored() && !self.strike_if_sole(cell) => {
                if cell.state.release_any_ref() {
                    self.free(cell);
                }
            }
            Err(_) => {
                cell.drop_value();
                if cell.state.release_last_ref() {
                    cell.free();
                }
            }
        }
    }

    fn free(&self, cell: &Model) {
        self.line.lock().unwrap().listed = false;
        cell.free();
    }

    /// The writer: a hold, a look at the value under the cell's lock, and the end of both.
    fn write(&self, cell: &Model) {
        let mut line = self.line.lock().unwrap();
        if !line.listed || !cell.state.load().is_complete() || !cell.state.try_add_ref() {
            return;
        }
        line.busy = true;
        drop(line);
        cell.read();
        let mut line = self.line.lock().unwrap();
        line.busy = false;
        let several = cell.state.release_ref_of_several();
        drop(line);
        self.changed.notify_all();
        if !several {
            self.drop_ref(cell);
        }
    }
}

/// A stored value: one ref takes it or goes, another goes, and the writer looks at it.
fn stored(last: fn(&Books, &Model), refs: usize) {
    check(2, move || {
        let cell = Model::new(State::promise());
        cell.state.set_stored();
        cell.run();
        (1..refs).for_each(|_| cell.state.add_ref());
        let line = Mutex::new(Line { listed: true, busy: false });
        let books = Arc::new(Books { line, changed: Condvar::new() });
        let spawn = |run: fn(&Books, &Model)| {
            let (cell, books) = (Arc::clone(&cell), Arc::clone(&books));
            thread::spawn(move || run(&books, &cell))
        };
        let writer = spawn(Books::write);
        let others: Vec<_> = (1..refs).map(|_| spawn(Books::drop_ref)).collect();
        last(&books, &cell);
        writer.join().unwrap();
        others.into_iter().for_each(|other| other.join().unwrap());
        cell.assert_ended();
    });
}

#[test]
fn loom_the_last_ref_to_a_stored_value_goes() {
    stored(Books::drop_ref, 1);
}

#[test]
fn loom_the_last_refs_to_a_stored_value_go() {
    stored(Books::drop_ref, 2);
}

#[test]
fn loom_the_only_ref_to_a_stored_value_takes_it() {
    let take = |books: &Books, cell: &Model| {
        assert!(books.strike_if_sole(cell), "only the writer has another hold");
        cell.take_or_read();
    };
    stored(take, 1);
}
