//! The actors on ractor. They are created without waiting for their start, and
//! have to be stopped: dropping a ref does not end one.

use std::future::Future;

use anyhow::{Context, Result, anyhow};
use ractor::concurrency::oneshot;
use ractor::{Actor, ActorProcessingErr, ActorRef, ActorRuntime, RpcReplyPort};
use tokio::runtime::Runtime;

use super::peer::{Alive, Done, Peer};
use crate::start;

pub(super) struct Ractor(Runtime);

struct Counter;

pub(super) enum Message {
    Add(u64, RpcReplyPort<u64>),
    Tell(u64),
}

struct Total {
    total: u64,
    _alive: Alive,
}

impl Actor for Counter {
    type Msg = Message;
    type State = Total;
    type Arguments = Alive;

    async fn pre_start(
        &self,
        _: ActorRef<Message>,
        alive: Alive,
    ) -> Result<Total, ActorProcessingErr> {
        Ok(Total { total: 0, _alive: alive })
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        state: &mut Total,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Tell(by) => state.total += by,
            Message::Add(by, reply) => {
                state.total += by;
                // A caller that is gone needs no answer.
                let _ = reply.send(state.total);
            }
        }
        Ok(())
    }
}

struct Link;

pub(super) enum Token {
    Join(ActorRef<Token>),
    Pass(usize),
}

impl Actor for Link {
    type Msg = Token;
    type State = (Option<ActorRef<Token>>, Done);
    type Arguments = Done;

    async fn pre_start(
        &self,
        _: ActorRef<Token>,
        done: Done,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok((None, done))
    }

    async fn handle(
        &self,
        _: ActorRef<Token>,
        token: Token,
        (next, done): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match (token, &next) {
            (Token::Join(link), _) => *next = Some(link),
            (Token::Pass(hops), Some(next)) if hops > 0 => next.cast(Token::Pass(hops - 1))?,
            (Token::Pass(_), _) => drop(done.send(())),
        }
        Ok(())
    }
}

impl Peer for Ractor {
    const NAME: &'static str = "ractor";

    type Counter = ActorRef<Message>;
    type Link = ActorRef<Token>;

    fn start(cpus: usize) -> Result<Self> {
        start::tokio(cpus).map(Ractor)
    }

    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.block_on(work)
    }

    async fn counter(&self, alive: Alive) -> Result<Self::Counter> {
        let (counter, _) = ActorRuntime::spawn_instant(None, Counter, alive)?;
        Ok(counter)
    }

    fn add(counter: &Self::Counter, by: u64) -> Result<impl Future<Output = Result<u64>>> {
        let (reply, replied) = oneshot();
        let message = Message::Add(by, reply.into());
        counter.cast(message).map_err(|error| anyhow!("{error}"))?;
        Ok(async { replied.await.context("the actor is gone") })
    }

    fn tell(counter: &Self::Counter, by: u64) -> Result<()> {
        counter.cast(Message::Tell(by)).map_err(|error| anyhow!("{error}"))
    }

    fn end(counter: Self::Counter) {
        counter.stop(None);
    }

    async fn link(&self, done: Done) -> Result<Self::Link> {
        let (link, _) = ActorRuntime::spawn_instant(None, Link, done)?;
        Ok(link)
    }

    fn join(link: &Self::Link, next: Self::Link) -> Result<()> {
        link.cast(Token::Join(next)).map_err(|error| anyhow!("{error}"))
    }

    fn pass(link: &Self::Link, hops: usize) -> Result<()> {
        link.cast(Token::Pass(hops)).map_err(|error| anyhow!("{error}"))
    }
}
