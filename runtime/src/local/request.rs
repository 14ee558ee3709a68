//! What a task asks for beside its turn: CPUs other than one, resources, a place in the line, a limit
//! on its time. Tasks that ask for nothing never come here.
//!
//! Resources are taken before the task is queued, so a task that waits for one holds no thread; CPUs
//! are taken where it runs (`grant.rs`). What was taken is given back when the task is gone, however it
//! went: run, failed or cancelled.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::local::queue::Entry;
use crate::local::retries::Retries;
use crate::local::{Local, grant};
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
        let local = Arc::clone(local);
        Ok(Arc::new(Self { request, local, taken: AtomicBool::new(false) }))
    }

    /// The same request, for another try.
    pub(crate) fn again(&self) -> Arc<Self> {
        let (request, local) = (self.request.clone(), Arc::clone(&self.local));
        Arc::new(Self { request, local, taken: AtomicBool::new(false) })
    }

    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    pub(crate) fn local(&self) -> &Arc<Local> {
        &self.local
    }

    /// Queues the task's entry as soon as its resources are free.
    pub(crate) fn queue(self: &Arc<Self>, entry: Entry) {
        if let Some(entry) = self.local.resources().take_or_wait(self, entry) {
            grant::queue(&self.local, entry, self.request.cpus, self.request.priority);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if *self.taken.get_mut() {
            for (claim, entry) in self.local.resources().give_back(&self.request.resources) {
                grant::queue(&self.local, entry, claim.request.cpus, claim.request.priority);
            }
        }
    }
}

/// The resources of a runtime, and who waits for them.
pub(crate) struct Resources(Mutex<Counter>);

struct Counter {
    free: Amounts,
    line: VecDeque<(Arc<Claim>, Entry)>,
    closed: bool,
}

impl Counter {
    /// Takes what the claim asks for, if it is free and nobody before it waits for some of it, whose
    /// resources are in `awaited`.
    fn take(&mut self, claim: &Claim, awaited: &mut BTreeSet<String>) -> bool {
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
        true
    }

    /// Those in the line who now have theirs, in the order of their coming.
    fn admit(&mut self) -> Vec<(Arc<Claim>, Entry)> {
        let mut awaited = BTreeSet::new();
        let line = std::mem::take(&mut self.line);
        let (now, later): (VecDeque<_>, _) =
            line.into_iter().partition(|(claim, _)| self.take(claim, &mut awaited));
        self.line = later;
        now.into()
    }
}

impl Resources {
    pub(crate) fn new(total: Amounts) -> Self {
        Self(Mutex::new(Counter { free: total, line: VecDeque::new(), closed: false }))
    }

    fn lock(&self) -> MutexGuard<'_, Counter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the entry back if its resources were free and now are its own.
    fn take_or_wait(&self, claim: &Arc<Claim>, entry: Entry) -> Option<Entry> {
        if claim.request.resources.is_empty() {
            return Some(entry);
        }
        let mut counter = self.lock();
        let mut awaited = BTreeSet::new();
        for (claim, _) in &counter.line {
            awaited.extend(claim.request.resources.keys().cloned());
        }
        if counter.take(claim, &mut awaited) {
            return Some(entry);
        }
        counter.line.push_back((Arc::clone(claim), entry));
        None
    }

    /// Frees resources, and gives those in the line who now have theirs.
    fn give_back(&self, amounts: &Amounts) -> Vec<(Arc<Claim>, Entry)> {
        let mut counter = self.lock();
        for (name, &amount) in amounts {
            if let Some(free) = counter.free.get_mut(name) {
                *free += amount;
            }
        }
        counter.admit()
    }

    /// Lets all go, to be refused by a pool that has closed.
    pub(crate) fn close(&self) {
        let mut counter = self.lock();
        counter.closed = true;
        let line = std::mem::take(&mut counter.line);
        drop(counter);
        for (claim, entry) in line {
            grant::queue(&claim.local, entry, claim.request.cpus, 0);
        }
    }
}
