//! What this process has on the cluster: refs to cells whose values come when somebody asks.
//!
//! The other side tells how each call ended, with the value where it is small. A large one stays on the cluster
//! until somebody waits for it here: as an argument of another call it never comes. Each id is counted as often
//! as it was told, and when the last ref of this process is gone, so many are given back; see `inside.rs` for those that
//! come and go inside of values.
//!
//! No lock is held while a value is decoded or dropped, which is the program's code.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use serde::Serialize;
use uuid::Uuid;

use crate::cluster::argument::{Asked, Packing};
use crate::cluster::bridge::actor::{ENDING, Place};
use crate::cluster::bridge::call::{ActorCall, CallHead, Head, asks_of_actor};
use crate::cluster::bridge::failure::{self, Through};
use crate::cluster::bridge::link::Sender;
use crate::cluster::bridge::message::{self, Asks, News, Run, Told};
use crate::cluster::bridge::parcel::Parcel;
use crate::cluster::bridge::upcalls::Upcalls;
use crate::cluster::frame::Body;
use crate::cluster::registry::Registered;
use crate::cluster::turn::Ticket;
use crate::cluster::upstream::{Items, Pending};
use crate::cluster::{coder, engine_error, worker};
use crate::error::{Error, ErrorKind, Failed, Result};
use crate::local::cell::AnyRef;
use crate::local::ids;
use crate::local::waiting::Ended;
use crate::local::{Local, pool};

mod inside;
mod items;
mod ways;

use self::inside::Lent;
pub(super) use self::inside::{Inside, Unread};

/// Who waits for an object.
enum Wait {
    Cell(Box<dyn Pending>),
    Call(Arc<Place>, Ticket),
}

/// An object that this process knows by its id.
#[derive(Default)]
struct Import {
    /// How often this process was told the id.
    count: u32,
    /// In how much of what was told it may be and was not read.
    unread: u32,
    /// How many handles this process has of it, if it is an actor.
    handles: u32,
    /// Gone when the value has come.
    pending: Option<Wait>,
    /// Somebody here waits for it.
    wanted: bool,
    /// The other side tells when it is there.
    watched: bool,
    /// It is there, and comes when it is asked for.
    remote: bool,
    /// What the call that makes it needs, for the way of a failure.
    needs: Vec<AnyRef>,
    /// Handles that it was given.
    lent: Unread,
    /// How often that call may be tried.
    tries_max: u32,
    /// It is one of an actor, which the driver has.
    of_actor: bool,
}

#[derive(Default)]
struct State {
    /// None: there is no cluster, or no longer.
    sender: Option<Sender>,
    engine: &'static str,
    /// Why there is none any more.
    ended: Option<Error>,
    imports: HashMap<Uuid, Import>,
    /// The readers of streams that have not ended, by the ids of those.
    streams: HashMap<Uuid, Arc<dyn Items>>,
    /// The places of actors, for the news that one is gone.
    places: HashMap<Uuid, Weak<Place>>,
    /// In a driver: its runtime ends, and calls of actors go out no more.
    leaves: bool,
    /// Those that are there and nobody has asked for, and how many looks at them are due.
    unasked: Vec<Uuid>,
    /// In a program on the cluster: what the call that runs has submitted, and whether it was asked to stop.
    children: Vec<Uuid>,
    stops: bool,
    looks_due: usize,
    /// What is given back, while that goes with something else.
    given_back: Option<Vec<(message::Id, u32)>>,
    /// In a driver: its runtime, once that has called something; and the handles of actors that others have.
    local: Weak<Local>,
    lent: HashMap<Uuid, Lent>,
}

/// This process's end of the bridge.
#[derive(Default)]
pub(super) struct Client {
    state: Mutex<State>,
    /// Told when something has come.
    changed: Condvar,
    /// In a program on the cluster: whether it has told that it waits.
    blocks: bool,
    upcalls: Upcalls,
}

impl Client {
    /// Of a program on a cluster, which tells when it waits.
    pub(super) fn hosted(engine: &'static str) -> Self {
        let state = Mutex::new(State { engine, ..State::default() });
        Self { state, blocks: true, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is a cluster from now on.
    pub(super) fn begin(&self, engine: &'static str, sender: Sender) {
        let mut state = self.lock();
        state.engine = engine;
        state.ended = None;
        state.leaves = false;
        state.local = Weak::new();
        state.sender = Some(sender);
    }

    /// There is none any more: what has not come never will.
    pub(super) fn end(&self, why: &Error) {
        let mut state = self.lock();
        state.sender = None;
        state.ended = Some(why.clone());
        state.unasked.clear();
        let imports = std::mem::take(&mut state.imports);
        let streams = std::mem::take(&mut state.streams);
        let lent = std::mem::take(&mut state.lent);
        drop(state);
        drop((streams, lent));
        for pending in imports.into_values().filter_map(|import| import.pending) {
            match pending {
                Wait::Cell(pending) => pending.complete(Err(Failed::from(why)), 1),
                Wait::Call(place, ticket) => place.failed(ticket, Failed::from(why)),
            }
        }
        self.wake_all();
    }

    /// The runtime ends: calls of actors that are under way fail now, and none goes out any more. A place that is in the
    /// middle of one is not asked to end either, which would come after that; any other one may still drop its state.
    pub(super) fn leave_places(&self) {
        let mut state = self.lock();
        state.leaves = true;
        let calls = state.imports.values().filter_map(|import| match &import.pending {
            Some(Wait::Call(place, ticket)) => Some((Arc::clone(place), *ticket)),
            _ => None,
        });
        let mut calls: Vec<_> = calls.collect();
        // Under the lock: whoever asks a place to end sees this, or is among these calls.
        calls.iter().filter(|(_, ticket)| *ticket != ENDING).for_each(|(place, _)| place.leave());
        drop(state);
        let why = pool::shut_down_before("it was done");
        // From the last on, so that none begins when one before it does not.
        calls.sort_unstable_by_key(|(place, ticket)| (place.id, Reverse(*ticket)));
        for calls in calls.chunk_by(|(one, _), (other, _)| one.id == other.id) {
            let place = &calls[0].0;
            if !place.is_left() {
                continue;
            }
            // A detached one goes on, and is not to do what has failed here.
            let ids: Vec<_> = calls.iter().map(|(_, ticket)| place.id_of(*ticket)).collect();
            self.take_back(place.id, &ids, false, false);
            calls.iter().for_each(|(_, ticket)| place.failed(*ticket, Failed::from(&why)));
        }
    }

    /// Wakes who waits for cells, some of which are complete now.
    fn wake_all(&self) {
        // Who has looked at them before, under the lock, is asleep by now.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// The way to send, or why there is none.
    pub(super) fn sender(&self) -> Result<Sender> {
        let state = self.lock();
        state.sender.clone().ok_or_else(|| {
            state
                .ended
                .clone()
                .unwrap_or_else(|| engine_error("the bridge to the cluster is closed"))
        })
    }

    /// Sends a message, if anybody is there to read it.
    fn send(&self, message: &impl Serialize) {
        if let Ok(sender) = self.sender() {
            sender.send(message);
        }
    }

    /// Gives refs back, each by its id and how often that was told.
    fn free(&self, freed: impl IntoIterator<Item = (message::Id, u32)>) {
        let freed = freed.into_iter().filter(|(_, count)| *count > 0);
        let mut state = self.lock();
        if let Some(given_back) = &mut state.given_back {
            return given_back.extend(freed);
        }
        let sender = state.sender.clone();
        drop(state);
        if let Some(sender) = sender {
            sender.free(freed);
        }
    }

    /// What this process gives back while `drops` runs, which is then not sent by itself.
    pub(super) fn given_back(&self, drops: impl FnOnce()) -> Vec<(message::Id, u32)> {
        self.lock().given_back = Some(Vec::new());
        drops();
        self.lock().given_back.take().unwrap_or_default()
    }

    /// Something was told of objects.
    pub(super) fn told(&'static self, news: Vec<News>) {
        let mut free = Vec::new();
        for item in news {
            self.told_one(item, &mut free);
        }
        self.free(free);
        self.wake_all();
    }

    /// `free`: what is to be given back after it, by how often it was told.
    fn told_one(
        &'static self,
        News { id, carries, outcome }: News,
        free: &mut Vec<(message::Id, u32)>,
    ) {
        let unread = self.deliver(carries);
        let mut state = self.lock();
        let stream = state.streams.remove(&id);
        let Some(import) = state.imports.get_mut(&id) else { return };
        let lent = std::mem::take(&mut import.lent);
        if outcome == Told::Remote {
            import.remote = true;
            let fetch = import.wanted && import.pending.is_some();
            if !fetch && import.pending.is_some() {
                state.unasked.push(id);
            }
            drop(state);
            if fetch {
                self.send(&("fetch", message::id(id)));
            }
            return;
        }
        let pending = match import.pending.take() {
            Some(Wait::Call(place, ticket)) => {
                // Nobody has a ref to it.
                let Import { needs, count, .. } = state.imports.remove(&id).unwrap_or_default();
                drop(state);
                free.push((message::id(id), count));
                return self.told_of_call(&place, ticket, outcome, &needs, unread);
            }
            Some(Wait::Cell(pending)) => Some(pending),
            None => None,
        };
        // Refs, to be dropped when no lock is held.
        let needs = std::mem::take(&mut import.needs);
        let tries_max = import.tries_max.max(1);
        drop(state);
        drop(lent);
        if stream.is_some() {
            self.sweep();
        }
        drop(stream);
        if let Some(pending) = pending {
            match outcome {
                Told::Value(bytes) => pending.complete(Ok(&bytes), 1),
                Told::Error { encoded, upstream, retry } => {
                    let failed = failure::decode(&encoded, upstream.then_some(&needs[..]));
                    pending.complete(Err(failed), if retry { tries_max } else { 1 });
                }
                Told::Failed { kind, text } => {
                    let failed = failure::way_of(&needs)
                        .unwrap_or_else(|| Failed::from(&Error::new(kind, text)));
                    let tried = kind == ErrorKind::WorkerCrashed;
                    pending.complete(Err(failed), if tried { tries_max } else { 1 });
                }
                Told::Lost { text, .. } => {
                    let error = Error::new(ErrorKind::ActorDied, text);
                    pending.complete(Err(Failed::from(&error)), 1);
                }
                Told::Remote => unreachable!("it was seen to above"),
            }
        }
    }

    /// Something was told of a call of an actor.
    fn told_of_call(
        &'static self,
        place: &Place,
        ticket: Ticket,
        outcome: Told,
        needs: &[AnyRef],
        unread: Unread,
    ) {
        match outcome {
            Told::Value(bytes) => place.answered(ticket, &bytes, unread),
            Told::Error { encoded, .. } => {
                place.failed(ticket, failure::decode(&encoded, Some(needs)));
            }
            Told::Failed { kind, text } => {
                let failed =
                    failure::way_of(needs).unwrap_or_else(|| Failed::from(&Error::new(kind, text)));
                place.failed(ticket, failed);
            }
            Told::Lost { begun, text } => place.lost_call(ticket, begun, &text),
            Told::Remote => unreachable!("it was asked for when the call was made"),
        }
    }

    /// A place for an actor is wanted.
    ///
    /// # Errors
    /// Why there is no cluster.
    pub(super) fn host(
        &self,
        place: &Arc<Place>,
        local: &Arc<Local>,
        in_turn: bool,
        asked: Option<&Asked>,
    ) -> Result<()> {
        let sender = self.sender()?;
        let mut state = self.lock();
        state.local = Arc::downgrade(local);
        state.places.insert(place.id, Arc::downgrade(place));
        drop(state);
        let asks = Asks { in_turn, ..asks_of_actor(asked) };
        sender.send(&("host", message::id(place.id), asks));
        Ok(())
    }

    /// The actor has ended, or goes on without this program.
    pub(super) fn unhost(&self, id: Uuid, ends: bool) {
        let place = self.lock().places.remove(&id);
        self.send(&("unhost", message::id(id), ends));
        drop(place);
    }

    /// The place of an actor is gone.
    pub(super) fn lost(&self, id: Uuid, text: &str) {
        let place = self.lock().places.get(&id).and_then(Weak::upgrade);
        if let Some(place) = place {
            place.lost_between(text);
        }
    }

    /// Sends a call of an actor; `function`: none, where the actor is to end.
    pub(super) fn call_actor(
        &self,
        id: Uuid,
        call: ActorCall,
        function: Option<&Registered>,
        pack: &mut dyn FnMut(&mut Packing<'_>) -> Result<()>,
    ) -> Result<()> {
        let ActorCall { place, ticket, of_actor, stands_at } = call;
        let asks = Asks { actor: Some(message::id(place.id)), ..Asks::default() };
        let (options, name) = (None, function.map_or("", Registered::name).to_owned());
        let words = of_actor.about.place.clone();
        let head = Head { name, options, stands_at, place: words, of_actor: Some(of_actor) };
        let wait = Wait::Call(place, ticket);
        let import = Import { wanted: true, tries_max: 1, ..Import::new(wait) };
        self.send_call(id, head, pack, asks, import)
    }

    /// Cancels what the call that runs here has submitted and will submit, as it was cancelled itself.
    pub(super) fn cancel_children(&self) {
        let mut state = self.lock();
        state.stops = true;
        let children = std::mem::take(&mut state.children);
        drop(state);
        for id in children {
            self.send(&("cancel", message::id(id), false, true));
        }
    }

    /// The call that ran here is done, and its children go on without it.
    pub(super) fn end_call(&self) {
        let mut state = self.lock();
        state.children.clear();
        state.stops = false;
    }

    /// A task on the cluster asks for something that is done with actors.
    pub(super) fn upcall(&'static self, caller: Uuid, mut run: Run) {
        let unread = self.deliver(std::mem::take(&mut run.carries));
        let local = self.lock().local.upgrade();
        match local {
            Some(local) => self.upcalls.take(self, local, caller, (run, unread)),
            None => {
                // If the cluster is gone, so is whoever waits.
                let _ = self.answer(run.id, Err(pool::shut_down_before("it began")));
            }
        }
    }

    /// Such a call is to stop, and maybe its children.
    pub(super) fn cancel_upcall(&self, id: Uuid, children: bool) {
        self.upcalls.cancel(id, children);
    }

    /// Tells what came of it: the value, and the refs in it.
    pub(super) fn answer(&self, id: Uuid, outcome: Result<&AnyRef>) -> Result<()> {
        let sender = self.sender()?;
        let mut payload = sender.parcel();
        let hop = outcome.as_ref().ok().map(|called| called.hop());
        let encoded = outcome.and_then(|called| coder::encode(called, &mut payload));
        let (status, payload, mut held) = match encoded {
            Ok(held) => (0, payload, held),
            Err(error) => {
                let (mut failed, call) = (Failed::from(&error), hop.as_ref().map(Through::from));
                hop.inspect(|hop| failed.forget_last(&hop.to_string()));
                (1, Parcel::from(failure::encode(&failed, call)?), Vec::new())
            }
        };
        let inside = self.export_held(&mut held)?;
        sender.send_with(5, &("done", message::id(id), status, &inside.ids), payload);
        drop((held, inside));
        Ok(())
    }

    /// The imports among what is awaited: a ref itself, or what it is made of.
    fn imports_of(&self, refs: &[&AnyRef], into: &mut Vec<Uuid>) {
        for any in refs.iter().filter(|any| !any.is_complete()) {
            match any.known_id() {
                Some(id) if self.lock().imports.contains_key(&id) => into.push(id),
                _ => {
                    let producers: Vec<&AnyRef> = any.producers().unwrap_or(&[]).iter().collect();
                    if !producers.is_empty() {
                        self.imports_of(&producers, into);
                    }
                }
            }
        }
    }

    /// Whether the value is known to be on the cluster.
    pub(super) fn is_there(&self, any: &AnyRef) -> bool {
        let state = self.lock();
        any.known_id().and_then(|id| state.imports.get(&id)).is_some_and(|import| import.remote)
    }

    /// Whether the cluster knows it.
    pub(super) fn is_known(&self, any: &AnyRef) -> bool {
        any.known_id().is_some_and(|id| self.lock().imports.contains_key(&id))
    }

    /// Lets these come.
    fn want(&self, ids: &[Uuid]) {
        let (mut fetch, mut watch) = (Vec::new(), Vec::new());
        let mut state = self.lock();
        for id in ids {
            let Some(import) = state.imports.get_mut(id) else { continue };
            if std::mem::replace(&mut import.wanted, true) {
                continue;
            }
            if import.remote {
                fetch.push(*id);
            } else if !std::mem::replace(&mut import.watched, true) {
                watch.push(message::id(*id));
            }
        }
        drop(state);
        for id in fetch {
            self.send(&("fetch", message::id(id)));
        }
        if !watch.is_empty() {
            self.send(&("watch", watch));
        }
    }

    /// Ends imports that are there, that nobody asked for, and that nobody here has any more. Each look at one
    /// is paid for by a call, or an item.
    fn sweep(&self) {
        let mut state = self.lock();
        state.looks_due += 2;
        if state.looks_due < state.unasked.len() {
            return;
        }
        state.looks_due = 0;
        let unasked = std::mem::take(&mut state.unasked);
        drop(state);
        let making = ids::making();
        let (gone, kept): (Vec<_>, Vec<_>) = unasked.into_iter().partition(ids::forget_if_unheld);
        let mut state = self.lock();
        state.unasked.extend(kept);
        let mut ended = Vec::new();
        for id in gone {
            if let Some(import) = state.take(&id) {
                ended.push((id, import));
            }
        }
        drop(state);
        drop(making);
        let free: Vec<_> =
            ended.iter().map(|(id, import)| (message::id(*id), import.count)).collect();
        self.free(free);
        // Their promises are the last holds on the cells, which go with them.
        drop(ended);
    }

    /// Waits until what was asked for has come, on the thread of a task on the cluster.
    fn wait(
        &self,
        refs: &[&AnyRef],
        ids: &[Uuid],
        any: bool,
        deadline: Option<Instant>,
    ) -> Result<(), Ended> {
        let ids: Vec<_> = ids.iter().copied().map(message::id).collect();
        self.send(&("blocked", ids, any));
        let mut state = self.lock();
        let waited = loop {
            let mut pending = refs.iter().filter(|any| !any.is_complete());
            let failed =
                || refs.iter().take_while(|any| any.is_complete()).any(|any| any.is_failed());
            let enough = match pending.clone().next() {
                None => true,
                Some(_) if any => pending.clone().count() < refs.len(),
                Some(_) => failed(),
            };
            if enough || (pending.next().is_some() && state.sender.is_none()) {
                break Ok(());
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            state = match left {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => break Err(Ended::TimedOut),
                Some(left) => {
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        };
        drop(state);
        self.send(&("unblocked",));
        waited
    }
}

impl Import {
    fn new(pending: Wait) -> Self {
        Self { count: 1, pending: Some(pending), watched: true, ..Self::default() }
    }
}

impl Client {
    fn send_call(
        &self,
        id: Uuid,
        head: Head,
        pack: &mut dyn FnMut(&mut Packing<'_>) -> Result<()>,
        mut asks: Asks,
        import: Import,
    ) -> Result<()> {
        let Head { name: function, options, stands_at, place, of_actor } = head;
        let sender = self.sender()?;
        let mut body = Body::new(None);
        let mut packing = Packing::ids(&mut body);
        pack(&mut packing)?;
        let Packing { arguments, mut held, objects, to, .. } = packing;
        if let Some((_, actor)) = &mut asks.of_actors {
            *actor = to.map(message::id);
        }
        objects.iter().try_for_each(|(id, any)| self.export(*id, any))?;
        let Inside { ids: carries, lent } = self.export_held(&mut held)?;
        let mut needs: Vec<Uuid> = objects.iter().map(|(id, _)| *id).collect();
        needs.sort_unstable();
        needs.dedup();
        let need_ids = needs.iter().copied().map(message::id).collect();
        let name = function.clone();
        let head = CallHead { function, arguments, needs, options, stands_at, place, of_actor };
        let mut call = sender.parcel();
        crate::cluster::frame::write(&head, &body.take(), &mut call)?;
        call.close();
        let needs = objects.into_iter().map(|(_, any)| any).collect();
        let mut state = self.lock();
        if state.leaves
            && let Some(Wait::Call(place, ticket)) = &import.pending
            && (*ticket != ENDING || place.is_left())
        {
            return Err(pool::shut_down_before("the call"));
        }
        state.imports.insert(id, Import { needs, lent, ..import });
        drop(state);
        sender.call((message::id(id), name, call, need_ids, carries, asks));
        drop(held);
        // Only what was sent can be cancelled.
        let mut state = self.lock();
        let stops = state.stops;
        if self.blocks && !stops && !worker::lets_calls_go_aside() {
            state.children.push(id);
        }
        drop(state);
        if stops {
            self.send(&("cancel", message::id(id), false, true));
        }
        self.sweep();
        // If the other side ended in between, nobody would tell.
        if let Err(error) = self.sender() {
            self.end(&error);
        }
        Ok(())
    }

    /// Asks calls of an actor to stop, wherever they are: those that have not begun, and if `begun` those that have, and
    /// maybe the `children` of those.
    pub(super) fn take_back(&self, place: Uuid, calls: &[Uuid], begun: bool, children: bool) {
        let calls: Vec<_> = calls.iter().copied().map(message::id).collect();
        self.send(&("take_back", message::id(place), calls, begun, children));
    }
}

/// Why the bridge is there no more: what went wrong, if that is known.
pub(super) fn kind_of_end(error: Option<Error>) -> Error {
    error.unwrap_or_else(|| {
        Error::new(
            ErrorKind::Engine,
            "the bridge to the cluster ended; what it wrote to stderr tells why",
        )
    })
}
