//! Whether a wait can ever end.
//!
//! What a wait depends on is a graph: of cells, of sleeping threads, of resources. Each node says how much of
//! what is behind it has to come: all of a task's arguments, one of a group, so much of a resource. A node
//! is *free* if enough of that is free, and what nothing keeps is free: a task in a queue, one that computes,
//! a wait with a deadline. The search goes from the wait outwards and stops as soon as it turns out to be
//! free, which is most often at the first step. If it ends and the wait is not free, then nothing that it
//! found can ever go on: that is a deadlock, and all that is not free is in it or behind it.
//!
//! What was seen one after the other holds together all the same. Nothing that keeps a cell goes away unless
//! another cell completes or a wait ends; a complete cell stays so; and waits end under the lock that the
//! search holds. So had any of the nodes come free meanwhile, the first of them could not have.

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Write;
use std::thread::ThreadId;

use crate::error::{Error, ErrorKind};
use crate::function::Hop;
use crate::local::actors::Reading;
use crate::local::blocker::Blocker;
use crate::local::cell::AnyRef;
use crate::local::group::Pending;
use crate::local::waits::Waits;

/// How many links of a deadlock its error names; further ones are only counted.
const LINKS_MAX: usize = 32;

/// What a search found.
pub(super) enum Outlook {
    /// Nothing keeps the wait from ending.
    Good,
    /// It would take more nodes than were allowed, or something was just about to change.
    Unclear,
    /// The wait can never end. The youngest of all waits that keep each other, and what to tell it.
    Hopeless { youngest: ThreadId, why: Error },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Cell(usize),
    Wait(ThreadId),
    /// So much of a resource: the cell that wants it, and which of its wants.
    Want(usize, usize),
}

/// What a node stands for.
enum Subject {
    Cell(AnyRef),
    Wait(ThreadId),
    /// A resource, how much of it is lacking, and who holds how much.
    Want {
        resource: String,
        lacking: u64,
        holders: Vec<(AnyRef, u64)>,
    },
}

struct Node {
    subject: Subject,
    /// How much of what is behind it still has to come free.
    lacking: u64,
    free: bool,
    /// Who is waiting for it, and for how much.
    before: Vec<(usize, u64)>,
    behind: Vec<usize>,
    why: Why,
}

/// How to tell why a node is kept.
enum Why {
    Unknown,
    Waits,
    OnStack,
    Argument,
    Part,
    InLine,
    Held,
    HeldBack,
    Unborn,
    InMailbox(Hop),
    BehindReaders {
        all: bool,
    },
    /// An actor's life, which lasts until this has ended.
    Lives(Option<Hop>),
}

struct Search<'a> {
    waits: &'a Waits,
    nodes: Vec<Node>,
    numbers: HashMap<Key, usize>,
    /// Nodes that were found and not yet looked at.
    found: Vec<usize>,
    /// Whether something looked free that may only have been about to tell that it is not.
    unsure: bool,
    /// How many nodes may be looked at, and whether there was more that was not.
    nodes_max: usize,
    cut_short: bool,
}

/// Whether the wait of `thread` can end, by looking at no more than so many nodes.
pub(super) fn outlook(
    waits: &Waits,
    thread: ThreadId,
    nodes_max: usize,
    kept: &mut Vec<Box<dyn Any>>,
) -> Outlook {
    let mut search = Search {
        waits,
        nodes: Vec::new(),
        numbers: HashMap::new(),
        found: Vec::new(),
        unsure: false,
        nodes_max,
        cut_short: false,
    };
    let root = search.node(Key::Wait(thread), Subject::Wait(thread));
    let outlook = loop {
        if search.nodes[root].free {
            break if search.unsure { Outlook::Unclear } else { Outlook::Good };
        }
        let Some(next) = search.found.pop() else {
            break if search.cut_short { Outlook::Unclear } else { search.hopeless() };
        };
        if search.nodes.len() > nodes_max {
            break Outlook::Unclear;
        }
        search.look_behind(next, kept);
    };
    kept.push(Box::new(search.nodes));
    outlook
}

impl Search<'_> {
    fn node(&mut self, key: Key, subject: Subject) -> usize {
        // A subject that is already known is kept alive elsewhere, so dropping it drops no last ref.
        *self.numbers.entry(key).or_insert_with(|| {
            let (before, behind) = (Vec::new(), Vec::new());
            let why = Why::Unknown;
            self.nodes.push(Node { subject, lacking: 1, free: false, before, behind, why });
            self.found.push(self.nodes.len() - 1);
            self.nodes.len() - 1
        })
    }

    fn cell(&mut self, any: AnyRef) -> usize {
        self.node(Key::Cell(any.address()), Subject::Cell(any))
    }

    /// Finds what `number` needs.
    fn look_behind(&mut self, number: usize, kept: &mut Vec<Box<dyn Any>>) {
        let node = &mut self.nodes[number];
        match &mut node.subject {
            Subject::Wait(thread) => {
                let thread = *thread;
                self.look_behind_wait(number, thread);
            }
            Subject::Cell(any) => {
                let any = any.clone();
                let blocker = Blocker::of(&any, self.waits, kept);
                self.look_behind_cell(number, any.address(), blocker, kept);
            }
            Subject::Want { lacking, holders, .. } => {
                let (lacking, holders) = (*lacking, std::mem::take(holders));
                let holders = holders
                    .into_iter()
                    .map(|(task, amount)| (self.cell(task), amount))
                    .collect::<Vec<_>>();
                self.need(number, Why::Held, lacking, holders);
            }
        }
    }

    fn look_behind_wait(&mut self, number: usize, thread: ThreadId) {
        let wait = self.waits.wait(thread).filter(|wait| !wait.ends && wait.verdict.is_none());
        let looks_max = self.nodes_max.saturating_sub(self.nodes.len());
        let cells = wait.map(|wait| wait.cells(looks_max));
        self.unsure |= matches!(cells, Some(None));
        match cells.flatten() {
            Some(Pending { refs, are_all }) => {
                self.cut_short |= !are_all;
                let cells = refs.into_iter().map(|any| (self.cell(any), 1)).collect();
                self.need(number, Why::Waits, 1, cells);
            }
            None => self.set_free(number),
        }
    }

    fn look_behind_cell(
        &mut self,
        number: usize,
        address: usize,
        blocker: Blocker,
        kept: &mut Vec<Box<dyn Any>>,
    ) {
        match blocker {
            Blocker::Nothing | Blocker::Cpus(_) | Blocker::Work => self.set_free(number),
            Blocker::Asleep(threads) => {
                let wait = |thread| self.node(Key::Wait(thread), Subject::Wait(thread));
                let behind = threads.into_iter().map(wait).collect();
                self.need_all(number, Why::OnStack, behind);
            }
            Blocker::Arguments(missing) => {
                let behind = missing.into_iter().map(|any| self.cell(any)).collect();
                self.need_all(number, Why::Argument, behind);
            }
            Blocker::Whole(whole) => {
                let behind = self.cell(whole);
                self.need_all(number, Why::Part, vec![behind]);
            }
            Blocker::Resources(shortage) => {
                let mut behind: Vec<usize> =
                    shortage.behind.into_iter().map(|any| self.cell(any)).collect();
                for (nth, short) in shortage.short.into_iter().enumerate() {
                    let lacking = short.wanted.thousandths() - short.free.thousandths();
                    let amount = |(task, amount): (AnyRef, crate::millis::Millis)| {
                        (task, amount.thousandths())
                    };
                    let holders = short.holders.into_iter().map(amount).collect();
                    let want = Subject::Want { resource: short.name, lacking, holders };
                    behind.push(self.node(Key::Want(address, nth), want));
                }
                self.need_all(number, Why::InLine, behind);
            }
            Blocker::Actor { actor, is_life, reading: Some(Reading { calls, all }), .. } => {
                kept.push(Box::new(actor));
                let behind: Vec<usize> = calls.into_iter().map(|any| self.cell(any)).collect();
                let lacking = if all { behind.len() as u64 } else { 1 };
                let behind = behind.into_iter().map(|node| (node, 1)).collect();
                let why = if is_life { Why::Lives(None) } else { Why::BehindReaders { all } };
                self.need(number, why, lacking, behind);
            }
            Blocker::Actor { actor, is_life, held_back, birth, turn, reading: None } => {
                kept.push(Box::new(actor));
                let held = held_back.is_some();
                let mut behind: Vec<usize> = held_back
                    .into_iter()
                    .flatten()
                    .chain(birth)
                    .map(|any| self.cell(any))
                    .collect();
                let wait = turn.and_then(|thread| Some((thread, self.waits.wait(thread)?)));
                let mut why = if held { Why::HeldBack } else { Why::Unborn };
                if let Some((thread, wait)) = wait {
                    let home = match &self.nodes[number].subject {
                        Subject::Cell(any) => any.home(),
                        _ => 0,
                    };
                    let turn = self.waits.turn(home).unwrap_or(&wait.task.1);
                    why = match is_life {
                        true => Why::Lives(Some(turn.clone())),
                        false => Why::InMailbox(turn.clone()),
                    };
                    behind.push(self.node(Key::Wait(thread), Subject::Wait(thread)));
                }
                self.need_all(number, why, behind);
            }
        }
    }

    fn need_all(&mut self, number: usize, why: Why, behind: Vec<usize>) {
        let lacking = behind.len() as u64;
        self.need(number, why, lacking, behind.into_iter().map(|node| (node, 1)).collect());
    }

    /// Notes that `number` is free once `lacking` of what is behind it is.
    fn need(&mut self, number: usize, why: Why, lacking: u64, behind: Vec<(usize, u64)>) {
        let mut lacking = lacking;
        for (other, amount) in behind {
            self.nodes[number].behind.push(other);
            if self.nodes[other].free {
                lacking = lacking.saturating_sub(amount);
            } else {
                self.nodes[other].before.push((number, amount));
            }
        }
        self.nodes[number].why = why;
        self.nodes[number].lacking = lacking;
        if lacking == 0 {
            self.set_free(number);
        }
    }

    /// A node is free, and with it those that lacked only that.
    fn set_free(&mut self, number: usize) {
        let mut freed = vec![number];
        while let Some(number) = freed.pop() {
            if std::mem::replace(&mut self.nodes[number].free, true) {
                continue;
            }
            for (before, amount) in std::mem::take(&mut self.nodes[number].before) {
                let before_node = &mut self.nodes[before];
                before_node.lacking = before_node.lacking.saturating_sub(amount);
                if before_node.lacking == 0 {
                    freed.push(before);
                }
            }
        }
    }

    /// Nothing more to find, and the wait is not free.
    fn hopeless(&self) -> Outlook {
        let number_of = |node: &Node| match node.subject {
            Subject::Wait(thread) if !node.free => {
                self.waits.wait(thread).map(|wait| (wait.number, thread))
            }
            _ => None,
        };
        let (_, youngest) = self
            .nodes
            .iter()
            .filter_map(number_of)
            .max_by_key(|(number, _)| *number)
            .unwrap_or_else(|| unreachable!("the search began with a wait that is not free"));
        Outlook::Hopeless { youngest, why: self.describe(youngest) }
    }

    /// The error for the wait of that thread: the links of the deadlock, beginning there.
    fn describe(&self, thread: ThreadId) -> Error {
        let mut links: Vec<Link> = Vec::new();
        let mut told = vec![false; self.nodes.len()];
        let mut next = vec![self.numbers[&Key::Wait(thread)]];
        while let Some(number) = next.pop() {
            if std::mem::replace(&mut told[number], true) {
                continue;
            }
            links.extend(self.link(number));
            next.extend(self.kept_behind(number).collect::<Vec<_>>().into_iter().rev());
        }
        let mut message = "this wait can never end: ".to_owned();
        let mut last = None;
        for (nth, Link { who, what, whom }) in links.iter().take(LINKS_MAX).enumerate() {
            let _ = match (nth, last) {
                (0, _) => write!(message, "{who} {what}"),
                (_, Some(last)) if last == who => write!(message, ", which {what}"),
                _ => write!(message, "; {who} {what}"),
            };
            last = whom.as_ref();
        }
        if links.len() > LINKS_MAX {
            let _ = write!(message, "; and {} more such", links.len() - LINKS_MAX);
        }
        Error::new(ErrorKind::Deadlock, message)
    }

    /// What is behind a node and keeps it.
    fn kept_behind(&self, number: usize) -> impl Iterator<Item = usize> {
        self.nodes[number].behind.iter().copied().filter(|&other| !self.nodes[other].free)
    }

    /// What to tell of one node and what it needs; None where its neighbours tell it.
    fn link(&self, number: usize) -> Option<Link> {
        let behind: Vec<usize> = self.kept_behind(number).collect();
        let names: Vec<String> = behind.iter().filter_map(|&other| self.name(other)).collect();
        let them = names.join(" and ");
        let mut whom = (names.len() == 1).then(|| them.clone());
        let mut who = self.name(number).unwrap_or_default();
        let node = &self.nodes[number];
        let what = match &node.why {
            Why::Waits => {
                who = self.waits.wait(self.thread(number)?)?.task.1.to_string();
                format!("waits for {}", names.join(" or "))
            }
            Why::OnStack => {
                let (address, top) = &self.waits.wait(self.thread(*behind.first()?)?)?.task;
                if matches!(&node.subject, Subject::Cell(any) if any.address() == *address) {
                    return None;
                }
                whom = Some(top.to_string());
                format!("lies on the same thread beneath {top}")
            }
            Why::Argument => format!("waits for its argument {them}"),
            Why::HeldBack => format!("is held back, with or behind a call that needs {them}"),
            Why::Unborn => format!("waits for the beginning of its actor {them}"),
            Why::InMailbox(turn) => {
                whom = Some(turn.to_string());
                format!("is in a mailbox behind {turn}")
            }
            Why::BehindReaders { all } => {
                format!(
                    "is in a mailbox behind {}",
                    names.join(if *all { " and " } else { " or " })
                )
            }
            Why::Lives(turn) => {
                let busy_with = turn.as_ref().map_or(them, Hop::to_string);
                whom = whom.or_else(|| turn.as_ref().map(Hop::to_string));
                format!("lives on with {busy_with}")
            }
            Why::InLine => {
                let needs: Vec<String> = behind.iter().map(|&other| self.in_line(other)).collect();
                format!("waits for {}", needs.join(" and for "))
            }
            Why::Part | Why::Held | Why::Unknown => return None,
        };
        Some(Link { who, what, whom })
    }

    /// What a task in the line waits for.
    fn in_line(&self, number: usize) -> String {
        match &self.nodes[number].subject {
            Subject::Want { resource, .. } => {
                let holders: Vec<_> =
                    self.kept_behind(number).filter_map(|holder| self.name(holder)).collect();
                format!("the resource {resource:?}, held by {}", holders.join(" and "))
            }
            _ => format!("{} before it in the line", self.name(number).unwrap_or_default()),
        }
    }

    fn thread(&self, number: usize) -> Option<ThreadId> {
        match self.nodes[number].subject {
            Subject::Wait(thread) => Some(thread),
            _ => None,
        }
    }

    fn name(&self, number: usize) -> Option<String> {
        match &self.nodes[number].subject {
            Subject::Cell(any) => Some(any.hop().to_string()),
            _ => None,
        }
    }
}

/// One step of a deadlock, to be told: `who` does `what`, which leads to `whom` if to one only.
struct Link {
    who: String,
    what: String,
    whom: Option<String>,
}
