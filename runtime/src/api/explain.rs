//! Why a ref is pending: what is missing, who holds it up, and who holds up that one.

use std::fmt;
use std::panic::Location;
use std::thread::ThreadId;
use std::time::Duration;

use crate::api::object::ObjectRef;
use crate::error::Error;
use crate::function::Hop;
use crate::local::Local;
use crate::local::blocker::Blocker;
use crate::local::cell::AnyRef;
use crate::local::request::Short;
use crate::local::{runtimes, waits};

/// How many steps an explanation follows from one to the next.
const DEPTH_MAX: usize = 8;
/// How many of several causes it tells of; further ones are only counted.
const CAUSES_MAX: usize = 4;
/// How many things it tells of in all.
const TOLD_MAX: usize = 64;

/// How a task, a call or an object stands at the moment, as [`ObjectRef::explain`] saw it. Shown, it is a
/// few lines for people.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The name: the function's, unless the call was given one.
    pub name: String,
    /// Where the program asked for it.
    pub called_at: &'static Location<'static>,
    /// How it stands.
    pub state: Standing,
    hop: Hop,
}

/// How something stands, and why.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Standing {
    /// The value is there.
    Ready,
    /// It failed, by this.
    Failed(Error),
    /// It computes, or awaits something as async code does.
    Running {
        /// The number of the CPU that it computes on, and for how long at most; None where it holds no whole
        /// one.
        worker: Option<(usize, Duration)>,
    },
    /// It runs, and its thread sleeps in a [`get`](crate::get), [`wait`](crate::wait) or the like, that
    /// it or a task that it helps has called.
    Waiting {
        /// For how long it has slept.
        since: Duration,
        /// What it needs: all where it is one, else any of these.
        awaited: Causes,
    },
    /// Its arguments are missing.
    WaitingForArguments(Causes),
    /// All CPUs are busy.
    WaitingForCpus {
        /// With these functions, each with the number of its CPU and for how long at most.
        busy_with: Vec<(usize, &'static str, Duration)>,
    },
    /// It is in the line for resources.
    WaitingForResources {
        /// How many are before it in the line.
        ahead: usize,
        /// Those of which there is not enough. None: whoever is before it goes first.
        short: Vec<Shortage>,
    },
    /// It is in the mailbox of an actor.
    InMailbox {
        /// The actor's type.
        actor: &'static str,
        /// How many calls are before it, beside the one that runs; None where calls interleave.
        ahead: Option<usize>,
        /// What the actor waits for, if it does: then the call that has its turn does not go on.
        turn: Option<Box<Standing>>,
    },
    /// It is an actor, which lives, and has what it asked for until it has ended.
    Lives {
        /// What it waits for, if it does: then the call that has its turn does not go on.
        turn: Option<Box<Standing>>,
    },
    /// It is a call of an actor and held back, since an argument of it, or of a call that the same caller
    /// made before, is missing.
    HeldBack {
        /// The actor's type.
        actor: &'static str,
        /// The missing arguments.
        arguments: Causes,
    },
    /// It is a part of this task's result.
    PartOf(Box<Explanation>),
    /// Not followed any further.
    Cut,
}

/// Some causes, and how many more there are.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Causes {
    /// The first few.
    pub first: Vec<Explanation>,
    /// How many were left out.
    pub more: usize,
}

/// A resource of which there is not enough.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Shortage {
    /// The resource.
    pub name: String,
    /// How much the task asked for.
    pub wanted: f64,
    /// How much is free.
    pub free: f64,
    /// Who holds some.
    pub holders: Causes,
}

impl<T> ObjectRef<T> {
    /// Why the value is not there yet: what it waits for, and what that waits for.
    ///
    /// It tells what is so at the moment of asking, which may have changed by the time you read it. A wait
    /// shows after about a millisecond. What async code awaits is not known: it is said to run. An
    /// explanation is cut where it gets long.
    ///
    /// ```
    /// use mobula::prelude::*;
    /// use std::sync::{Arc, Barrier};
    ///
    /// #[remote(local)]
    /// fn slow(gate: &Barrier) -> u64 {
    ///     gate.wait();
    ///     20
    /// }
    ///
    /// #[remote]
    /// fn double(x: u64) -> u64 {
    ///     2 * x
    /// }
    ///
    /// let gate = Arc::new(Barrier::new(2));
    /// let doubled = double::remote(slow::remote(gate.clone()));
    /// // `double` (called at src/main.rs:17:15) waits for its argument
    /// //   `slow` (called at src/main.rs:17:30) runs on CPU 0, for at most 0.3ms
    /// println!("{}", doubled.explain());
    /// assert!(doubled.explain().to_string().contains("waits for its argument"));
    /// gate.wait();
    /// assert_eq!(mobula::get(doubled)?, 40);
    /// # Ok::<(), mobula::Error>(())
    /// ```
    pub fn explain(&self) -> Explanation {
        Teller { left: TOLD_MAX }.explain(self.any(), DEPTH_MAX)
    }
}

/// Follows causes, up to a number of things to tell of.
struct Teller {
    left: usize,
}

impl Teller {
    fn explain(&mut self, any: &AnyRef, depth: usize) -> Explanation {
        let hop = any.hop();
        self.left = self.left.saturating_sub(1);
        let state = match depth.checked_sub(1) {
            Some(depth) => self.standing(any, depth),
            None => Standing::Cut,
        };
        Explanation { name: hop.name().to_owned(), called_at: hop.called_at(), state, hop }
    }

    /// How `any` stands; `depth`: how many steps to follow from there.
    fn standing(&mut self, any: &AnyRef, depth: usize) -> Standing {
        // Both are dropped after the lock: the last hold on something may run the program's code.
        let mut kept = Vec::new();
        let blocker = {
            let waits = waits::waits();
            Blocker::of(any, &waits, &mut kept)
        };
        match blocker {
            Blocker::Nothing => any.failure().map_or(Standing::Ready, Standing::Failed),
            Blocker::Work => Standing::Running { worker: worker_of(any) },
            Blocker::Cpus(local) => cpus(&local),
            Blocker::Asleep(threads) => self.asleep(threads[0], depth),
            Blocker::Arguments(missing) => {
                Standing::WaitingForArguments(self.causes(missing, depth))
            }
            Blocker::Whole(whole) => Standing::PartOf(Box::new(self.explain(&whole, depth))),
            Blocker::Resources(shortage) => {
                let short = shortage.short.into_iter();
                let short = short.map(|short| self.shortage(short, depth)).collect();
                Standing::WaitingForResources { ahead: shortage.ahead, short }
            }
            Blocker::Actor { actor, held_back: Some(mut missing), birth, .. } => {
                missing.extend(birth);
                let actor = actor.call().function.name();
                Standing::HeldBack { actor, arguments: self.causes(missing, depth) }
            }
            Blocker::Actor { actor, held_back: None, is_life, birth, turn, reading } => {
                let reading = reading.and_then(|reading| reading.calls.into_iter().next());
                let turn = match (birth.or(reading), turn) {
                    (Some(call), _) => Some(self.standing(&call, depth)),
                    (None, turn) => turn.map(|thread| self.asleep(thread, depth)),
                };
                let turn = turn.map(Box::new);
                if is_life {
                    return Standing::Lives { turn };
                }
                let (ahead, actor) = (actor.ahead(any), actor.call().function.name());
                Standing::InMailbox { actor, ahead, turn }
            }
        }
    }

    /// What a thread that sleeps waits for.
    fn asleep(&mut self, thread: ThreadId, depth: usize) -> Standing {
        let waits = waits::waits();
        let Some(wait) = waits.wait(thread) else {
            return Standing::Running { worker: None };
        };
        let awaited = wait.cells(usize::MAX).map(|pending| pending.refs).unwrap_or_default();
        let since = wait.since.elapsed();
        drop(waits);
        Standing::Waiting { since, awaited: self.causes(awaited, depth) }
    }

    fn causes(&mut self, causes: Vec<AnyRef>, depth: usize) -> Causes {
        let mut first = Vec::new();
        for any in causes.iter().take(CAUSES_MAX) {
            if self.left > 0 {
                first.push(self.explain(any, depth));
            }
        }
        Causes { more: causes.len() - first.len(), first }
    }

    fn shortage(&mut self, short: Short, depth: usize) -> Shortage {
        let holders = short.holders.into_iter().map(|(task, _)| task).collect();
        Shortage {
            name: short.name,
            wanted: short.wanted.as_f64(),
            free: short.free.as_f64(),
            holders: self.causes(holders, depth),
        }
    }
}

fn cpus(local: &Local) -> Standing {
    let shown = local.pool().shown().iter().enumerate();
    let busy =
        shown.filter_map(|(number, cpu)| Some((number, cpu.function()?.name(), cpu.at_most())));
    Standing::WaitingForCpus { busy_with: busy.collect() }
}

fn worker_of(any: &AnyRef) -> Option<(usize, Duration)> {
    runtimes::all().iter().find_map(|local| {
        let mut shown = local.pool().shown().iter().enumerate();
        let (number, cpu) = shown.find(|(_, cpu)| cpu.is_at(any.address()))?;
        Some((number, cpu.at_most()))
    })
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, 0)
    }
}

impl Explanation {
    fn show(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        write!(f, "{:1$}{2} ", "", 2 * depth, self.hop)?;
        self.state.show(f, depth + 1)
    }
}

impl Causes {
    fn show(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        for cause in &self.first {
            writeln!(f)?;
            cause.show(f, depth)?;
        }
        if self.more > 0 {
            write!(f, "\n{:1$}and {2} more", "", 2 * depth, self.more)?;
        }
        Ok(())
    }
}

impl Standing {
    /// What follows the name; what it speaks of comes in lines of its own, `depth` steps to the right.
    fn show(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("is ready"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Running { worker: None } => f.write_str("runs"),
            Self::Running { worker: Some((cpu, at_most)) } => {
                write!(f, "runs on CPU {cpu}, for at most {at_most:.1?}")
            }
            Self::Waiting { since, awaited } => {
                let any = if awaited.first.len() > 1 { " any of" } else { "" };
                write!(f, "has begun, and has waited for {since:.1?} for{any}")?;
                awaited.show(f, depth)
            }
            Self::WaitingForArguments(missing) => {
                let s = if missing.first.len() > 1 { "s" } else { "" };
                write!(f, "waits for its argument{s}")?;
                missing.show(f, depth)
            }
            Self::WaitingForCpus { busy_with } => {
                f.write_str("waits for a CPU")?;
                for (cpu, function, at_most) in busy_with {
                    write!(
                        f,
                        "\n{:1$}CPU {cpu} computes `{function}`, for at most {at_most:.1?}",
                        "",
                        2 * depth
                    )?;
                }
                Ok(())
            }
            Self::WaitingForResources { ahead, short } => {
                write!(f, "waits for resources, with {ahead} before it in the line")?;
                for Shortage { name, wanted, free, holders } in short {
                    let indent = 2 * depth;
                    write!(
                        f,
                        "\n{:indent$}it wants {wanted} of {name:?}, {free} is free, the rest is held by",
                        ""
                    )?;
                    holders.show(f, depth + 1)?;
                }
                Ok(())
            }
            Self::InMailbox { actor, ahead, turn } => {
                match ahead {
                    Some(ahead) => {
                        write!(f, "is in the mailbox of its {actor}, with {ahead} before it")?
                    }
                    None => write!(f, "is with its {actor}, whose calls take turns")?,
                }
                let Some(turn) = turn else { return Ok(()) };
                f.write_str("; the actor ")?;
                turn.show(f, depth)
            }
            Self::Lives { turn } => {
                f.write_str("lives, and has it until it ends")?;
                let Some(turn) = turn else { return Ok(()) };
                f.write_str("; it ")?;
                turn.show(f, depth)
            }
            Self::HeldBack { actor, arguments } => {
                write!(f, "is held back from its {actor}, since it or a call before it waits for")?;
                arguments.show(f, depth)
            }
            Self::PartOf(whole) => {
                f.write_str("is a part of the result of\n")?;
                whole.show(f, depth)
            }
            Self::Cut => f.write_str("..."),
        }
    }
}
