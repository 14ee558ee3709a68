//! What a task asks for beside its turn: CPUs other than one, resources, a place in the line, a limit
//! on its time. Tasks that ask for nothing never come here.
//!
//! Resources are taken before the task is queued, so a task that waits for one holds no thread; CPUs
//! are taken where it runs (`grant.rs`). What was taken is given back when the task is gone, however it
//! went: run, failed or cancelled.
//!
//! An actor that asks for resources waits in the same line before it begins, and has them until it has ended
//! (`strand/lease.rs`).

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::local::actors::Living;
use crate::local::cell::AnyRef;
use crate::local::counted::Counted;
use crate::local::family::Watch;
use crate::local::life::ActorEnd;
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

/// What the runtime will never have.
///
/// # Errors
/// `Infeasible`: some of this.
pub(crate) fn check(cpus: Millis, resources: &Amounts, local: &Local) -> Result<()> {
    let settings = local.settings();
    let infeasible = |what: &str, wanted: Millis, total: Millis| {
        let message = format!("it asks for {what} = {wanted}, and the runtime has {total}");
        Error::new(ErrorKind::Infeasible, message)
    };
    let all = Millis::whole(settings.num_cpus);
    if cpus > all {
        return Err(infeasible("num_cpus", cpus, all));
    }
    for (name, &wanted) in resources {
        let total = settings.resources.get(name).copied().unwrap_or_default();
        if wanted > total {
            return Err(infeasible(&format!("resource {name:?}"), wanted, total));
        }
    }
    Ok(())
}

/// A request of one task, or of one actor, and whether its resources were taken. Who made it holds it, and so does the
/// line it waits in; when both are gone, the resources go back.
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
        check(request.cpus, &request.resources, local)?;
        Ok(Self::fresh(request, local))
    }

    /// Of an actor, for resources that were checked.
    pub(crate) fn of_actor(resources: Amounts, local: &Arc<Local>) -> Arc<Self> {
        let (cpus, priority) = (Millis::default(), 0);
        let request =
            Request { name: None, cpus, resources, priority, time_limit: None, retries: None };
        Self::fresh(request, local)
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
        if self.request.resources.is_empty() {
            return grant::queue(&self.local, entry, self.request.cpus, self.request.priority);
        }
        // SAFETY: whoever comes here with an entry is a task, so it is a cell's.
        let task = unsafe { AnyRef::of_entry(&entry) };
        self.ask(Asker::Task { task, entry });
    }

    /// Lets the actor begin as soon as its resources are free.
    pub(crate) fn queue_actor(
        self: &Arc<Self>,
        actor: Counted<dyn Living>,
        birth: AnyRef,
        life: AnyRef,
    ) {
        self.ask(Asker::Actor { actor, birth, life });
    }

    fn ask(self: &Arc<Self>, asker: Asker) {
        let task = asker.waits_as().clone();
        // A task may have been cancelled while it waited for its arguments, or for another try.
        if task.is_complete() {
            return asker.go(self);
        }
        match self.local.resources().take_or_wait(self, asker) {
            Ok(asker) => asker.go(self),
            // If a holder sleeps, perhaps for this very task, it now has a reason to look.
            Err(holders) => waits::look_again(&self.places_of(holders)),
        }
        // Or just now: whoever cancels it does that first, and then looks into the line.
        if task.is_complete() {
            leave_line(&task, &self.local);
        }
    }

    /// At which addresses the waits are known of those who hold resources.
    fn places_of(&self, holders: Vec<AnyRef>) -> Vec<usize> {
        let mut places = Vec::new();
        for holder in holders {
            places.push(holder.address());
            if let Some(actor) = self.local.actors().find(holder.home()) {
                places.push(holder.home());
                let reading = actor.reading(holder.address());
                let calls = reading.iter().flat_map(|reading| &reading.calls);
                places.extend(calls.map(AnyRef::address));
            }
        }
        places
    }

    /// The actor that asked waits no more.
    pub(crate) fn leave_line(self: &Arc<Self>) {
        let is_it = |other: &InLine| Arc::ptr_eq(&other.claim, self);
        let (left, admitted) = self.local.resources().leave(is_it);
        drop(left);
        admitted.into_iter().for_each(InLine::go);
    }
}

/// A task has ended that had not begun: it waits for no resources, and keeps nobody waiting behind it.
pub(crate) fn leave_line(task: &AnyRef, local: &Local) {
    let is_it = |other: &InLine| other.task().address() == task.address();
    let (left, admitted) = local.resources().leave(is_it);
    left.into_iter().chain(admitted).for_each(InLine::go);
}

impl Drop for Claim {
    fn drop(&mut self) {
        if *self.taken.get_mut() {
            let (_holder, admitted) = self.local.resources().give_back(self);
            admitted.into_iter().for_each(InLine::go);
        }
    }
}

/// Who asks for resources.
enum Asker {
    Task {
        task: AnyRef,
        entry: Entry,
    },
    Actor {
        actor: Counted<dyn Living>,
        /// Its beginning, which waits in the line.
        birth: AnyRef,
        /// What completes at its end, and holds the resources until then.
        life: AnyRef,
    },
}

impl Asker {
    /// As what it waits.
    fn waits_as(&self) -> &AnyRef {
        match self {
            Self::Task { task, .. } => task,
            Self::Actor { birth, .. } => birth,
        }
    }

    /// As what it has what it asked for.
    fn holds_as(&self) -> &AnyRef {
        match self {
            Self::Task { task, .. } => task,
            Self::Actor { life, .. } => life,
        }
    }

    /// It has what it asked for, or the runtime ends.
    fn go(self, claim: &Claim) {
        let Claim { request, local, .. } = claim;
        match self {
            Self::Task { entry, .. } => grant::queue(local, entry, request.cpus, request.priority),
            // It is not to begin without.
            Self::Actor { actor, .. } if local.pool().is_closed() => {
                actor.end_at_once(ActorEnd::ShutDown);
            }
            Self::Actor { actor, .. } => actor.begin_with_resources(),
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

/// A task, or an actor's life, that has what it asked for.
struct Holder {
    /// The address of its claim.
    claim: usize,
    task: AnyRef,
    amounts: Amounts,
}

/// Who waits for what it asked for.
struct InLine {
    claim: Arc<Claim>,
    asker: Asker,
}

impl InLine {
    fn go(self) {
        self.asker.go(&self.claim);
    }

    /// As what it waits.
    fn task(&self) -> &AnyRef {
        self.asker.waits_as()
    }
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
    fn take(&mut self, claim: &Arc<Claim>, asker: &Asker, awaited: &mut BTreeSet<String>) -> bool {
        let wanted = &claim.request.resources;
        let fits = |(name, &amount): (&String, &Millis)| {
            !awaited.contains(name) && self.free.get(name).is_some_and(|&free| free >= amount)
        };
        if self.closed {
            return true;
        }
        if !wanted.iter().all(fits) {
            for name in wanted.keys() {
                // Most often it is there.
                if !awaited.contains(name) {
                    awaited.insert(name.clone());
                }
            }
            return false;
        }
        for (name, &amount) in wanted {
            *self.free.get_mut(name).expect("it was there just now") -= amount;
        }
        // Relaxed: the claim is dropped by whoever saw it last, which is after this.
        claim.taken.store(true, Ordering::Relaxed);
        let (claim, task) = (Arc::as_ptr(claim) as usize, asker.holds_as().clone());
        self.holders.push(Holder { claim, task, amounts: wanted.clone() });
        true
    }

    /// Those in the line who now have theirs, in the order of their coming.
    fn admit(&mut self) -> Vec<InLine> {
        let mut awaited = BTreeSet::new();
        let line = std::mem::take(&mut self.line);
        let (now, later): (VecDeque<_>, _) = line
            .into_iter()
            .partition(|InLine { claim, asker }| self.take(claim, asker, &mut awaited));
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

    /// Gives the asker back if the resources were free and now are its own; else those who hold resources.
    fn take_or_wait(&self, claim: &Arc<Claim>, asker: Asker) -> Result<Asker, Vec<AnyRef>> {
        let mut counter = self.lock();
        let mut awaited = BTreeSet::new();
        for InLine { claim, .. } in &counter.line {
            awaited.extend(claim.request.resources.keys().cloned());
        }
        if counter.take(claim, &asker, &mut awaited) {
            return Ok(asker);
        }
        counter.line.push_back(InLine { claim: Arc::clone(claim), asker });
        Err(counter.holders.iter().map(|holder| holder.task.clone()).collect())
    }

    /// Takes that one out of the line, if it is there. Gives it, to be dropped without the lock, and those in the line
    /// who now have theirs.
    fn leave(&self, is_it: impl Fn(&InLine) -> bool) -> (Option<InLine>, Vec<InLine>) {
        let mut counter = self.lock();
        let place = counter.line.iter().position(is_it);
        let left = place.and_then(|place| counter.line.remove(place));
        let admitted = if left.is_some() { counter.admit() } else { Vec::new() };
        (left, admitted)
    }

    /// Frees what the claim had taken. Gives the holder whose claim it was, to be dropped without the lock,
    /// and those in the line who now have theirs.
    fn give_back(&self, claim: &Claim) -> (Option<AnyRef>, Vec<InLine>) {
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
        (task, admitted)
    }

    /// Why the task at this address waits in the line, if it does.
    pub(crate) fn shortage(&self, task: usize) -> Option<Shortage> {
        let counter = self.lock();
        let ahead = counter.line.iter().position(|other| other.task().address() == task)?;
        let wanted = &counter.line[ahead].claim.request.resources;
        let last_before = |name: &String| {
            let mut before = counter.line.iter().take(ahead).rev();
            before.find(|other| other.claim.request.resources.contains_key(name))
        };
        let mut behind: Vec<AnyRef> = Vec::new();
        for other in wanted.keys().filter_map(last_before) {
            if behind.iter().all(|known| known.address() != other.task().address()) {
                behind.push(other.task().clone());
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
        line.into_iter().for_each(InLine::go);
    }
}
