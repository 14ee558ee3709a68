//! In a worker: calls of an actor that compute side by side, each on a thread of its own.
//!
//! That the state may be used by several threads at once is what [`Shareable`](crate::api::actor::Shareable) is evidence
//! of, and what makes it a state that they have by a lock. Which calls have it alone, the driver's strand sees to; so
//! nobody waits for the lock, except where a call was given up there and has not ended here yet.

use std::cell::Cell;
use std::io::Write;

use super::{Outcome, Step, unfit};
use crate::api::actor::{Actor, ActorCrossing};
use crate::api::crossing;
use crate::api::port::Way;
use crate::cluster::argument::Argument;
use crate::cluster::worker::among::run_to_end;
use crate::cluster::worker::state;
use crate::cluster::worker::task::{Here, Replier, Start};
use crate::error::Result;
use crate::local::current;
use crate::local::panics;
use crate::local::strand::Body;
use crate::wire;

/// Does something with the actor that lives here, with what `held` gives. What waits is a stream, and this thread waits
/// with it.
pub(super) fn run<A: Actor, H, T: 'static>(
    here: Here,
    held: impl FnOnce() -> Result<H>,
    body: Body<A, H, T>,
    replier: Replier,
    outcome: Outcome<T>,
) {
    let crashed = Cell::new(false);
    let result = current::in_task(here.task, || {
        let held = held()?;
        match body {
            Body::Alone(method) => state::write(|actor| watch(&crashed, || method(actor, held))),
            Body::Shared(method) => state::read(|actor| watch(&crashed, || method(actor, held))),
            Body::AloneLater(method) => {
                state::write(|actor| watch(&crashed, || run_to_end(method(actor, held))))
            }
            Body::SharedLater(method) => {
                state::read(|actor| watch(&crashed, || run_to_end(method(actor, held))))
            }
        }
    });
    end(here, result, crashed.get(), replier, outcome);
}

/// Notes whether what runs has crashed the actor: what panics does not come to its end.
fn watch<R>(crashed: &Cell<bool>, run: impl FnOnce() -> R) -> R {
    crashed.set(true);
    let result = run();
    crashed.set(false);
    result
}

/// Does what is done with an actor beside its calls, once it was made.
pub(super) fn step<A: Actor>(
    start: Start<'_>,
    arguments: Vec<Argument>,
) -> Box<dyn FnOnce(Replier) + Send> {
    let ActorCrossing { registered, saved: way, failure, .. } =
        A::crossing().expect("what is registered can cross");
    let here = start.here_among(A::function());
    let mut arguments = arguments.into_iter();
    let plain = Outcome { encode: Way::<()>::new().encode, registered, failure };
    match start.next_bytes(&mut arguments, "no step").and_then(wire::decode) {
        Ok(Step::Save) => Box::new(move |replier| {
            let save = || state::read(|actor: &A| actor.save());
            let result = current::in_task(here.task, save);
            let outcome = Outcome { encode: way.encode, registered, failure };
            end(here, result, false, replier, outcome);
        }),
        Ok(Step::Restore) => {
            let saved = start.next_bytes(&mut arguments, "nothing saved");
            let saved = saved.and_then(|bytes| panics::catch(|| (way.decode)(bytes)));
            Box::new(move |replier| {
                let restore = || state::write(|actor: &mut A| actor.restore(saved?));
                let result = current::in_task(here.task, restore);
                end(here, result, false, replier, plain);
            })
        }
        Ok(Step::Make { .. }) => failed(here, unfit("an actor that is there"), plain),
        Err(error) => failed(here, error, plain),
    }
}

fn failed(
    here: Here,
    why: crate::error::Error,
    outcome: Outcome<()>,
) -> Box<dyn FnOnce(Replier) + Send> {
    Box::new(move |replier| end(here, Err(why), false, replier, outcome))
}

fn end<T: 'static>(
    here: Here,
    result: Result<T>,
    crashed: bool,
    replier: Replier,
    Outcome { encode, registered, failure }: Outcome<T>,
) {
    // What it printed without ending the line.
    let _ = std::io::stdout().flush();
    replier.end(|body| crossing::end(here, result, crashed, body, encode, registered, failure));
}
