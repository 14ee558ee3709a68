//! What a call may ask for beside its arguments.

use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// Options by their names. Unset ones are left to the attribute, then to the default.
#[derive(Clone, Debug, Default)]
pub struct Options {
    name: Option<String>,
    num_cpus: Option<f64>,
    resources: Vec<(String, f64)>,
    max_retries: Option<u32>,
    timeout: Option<Duration>,
    priority: Option<i32>,
}

impl Options {
    /// No options.
    pub fn new() -> Self {
        Self::default()
    }

    /// A name for the task, in errors and contexts.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How many CPUs the task takes. Default: 1.
    pub fn num_cpus(mut self, num_cpus: impl Into<f64>) -> Self {
        self.num_cpus = Some(num_cpus.into());
        self
    }

    /// How much of a named resource the task takes.
    pub fn resource(mut self, name: impl Into<String>, amount: impl Into<f64>) -> Self {
        self.resources.push((name.into(), amount.into()));
        self
    }

    /// How often a task whose worker crashed, or whose object was lost, is tried again. Default: 0.
    pub fn max_retries(mut self, max_retries: u32) -> Self {
        self.max_retries = Some(max_retries);
        self
    }

    /// How long the task may run.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Which of several waiting tasks goes first: the one with the highest. Default: 0.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// The first option that the in-process engines do not honour.
    pub(crate) fn refused(&self) -> Option<Error> {
        let refuse = |what: &str| {
            let message = format!("the in-process engines do not honour {what}; leave it out");
            Some(Error::new(ErrorKind::Engine, message))
        };
        match self {
            Self { num_cpus: Some(n), .. } if *n != 1.0 => refuse(&format!("num_cpus = {n}")),
            Self { resources, .. } if !resources.is_empty() => refuse("resource"),
            Self { timeout: Some(_), .. } => refuse("timeout"),
            Self { priority: Some(_), .. } => refuse("priority"),
            _ => None,
        }
    }
}
