//! Actors as one writes them by hand on tokio: a task with a mailbox, and a
//! channel for each reply.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::{mpsc, oneshot};

use super::OK;
use super::traffic::{Argument, Callers, Traffic};
use crate::contender::Contender;
use crate::start;

/// A call's argument, and where the reply goes.
type Call = (Passed, oneshot::Sender<[u8; 2]>);

#[expect(dead_code, reason = "the server looks at no argument")]
enum Passed {
    Nothing,
    Number(u64),
    Shared(Arc<u64>),
}

#[derive(Clone)]
struct Server(mpsc::UnboundedSender<Call>);

impl Server {
    /// Starts an actor that answers one call after the other.
    fn computing() -> Self {
        Self::start(answer)
    }

    /// Starts an actor whose calls may interleave where they wait.
    fn waiting() -> Self {
        Self::start(|reply| drop(tokio::spawn(async { answer(reply) })))
    }

    fn start(answer: impl Fn(oneshot::Sender<[u8; 2]>) + Send + 'static) -> Self {
        let (calls, mut mailbox) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some((_argument, reply)) = mailbox.recv().await {
                answer(reply);
            }
        });
        Server(calls)
    }

    fn call(&self, passed: Passed) -> Result<oneshot::Receiver<[u8; 2]>> {
        let (reply, replied) = oneshot::channel();
        self.0.send((passed, reply)).ok().context("the actor is gone")?;
        Ok(replied)
    }
}

fn answer(reply: oneshot::Sender<[u8; 2]>) {
    // A caller that is gone needs no answer.
    let _ = reply.send(OK);
}

/// tokio under `traffic`, with actors that wait or that compute.
pub(super) fn contender(cpus: usize, traffic: Traffic, waits: bool) -> Result<Contender> {
    let mut started = None;
    start::on_tokio(cpus, traffic.ops(), move |runtime| {
        runtime.block_on(async {
            let start = if waits { Server::waiting } else { Server::computing };
            let start = || (0..traffic.servers).map(|_| start()).collect::<Vec<_>>();
            let servers = started.get_or_insert_with(start);
            for _ in 0..traffic.rounds {
                round(servers, traffic).await?;
            }
            Ok(())
        })
    })
}

async fn round(servers: &[Server], traffic: Traffic) -> Result<()> {
    match traffic.callers {
        Callers::OneByOne => {
            for reply in calls(servers, traffic, 0) {
                reply?.await?;
            }
            Ok(())
        }
        Callers::Outside => call_all(servers, traffic, 0).await,
        Callers::Tasks(_) | Callers::TaskForEach => {
            let task = |caller| {
                let servers = servers.to_vec();
                tokio::spawn(async move { call_all(&servers, traffic, caller).await })
            };
            let tasks: Vec<_> = (0..traffic.callers()).map(task).collect();
            for task in tasks {
                task.await??;
            }
            Ok(())
        }
    }
}

async fn call_all(servers: &[Server], traffic: Traffic, caller: usize) -> Result<()> {
    let replies: Vec<_> = calls(servers, traffic, caller).collect();
    for reply in replies {
        reply?.await?;
    }
    Ok(())
}

fn calls(
    servers: &[Server],
    traffic: Traffic,
    caller: usize,
) -> impl Iterator<Item = Result<oneshot::Receiver<[u8; 2]>>> {
    let shared = Arc::new(0);
    (0..traffic.calls).map(move |call| {
        servers[traffic.server(caller, call)].call(match traffic.argument {
            Argument::None => Passed::Nothing,
            Argument::Number => Passed::Number(call as u64),
            Argument::Ref => Passed::Shared(Arc::clone(&shared)),
        })
    })
}
