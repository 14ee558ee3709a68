//! An actor, as the model follows it from call to call.

use crate::model::{Object, Origin};
use crate::outcome::{Kinds, Outcome, Value};

pub(crate) struct Followed {
    pub(crate) state: Value,
    /// It has ended for certain.
    pub(crate) ended: bool,
}

impl Followed {
    pub(crate) fn new(start: u64) -> Self {
        Self { state: Value::Known(start), ended: false }
    }

    /// After a call of which only this may have become, with an argument that may have failed so;
    /// `may_end`: somebody else may have ended the actor.
    pub(crate) fn follow(
        &mut self,
        call: &Object,
        outcome: Outcome,
        argument: Kinds,
        may_end: bool,
    ) {
        if call.cancelled {
            return;
        }
        self.state = match outcome {
            Outcome { value: Value::Known(value), kinds: Kinds::NONE } => Value::Known(value),
            // It failed by its argument or by its own doing, and the actor is as it was.
            Outcome { value: Value::Never, kinds } if !may_end || !kinds.meets(Kinds::ENDED) => {
                self.state
            }
            _ => Value::Unknown,
        };
        let died = outcome.is_failure() && outcome.kinds == Kinds::DIED;
        let exploded = matches!(call.origin, Origin::Explodes { .. });
        self.ended |= exploded || died && !argument.has(Kinds::DIED);
    }
}
