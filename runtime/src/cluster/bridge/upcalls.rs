//! What tasks on a cluster ask of the actors of this program, the driver: calls of these, and wishes.
//!
//! They come in the order of each caller. To make a call may take its time, where the actor's mailbox is full, so each
//! caller has a line of its own, with a thread while there is something in it.

use std::collections::{HashMap, VecDeque};
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::cluster::argument::{Argument, Forwarded, ForwardedArgument, What};
use crate::cluster::bridge::call::{self, CallHead};
use crate::cluster::bridge::client::{Client, Unread};
use crate::cluster::bridge::message::{self, Run};
use crate::cluster::frame::Bytes;
use crate::cluster::registry;
use crate::error::Result;
use crate::local::cell::AnyRef;
use crate::local::completion::Completion;
use crate::local::place::Place;
use crate::local::{Local, cancelling, ids};
use crate::random::Pool;
use crate::wire;

/// How many calls are remembered that were cancelled and were not made: they may have ended, too.
const CANCELLED_MAX: usize = 10_000;

/// The calls on their way to the actors.
#[derive(Default)]
pub(super) struct Upcalls(Mutex<State>);

/// A call, with what is inside of its arguments.
type Upcall = (Run, Unread);

#[derive(Default)]
struct State {
    /// The calls that have come and were not made, by their callers. Each caller that is in it has a thread.
    lines: HashMap<Uuid, VecDeque<Upcall>>,
    /// Each with whether its children are to stop, too.
    cancelled: VecDeque<(Uuid, bool)>,
}

impl Upcalls {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a call, which goes to the actor when those before it have.
    pub(super) fn take(
        &'static self,
        client: &'static Client,
        local: Arc<Local>,
        caller: Uuid,
        upcall: Upcall,
    ) {
        let mut state = self.lock();
        if let Some(line) = state.lines.get_mut(&caller) {
            line.push_back(upcall);
            return;
        }
        state.lines.insert(caller, VecDeque::from([upcall]));
        drop(state);
        let on_thread = Arc::clone(&local);
        local.spawn_blocking(move || {
            while let Some(upcall) = self.next(caller) {
                self.make(client, &on_thread, upcall);
            }
        });
    }

    /// The next of that caller. None: the line is empty, and gone.
    fn next(&self, caller: Uuid) -> Option<Upcall> {
        let mut state = self.lock();
        let next = state.lines.get_mut(&caller)?.pop_front();
        if next.is_none() {
            state.lines.remove(&caller);
        }
        next
    }

    /// Makes a call, whose result is told when it is there.
    fn make(&self, client: &'static Client, local: &Arc<Local>, upcall: Upcall) {
        let id = upcall.0.id;
        let called = match forward(upcall) {
            Ok(called) => called,
            Err(error) => return tell(client, id, Err(error)),
        };
        let mut state = self.lock();
        let place = state.cancelled.iter().position(|(cancelled, _)| *cancelled == id);
        let cancelled = place.and_then(|place| state.cancelled.remove(place));
        drop(state);
        if let Some((_, children)) = cancelled {
            cancel(&called, children);
        }
        local.spawn_on_tokio(async move {
            let called = Completion::of(called).await;
            tell(client, id, Ok(&called));
        });
    }

    /// Asks a call to stop that somebody on the cluster has made, and maybe its children; it may not have been made here.
    pub(super) fn cancel(&self, id: Uuid, children: bool) {
        let mut state = self.lock();
        let Some(call) = ids::find(id) else {
            state.cancelled.push_back((id, children));
            if state.cancelled.len() > CANCELLED_MAX {
                state.cancelled.pop_front();
            }
            return;
        };
        drop(state);
        cancel(&call, children);
    }
}

/// Who waits for the next item of a stream waits for what produces it.
fn cancel(call: &AnyRef, children: bool) {
    for task in call.producers().unwrap_or(slice::from_ref(call)) {
        cancelling::cancel(task, children);
    }
}

fn tell(client: &Client, id: Uuid, outcome: Result<&AnyRef>) {
    if let Err(error) = client.answer(id, outcome) {
        // Its refs could not be passed on; or the cluster is gone, and with it whoever waits.
        let _ = client.answer(id, Err(error));
    }
}

/// Makes the call that these bytes are.
fn forward((run, unread): Upcall) -> Result<AnyRef> {
    let Run { id, call, values, .. } = run;
    let inside = unread.ids().to_vec();
    let unread = What::Handle(Arc::new(unread));
    let (head, start) = CallHead::open(&call)?;
    let registered = registry::find(&head.function)?;
    let bytes = Bytes { body: &call[start..], shared: None };
    let value_of = |id: &Uuid| call::value_of(id, &head.needs, &values).map(|value| value.to_vec());
    let argument = |argument: &Argument| {
        Ok(ForwardedArgument::Value(match argument {
            Argument::Value(part) => bytes.part(*part)?.to_vec(),
            Argument::Object(id) => value_of(id)?,
            Argument::List(ids) => {
                wire::sequence(&ids.iter().map(value_of).collect::<Result<Vec<_>>>()?)?
            }
        }))
    };
    let pool = Pool::from_words(&head.place).ok_or_else(|| message::garbled("it is no place"))?;
    let forwarded = Forwarded {
        id,
        arguments: head.arguments.iter().map(argument).collect::<Result<_>>()?,
        keep: inside.into_iter().map(|id| (id, unread.clone())).collect(),
        options: None,
        place: Place::of_pool(pool),
        stands_at: head.stands_at.as_str().into(),
    };
    Ok((registered.submit)(forwarded))
}
