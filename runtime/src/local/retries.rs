//! When a task that failed is tried again, and after how long.
//!
//! A try that failed puts its job back into the cell (`Promise::put_back`), as if nobody had begun it:
//! so whoever cancels the task while it waits for its next try ends it there and then, in whatever line
//! it stands. What it had taken goes back before it waits, and is asked for again after.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Engine;
use crate::error::{Error, ErrorKind};
use crate::local::cell::{Job, Promise};
use crate::local::lineage::Lineage;
use crate::local::pool::{self, Guest};
use crate::local::queue::Entry;
use crate::local::request::Claim;
use crate::local::{Local, cancelling, note, panics};
use crate::observe::EventKind;

/// No delay grows beyond this, unless the program allows it.
const DELAY_MAX: Duration = Duration::from_secs(60);
/// Which part of a delay is left to chance, unless the program says otherwise.
const JITTER: f64 = 0.5;
/// How much longer each delay is than the one before, likewise.
const FACTOR: f64 = 2.0;

/// Which failures are worth another try.
pub(crate) type RetryIf = Arc<dyn Fn(&Error) -> bool + Send + Sync>;

/// How long a task waits before it is tried again: a first delay that grows with each try, up to a
/// most, less a random part, so that tasks that failed together do not come back together. A plain
/// [`Duration`] is the first delay, and the rest is as [`new`](Self::new) says.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::time::Duration;
///
/// use mobula::RetryDelay;
/// use mobula::prelude::*;
///
/// #[remote(local)]
/// fn third_time_lucky(tries: &AtomicU32) -> Result<u32, String> {
///     match tries.fetch_add(1, Ordering::Relaxed) {
///         tries @ 0..2 => Err(format!("{tries} tries were not enough")),
///         tries => Ok(tries),
///     }
/// }
///
/// let delay = RetryDelay::new(Duration::from_millis(1)).factor(3.0).jitter(0.1);
/// let call = third_time_lucky::options().max_retries(5).retry_delay(delay);
/// let result = call.retry_if(|error| error.kind() == ErrorKind::Task).remote(AtomicU32::new(0));
/// assert_eq!(mobula::get(result)?, 2);
/// # Ok::<(), mobula::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryDelay {
    first: Duration,
    factor: f64,
    max: Duration,
    jitter: f64,
}

impl RetryDelay {
    /// This delay before the second try. It doubles from try to try, up to a minute, and a random part
    /// of it, up to a half, is left out.
    pub fn new(first: Duration) -> Self {
        Self { first, factor: FACTOR, max: DELAY_MAX, jitter: JITTER }
    }

    /// How much longer each delay is than the one before: 1 or more.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// The longest delay.
    pub fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// Which part of each delay is left to chance: from 0, none, to 1, all of it.
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// What is wrong with it, if anything is.
    pub(crate) fn mistake(&self) -> Option<String> {
        let Self { factor, jitter, .. } = self;
        if !(factor.is_finite() && *factor >= 1.0) {
            return Some(format!("the factor of retry_delay is {factor}; it takes 1 or more"));
        }
        let fits = (0.0..=1.0).contains(jitter);
        (!fits).then(|| format!("the jitter of retry_delay is {jitter}; it takes 0 to 1"))
    }

    /// The delay after so many tries; `chance`: from 0 to 1.
    fn after(&self, tries: u32, chance: f64) -> Duration {
        if self.first.is_zero() {
            return Duration::ZERO;
        }
        let exponent = i32::try_from(tries - 1).unwrap_or(i32::MAX);
        let seconds = self.first.as_secs_f64() * self.factor.powi(exponent);
        let seconds = seconds.min(self.max.as_secs_f64()) * (1.0 - self.jitter * chance);
        Duration::try_from_secs_f64(seconds).unwrap_or(self.max)
    }
}

impl Default for RetryDelay {
    /// None.
    fn default() -> Self {
        Self::new(Duration::ZERO)
    }
}

impl From<Duration> for RetryDelay {
    fn from(first: Duration) -> Self {
        Self::new(first)
    }
}

/// What a task that may fail was promised.
#[derive(Clone)]
pub(crate) struct Retries {
    /// How many tries there are beside the first.
    pub(crate) max: u32,
    pub(crate) retry_if: Option<RetryIf>,
    pub(crate) delay: RetryDelay,
}

impl Retries {
    /// Whether there is none after this try, counted from 1.
    pub(crate) fn is_last(&self, attempt: u32) -> bool {
        attempt > self.max
    }

    /// How long to wait before the next try, if this failure of this one is worth it.
    fn delay_after(&self, attempt: u32, error: &Error) -> Option<Duration> {
        let worth_it = || match &self.retry_if {
            None => matches!(error.kind(), ErrorKind::WorkerCrashed | ErrorKind::ObjectLost),
            // Where the program's answer is a panic, the hook has told of it, and it is no yes.
            Some(retry_if) => panics::catch(|| Ok(retry_if(error))).unwrap_or(false),
        };
        let again = !self.is_last(attempt) && worth_it();
        again.then(|| self.delay.after(attempt, rand::random_range(0.0..=1.0)))
    }
}

impl fmt::Debug for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { max, delay, .. } = self;
        f.debug_struct("Retries").field("max", max).field("delay", delay).finish_non_exhaustive()
    }
}

/// A task that can be tried again.
pub(crate) trait Retried<T: Send + Sync + 'static>: Job<T> + Sized {
    /// What it asks for each time.
    fn claim(&self) -> Option<&Arc<Claim>>;
    /// Where it runs.
    fn local(&self) -> &Local;
    /// Which try this is, counted from 1.
    fn attempt(&self) -> u32;
    /// The next try, with a claim of its own.
    fn again(self, claim: Arc<Claim>) -> Self;
    /// Gives back what was taken, and the arguments unless they are how a lost result is made again.
    fn end(self) -> Option<Lineage> {
        panics::drop_quietly(self);
        None
    }
}

/// The end of a try: completes the promise, or sees to the next try. Where that is due, but somebody
/// cancelled the task or the runtime meanwhile, the task fails as if it had waited already.
///
/// # Safety
/// `job` is what the promise's cell was made with, and was begun by way of the cell's entry.
pub(crate) unsafe fn conclude<T, J>(job: J, promise: Promise<T>, result: Result<T, Error>)
where
    T: Send + Sync + 'static,
    J: Retried<T>,
{
    cancelling::note_end(&promise, &result, Some(job.local()));
    let hop = promise.hop().tried(job.attempt());
    let result = result.map_err(|error| error.through(hop));
    let next = job.claim().and_then(|claim| {
        let error = result.as_ref().err()?;
        let delay = claim.request().retries.as_ref()?.delay_after(job.attempt(), error)?;
        Some((claim.again(), delay))
    });
    let Some((claim, delay)) = next else {
        // What was taken goes back, and the arguments go, before anybody sees the result.
        let lineage = job.end();
        return promise.complete_with(result, lineage);
    };
    // What this try had taken goes back here, with its own claim.
    let job = job.again(Arc::clone(&claim));
    note::step(promise.number(), EventKind::Retried { attempt: job.attempt() });
    // SAFETY: the promise says that it runs.
    let task = unsafe { promise.task().to_ref() };
    // SAFETY: by the caller's promise.
    match unsafe { promise.put_back(job) } {
        Ok(entry) => {
            claim.leave_line_if_cancelled(&task);
            drop(task);
            Waiting { claim, entry: Some(entry) }.wait(delay);
        }
        Err((job, promise)) => {
            let hop = promise.hop();
            let error = Error::new(ErrorKind::Cancelled, "it was cancelled before another try");
            panics::drop_quietly(job);
            promise.complete(Err(error.through(hop)));
        }
    }
}

/// A task between two tries.
struct Waiting {
    claim: Arc<Claim>,
    /// Gone once queued.
    entry: Option<Entry>,
}

impl Waiting {
    fn wait(self, delay: Duration) {
        let local = Arc::clone(self.claim.local());
        match local.settings().engine {
            _ if delay.is_zero() => self.queue(),
            // Here calls run on the thread that makes them, and so do their delays.
            Engine::Inline => {
                std::thread::sleep(delay);
                self.queue();
            }
            _ => local.spawn_timer(delay, move || self.queue()),
        }
    }

    fn queue(mut self) {
        // While a guest is there the runtime does not end, or it has closed before, which shows.
        let guest = Guest::of(self.claim.local());
        if !guest.local().pool().is_closed()
            && let Some(entry) = self.entry.take()
        {
            self.claim.queue(entry);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            let _ = entry.abandon(pool::shut_down_before("it was tried again"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_the_most_and_lose_a_random_part() {
        let delay = RetryDelay::new(Duration::from_millis(100)).max(Duration::from_secs(1));
        let without_chance = |tries| delay.after(tries, 0.0).as_millis();
        assert_eq!([1, 2, 3, 4, 5, u32::MAX].map(without_chance), [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(delay.after(2, 1.0), Duration::from_millis(100));
        assert_eq!(delay.jitter(0.0).after(2, 1.0), Duration::from_millis(200));
        assert_eq!(delay.jitter(1.0).after(2, 1.0), Duration::ZERO);
        assert_eq!(delay.factor(1.0).after(9, 0.0), Duration::from_millis(100));
        assert_eq!(RetryDelay::default().after(u32::MAX, 0.5), Duration::ZERO);
        let endless = RetryDelay::new(Duration::MAX).max(Duration::MAX);
        assert_eq!(endless.after(u32::MAX, 0.0), Duration::MAX);
    }

    #[test]
    fn what_makes_no_sense_is_a_mistake() {
        let delay = RetryDelay::from(Duration::from_secs(1));
        assert_eq!(delay.mistake(), None);
        for factor in [0.9, -1.0, f64::NAN, f64::INFINITY] {
            assert!(delay.factor(factor).mistake().unwrap().contains("1 or more"));
        }
        for jitter in [-0.1, 1.1, f64::NAN] {
            assert!(delay.jitter(jitter).mistake().unwrap().contains("0 to 1"));
        }
    }
}
