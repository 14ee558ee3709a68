//! What may become of an object: a value, or one of some kinds of failure. What a race decides is taken
//! from what was seen, and narrows what may become of whatever needs it.

use mobula::prelude::*;

/// A set of kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const TASK: Self = Self(1);
    pub(crate) const PANIC: Self = Self(1 << 1);
    pub(crate) const CANCELLED: Self = Self(1 << 2);
    pub(crate) const DIED: Self = Self(1 << 3);
    pub(crate) const SHUT_DOWN: Self = Self(1 << 4);
    pub(crate) const TIME_LIMIT: Self = Self(1 << 5);
    /// What the end of a runtime may do to anything that was not ready.
    pub(crate) const ENDED: Self = Self(Self::CANCELLED.0 | Self::DIED.0 | Self::SHUT_DOWN.0);

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn has(self, other: Self) -> bool {
        other != Self::NONE && self.0 & other.0 == other.0
    }

    pub(crate) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The set of this one; None: a kind that nothing in these programs may lead to.
    pub(crate) fn of(kind: ErrorKind) -> Option<Self> {
        match kind {
            ErrorKind::Task => Some(Self::TASK),
            ErrorKind::Panic => Some(Self::PANIC),
            ErrorKind::Cancelled => Some(Self::CANCELLED),
            ErrorKind::ActorDied => Some(Self::DIED),
            ErrorKind::ShutDown => Some(Self::SHUT_DOWN),
            ErrorKind::TimeLimit => Some(Self::TIME_LIMIT),
            _ => None,
        }
    }
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// There is none: only a failure is possible.
    Never,
    Known(u64),
    Unknown,
}

/// What may become of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) value: Value,
    pub(crate) kinds: Kinds,
}

/// What was seen of an object.
pub(crate) type Seen = Result<u64, Kinds>;

impl Outcome {
    pub(crate) fn value(value: u64) -> Self {
        Self { value: Value::Known(value), kinds: Kinds::NONE }
    }

    pub(crate) fn failure(kinds: Kinds) -> Self {
        Self { value: Value::Never, kinds }
    }

    /// What becomes of a task that needs all of these: `make` of the values, or one of the failures.
    pub(crate) fn of_all(needed: &[Self], make: impl FnOnce(&[u64]) -> u64) -> Self {
        let kinds = needed.iter().fold(Kinds::NONE, |kinds, one| kinds.and(one.kinds));
        let known = |one: &Self| match one.value {
            Value::Known(value) => Some(value),
            _ => None,
        };
        let value = if needed.iter().any(Self::is_failure) {
            Value::Never
        } else {
            let values: Option<Vec<u64>> = needed.iter().map(known).collect();
            values.map_or(Value::Unknown, |values| Value::Known(make(&values)))
        };
        Self { value, kinds }
    }

    /// The same, or one of these failures.
    pub(crate) fn or(self, kinds: Kinds) -> Self {
        Self { kinds: self.kinds.and(kinds), ..self }
    }

    /// What becomes of a task that needs this, and then fails so.
    pub(crate) fn then_fails(self, kinds: Kinds) -> Self {
        let own = if self.is_failure() { Kinds::NONE } else { kinds };
        Self::failure(self.kinds.and(own))
    }

    /// Whether it was certain to fail.
    pub(crate) fn is_failure(&self) -> bool {
        self.value == Value::Never
    }

    /// What is left when this was seen; None if that cannot be.
    pub(crate) fn narrow(self, seen: Seen) -> Option<Self> {
        match (seen, self.value) {
            (Ok(value), Value::Unknown) => Some(Self::value(value)),
            (Ok(value), Value::Known(expected)) if value == expected => Some(Self::value(value)),
            (Err(kind), _) if self.kinds.has(kind) => Some(Self::failure(kind)),
            _ => None,
        }
    }
}

#[test]
fn a_task_becomes_its_value_or_one_of_the_failures_of_what_it_needs() {
    let sum = |values: &[u64]| values.iter().sum();
    let (two, racing) = (Outcome::value(2), Outcome::value(3).or(Kinds::CANCELLED));
    let both = Outcome::of_all(&[two, racing], sum);
    assert_eq!(both.narrow(Ok(5)), Some(Outcome::value(5)));
    assert_eq!(both.narrow(Err(Kinds::CANCELLED)), Some(Outcome::failure(Kinds::CANCELLED)));
    assert_eq!(both.narrow(Ok(6)), None);
    assert_eq!(both.narrow(Err(Kinds::PANIC)), None);

    let lost = Outcome::of_all(&[both, Outcome::failure(Kinds::PANIC)], sum);
    assert_eq!(lost.narrow(Ok(5)), None);
    assert_eq!(lost.narrow(Err(Kinds::PANIC)), Some(Outcome::failure(Kinds::PANIC)));
    assert_eq!(lost.then_fails(Kinds::TASK), lost);
    assert_eq!(two.then_fails(Kinds::TASK), Outcome::failure(Kinds::TASK));
}
