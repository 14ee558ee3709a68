//! The actors of the programs.

use mobula::prelude::*;

use crate::counted::{Counted, combine};
use crate::meter::{call, compute, step};
use crate::tasks::{PLANNED, take_one};

/// Its calls commute, so that it can be called from anywhere.
pub(crate) struct Tally(u64);

#[remote(local)]
impl Tally {
    pub fn new() -> Self {
        Self(0)
    }

    pub fn add(&mut self, value: u64) {
        step();
        self.0 = self.0.wrapping_add(value);
    }

    pub fn sum(&self) -> u64 {
        self.0
    }
}

/// An actor that computes: each call's result tells the order of all before.
pub(crate) struct Computing(Counted);

#[remote(local)]
impl Computing {
    pub fn new(start: Counted) -> Self {
        Self(start)
    }

    pub fn add(&mut self, value: Counted) -> Counted {
        self.0 = compute([self.0.value(), value.value()]);
        self.0.clone()
    }

    /// Adds what a task makes of the value, for which it waits.
    pub fn add_made(&mut self, value: Counted) -> mobula::Result<Counted> {
        call();
        let made = get(take_one::remote(value))?;
        self.0 = compute([self.0.value(), made.value()]);
        Ok(self.0.clone())
    }

    pub fn refuse(&mut self) -> Result<Counted, String> {
        Err("no".to_owned())
    }

    pub fn explode(&mut self) -> Counted {
        panic!("{PLANNED}an actor")
    }
}

/// The same, as an actor that waits.
pub(crate) struct Waiting(Counted);

#[remote(local)]
impl Waiting {
    pub async fn new(start: Counted) -> Self {
        tokio::task::yield_now().await;
        Self(start)
    }

    pub async fn add(&mut self, value: Counted) -> Counted {
        let before = self.0.value();
        tokio::task::yield_now().await;
        self.0 = compute([before, value.value()]);
        self.0.clone()
    }

    pub async fn add_made(&mut self, value: Counted) -> mobula::Result<Counted> {
        call();
        let before = self.0.value();
        let made = take_one::remote(value).await?;
        self.0 = compute([before, made.value()]);
        Ok(self.0.clone())
    }

    pub async fn refuse(&mut self) -> Result<Counted, String> {
        Err("no".to_owned())
    }

    pub async fn explode(&mut self) -> Counted {
        tokio::task::yield_now().await;
        panic!("{PLANNED}an async actor")
    }
}

/// An actor of either kind, by its handle.
#[derive(Clone)]
pub(crate) enum Either {
    Computing(ActorHandle<Computing>),
    Waiting(ActorHandle<Waiting>),
}

/// Calls a method that both kinds have.
macro_rules! both {
    ($either:expr, $handle:ident => $call:expr) => {
        match $either {
            Either::Computing($handle) => $call,
            Either::Waiting($handle) => $call,
        }
    };
}

impl Either {
    pub(crate) fn start(waits: bool, value: u64) -> Self {
        let value = Counted::new(value);
        if waits {
            Self::Waiting(Waiting::remote(value))
        } else {
            Self::Computing(Computing::remote(value))
        }
    }

    pub(crate) fn add(&self, value: ObjectRef<Counted>) -> ObjectRef<Counted> {
        both!(self, handle => handle.add(value))
    }

    pub(crate) fn add_made(&self, value: ObjectRef<Counted>) -> ObjectRef<Counted> {
        both!(self, handle => handle.add_made(value))
    }

    pub(crate) fn refuse(&self) -> ObjectRef<Counted> {
        both!(self, handle => handle.refuse())
    }

    pub(crate) fn explode(&self) -> ObjectRef<Counted> {
        both!(self, handle => handle.explode())
    }

    pub(crate) fn kill(&self) {
        both!(self, handle => mobula::kill(handle));
    }
}

/// What `add` leaves in the state, and gives.
pub(crate) fn added(state: u64, value: u64) -> u64 {
    combine([state, value])
}
