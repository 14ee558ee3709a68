//! Which method blocks its arbiter: one that computes for long, or waits by other means than an await, keeps
//! all actors that live there from going on.
//!
//! An arbiter has a pulse: it beats when a call is polled, and when that returns. The arbiters' first thread,
//! which has nothing else to do, looks at each pulse now and then. One that stands still inside a call for
//! [`Settings::block_warning`](crate::config::Settings) is told of, by the call's name: once for each method
//! on the standard error stream, and in the runtime's report.

use std::collections::HashSet;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::function::{Call, Function, Hop};
use crate::local::Local;
use crate::local::arbiter::Home;

/// How often the pulses are looked at in the time after which one is told of.
const LOOKS: u32 = 4;
/// How many different methods are named; further ones are left out.
const NAMED_MAX: usize = 100;

/// What an arbiter does. Only its thread writes: three plain stores for a call, and one at its end.
#[derive(Default)]
pub(crate) struct Pulse {
    /// Odd while a call is polled.
    beats: AtomicU64,
    function: AtomicPtr<Function>,
    called_at: AtomicPtr<Location<'static>>,
}

/// The time in which a call is polled.
pub(crate) struct Polled<'a>(&'a Pulse);

impl Pulse {
    /// The arbiter's thread begins to poll this call.
    #[inline]
    pub(crate) fn poll(&self, call: Call) -> Polled<'_> {
        self.function.store(ptr::from_ref(call.function).cast_mut(), Ordering::Relaxed);
        self.called_at.store(ptr::from_ref(call.called_at).cast_mut(), Ordering::Relaxed);
        self.beat();
        Polled(self)
    }

    fn beat(&self) {
        // Release: pairs with `look`, so that who sees the beat sees the call that it is of.
        let beats = self.beats.load(Ordering::Relaxed);
        self.beats.store(beats + 1, Ordering::Release);
    }

    /// The beat, and the call that is polled since.
    fn look(&self) -> (u64, Option<Call>) {
        // Acquire: pairs with `beat`.
        let beats = self.beats.load(Ordering::Acquire);
        if beats.is_multiple_of(2) {
            return (beats, None);
        }
        let function = self.function.load(Ordering::Relaxed);
        let called_at = self.called_at.load(Ordering::Relaxed);
        // SAFETY: what is stored there is what a reference that lives for ever points to.
        let function: Option<&'static Function> = unsafe { function.as_ref() };
        // SAFETY: as above.
        let called_at: Option<&'static Location<'static>> = unsafe { called_at.as_ref() };
        let call =
            function.zip(called_at).map(|(function, called_at)| Call { function, called_at });
        (beats, call)
    }
}

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        self.0.beat();
    }
}

/// Looks at the pulses until the runtime is gone.
pub(super) async fn watch(homes: Vec<Arc<Home>>, local: Weak<Local>) {
    let Some(limit) = local.upgrade().map(|local| local.settings().block_warning) else { return };
    let mut seen: Vec<(u64, u32)> = homes.iter().map(|_| (0, 0)).collect();
    loop {
        tokio::time::sleep(limit / LOOKS).await;
        let Some(local) = local.upgrade() else { return };
        for (home, (beat, looks)) in homes.iter().zip(&mut seen) {
            let (now, call) = home.pulse.look();
            *looks = if now == *beat { looks.saturating_add(1) } else { 0 };
            *beat = now;
            if let Some(call) = call.filter(|_| *looks == LOOKS) {
                local.blockings().add(call, limit);
            }
        }
    }
}

/// The methods that blocked the arbiters of one runtime.
#[derive(Default)]
pub(crate) struct Blockings(Mutex<Vec<Blocking>>);

/// A method of an async actor in this process that kept its thread from all other actors there. Shown with the place that it
/// was called from.
#[derive(Clone, Copy)]
pub struct Blocking(Call);

impl Blocking {
    /// The method's name.
    pub fn name(&self) -> &'static str {
        self.0.function.name()
    }

    /// Where the call was made that was seen to block.
    pub fn called_at(&self) -> &'static Location<'static> {
        self.0.called_at
    }
}

impl std::fmt::Display for Blocking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Hop::from(self.0).fmt(f)
    }
}

impl std::fmt::Debug for Blocking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// The methods that were told of on the standard error stream, by the addresses of their names.
static TOLD: LazyLock<Mutex<HashSet<usize>>> = LazyLock::new(Mutex::default);

impl Blockings {
    fn lock(&self) -> MutexGuard<'_, Vec<Blocking>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first that was seen of each method.
    pub(crate) fn get(&self) -> Vec<Blocking> {
        self.lock().clone()
    }

    fn add(&self, call: Call, limit: Duration) {
        let mut named = self.lock();
        let same = |other: &Blocking| ptr::eq(other.0.function, call.function);
        if named.len() < NAMED_MAX && !named.iter().any(same) {
            named.push(Blocking(call));
        }
        drop(named);
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(ptr::from_ref(call.function).addr()) {
            drop(told);
            eprintln!(
                "mobula: {} has held its thread for {limit:?}, and with it all async actors there: let \
                 it await what it waits for, and leave long computations to a task",
                Blocking(call)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_tells_the_call_that_is_polled() {
        static FUNCTION: Function = Function::new("f", module_path!(), file!(), line!());
        let call = Call { function: &FUNCTION, called_at: Location::caller() };
        let pulse = Pulse::default();
        assert!(pulse.look().1.is_none());
        let polled = pulse.poll(call);
        let (beat, seen) = pulse.look();
        assert_eq!(seen.unwrap().called_at, call.called_at);
        drop(polled);
        assert!(pulse.look().1.is_none() && pulse.look().0 > beat);
    }
}
