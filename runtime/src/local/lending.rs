//! Parts of a CPU: a worker lends its own to tasks that take less than one.
//!
//! Such tasks wait in a line. For those that do not fit into what is lent already, a *ticket* is queued
//! like any entry. A worker that comes to it lends its CPU: it sleeps, while as many tasks of the line
//! as fit share that CPU, each on one of tokio's blocking threads. When all parts are back, the worker
//! has its CPU again. So tasks on parts of CPUs get their turn as others do, and no sooner.
//!
//! Nor do they keep a CPU for ever. While others wait for one, only [`TURNS_MAX`] more tasks of the line
//! begin on what is lent; then it goes back, and the next ticket has its turn.
//!
//! * **While the line is not empty, a ticket is queued.** So what is in the line gets its turn, or is
//!   abandoned with the ticket when the pool closes.
//! * **The parts in use and `free` add up to the CPUs that are lent.**

#![expect(clippy::vec_box, reason = "a CPU goes from thread to thread as a pointer")]

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use crate::error::Error;
use crate::local::pool::{self, Cpu, Pool};
use crate::local::queue::{Entry, EntryHeader, EntryVtable};
use crate::local::{Local, current};
use crate::millis::Millis;

/// How many tasks begin on what is lent while others wait for the CPU.
const TURNS_MAX: usize = 64;

/// The CPUs of one runtime that are lent, and who waits for a part.
#[derive(Default)]
pub(crate) struct Lending(Mutex<Lent>);

/// Where a worker waits to have a CPU again.
type Lender = mpsc::Sender<Box<Cpu>>;

#[derive(Default)]
struct Lent {
    /// What is left of the CPUs below.
    free: Millis,
    cpus: Vec<Box<Cpu>>,
    /// Workers that wait to have a CPU again.
    lenders: VecDeque<Lender>,
    /// Tasks that wait for their part, with their priorities, the highest first.
    line: VecDeque<(i32, Millis, Entry)>,
    /// The priority of the last ticket, until a worker comes to one.
    asked: Option<i32>,
    /// Tickets in the pool's queues.
    tickets: usize,
    turns_left: usize,
}

/// What follows from a change, to be done without the lock.
struct Changes {
    /// Tasks that now have their parts.
    admitted: Vec<(Millis, Entry)>,
    /// CPUs of which no part is used, for a lender or for anyone.
    back: Vec<(Option<Lender>, Box<Cpu>)>,
    /// A ticket of this priority is to be queued.
    ask: Option<i32>,
}

impl Lending {
    fn lock(&self) -> MutexGuard<'_, Lent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change, and does what follows from it.
    fn change(local: &Arc<Local>, change: impl FnOnce(&mut Lent)) {
        let mut lent = local.grants().lending().lock();
        change(&mut lent);
        let Changes { admitted, back, ask } = lent.settle(local.pool());
        drop(lent);
        for (lender, cpu) in back {
            match lender {
                Some(lender) => lender.send(cpu).expect("a lender waits for its CPU"),
                None => pool::lay_down(cpu),
            }
        }
        admitted.into_iter().for_each(|(part, entry)| run(local, part, entry));
        match ask {
            None => {}
            // Behind what is queued, also where this thread holds a CPU.
            Some(0) => local.schedule_last(Ticket::entry(local)).now(),
            Some(priority) => local.schedule_prioritized(Ticket::entry(local), priority).now(),
        }
    }
}

impl Lent {
    fn settle(&mut self, pool: &Pool) -> Changes {
        let mut admitted = Vec::new();
        while let Some(part) = self.line.front().map(|(_, part, _)| *part)
            && part <= self.free
            && self.may_begin(pool)
        {
            self.free -= part;
            admitted.extend(self.line.pop_front().map(|(_, part, entry)| (part, entry)));
        }
        let mut back = Vec::new();
        while self.free >= Millis::ONE {
            self.free -= Millis::ONE;
            back.extend(self.cpus.pop().map(|cpu| (self.lenders.pop_front(), cpu)));
        }
        let first = self.line.front().map(|(priority, ..)| *priority);
        let ask = first.filter(|priority| self.asked.is_none_or(|asked| asked < *priority));
        if ask.is_some() {
            self.asked = ask;
            self.tickets += 1;
        }
        Changes { admitted, back, ask }
    }

    /// Takes one of the turns that are left; if nobody else waits for a CPU, there is always one.
    fn may_begin(&mut self, pool: &Pool) -> bool {
        if self.turns_left == 0 && !pool.has_work_beside(self.tickets) {
            self.turns_left = TURNS_MAX;
        }
        let may = self.turns_left > 0;
        self.turns_left -= usize::from(may);
        may
    }

    fn lend(&mut self, cpu: Box<Cpu>) {
        self.cpus.push(cpu);
        self.free += Millis::ONE;
    }
}

/// Puts a task into the line, behind those of its priority.
pub(super) fn queue(local: &Arc<Local>, entry: Entry, part: Millis, priority: i32) {
    Lending::change(local, |lent| {
        let place = lent.line.partition_point(|(other, ..)| *other >= priority);
        lent.line.insert(place, (priority, part, entry));
    });
}

/// An entry in the pool's queues: whoever comes to it lends its CPU.
#[repr(C)]
struct Ticket {
    header: EntryHeader,
    local: Arc<Local>,
}

impl Ticket {
    const VTABLE: EntryVtable =
        EntryVtable { execute: Self::execute, abandon: Self::abandon, is_sent: false };

    fn entry(local: &Arc<Local>) -> Entry {
        let header = EntryHeader::new(&Self::VTABLE);
        let ticket = Box::new(Self { header, local: Arc::clone(local) });
        // SAFETY: a ticket begins with its entry header, and the entry has the box.
        unsafe { Entry::from_pointer(NonNull::from(Box::leak(ticket)).cast()) }
    }

    /// # Safety
    /// The entry is one of a ticket.
    unsafe fn from_entry(entry: Entry) -> Box<Self> {
        // SAFETY: `entry` made it from a box, and an entry is used up once.
        unsafe { Box::from_raw(entry.cast::<Self>().as_ptr()) }
    }

    /// # Safety
    /// As for `from_entry`.
    unsafe fn execute(entry: Entry) {
        // SAFETY: by the caller's promise.
        let ticket = unsafe { Self::from_entry(entry) };
        let (lender, back) = mpsc::channel();
        let mut lends = false;
        Lending::change(&ticket.local, |lent| {
            lent.tickets -= 1;
            lent.asked = None;
            lends = !lent.line.is_empty();
            if lends {
                lent.lend(current::take_cpu().expect("whoever runs an entry holds a CPU"));
                lent.lenders.push_back(lender);
                lent.turns_left = TURNS_MAX;
            }
        });
        if lends {
            current::set_cpu_to_compute(back.recv().expect("what is lent comes back"));
        }
    }

    /// # Safety
    /// As for `from_entry`.
    unsafe fn abandon(entry: Entry, _: Error) -> bool {
        // SAFETY: by the caller's promise.
        let ticket = unsafe { Self::from_entry(entry) };
        let mut lent = ticket.local.grants().lending().lock();
        lent.tickets -= 1;
        lent.asked = None;
        let line = std::mem::take(&mut lent.line);
        drop(lent);
        // The pool has closed, and lets them go.
        line.into_iter().for_each(|(.., entry)| ticket.local.pool().run(entry));
        false
    }
}

/// Runs a task that has its part, on a thread of its own.
fn run(local: &Arc<Local>, part: Millis, entry: Entry) {
    /// The part that this thread has.
    struct Share(Arc<Local>, Millis);
    impl Drop for Share {
        fn drop(&mut self) {
            current::set_share(None);
            Lending::change(&self.0, |lent| lent.free += self.1);
        }
    }
    let share = Share(Arc::clone(local), part);
    local.spawn_blocking(move || {
        current::set_share(Some(part));
        share.0.pool().run(entry);
    });
}

/// Lets `wait` sleep while others have this thread's part.
pub(super) fn block<R>(local: &Arc<Local>, part: Millis, wait: impl FnOnce() -> R) -> R {
    struct TakeAgain<'a>(&'a Arc<Local>, Millis);
    impl Drop for TakeAgain<'_> {
        fn drop(&mut self) {
            let Self(local, part) = *self;
            // A task that goes on comes before those that have not begun.
            let mut taken = false;
            Lending::change(local, |lent| {
                taken = lent.free >= part;
                if taken {
                    lent.free -= part;
                }
            });
            if !taken {
                let cpu = local.pool().pick_up();
                Lending::change(local, |lent| {
                    lent.lend(cpu);
                    lent.free -= part;
                });
            }
            current::set_share(Some(part));
        }
    }
    current::set_share(None);
    Lending::change(local, |lent| lent.free += part);
    let _take_again = TakeAgain(local, part);
    wait()
}
