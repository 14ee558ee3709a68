//! Which options exist: the one table of them.

use crate::options::Target;

/// An option that exists.
pub(crate) struct Known {
    /// Its name, here and on the builder.
    pub(crate) name: &'static str,
    /// What value it takes.
    pub(crate) kind: Kind,
    targets: &'static [Target],
    /// How it is written.
    pub(crate) example: &'static str,
}

/// What value an option takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// None: it is there, and the item is local, or it is not.
    Local,
    /// None: it is there or not.
    Flag,
    /// None: the function's results come one after the other.
    Stream,
    /// How many results there are.
    Returns,
    /// A whole number, this or more.
    Count(u64),
    /// A whole number, which may be negative.
    Integer,
    /// A number that is not negative.
    Amount,
    /// A name and a number that is not negative; the option may come again.
    Resource,
    /// A length of time.
    Duration,
    /// A text.
    Text,
    /// A function, by its path, or a closure.
    Function,
}

const FUNCTIONS: &[Target] = &[Target::Function];
const ACTORS: &[Target] = &[Target::Actor];
const BOTH: &[Target] = &[Target::Function, Target::Actor];

/// Every option there is, in the order in which a message lists them.
#[rustfmt::skip]
pub(crate) const KNOWN: &[Known] = &[
    known(BOTH, "num_cpus", Kind::Amount, "num_cpus = 2"),
    known(BOTH, "resource", Kind::Resource, "resource(\"gpu\", 1.0)"),
    known(FUNCTIONS, "max_retries", Kind::Count(0), "max_retries = 3"),
    known(FUNCTIONS, "retry_if", Kind::Function, "retry_if = is_transient"),
    known(FUNCTIONS, "retry_delay", Kind::Duration, "retry_delay = \"100ms\""),
    known(FUNCTIONS, "timeout", Kind::Duration, "timeout = \"30s\""),
    known(FUNCTIONS, "priority", Kind::Integer, "priority = 1"),
    known(BOTH, "name", Kind::Text, "name = \"fit\""),
    known(ACTORS, "namespace", Kind::Text, "namespace = \"lab\""),
    known(ACTORS, "max_restarts", Kind::Count(0), "max_restarts = 3"),
    known(ACTORS, "restart_window", Kind::Duration, "restart_window = \"60s\""),
    known(ACTORS, "max_task_retries", Kind::Count(0), "max_task_retries = 1"),
    known(ACTORS, "checkpoint_every", Kind::Count(1), "checkpoint_every = 100"),
    known(ACTORS, "max_concurrency", Kind::Count(1), "max_concurrency = 8"),
    known(ACTORS, "max_pending_calls", Kind::Count(1), "max_pending_calls = 1000"),
    known(ACTORS, "block_when_full", Kind::Flag, "block_when_full"),
    known(ACTORS, "detached", Kind::Flag, "detached"),
    known(FUNCTIONS, "num_returns", Kind::Returns, "num_returns = 2"),
    STREAM,
    MAX_UNREAD,
    known(BOTH, "local", Kind::Local, "local"),
];

/// An option of functions, and of an actor's methods.
pub(crate) const STREAM: Known = known(FUNCTIONS, "stream", Kind::Stream, "stream");

/// What goes with it.
pub(crate) const MAX_UNREAD: Known =
    known(FUNCTIONS, "max_unread", Kind::Count(1), "max_unread = 16");

/// An option of an actor's methods alone.
pub(crate) const EVERY: Known = known(&[], "every", Kind::Duration, "every = \"1s\"");

const fn known(
    targets: &'static [Target],
    name: &'static str,
    kind: Kind,
    example: &'static str,
) -> Known {
    Known { name, kind, targets, example }
}

impl Known {
    /// How many arguments the builder's method of that name has, if there is one.
    pub(crate) fn builder_arity(&self) -> Option<usize> {
        match self.kind {
            Kind::Local | Kind::Stream | Kind::Returns => None,
            Kind::Flag => Some(0),
            Kind::Resource => Some(2),
            _ => Some(1),
        }
    }
}

/// The options that exist for a target.
pub(crate) fn all_for(target: Target) -> impl Iterator<Item = &'static Known> {
    KNOWN.iter().filter(move |known| known.targets.contains(&target))
}
