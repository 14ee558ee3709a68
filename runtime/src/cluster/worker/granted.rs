//! With how much a call computes that came to this process: with as many threads of BLAS and of rayon as whoever sent it
//! has granted it CPUs.

use std::cell::Cell;
use std::time::Instant;

use crate::cluster::worker::among::{self, Among};
use crate::local::grant;
use crate::millis::Millis;

thread_local! {
    static IS_FIRST: Cell<bool> = const { Cell::new(false) };
}

/// This thread, the process's first, takes the calls and runs them.
pub(in crate::cluster) fn begin() {
    IS_FIRST.set(true);
    grant::begin_elsewhere();
}

fn as_first<R>(run: impl FnOnce() -> R) -> R {
    struct Leave(bool);
    impl Drop for Leave {
        fn drop(&mut self) {
            IS_FIRST.set(self.0);
        }
    }
    let _leave = Leave(IS_FIRST.replace(true));
    run()
}

/// Runs a call for the first thread: there, or where there are more threads of rayon, while it waits.
pub(in crate::cluster) fn in_turn<R: Send>(cpus: f64, run: impl FnOnce() -> R + Send) -> R {
    with_threads(cpus, || as_first(|| crew::asks_as_one(run)))
}

/// The first thread lets others run calls side by side, and has none.
pub(in crate::cluster) fn lend() {
    grant::lend_elsewhere();
}

/// Runs a call of the driver's that is one of several, on what `beside` gives it.
pub(super) fn among(among: Among, run: impl FnOnce()) {
    among.run(|| crew::asks_as_one(run));
}

/// Runs a call that is one of several side by side.
pub(in crate::cluster) fn beside<R: Send>(cpus: f64, run: impl FnOnce() -> R + Send) -> R {
    with_threads(cpus, run)
}

fn with_threads<R: Send>(cpus: f64, run: impl FnOnce() -> R + Send) -> R {
    grant::elsewhere(Millis::from_f64(cpus).unwrap_or(Millis::ONE), run)
}

/// What became of a question.
pub(super) enum Asked<R> {
    Answered(R),
    /// Until the deadline other threads asked for the same call.
    #[cfg_attr(not(feature = "rayon"), expect(dead_code, reason = "a call has one thread"))]
    TooLate,
    /// This thread computes for no call.
    OfNone,
}

/// Lets `ask` ask the driver for the call that this thread computes for.
pub(super) fn ask<R>(deadline: Option<Instant>, ask: impl FnOnce() -> R) -> Asked<R> {
    crew::ask(deadline, ask)
}

/// A call's threads of rayon ask one after the other: each has the answer before the next asks.
#[cfg(feature = "rayon")]
mod crew {
    use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
    use std::time::Instant;

    use super::Asked;
    use crate::cluster::worker::among::{self, Among};
    use crate::local::parallel::crew;

    /// For which call a thread asks the driver.
    #[derive(Clone, Copy)]
    enum Asker {
        /// The one that the first thread runs, which reads the answer.
        First,
        /// One of several.
        OneOf(Among),
    }

    impl Asker {
        fn here() -> Option<Self> {
            among::here().map(Self::OneOf).or_else(|| super::IS_FIRST.get().then_some(Self::First))
        }

        fn run<R>(self, ask: impl FnOnce() -> R) -> R {
            match self {
                Self::First => super::as_first(ask),
                Self::OneOf(among) => among.run(ask),
            }
        }
    }

    struct Voice {
        asker: Asker,
        state: Mutex<State>,
        free: Condvar,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum State {
        Free,
        Asks,
        /// The call has ended, and what is left of it has nobody to ask.
        Over,
    }

    impl Voice {
        fn lock(&self) -> MutexGuard<'_, State> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// Waits while others ask. None: until the deadline.
        fn wait(&self, deadline: Option<Instant>) -> Option<MutexGuard<'_, State>> {
            let mut state = self.lock();
            while *state == State::Asks {
                state = match deadline {
                    None => self.free.wait(state).unwrap_or_else(PoisonError::into_inner),
                    Some(deadline) => {
                        let left = deadline.saturating_duration_since(Instant::now());
                        if left.is_zero() {
                            return None;
                        }
                        let woken = self.free.wait_timeout(state, left);
                        woken.unwrap_or_else(PoisonError::into_inner).0
                    }
                };
            }
            Some(state)
        }

        fn has_answer(&self) {
            let mut state = self.lock();
            if *state == State::Asks {
                *state = State::Free;
            }
            drop(state);
            self.free.notify_all();
        }
    }

    /// Runs a call on this thread, for which its crew may ask.
    pub(super) fn asks_as_one<R>(run: impl FnOnce() -> R) -> R {
        struct End(Arc<Voice>);
        impl Drop for End {
            fn drop(&mut self) {
                let Self(voice) = self;
                // Where whoever asks reads, what the call left behind reads no more when this thread does.
                let asked = matches!(voice.asker, Asker::First).then(|| voice.wait(None)).flatten();
                *asked.unwrap_or_else(|| voice.lock()) = State::Over;
            }
        }
        let (Some(crew), Some(asker)) = (crew::here(), Asker::here()) else { return run() };
        let state = Mutex::new(State::Free);
        let voice = Arc::new(Voice { asker, state, free: Condvar::new() });
        crew.set_asks(Arc::clone(&voice) as _);
        let _end = End(voice);
        run()
    }

    pub(super) fn ask<R>(deadline: Option<Instant>, ask: impl FnOnce() -> R) -> Asked<R> {
        struct Free(Arc<Voice>);
        impl Drop for Free {
            fn drop(&mut self) {
                self.0.has_answer();
            }
        }
        let Some(voice) = crew::here().and_then(|crew| crew.asks::<Voice>()) else {
            return super::ask_alone(ask);
        };
        let Some(mut state) = voice.wait(deadline) else { return Asked::TooLate };
        if *state == State::Over {
            return Asked::OfNone;
        }
        *state = State::Asks;
        drop(state);
        let asker = voice.asker;
        let _free = Free(voice);
        Asked::Answered(asker.run(ask))
    }
}

#[cfg(not(feature = "rayon"))]
mod crew {
    pub(super) fn asks_as_one<R>(run: impl FnOnce() -> R) -> R {
        run()
    }

    pub(super) fn ask<R>(
        _: Option<std::time::Instant>,
        ask: impl FnOnce() -> R,
    ) -> super::Asked<R> {
        super::ask_alone(ask)
    }
}

/// As `ask`, on the one thread of a call.
fn ask_alone<R>(ask: impl FnOnce() -> R) -> Asked<R> {
    if IS_FIRST.get() || among::here().is_some() { Asked::Answered(ask()) } else { Asked::OfNone }
}
