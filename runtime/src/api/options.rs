//! What a call may ask for beside its arguments.

use std::sync::Arc;
use std::time::Duration;

use crate::api::placement::Placement;
use crate::cluster::argument::Asked;
use crate::error::{Error, ErrorKind, Result};
use crate::local::request::Request;
use crate::local::retries::{Retries, RetryDelay, RetryIf};
use crate::millis::{Amounts, Millis};

/// Options by their names. Unset ones are left to the attribute, then to the default.
#[derive(Clone, Default)]
pub struct Options {
    name: Option<Arc<str>>,
    num_cpus: Option<f64>,
    resources: Vec<(String, f64)>,
    max_retries: Option<u32>,
    retry_if: Option<RetryIf>,
    retry_delay: Option<RetryDelay>,
    timeout: Option<Duration>,
    priority: Option<i32>,
    placement: Option<Placement>,
}

impl Options {
    /// No options.
    pub fn new() -> Self {
        Self::default()
    }

    /// A name for the task, in errors and contexts.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().into());
        self
    }

    /// How many CPUs the task takes: a whole number; a fraction, in steps of 0.001, where several
    /// tasks are to share one; 0 for a task that waits more than it computes. Default: 1, and 0 for an
    /// `async fn`, which computes on no CPU of the pool.
    pub fn num_cpus(mut self, num_cpus: impl Into<f64>) -> Self {
        self.num_cpus = Some(num_cpus.into());
        self
    }

    /// How much of a named resource the task takes, in steps of 0.001; see
    /// [`Config::resource`](crate::Config::resource).
    pub fn resource(mut self, name: impl Into<String>, amount: impl Into<f64>) -> Self {
        self.resources.push((name.into(), amount.into()));
        self
    }

    /// How often the task is tried again when it fails and `retry_if` says so. Its arguments are cloned
    /// for each try but the last. Default: 0.
    pub fn max_retries(mut self, max_retries: u32) -> Self {
        self.max_retries = Some(max_retries);
        self
    }

    /// Which failures are worth another try, a panic or an `Err` among them. Default: the loss of a
    /// worker or of an object, neither of which happens to tasks of the in-process engines.
    pub fn retry_if(mut self, retry_if: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        self.retry_if = Some(Arc::new(retry_if));
        self
    }

    /// How long to wait before another try, holding nothing. Default: not at all.
    pub fn retry_delay(mut self, retry_delay: impl Into<RetryDelay>) -> Self {
        self.retry_delay = Some(retry_delay.into());
        self
    }

    /// How long the task may run, for each try. When the time has come it is asked to stop, as by
    /// [`cancel`](crate::cancel) (an `async fn` is dropped at its next await), and it fails with
    /// [`TimeLimit`](ErrorKind::TimeLimit).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Which of several waiting tasks goes first: the one with the highest. Default: 0.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Which failures are worth another try.
    pub(crate) fn retry_rule(&self) -> Option<&RetryIf> {
        self.retry_if.as_ref()
    }

    /// The options on their way to the driver.
    ///
    /// # Errors
    /// `Config`, if something makes no sense; `Engine`, if there is a `retry_if` that is not the attribute's.
    pub(crate) fn into_asked(self, declared: Option<&Self>) -> Result<Asked> {
        cpus(self.num_cpus)?;
        amounts(&self.resources)?;
        self.retries()?;
        self.placement.as_ref().map_or(Ok(()), Placement::check)?;
        let declared = declared.and_then(|declared| declared.retry_if.as_ref());
        let retries_as_declared = match (&self.retry_if, declared) {
            (None, _) => false,
            (Some(own), Some(declared)) if Arc::ptr_eq(own, declared) => true,
            (Some(_), _) => {
                let message = "a `retry_if` that is given at the call stays in this process: give it in the function's \
                               attribute";
                return Err(Error::new(ErrorKind::Engine, message));
            }
        };
        let Self {
            name,
            num_cpus,
            resources,
            max_retries,
            retry_delay,
            timeout,
            priority,
            placement,
            ..
        } = self;
        let name = name.map(|name| name.to_string());
        Ok(Asked {
            name,
            num_cpus,
            resources,
            max_retries,
            retries_as_declared,
            retry_delay,
            timeout,
            priority,
            placement,
            reservation: None,
            detached: None,
            python: false,
        })
    }

    /// Where on a cluster the task is to run.
    pub fn placement(mut self, placement: impl Into<Placement>) -> Self {
        self.placement = Some(placement.into());
        self
    }

    /// The options as they came from a worker.
    pub(crate) fn from_asked(asked: Asked, declared: Option<&Self>) -> Self {
        let Asked {
            name,
            num_cpus,
            resources,
            max_retries,
            retries_as_declared,
            retry_delay,
            timeout,
            priority,
            placement,
            reservation: _,
            detached: _,
            python: _,
        } = asked;
        let retry_if = declared.filter(|_| retries_as_declared);
        let retry_if = retry_if.and_then(|declared| declared.retry_if.clone());
        let name = name.map(Arc::from);
        Self {
            name,
            num_cpus,
            resources,
            max_retries,
            retry_if,
            retry_delay,
            timeout,
            priority,
            placement,
        }
    }

    /// What the engine is asked for; None: nothing but a turn.
    ///
    /// # Errors
    /// `Config`, if an amount makes no sense.
    pub(crate) fn request(&self) -> Result<Option<Request>> {
        let request = self.whole_request()?;
        Ok((!request.is_plain()).then_some(request))
    }

    /// What the engine is asked for, be it nothing but a turn.
    ///
    /// # Errors
    /// `Config`, if an amount makes no sense.
    pub(crate) fn whole_request(&self) -> Result<Request> {
        let Self { name, num_cpus, resources, timeout, priority, placement, .. } = self;
        if placement.is_some() {
            let message = "placement is for the nodes of a cluster, and this engine has none: use the engine `ray`";
            return Err(Error::new(ErrorKind::Engine, message));
        }
        let (cpus, resources) = (cpus(*num_cpus)?, amounts(resources)?);
        let priority = priority.unwrap_or(0);
        let (name, time_limit, retries) = (name.clone(), *timeout, self.retries()?);
        Ok(Request { name, cpus, resources, priority, time_limit, retries })
    }

    /// When the task is tried again; None: never.
    ///
    /// # Errors
    /// `Config`, if that makes no sense.
    fn retries(&self) -> Result<Option<Retries>> {
        let delay = self.retry_delay.unwrap_or_default();
        if let Some(mistake) = delay.mistake() {
            return Err(Error::new(ErrorKind::Config, mistake));
        }
        let given =
            [("retry_if", self.retry_if.is_some()), ("retry_delay", self.retry_delay.is_some())];
        match (self.max_retries, given.iter().find(|(_, given)| *given)) {
            (None, Some((name, _))) => {
                let message = format!("{name} is given without max_retries, which says how often");
                Err(Error::new(ErrorKind::Config, message))
            }
            (None | Some(0), _) => Ok(None),
            (Some(max), _) => Ok(Some(Retries { max, retry_if: self.retry_if.clone(), delay })),
        }
    }
}

/// How many CPUs are asked for.
///
/// # Errors
/// `Config`, if that makes no sense.
pub(crate) fn cpus(num_cpus: Option<f64>) -> Result<Millis> {
    let Some(wanted) = num_cpus else { return Ok(Millis::ONE) };
    let cpus = amount("num_cpus", wanted, "0, a fraction in steps of 0.001, or a whole number")?;
    if cpus > Millis::ONE && !cpus.is_whole() {
        let message = format!("num_cpus is {wanted}; above 1 it takes a whole number");
        return Err(Error::new(ErrorKind::Config, message));
    }
    Ok(cpus)
}

/// How much is asked for of each resource. Of what is given as 0 nothing is, so it need not be one that the runtime has.
///
/// # Errors
/// `Config`, if that makes no sense.
pub(crate) fn amounts(resources: &[(String, f64)]) -> Result<Amounts> {
    let amount_of = |(name, wanted): &(String, f64)| {
        let what = format!("resource {name:?}");
        Ok((name.clone(), amount(&what, *wanted, "a number from 0 in steps of 0.001")?))
    };
    let mut amounts = resources.iter().map(amount_of).collect::<Result<Amounts>>()?;
    // Not before: the last amount of a name counts.
    amounts.retain(|_, amount| *amount != Millis::default());
    Ok(amounts)
}

fn amount(what: &str, amount: f64, allowed: &str) -> Result<Millis> {
    let refused =
        || Error::new(ErrorKind::Config, format!("{what} is {amount}; it takes {allowed}"));
    Millis::from_f64(amount).ok_or_else(refused)
}
