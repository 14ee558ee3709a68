//! The actors that are called on mobula, and what calls them.

use anyhow::Result;
use mobula::prelude::*;

use super::OK;
use super::traffic::{Argument, Callers, Traffic};
use crate::contender::Contender;
use crate::start;

/// A handle to either kind of actor.
pub(super) trait Server: Clone + Send + Sync + 'static {
    fn start() -> Self;
    fn call(&self) -> ObjectRef<[u8; 2]>;
    fn call_with(&self, number: u64) -> ObjectRef<[u8; 2]>;
    fn call_with_ref(&self, number: &ObjectRef<u64>) -> ObjectRef<[u8; 2]>;
}

pub(super) struct Computing;

#[remote]
impl Computing {
    pub(crate) fn new() -> Self {
        Computing
    }

    pub(crate) fn small_value(&self) -> [u8; 2] {
        OK
    }

    pub(crate) fn small_value_with_arg(&self, _number: u64) -> [u8; 2] {
        OK
    }
}

pub(super) struct Waiting;

#[remote]
impl Waiting {
    pub(crate) async fn new() -> Self {
        Waiting
    }

    pub(crate) async fn small_value(&self) -> [u8; 2] {
        OK
    }

    pub(crate) async fn small_value_with_arg(&self, _number: u64) -> [u8; 2] {
        OK
    }
}

macro_rules! server {
    ($actor:ty) => {
        impl Server for ActorHandle<$actor> {
            fn start() -> Self {
                <$actor>::remote()
            }

            fn call(&self) -> ObjectRef<[u8; 2]> {
                self.small_value()
            }

            fn call_with(&self, number: u64) -> ObjectRef<[u8; 2]> {
                self.small_value_with_arg(number)
            }

            fn call_with_ref(&self, number: &ObjectRef<u64>) -> ObjectRef<[u8; 2]> {
                self.small_value_with_arg(number)
            }
        }
    };
}

server!(Computing);
server!(Waiting);

/// Mobula under `traffic`, with actors of the kind `S`.
pub(super) fn contender<S: Server>(cpus: usize, traffic: Traffic) -> Result<Contender> {
    start::on_mobula(cpus, traffic.ops(), || {
        let servers: Vec<S> = (0..traffic.servers).map(|_| S::start()).collect();
        Ok(move || Ok((0..traffic.rounds).try_for_each(|_| round(&servers, traffic))?))
    })
}

fn round<S: Server>(servers: &[S], traffic: Traffic) -> mobula::Result<()> {
    match traffic.callers {
        Callers::OneByOne => {
            let calls = calls(servers, traffic, 0);
            calls.map(mobula::get).try_for_each(|reply| reply.map(drop))
        }
        Callers::Outside => call_all(servers, traffic, 0),
        Callers::Tasks(_) | Callers::TaskForEach => {
            let task = |caller| {
                let servers = servers.to_vec();
                mobula::spawn(move || call_all(&servers, traffic, caller))
            };
            let tasks: Vec<_> = (0..traffic.callers()).map(task).collect();
            mobula::get(tasks)?.into_iter().collect()
        }
    }
}

/// Makes all calls of one caller, then gets all replies.
fn call_all<S: Server>(servers: &[S], traffic: Traffic, caller: usize) -> mobula::Result<()> {
    mobula::get(calls(servers, traffic, caller).collect::<Vec<_>>()).map(drop)
}

/// The calls of one caller, each made when it is asked for.
fn calls<S: Server>(
    servers: &[S],
    traffic: Traffic,
    caller: usize,
) -> impl Iterator<Item = ObjectRef<[u8; 2]>> {
    let shared = (traffic.argument == Argument::Ref).then(|| mobula::put(0));
    (0..traffic.calls).map(move |call| {
        let server = &servers[traffic.server(caller, call)];
        match (traffic.argument, &shared) {
            (Argument::Ref, Some(number)) => server.call_with_ref(number),
            (Argument::Number, _) => server.call_with(call as u64),
            _ => server.call(),
        }
    })
}
