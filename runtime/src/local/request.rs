//! What a task asks for beside its turn: CPUs other than one, resources, a place in the line, a limit
//! on its time. Tasks that ask for nothing never come here.
//!
//! Resources are taken before the task is queued, so a task that waits for one holds no thread; CPUs
//! are taken where it runs (`grant.rs`). What was taken is given back when the task is gone, however it
//! went: run, failed or cancelled.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::local::cell::AnyRef;
use crate::local::family::Watch;
use crate::local::queue::Entry;
use crate::local::retries::Retries;
use crate::local::{Local, cancelling, grant, waits};
use crate::millis::{Amounts, Millis};

/// What a task asks for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) cpus: Millis,
    pub(crate) resources: Amounts,
    pub(crate) priority: i32,
    /// For each try.
    pub(crate) time_limit: Option<Duration>,
    pub(crate) retries: Option<Retries>,
}

impl Request {
    /// Whether it asks for nothing but a turn.
    pub(crate) fn is_plain(&self) -> bool {
        let Self { name, cpus, resources, priority, time_limit, retries } = self;
        let plain = name.is_none() && *cpus == Millis::ONE && resources.is_empty();
        plain && time_limit.is_none() && *priority == 0 && retries.is_none()
    }

    /// Whether this try, counted from 1, is the last one.
    pub(crate) fn is_last(&self, attempt: u32) -> bool {
        self.retries.as_ref().is_none_or(|retries| retries.is_last(attempt))
    }

    /// Whether it wants another number of CPUs than a task gets unasked; 0 wants none.
    pub(crate) fn asks_for_cpus(&self) -> bool {
        self.cpus != Millis::ONE && self.cpus != Millis::default()
    }
}

/// A request of one task, and whether its resources were taken. The task holds it, and so does the line
/// it waits in; when both are gone, the resources go back.
pub(crate) struct Claim {
    request: Request,
    local: Arc<Local>,
    taken: AtomicBool,
    /// Set where the task is some other task's child.
    watch: OnceLock<Watch>,
}

impl Claim {
    /// # Errors
    /// `Infeasible`, if the runtime will never have that much.
    pub(crate) fn new(request: Request, local: &Arc<Local>) -> Result<Arc<Self>> {
        let settings = local.settings();
        let infeasible = |what: &str, wanted: Millis, total: Millis| {
            let message = format!("it asks for {what} = {wanted}, and the runtime has {total}");
            Error::new(ErrorKind::Infeasible, message)
        };
        let cpus = Millis::whole(settings.num_cpus);
        if request.cpus > cpus {
            return Err(infeasible("num_cpus", request.cpus, cpus));
        }
        for (name, &wanted) in &request.resources {
            let total = settings.resources.get(name).copied().unwrap_or_default();
            if wanted > total {
                return Err(infeasible(&format!("resource {name:?}"), wanted, total));
            }
        }
        Ok(Self::fresh(request, local))
    }

    fn fresh(request: Request, local: &Arc<Local>) -> Arc<Self> {
        let (local, taken, watch) = (Arc::clone(local), AtomicBool::new(false), OnceLock::new());
        Arc::new(Self { request, local, taken, watch })
    }

    /// Lets the task, which has not begun, fail as soon as the one that submitted it is cancelled, and
    /// not only when its turn has come.
    pub(crate) fn leave_line_if_cancelled(&self, task: &AnyRef) {
        let family = task.family();
        if let Some(watch) = cancelling::abandon_with(family, task) {
            let _ = self.watch.set(watch);
        }
    }

    /// The same request, for another try.
    pub(crate) fn again(&self) -> Arc<Self> {
        Self::fresh(self.request.clone(), &self.local)
    }

    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    pub(crate) fn local(&self) -> &Arc<Local> {
        &self.local
    }

    /// Queues the task's entry as soon as its resources are free.
    pub(crate) fn queue(self: &Arc<Self>, entry: Entry) {
        match self.local.resources().take_or_wait(self, entry) {
            Ok(entry) => grant::queue(&self.local, entry, self.request.cpus, self.request.priority),
            // If a holder sleeps, perhaps for this very task, it now has a reason to look.
            Err(holders) => waits::look_again(&holders),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if *self.taken.get_mut() {
            let (_task, admitted) = self.local.resources().give_back(self);
            for (claim, entry) in admitted {
                grant::queue(&self.local, entry, claim.request.cpus, claim.request.priority);
            }
        }
    }
}

/// The resources of a runtime, and who waits for them.
pub(crate) struct Resources(Mutex<Counter>);

struct Counter {
    free: Amounts,
    holders: Vec<Holder>,
    line: VecDeque<InLine>,
    closed: bool,
}

/// A task that has what it asked for.
struct Holder {
    /// The address of its claim.
    claim: usize,
    task: AnyRef,
    amounts: Amounts,
}

/// A task that waits for what it asked for.
struct InLine {
    claim: Arc<Claim>,
    task: AnyRef,
    entry: Entry,
}

/// Why a task is in the line.
pub(crate) struct Shortage {
    /// How many are before it.
    pub(crate) ahead: usize,
    /// Those of the resources that it asked for of which there is not enough.
    pub(crate) short: Vec<Short>,
    /// For each of its resources the last one before it in the line, which goes first.
    pub(crate) behind: Vec<AnyRef>,
}

/// A resource of which there is not enough.
pub(crate) struct Short {
    pub(crate) name: String,
    pub(crate) wanted: Millis,
    pub(crate) free: Millis,
    pub(crate) holders: Vec<(AnyRef, Millis)>,
}

impl Counter {
    /// Takes what the claim asks for, if it is free and nobody before it waits for some of it, whose
    /// resources are in `awaited`.
    fn take(&mut self, claim: &Arc<Claim>, task: &AnyRef, awaited: &mut BTreeSet<String>) -> bool {
        let wanted = &claim.request.resources;
        let fits = |(name, &amount): (&String, &Millis)| {
            !awaited.contains(name) && self.free.get(name).is_some_and(|&free| free >= amount)
        };
        if self.closed {
            return true;
        }
        if !wanted.iter().all(fits) {
            awaited.extend(wanted.keys().cloned());
            return false;
        }
        for (name, &amount) in wanted {
            *self.free.get_mut(name).expect("it was there just now") -= amount;
        }
        // Relaxed: the claim is dropped by whoever saw it last, which is after this.
        claim.taken.store(true, Ordering::Relaxed);
        let (claim, task) = (Arc::as_ptr(claim) as usize, task.clone());
        self.holders.push(Holder { claim, task, amounts: wanted.clone() });
        true
    }

    /// Those in the line who now have theirs, in the order of their coming.
    fn admit(&mut self) -> Vec<InLine> {
        let mut awaited = BTreeSet::new();
        let line = std::mem::take(&mut self.line);
        let (now, later): (VecDeque<_>, _) = line
            .into_iter()
            .partition(|InLine { claim, task, .. }| self.take(claim, task, &mut awaited));
        self.line = later;
        now.into()
    }
}

impl Resources {
    pub(crate) fn new(total: Amounts) -> Self {
        Self(Mutex::new(Counter {
            free: total,
            holders: Vec::new(),
            line: VecDeque::new(),
            closed: false,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Counter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the entry back if its resources were free and now are its own; else the addresses of the
    /// tasks that hold resources.
    fn take_or_wait(&self, claim: &Arc<Claim>, entry: Entry) -> Result<Entry, Vec<usize>> {
        if claim.request.resources.is_empty() {
            return Ok(entry);
        }
        // SAFETY: what makes a claim is a task, so the entry is a cell's.
        let task = unsafe { AnyRef::of_entry(&entry) };
        let mut counter = self.lock();
        let mut awaited = BTreeSet::new();
        for InLine { claim, .. } in &counter.line {
            awaited.extend(claim.request.resources.keys().cloned());
        }
        let taken = counter.take(claim, &task, &mut awaited);
        let result = if taken {
            Ok(entry)
        } else {
            let (claim, task) = (Arc::clone(claim), task.clone());
            counter.line.push_back(InLine { claim, task, entry });
            Err(counter.holders.iter().map(|holder| holder.task.address()).collect())
        };
        // Before `task` goes, which may be the last ref.
        drop(counter);
        result
    }

    /// Frees what the claim had taken. Gives the task whose claim it was, to be dropped without the lock,
    /// and those in the line who now have theirs.
    fn give_back(&self, claim: &Claim) -> (Option<AnyRef>, Vec<(Arc<Claim>, Entry)>) {
        let mut counter = self.lock();
        let is_it = |holder: &Holder| holder.claim == std::ptr::from_ref(claim) as usize;
        let place = counter.holders.iter().position(is_it);
        let task = place.map(|place| counter.holders.swap_remove(place).task);
        for (name, &amount) in &claim.request.resources {
            if let Some(free) = counter.free.get_mut(name) {
                *free += amount;
            }
        }
        let admitted = counter.admit();
        drop(counter);
        (task, admitted.into_iter().map(|InLine { claim, entry, .. }| (claim, entry)).collect())
    }

    /// Why the task at this address waits in the line, if it does.
    pub(crate) fn shortage(&self, task: usize) -> Option<Shortage> {
        let counter = self.lock();
        let ahead = counter.line.iter().position(|other| other.task.address() == task)?;
        let wanted = &counter.line[ahead].claim.request.resources;
        let last_before = |name: &String| {
            let mut before = counter.line.iter().take(ahead).rev();
            before.find(|other| other.claim.request.resources.contains_key(name))
        };
        let mut behind: Vec<AnyRef> = Vec::new();
        for other in wanted.keys().filter_map(last_before) {
            if behind.iter().all(|known| known.address() != other.task.address()) {
                behind.push(other.task.clone());
            }
        }
        let short = |(name, &wanted): (&String, &Millis)| {
            let free = counter.free.get(name).copied().unwrap_or_default();
            let of_holder =
                |holder: &Holder| Some((holder.task.clone(), *holder.amounts.get(name)?));
            let holders = counter.holders.iter().filter_map(of_holder).collect();
            (wanted > free).then(|| Short { name: name.clone(), wanted, free, holders })
        };
        Some(Shortage { ahead, short: wanted.iter().filter_map(short).collect(), behind })
    }

    /// Lets all go, to be refused by a pool that has closed.
    pub(crate) fn close(&self) {
        let mut counter = self.lock();
        counter.closed = true;
        let line = std::mem::take(&mut counter.line);
        drop(counter);
        for InLine { claim, entry, .. } in line {
            grant::queue(&claim.local, entry, claim.request.cpus, 0);
        }
    }
}
