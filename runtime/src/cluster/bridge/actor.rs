//! Actors on a cluster, as the driver sees them.
//!
//! The strand is here, with mailbox, order, names, restarts and ends; the state is in a program on the cluster that
//! has it for itself, its *place*. Whoever has the turn sends a call there and sleeps without a CPU until the answer
//! has come: what a method computes on is the cluster's to count. Where calls wait, each is a future on both sides.
//!
//! A place is gone when its process dies, or its node. Its calls tell so, each with whether it had begun; between two
//! calls, or for those that cannot know, there is news of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use uuid::Uuid;

use crate::cluster::argument::{Asked, Packing, What};
use crate::cluster::bridge::call::{ActorCall, OfActor};
use crate::cluster::bridge::client::{Client, Unread};
use crate::cluster::calls::{self, Calls, End, News};
use crate::cluster::detached::Found;
use crate::cluster::frame::{About, Ended};
use crate::cluster::registry::Registered;
use crate::cluster::turn::Ticket;
use crate::cluster::upstream::Upstream;
use crate::cluster::{
    Answer, Cargo, Host, Progress, Reply, Source, about, coder, error_of, no_stream,
};
use crate::error::{Error, ErrorKind, Failed, Result};
use crate::local::actors::Living;
use crate::local::counted::{self, Counted};
use crate::local::current::Task;
use crate::local::job::{Stops, Wakes};
use crate::local::life::{self, ActorEnd, Lost};
use crate::local::runtimes::{self, Owner};
use crate::local::{Local, current, pool, waiting};
use crate::wire;

/// What comes of a call: the value that its place gives.
#[derive(Serialize, Deserialize)]
pub(super) struct Answered {
    pub(super) how: Ended,
    /// The actor ends itself.
    pub(super) exits: bool,
    pub(super) outcome: std::result::Result<ByteBuf, Failed>,
}

/// The ticket of the call that lets a place drop the state, which is none of the program's.
pub(super) const ENDING: Ticket = Ticket::MAX;

/// Where an actor lives.
pub(super) struct Place {
    pub(super) id: Uuid,
    local: Weak<Local>,
    actor: counted::Weak<dyn Living>,
    calls: Calls,
    last_ticket: AtomicU64,
    /// Its constructor has returned.
    is_made: AtomicBool,
    /// It is to end wherever it is, and whoever else has it.
    is_killed: AtomicBool,
    /// The runtime has ended in the middle of its calls.
    is_left: AtomicBool,
    lost: Mutex<Option<Error>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gone(text: &str) -> Error {
    Error::new(ErrorKind::WorkerCrashed, text)
}

impl Place {
    /// An answer has come.
    pub(super) fn answered(&self, ticket: Ticket, bytes: &[u8], unread: Unread) {
        let Answered { how, exits, outcome } = match wire::decode(bytes) {
            Ok(answered) => answered,
            Err(error) => return self.failed(ticket, Failed::from(&error)),
        };
        if exits
            && let Some(actor) = self.actor.upgrade()
            && let Some(local) = self.local.upgrade()
        {
            let _entered = current::enter(local);
            actor.end_at_once(ActorEnd::Exited);
        }
        let kept = vec![What::Handle(Arc::new(unread))];
        let reply = Reply { outcome: outcome.map(ByteBuf::into_vec), kept };
        self.calls.end(ticket, End::Done { reply, how });
    }

    /// A call has an item. False: nobody wants it any more.
    pub(super) fn item(&self, ticket: Ticket, item: Reply) -> bool {
        self.calls.item(ticket, item)
    }

    /// The call has failed, and the actor goes on.
    pub(super) fn failed(&self, ticket: Ticket, failed: Failed) {
        let reply = Reply { outcome: Err(failed), kept: Vec::new() };
        self.calls.end(ticket, End::Done { reply, how: Ended::default() });
    }

    /// The place is gone, as a call tells.
    pub(super) fn lost_call(&self, ticket: Ticket, begun: bool, text: &str) {
        self.note_lost(text);
        self.calls.end(ticket, End::Lost { why: gone(text), begun });
    }

    /// The place is gone, as somebody tells who has looked. Calls that are under way tell it themselves.
    pub(super) fn lost_between(&self, text: &str) {
        self.note_lost(text);
        if let Some(actor) = self.actor.upgrade()
            && let Some(local) = self.local.upgrade()
        {
            // The turn may run the program's code, and this thread hears the cluster.
            local.spawn_blocking(move || actor.look());
        }
    }

    fn note_lost(&self, text: &str) {
        lock(&self.lost).get_or_insert_with(|| gone(text));
    }

    /// The runtime ends, and nobody waits for what is under way there.
    pub(super) fn leave(&self) {
        self.is_left.store(true, Ordering::Relaxed);
    }

    /// Whether it does, and something is.
    pub(super) fn is_left(&self) -> bool {
        self.is_left.load(Ordering::Relaxed)
    }

    /// The id by which the cluster knows a call.
    pub(super) fn id_of(&self, ticket: Ticket) -> Uuid {
        Uuid::from_u128(self.id.as_u128().wrapping_add(u128::from(ticket)))
    }
}

/// The driver's end of a place.
struct ActorHost {
    client: &'static Client,
    place: Arc<Place>,
    /// How many CPUs it asked for.
    cpus: Option<f64>,
    /// The actor may go on without this program,
    detached: bool,
    /// and is to, when this drops.
    left: AtomicBool,
}

/// Makes an actor by this call of its constructor.
pub(super) fn start(
    client: &'static Client,
    local: &Arc<Local>,
    cargo: &dyn Cargo,
    task: &Task,
    in_turn: bool,
    asked: Option<&Asked>,
) -> Result<Box<dyn Host>> {
    let mut kept = Vec::new();
    let Some(Owner::Actor(actor)) = runtimes::owner(task.actor, &mut kept) else {
        return Err(crate::cluster::engine_error("there is no actor that the call is of"));
    };
    let place = Arc::new(Place {
        id: Uuid::new_v4(),
        local: Arc::downgrade(local),
        actor: Counted::downgrade(&actor),
        calls: Calls::default(),
        last_ticket: AtomicU64::new(0),
        is_made: AtomicBool::new(false),
        is_killed: AtomicBool::new(false),
        is_left: AtomicBool::new(false),
        lost: Mutex::default(),
    });
    client.host(&place, local, in_turn, asked)?;
    let detached = asked.and_then(|asked| asked.detached.as_ref());
    // What others may have made is left to them, unless it ends here.
    let left = detached.is_some_and(|detached| detached.found != Found::Refuse);
    let detached = detached.is_some();
    let cpus = asked.and_then(|asked| asked.num_cpus);
    let host = ActorHost { client, place, cpus, detached, left: AtomicBool::new(left) };
    let mut made = Ok(());
    let mut take = |answer: Answer<'_>| {
        made = answer.map(drop).map_err(error_of);
        Ok(())
    };
    let called = host.send(cargo, task).and_then(|ticket| {
        // There may never be room for it on the cluster.
        let waits = Arc::downgrade(&host.place);
        actor.constructor_waits(Box::new(move |end| {
            if let Some(place) = waits.upgrade() {
                place.is_killed.store(matches!(end, ActorEnd::Killed), Ordering::Relaxed);
                let why = gone("the actor was ended before it began");
                place.calls.end(ticket, End::Lost { why, begun: false });
            }
        }));
        host.take_answer(task, ticket, &mut take)
    });
    // There was no actor that could have been lost.
    drop(life::take_lost_now());
    if detached && matches!(&made, Err(why) if why.kind() == ErrorKind::Config) {
        // Somebody else has made it there meanwhile.
        host.left.store(true, Ordering::Relaxed);
    }
    if host.place.is_killed.load(Ordering::Relaxed) {
        host.left.store(false, Ordering::Relaxed);
    }
    called.and(made)?;
    host.place.is_made.store(true, Ordering::Relaxed);
    host.left.store(false, Ordering::Relaxed);
    Ok(Box::new(host))
}

impl ActorHost {
    fn send_as(
        &self,
        function: Option<&Registered>,
        pack: &mut dyn FnMut(&mut Packing<'_>) -> Result<()>,
        about: About,
        id: Uuid,
        stands_at: String,
    ) -> Result<Ticket> {
        let ticket = match function {
            Some(_) => 1 + self.place.last_ticket.fetch_add(1, Ordering::Relaxed),
            None => ENDING,
        };
        self.place.calls.add(ticket);
        let place = Arc::clone(&self.place);
        let call = ActorCall { place, ticket, of_actor: OfActor { about, id }, stands_at };
        let sent = self.client.call_actor(self.place.id_of(ticket), call, function, pack);
        if let Err(error) = sent {
            let _ = self.place.calls.give_up(ticket);
            return Err(error);
        }
        Ok(ticket)
    }

    /// Sleeps until there is news of the call; `asks` is asked whenever this thread wakes up.
    fn wait(&self, ticket: Ticket, mut asks: impl FnMut(&Waker)) -> News {
        let waker = calls::unpark_this_thread();
        let ask = || {
            asks(&waker);
            match self.place.calls.poll(ticket, &waker) {
                Poll::Ready(news) => Some(news),
                Poll::Pending => None,
            }
        };
        waiting::wait_for(ask, || self.place.calls.has_news(ticket))
    }

    /// The same as the task that this thread runs: the call is asked to stop when that is.
    fn wait_as(&self, task: &Task, ticket: Ticket) -> Result<Progress> {
        let mut wakes = Wakes::new(task.running);
        let mut told = Stops::default();
        let news = self.wait(ticket, |waker| {
            wakes.renew(waker);
            if let Some(children) = told.news(task) {
                self.cancel(ticket, children);
            }
        });
        drop(wakes);
        news.read()
    }

    /// Waits for the answer to a call that gives no stream.
    fn take_answer(
        &self,
        task: &Task,
        ticket: Ticket,
        take: &mut dyn FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<()> {
        match self.wait_as(task, ticket)? {
            Progress::End(reply) => reply.take(take),
            Progress::Item(_) => {
                self.give_up(ticket);
                self.more(ticket);
                Err(no_stream())
            }
        }
    }

    fn is_lost(&self) -> bool {
        lock(&self.place.lost).is_some()
    }

    /// Lets the place drop the state, and waits until it has, unless the runtime ends in the middle of its calls.
    fn end(&self) {
        let about = About {
            name: None,
            attempt: 1,
            cpus: 0.0,
            worker: None,
            time_limit: None,
            place: Vec::new(),
            restarts: None,
        };
        let sent = self.send_as(None, &mut |_| Ok(()), about, Uuid::nil(), String::new());
        if let Ok(ticket) = sent {
            drop(self.wait(ticket, |_| {}));
        }
    }
}

impl Host for ActorHost {
    fn call(
        &self,
        cargo: &dyn Cargo,
        task: &Task,
        take: &mut dyn FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<()> {
        let ticket = self.send(cargo, task)?;
        self.take_answer(task, ticket, take)
    }

    fn may_stream(&self) -> Result<()> {
        if !self.detached {
            return Ok(());
        }
        Err(crate::cluster::engine_error(
            "the engine `ray` cannot produce a stream in a detached actor: a program that died as it read that would \
             leave the actor in the middle of the call",
        ))
    }

    fn lost(&self) -> Option<Error> {
        lock(&self.place.lost).clone()
    }

    fn listen(&self, _: &Task, _: bool) -> Result<()> {
        // Answers come as they are made, whoever waits for them.
        Ok(())
    }

    fn send(&self, cargo: &dyn Cargo, task: &Task) -> Result<u64> {
        if let Some(why) = self.lost() {
            life::note_lost(Lost::Before(why.clone()));
            return Err(why);
        }
        let local = self.place.local.upgrade();
        let local = local.ok_or_else(|| pool::shut_down_before("it ran"))?;
        // SAFETY: whoever has the task runs it.
        let any = unsafe { task.running.to_ref() };
        let (id, stands_at) = (coder::id_of(&any), any.hop().stands_at());
        let pack = &mut |packing: &mut Packing<'_>| cargo.pack(packing);
        let about = about(task, &local);
        let about = About { cpus: self.cpus.unwrap_or(about.cpus), ..about };
        self.send_as(Some(cargo.function()), pack, about, id, stands_at)
    }

    fn poll_stream(&self, sent: u64, waker: &Waker) -> Poll<Result<Progress>> {
        self.place.calls.poll(sent, waker).map(News::read)
    }

    fn more(&self, sent: u64) {
        self.client.want_items(self.place.id_of(sent), 1);
    }

    fn source(&self, cargo: &dyn Cargo, task: &Task) -> Result<Box<dyn Source + '_>> {
        let ticket = self.send(cargo, task)?;
        Ok(Box::new(PlaceSource { host: self, ticket, owes: false, ended: false }))
    }

    fn give_up(&self, sent: u64) {
        if let Some(unseen) = self.place.calls.give_up(sent) {
            self.cancel(sent, true);
            if unseen > 0 {
                self.more(sent);
            }
        }
    }

    fn cancel(&self, sent: u64, children: bool) {
        self.client.take_back(self.place.id, &[self.place.id_of(sent)], true, children);
    }

    fn take_back(&self) {
        // From the last on, so that none begins when one before it does not.
        let sent = self.place.calls.tickets().into_iter().rev();
        let sent: Vec<_> = sent.map(|sent| self.place.id_of(sent)).collect();
        self.client.take_back(self.place.id, &sent, false, false);
    }

    fn leave(&self) {
        self.left.store(self.detached, Ordering::Relaxed);
    }
}

/// A stream that is produced at a place, by a call in the middle of which the actor is.
struct PlaceSource<'a> {
    host: &'a ActorHost,
    ticket: Ticket,
    /// The last item was taken, and that was not told.
    owes: bool,
    ended: bool,
}

impl Source for PlaceSource<'_> {
    fn next(
        &mut self,
        task: &Task,
        take: &mut dyn FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        if self.owes {
            self.host.more(self.ticket);
        }
        let progress = self.host.wait_as(task, self.ticket);
        self.owes = matches!(progress, Ok(Progress::Item(_)));
        self.ended = !self.owes;
        progress?.take_item(take)
    }

    fn stop(&mut self, task: &Task) {
        if !self.ended {
            self.host.cancel(self.ticket, true);
        }
        while !self.ended {
            // What it ends with nobody wants to know.
            let _ = self.next(task, &mut |_| Ok(()));
        }
    }
}

impl Drop for PlaceSource<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.host.give_up(self.ticket);
            if self.owes {
                self.host.more(self.ticket);
            }
        }
    }
}

impl Drop for ActorHost {
    fn drop(&mut self) {
        // Of one that others have, too, this program may just hear no more.
        if *self.left.get_mut() || (self.detached && self.is_lost()) {
            return self.client.unhost(self.place.id, false);
        }
        if !self.is_lost() && self.place.is_made.load(Ordering::Relaxed) {
            self.end();
        }
        self.client.unhost(self.place.id, true);
    }
}
