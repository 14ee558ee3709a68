//! What one driver's program did, and what must have become of it. The program notes each object with
//! the numbers of those that it needs, all of them smaller; so [`Model::check`] goes through them in
//! order, works out what each may be, and compares that with what was seen.

use mobula::prelude::*;

use crate::actors::{Either, added};
use crate::counted::{Counted, combine};
use crate::follow::Followed;
use crate::outcome::{Kinds, Outcome, Seen};

/// How an object came to be; the numbers are those of the objects that it needs, or of an actor.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    Value(u64),
    Combined(Vec<usize>),
    Fails(usize, Kinds),
    /// The tuple that the parts come from.
    Whole(usize),
    Part(usize, u64),
    Adds {
        actor: usize,
        needs: usize,
        made: bool,
    },
    Refuses {
        actor: usize,
    },
    Explodes {
        actor: usize,
    },
}

impl Origin {
    /// The objects that it needs.
    pub(crate) fn needs(&self) -> &[usize] {
        match self {
            Self::Combined(needs) => needs,
            Self::Fails(needs, _) | Self::Whole(needs) | Self::Part(needs, _) => {
                std::slice::from_ref(needs)
            }
            Self::Adds { needs, .. } => std::slice::from_ref(needs),
            Self::Value(_) | Self::Refuses { .. } | Self::Explodes { .. } => &[],
        }
    }

    /// The actor whose call it is.
    pub(crate) fn actor(&self) -> Option<usize> {
        match *self {
            Self::Adds { actor, .. } | Self::Refuses { actor } | Self::Explodes { actor } => {
                Some(actor)
            }
            _ => None,
        }
    }
}

/// What becomes of a task that is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// What it would have become anyway.
    Deaf,
    /// That, or it stops: it looks whether it was asked, waits, or has children that were asked, too.
    Listens,
    /// Nobody may ask it: its effect on others is counted exactly.
    Never,
}

#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) origin: Origin,
    pub(crate) asked: Asked,
    /// How it may fail beside what follows from its origin.
    pub(crate) may_fail: Kinds,
    /// While the program still has it.
    pub(crate) held: Option<ObjectRef<Counted>>,
    pub(crate) seen: Option<Seen>,
    /// `cancel` said that it had not begun.
    pub(crate) cancelled: bool,
}

impl Object {
    pub(crate) fn new(origin: Origin, held: Option<ObjectRef<Counted>>) -> Self {
        let (asked, may_fail) = (Asked::Deaf, Kinds::NONE);
        Self { origin, asked, may_fail, held, seen: None, cancelled: false }
    }
}

pub(crate) struct ModelActor {
    pub(crate) handle: Option<Either>,
    pub(crate) start: u64,
    pub(crate) killed: bool,
}

/// One driver's program so far.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) objects: Vec<Object>,
    pub(crate) actors: Vec<ModelActor>,
    /// What was reported to the tally, and by which object.
    pub(crate) reported: Vec<(usize, u64)>,
    /// The runtime was ended while things were under way.
    pub(crate) ended_early: bool,
    /// What the driver does at the moment, and with which object.
    pub(crate) doing: (&'static str, Option<usize>),
}

impl Model {
    /// Notes an object; gives its number.
    pub(crate) fn add(&mut self, object: Object) -> usize {
        self.objects.push(object);
        self.objects.len() - 1
    }

    pub(crate) fn see(&mut self, number: usize, result: mobula::Result<Counted>) {
        let seen = result.map(|value| value.value()).map_err(|error| {
            let kind = Kinds::of(error.kind());
            kind.unwrap_or_else(|| panic!("object {number}: {error:?}"))
        });
        let before = self.objects[number].seen.replace(seen);
        let same = before.is_none_or(|before| before == seen);
        assert!(same, "object {number} was {before:?}, and then {seen:?}");
    }

    /// Notes that somebody cancelled it, and whether it had begun by then.
    pub(crate) fn cancelled(&mut self, number: usize, unstarted: bool) {
        let number = match self.objects[number].origin {
            // What was cancelled is the task that all parts come from.
            Origin::Part(whole, _) => whole,
            _ => number,
        };
        let object = &mut self.objects[number];
        if unstarted {
            object.cancelled = true;
        } else if object.asked == Asked::Listens {
            object.may_fail = object.may_fail.and(Kinds::CANCELLED);
        }
    }

    /// Compares all that was seen with what it may be. Gives the sum that the tally must have.
    pub(crate) fn check(&self) -> u64 {
        let mut actors: Vec<_> = self.actors.iter().map(|one| Followed::new(one.start)).collect();
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(self.objects.len());
        for (number, object) in self.objects.iter().enumerate() {
            let mut outcome = self.expect(object, &outcomes, &actors);
            if let Some(seen) = object.seen {
                outcome = outcome.narrow(seen).unwrap_or_else(|| {
                    panic!("object {number} was {seen:?}, not {outcome:?}: {object:?}")
                });
            }
            if let Some(actor) = object.origin.actor() {
                let needs = object.origin.needs().iter().map(|&nth| outcomes[nth].kinds);
                let argument = needs.fold(Kinds::NONE, Kinds::and);
                let may_end = self.ended_early || self.actors[actor].killed;
                actors[actor].follow(object, outcome, argument, may_end);
            }
            outcomes.push(outcome);
        }
        let begun = self.reported.iter().filter(|(number, _)| !outcomes[*number].is_failure());
        begun.fold(0, |sum: u64, (_, value)| sum.wrapping_add(*value))
    }

    /// What may become of an object, given what may become of those before it.
    fn expect(&self, object: &Object, outcomes: &[Outcome], actors: &[Followed]) -> Outcome {
        if object.cancelled {
            return Outcome::failure(Kinds::CANCELLED);
        }
        let needs: Vec<_> = object.origin.needs().iter().map(|&nth| outcomes[nth]).collect();
        let mut outcome = match &object.origin {
            Origin::Value(value) => Outcome::value(*value),
            Origin::Combined(_) => {
                Outcome::of_all(&needs, |values| combine(values.iter().copied()))
            }
            Origin::Fails(_, kinds) => needs[0].then_fails(*kinds),
            Origin::Whole(_) => needs[0],
            Origin::Part(_, nth) => Outcome::of_all(&needs, |values| combine([values[0], *nth])),
            Origin::Adds { actor, .. } | Origin::Refuses { actor } | Origin::Explodes { actor }
                if actors[*actor].ended =>
            {
                Outcome::failure(Kinds::DIED)
            }
            Origin::Adds { actor, made, .. } => {
                let state = Outcome { value: actors[*actor].state, kinds: Kinds::NONE };
                let made = |value| if *made { combine([value]) } else { value };
                Outcome::of_all(&[state, needs[0]], |values| added(values[0], made(values[1])))
            }
            Origin::Refuses { .. } => Outcome::failure(Kinds::TASK),
            Origin::Explodes { .. } => Outcome::failure(Kinds::PANIC),
        };
        outcome = outcome.or(object.may_fail);
        if object.origin.actor().is_some_and(|actor| self.actors[actor].killed) {
            outcome = outcome.or(Kinds::DIED);
        }
        if self.ended_early {
            outcome = outcome.or(Kinds::ENDED);
        }
        outcome
    }
}
