//! Actors as one writes them by hand on tokio: a task with a mailbox, and a
//! channel for each reply.

use std::future::Future;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use super::peer::{Alive, Done, Peer};
use crate::start;

pub(super) struct Tokio(Runtime);

pub(super) enum Message {
    Add(u64, oneshot::Sender<u64>),
    Tell(u64),
}

pub(super) enum Token {
    Join(mpsc::UnboundedSender<Token>),
    Pass(usize),
}

impl Peer for Tokio {
    const NAME: &'static str = "tokio";

    type Counter = mpsc::UnboundedSender<Message>;
    type Link = mpsc::UnboundedSender<Token>;

    fn start(cpus: usize) -> Result<Self> {
        start::tokio(cpus).map(Tokio)
    }

    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.block_on(work)
    }

    async fn counter(&self, alive: Alive) -> Result<Self::Counter> {
        let (counter, mut mailbox) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let (mut total, _alive) = (0, alive);
            while let Some(message) = mailbox.recv().await {
                match message {
                    Message::Tell(by) => total += by,
                    Message::Add(by, reply) => {
                        total += by;
                        // A caller that is gone needs no answer.
                        let _ = reply.send(total);
                    }
                }
            }
        });
        Ok(counter)
    }

    fn add(counter: &Self::Counter, by: u64) -> Result<impl Future<Output = Result<u64>>> {
        let (reply, replied) = oneshot::channel();
        counter.send(Message::Add(by, reply)).ok().context("the actor is gone")?;
        Ok(async { Ok(replied.await?) })
    }

    fn tell(counter: &Self::Counter, by: u64) -> Result<()> {
        counter.send(Message::Tell(by)).ok().context("the actor is gone")
    }

    async fn link(&self, done: Done) -> Result<Self::Link> {
        let (link, mut mailbox) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut next: Option<Self::Link> = None;
            while let Some(token) = mailbox.recv().await {
                match (token, &next) {
                    (Token::Join(link), _) => next = Some(link),
                    (Token::Pass(hops), Some(next)) if hops > 0 => {
                        drop(next.send(Token::Pass(hops - 1)));
                    }
                    (Token::Pass(_), _) => drop(done.send(())),
                }
            }
        });
        Ok(link)
    }

    fn join(link: &Self::Link, next: Self::Link) -> Result<()> {
        link.send(Token::Join(next)).ok().context("the actor is gone")
    }

    fn pass(link: &Self::Link, hops: usize) -> Result<()> {
        link.send(Token::Pass(hops)).ok().context("the actor is gone")
    }
}
