//! Waiting for cells: help where the awaited task has not begun, look again for a moment, then sleep
//! and leave the CPU to others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::local::actors::Living;
use crate::local::cell::{AnyRef, Outcome};
use crate::local::counted::Counted;
use crate::local::group::GroupWait;
use crate::local::pool::Nap;
use crate::local::queue::Entry;
use crate::local::waiters::{Node, Waiter};
use crate::local::waits::{Awaited, Watch};
use crate::local::{Local, abroad, current, default, pool};

/// How long a waiter looks before it sleeps: about what falling asleep and waking up would cost.
const LOOK: Duration = Duration::from_micros(5);

/// A wait that is over sooner counts as short.
const SHORT: Duration = Duration::from_micros(200);
/// How far `wait_all` looks ahead, and so the best length of a list's parts.
pub(crate) const STRIDE_MAX: usize = 1024;
/// In how many of a list's last refs a wait outside of tasks looks for work that it may do. Lists are most often of one
/// kind, and to look at millions of calls of actors would cost as much as to read them.
const LOOKED_AT: usize = 64;

/// Why a wait ended before the work did.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The deadline has come.
    TimedOut,
    /// The work cannot end before the wait does; an error that says why.
    Never(Error),
}

/// Waits until `any` is complete. Without a deadline the thread may run the awaited task itself; with
/// one it must not, because nobody knows when that would end.
pub(crate) fn wait(any: &AnyRef, deadline: Option<Instant>) -> Result<(), Ended> {
    if any.is_complete() {
        return Ok(());
    }
    if let Some(home) = abroad::home()
        && let Some(brought) = home.bring(&[any], false, deadline)
    {
        brought?;
        if any.is_complete() {
            return Ok(());
        }
        // The way to it has ended, by which it fails any moment now.
    }
    if deadline.is_none() {
        help(any);
        if any.is_complete() {
            return Ok(());
        }
    }
    if look(|| any.is_complete().then_some(()), deadline).is_some() {
        return Ok(());
    }
    sleep(any, deadline)
}

/// Whether `any` is complete. Where that is for another process to know, it is asked.
#[inline]
pub(crate) fn is_ready(any: &AnyRef) -> bool {
    if any.is_complete() {
        return true;
    }
    if let Some(home) = abroad::home() {
        home.look(any);
    }
    any.is_complete()
}

/// Waits until `any` is complete, however long that takes.
///
/// # Errors
/// Why the work cannot end before the wait does.
pub(crate) fn wait_for_good(any: &AnyRef) -> Result<(), Error> {
    match wait(any, None) {
        Ok(()) => Ok(()),
        Err(Ended::Never(why)) => Err(why),
        Err(Ended::TimedOut) => unreachable!("there is no deadline"),
    }
}

/// Runs the awaited task on this thread, if nobody has begun it and there is a CPU for it. For a call of an
/// actor, which runs behind those before it, that goes for the actor's turn.
fn help(any: &AnyRef) {
    if let Some(local) = home_of(any) {
        help_at(&local, any);
    } else if let Some(actor) = actor_of(any) {
        actor.help(any);
    }
}

/// The actor of the current runtime whose call it is.
fn actor_of(any: &AnyRef) -> Option<Counted<dyn Living>> {
    // Homes of runtimes are odd.
    let actor = Some(any.home()).filter(|home| home % 2 == 0)?;
    default::with_current_if_any(|local| local?.actors().find(actor))
}

/// The current runtime, if `any` sits unstarted in its queues.
fn home_of(any: &AnyRef) -> Option<Arc<Local>> {
    default::with_current_if_any(|local| {
        local.filter(|local| any.is_claimable_at(local.home())).map(Arc::clone)
    })
}

/// False: there is no CPU to be had.
fn help_at(local: &Arc<Local>, any: &AnyRef) -> bool {
    let own = |cpu: Option<&pool::Cpu>| cpu?.pop_wanted(|entry| any.is_entry(entry));
    let run = || match current::with_cpu(own) {
        Some(entry) => entry.execute(),
        None => drop(any.run_if_unstarted()),
    };
    pool::with_a_cpu(local, || pool::with_stack(run)).is_some()
}

/// Waits until all of `refs` are complete, or one that has failed and all before it are.
pub(crate) fn wait_all(refs: &[&AnyRef], deadline: Option<Instant>) -> Result<(), Ended> {
    wait_part(refs, deadline, &mut Stride::default())
}

/// How far somebody looks ahead who waits for a long list, part by part. Where tasks are short, waking up for each
/// costs more than the tasks do: so he looks further ahead as long as waits are short, and step by step where they
/// are long, so that a failure shows at once.
pub(crate) struct Stride(usize);

impl Default for Stride {
    fn default() -> Self {
        Self(1)
    }
}

/// Whether a wait of this thread is its own affair: it runs no task, whose CPU is for others meanwhile, and needs
/// nothing that is brought here.
pub(crate) fn is_at_leisure() -> bool {
    current::task().is_none() && abroad::home().is_none()
}

/// As `wait_all`, for the next part of a list.
pub(crate) fn wait_part(
    refs: &[&AnyRef],
    deadline: Option<Instant>,
    Stride(stride): &mut Stride,
) -> Result<(), Ended> {
    let mut next = First::default();
    if next.pending(refs).is_none() {
        return Ok(());
    }
    if let Some(home) = abroad::home()
        && let Some(brought) = home.bring(&refs[next.index..], false, deadline)
    {
        brought?;
    }
    if deadline.is_none() {
        help_all(refs, &mut next);
    }
    while let Some(any) = next.pending(refs) {
        let ahead = refs[(next.index + *stride - 1).min(refs.len() - 1)];
        if *stride == 1 || ahead.is_complete() {
            let start = Instant::now();
            wait(any, deadline)?;
            *stride = if start.elapsed() < SHORT { 2.max(*stride) } else { 1 };
            continue;
        }
        let soon = Instant::now() + SHORT;
        match wait(ahead, Some(deadline.map_or(soon, |deadline| deadline.min(soon)))) {
            Ok(()) => *stride = (*stride * 2).min(STRIDE_MAX),
            Err(Ended::TimedOut) if deadline.is_none_or(|end| Instant::now() < end) => *stride = 1,
            Err(ended) => return Err(ended),
        }
    }
    Ok(())
}

/// How far a list is complete.
#[derive(Default)]
struct First {
    index: usize,
}

impl First {
    /// The first ref that is not complete; None if there is none, or a failed one before it.
    fn pending<'a>(&mut self, refs: &[&'a AnyRef]) -> Option<&'a AnyRef> {
        for any in &refs[self.index..] {
            match any.outcome() {
                None => return Some(any),
                Some(Outcome::Failed) => return None,
                Some(Outcome::Ready) => self.index += 1,
            }
        }
        None
    }
}

/// Runs what has not begun: on a worker the newest first, as they lie on its deque, while thieves take
/// the oldest; elsewhere in order.
fn help_all(refs: &[&AnyRef], next: &mut First) {
    let looked_at = if current::task().is_some() { refs.len() } else { LOOKED_AT };
    let mut last = refs.iter().rev().take(looked_at);
    let Some(local) = last.find_map(|any| home_of(any)) else { return };
    let has_cpu = current::with_cpu(|cpu| cpu.is_some());
    if has_cpu {
        help_abroad(&local, refs, next);
    }
    let mut run = |any: &AnyRef| {
        next.pending(refs).is_some() && (!any.is_claimable_at(local.home()) || help_at(&local, any))
    };
    if has_cpu {
        let _ = refs.iter().rev().all(|any| run(any));
    } else {
        let _ = refs.iter().all(|any| run(any));
    }
}

/// The same for those that run in other processes, where several go together.
fn help_abroad(local: &Arc<Local>, refs: &[&AnyRef], next: &mut First) {
    let Some(outside) = local.outside_if_any() else { return };
    let mut rest = refs.iter().rev().filter(|any| any.is_claimable_at(local.home()));
    let own = |any: &AnyRef| {
        let wanted = |entry: &Entry| any.is_entry(entry) && entry.is_sent();
        current::with_cpu(|cpu| cpu?.pop_wanted(wanted))
    };
    let mut more = || {
        let mut waited_for = rest.by_ref().take_while(|_| next.pending(refs).is_some());
        waited_for.find_map(|any| own(any))
    };
    let run = || outside.run_all(&mut more);
    let _ = pool::with_a_cpu(local, || pool::with_stack(run));
}

/// In a task, runs what has not begun, until a member has completed.
fn help_group(group: &GroupWait) -> Option<usize> {
    if !current::with_cpu(|cpu| cpu.is_some()) {
        return group.next();
    }
    loop {
        if let Some(index) = group.next() {
            return Some(index);
        }
        let any = group.offer()?;
        if let Some(local) = home_of(any) {
            help_at(&local, any);
        }
    }
}

/// Asks again and again for a short while.
fn look<T>(mut ask: impl FnMut() -> Option<T>, deadline: Option<Instant>) -> Option<T> {
    let end = Instant::now() + LOOK;
    let end = deadline.map_or(end, |deadline| deadline.min(end));
    loop {
        for _ in 0..16 {
            if let Some(found) = ask() {
                return Some(found);
            }
            std::hint::spin_loop();
        }
        if Instant::now() >= end {
            return None;
        }
    }
}

fn sleep(any: &AnyRef, deadline: Option<Instant>) -> Result<(), Ended> {
    let node = Node::new(Waiter::Thread(std::thread::current()));
    /// The node must leave the list before it leaves the stack.
    struct Leave<'a>(&'a AnyRef, &'a Node);
    impl Drop for Leave<'_> {
        fn drop(&mut self) {
            if !self.1.was_told() {
                self.0.remove_waiter(self.1);
            }
        }
    }
    // SAFETY: `Leave` removes the node before its place on the stack goes.
    if !unsafe { any.add_waiter(&node) } {
        return Ok(());
    }
    let _leave = Leave(any, &node);
    let ask = || any.is_complete().then_some(());
    // SAFETY: `any` is borrowed for longer than this.
    unsafe { sleep_until(ask, || any.is_complete(), Awaited::One(any), deadline) }
}

/// The next member of the group to complete.
pub(crate) fn next_of(group: &GroupWait, deadline: Option<Instant>) -> Result<usize, Ended> {
    if let Some(home) = abroad::home() {
        if let Some(index) = group.next() {
            return Ok(index);
        }
        let incomplete = group.incomplete();
        let pending: Vec<&AnyRef> = incomplete.iter().collect();
        if let Some(brought) = home.bring(&pending, true, deadline) {
            return brought.and_then(|()| group.next().ok_or(Ended::TimedOut));
        }
    }
    if deadline.is_none()
        && let Some(index) = help_group(group)
    {
        return Ok(index);
    }
    if let Some(index) = look(|| group.next(), deadline) {
        return Ok(index);
    }
    let ask = || group.next_or_register();
    // SAFETY: the group is borrowed for longer than this.
    unsafe { sleep_until(ask, || group.has_next(), Awaited::AnyOf(group), deadline) }
}

/// Sleeps, without a CPU, until there is what `ask` asks for, and then the wait is `over`. Whoever completes
/// what is awaited unparks this thread.
///
/// # Safety
/// What is awaited stays where it is and as it is until this returns.
unsafe fn sleep_until<R>(
    ask: impl Fn() -> Option<R>,
    over: impl Fn() -> bool,
    awaited: Awaited,
    deadline: Option<Instant>,
) -> Result<R, Ended> {
    without_cpu(|nap| {
        // SAFETY: by the caller's promise.
        let mut watch = unsafe { Watch::new(awaited, deadline.is_some()) };
        loop {
            if let Some(found) = ask() {
                return Ok(found);
            }
            if let Some(cpu) = nap.handed_cpu() {
                // Who works does not sleep.
                watch.suspend();
                nap.work(cpu, &over);
                continue;
            }
            watch.look().map_err(Ended::Never)?;
            let wake_at = deadline.into_iter().chain(watch.next()).min();
            if !park(wake_at) && deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return ask().ok_or(Ended::TimedOut);
            }
        }
    })
}

/// Sleeps, without a CPU, until there is what `ask` asks for, and then the wait is `over`. Whoever brings it unparks
/// this thread. Nobody looks whether that can be.
pub(crate) fn wait_for<R>(mut ask: impl FnMut() -> Option<R>, over: impl Fn() -> bool) -> R {
    without_cpu(|nap| {
        loop {
            if let Some(found) = ask() {
                return found;
            }
            match nap.handed_cpu() {
                Some(cpu) => nap.work(cpu, &over),
                None => std::thread::park(),
            }
        }
    })
}

/// Parks this thread; false: the time to wake up has come.
fn park(wake_at: Option<Instant>) -> bool {
    match wake_at {
        None => std::thread::park(),
        Some(wake_at) => {
            let left = wake_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            std::thread::park_timeout(left);
        }
    }
    true
}

/// Runs a sleep so that it keeps nobody else from working.
pub(super) fn without_cpu<R>(sleep: impl FnOnce(&Nap<'_>) -> R) -> R {
    if current::is_on_tokio() {
        tokio::task::block_in_place(|| pool::block(sleep))
    } else {
        pool::block(sleep)
    }
}
