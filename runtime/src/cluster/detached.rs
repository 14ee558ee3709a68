//! Actors that outlive the programs that call them.
//!
//! Such an actor is the cluster's, by its name. Each program that calls it has a strand of its own for it, which is
//! made, as for any actor, by a call of the constructor; but where the actor is there already, that call finds it.

use serde::{Deserialize, Serialize};

/// What the cluster is told of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Detached {
    pub(crate) name: String,
    /// Empty: that of the program.
    pub(crate) namespace: String,
    /// The name of its type.
    pub(crate) kind: String,
    pub(crate) found: Found,
}

/// What is to be where an actor of the name lives already, or where none does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Found {
    /// It is made, unless the name is taken.
    Refuse,
    /// It is made, unless it is there.
    Share,
    /// It is there.
    Expect,
}
