//! How an actor ends, and who is told of it.

use std::ptr;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, MutexGuard, PoisonError};

use super::birth::Birth;
use super::{Kind, Strand};
use crate::error::Error;
use crate::function::Call;
use crate::local::actors::Watcher;
use crate::local::caller::Origin;
use crate::local::cell::{Job, Promise, Ref, Unstarted};
use crate::local::current::{self, Task};
use crate::local::life::{ActorEnd, Life};
use crate::local::note;
use crate::local::queue::Entry;
use crate::millis::Millis;
use crate::observe::EventKind;

impl<A: Life, T: Kind<A>> Strand<A, T> {
    /// Ends the actor after the call that runs now.
    pub(crate) fn end(&self, how: ActorEnd) {
        // SeqCst: see `nudge`.
        if self.end.set(Box::new(how)).is_ok() {
            let why = || self.ends(ActorEnd::Killed).to_error(self.name());
            self.local.streams().stop_those_of(self.address(), why);
            self.nudge();
            T::hurry(self);
            // What it was to begin with is not waited for any more.
            self.leave_line();
            self.queue_first();
            self.let_constructor_go();
        }
    }

    /// The constructor is about to wait for what `let_go` ends the wait for.
    pub(super) fn constructor_waits(&self, let_go: Watcher) {
        let before = self.constructors_wait().replace(let_go);
        drop(before);
        // Whoever ends the actor writes that down first, and looks there then, under the same lock.
        self.let_constructor_go();
    }

    fn let_constructor_go(&self) {
        if A::AWAY
            && let Some(end) = self.end.get()
        {
            let let_go = self.constructors_wait().take();
            let_go.into_iter().for_each(|let_go| let_go(end));
        }
    }

    fn constructors_wait(&self) -> MutexGuard<'_, Option<Watcher>> {
        self.rare().constructor_waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no more calls, and ends the actor after those made so far. The ref completes then.
    pub(crate) fn stop(&self, call: Call) -> Ref<()> {
        let stopped = self.tell_at_end(call, |_| ());
        self.rare().stopping.store(true, Ordering::SeqCst);
        self.nudge();
        stopped
    }

    /// Completes when the actor has ended.
    pub(crate) fn watch(&self, call: Call) -> Ref<ActorEnd> {
        self.tell_at_end(call, ActorEnd::clone)
    }

    pub(super) fn tell_at_end<V: Send + Sync + 'static>(
        &self,
        call: Call,
        tell: fn(&ActorEnd) -> V,
    ) -> Ref<V> {
        // It is no call in the mailbox, but waits for what such a call waits for.
        let (told, untold) = Ref::unstarted(Told, self.address(), Origin::NONE, call);
        let unwanted = self.watchers().add(Box::new(Watch { untold, tell }));
        drop(unwanted);
        // Pairs with the fence in `tell_watchers`: it sees the watcher, or we that it was too late.
        fence(Ordering::SeqCst);
        if self.over.load(Ordering::Relaxed) {
            self.tell_watchers();
        }
        told
    }

    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.rare().watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The actor is over; tells those who watch.
    fn tell_watchers(&self) {
        fence(Ordering::SeqCst);
        if self.rare.get().is_some() {
            let watchers = std::mem::take(&mut *self.watchers());
            watchers.list.into_iter().for_each(|watch| watch.tell(self.how_ended()));
        }
    }

    /// Sets how the actor ends, unless that is set; gives how.
    pub(super) fn ends(&self, how: ActorEnd) -> &ActorEnd {
        let _ = self.end.set(Box::new(how));
        self.end.get().expect("just set")
    }

    /// Why the calls fail of an actor that has ended.
    #[cold]
    pub(super) fn why_ended(&self) -> Error {
        self.how_ended().to_error(self.name())
    }

    fn how_ended(&self) -> &ActorEnd {
        self.end.get().expect("an actor that has ended has an end")
    }

    /// The actor has ended before the call's turn came.
    #[cold]
    pub(super) fn abandon_call(&self, entry: Entry) {
        if entry.abandon(self.why_ended()) && matches!(self.how_ended(), ActorEnd::ShutDown) {
            self.local.pool().count_never_begun();
        }
    }

    /// How an actor ends to which no call can come any more.
    pub(super) fn end_of_calls(&self) -> ActorEnd {
        match self.handles.load(Ordering::SeqCst) {
            0 => ActorEnd::Unreachable,
            _ => ActorEnd::Stopped,
        }
    }

    /// Drops what the actor was, as a task of the actor's: it may wait for others, who may wait for the actor.
    pub(super) fn drop_as_task<S>(&self, birth: &Birth, cpus: Millis, state: S) {
        if !std::mem::needs_drop::<S>() {
            return;
        }
        // At the end of the runtime the thread may have left it.
        let _entered = current::enter(Arc::clone(&self.local));
        let promise = birth.ending(self.call, self.local.tree().root());
        let task = Task::new(promise.task(), self.call, cpus, self.address());
        // The hook has told what it panicked with, and there is nobody to tell it to.
        let _ = current::in_task(task, || {
            drop(state);
            Ok(())
        });
        promise.complete(Ok(()));
    }

    /// The state is gone: tells everybody. The caller has the turn.
    pub(super) fn has_ended(&self) {
        note::step(self.number, EventKind::ActorEnded);
        if let Some(name) = self.asked.as_ref().and_then(|asked| asked.terms.name.as_ref()) {
            self.local.names().forget(name, ptr::from_ref(self).addr());
        }
        // Before anybody is told, who may want some of it.
        if let Some(lease) = self.lease() {
            lease.give_back();
        }
        self.over.store(true, Ordering::Relaxed);
        self.tell_watchers();
    }

    /// Whether an actor that lives, and has no calls, is to end.
    pub(super) fn is_to_end(&self) -> bool {
        self.end.get().is_some()
            || T::has_crashed(self)
            || self.handles.load(Ordering::SeqCst) == 0
            || self.rare.get().is_some_and(|rare| {
                rare.stopping.load(Ordering::SeqCst) && rare.held_back.is_empty()
            })
    }
}

/// Those who are told how an actor ended.
#[derive(Default)]
pub(super) struct Watchers {
    list: Vec<Box<dyn Watching>>,
    /// With so many, those are looked for whose refs are gone: an actor may be watched again and again.
    look_at: usize,
}

impl Watchers {
    /// Gives those that nobody has a ref to any more, to be dropped without the lock.
    fn add(&mut self, watch: Box<dyn Watching>) -> Vec<Box<dyn Watching>> {
        self.list.push(watch);
        if self.list.len() < self.look_at.max(LOOK_MIN) {
            return Vec::new();
        }
        let (kept, unwanted) =
            std::mem::take(&mut self.list).into_iter().partition(|watch| watch.is_wanted());
        self.list = kept;
        self.look_at = 2 * self.list.len();
        unwanted
    }
}

const LOOK_MIN: usize = 16;

trait Watching: Send {
    fn is_wanted(&self) -> bool;
    fn tell(self: Box<Self>, end: &ActorEnd);
}

struct Watch<V: Send + Sync + 'static> {
    untold: Unstarted<V, Told>,
    tell: fn(&ActorEnd) -> V,
}

impl<V: Send + Sync + 'static> Watching for Watch<V> {
    fn is_wanted(&self) -> bool {
        self.untold.is_wanted()
    }

    fn tell(self: Box<Self>, end: &ActorEnd) {
        let Self { untold, tell } = *self;
        if let Some((Told, promise)) = untold.begin() {
            promise.complete(Ok(tell(end)));
        }
    }
}

/// What the refs wait for that are told of the end.
struct Told;

impl<T: Send + Sync + 'static> Job<T> for Told {
    fn run(self, _: Promise<T>) {
        unreachable!("whoever ends the actor tells of it, and it is never queued")
    }
}
