//! What a call may ask for of the nodes of a cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Result;
use crate::local::ids;

/// Where on a cluster a task is to run, or an actor to live; the option `placement`, for the engine `ray`. Others refuse
/// it. Below, what is said of a task holds for an actor.
///
/// ```no_run
/// use mobula::prelude::*;
/// use mobula::Placement;
///
/// #[remote]
/// fn simulate(i: u64) -> f64 {
///     i as f64
/// }
///
/// let apart: Vec<_> =
///     (0..8).map(|i| simulate::options().placement(Placement::spread()).remote(i)).collect();
/// let on_fast = Placement::label("disk", "nvme");
/// let one = simulate::options().placement(on_fast).remote(9);
/// # mobula::get(apart)?;
/// # mobula::get(one)?;
/// # Ok::<(), mobula::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placement(Kind);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Spread,
    Node { id: String, soft: bool },
    Labels(BTreeMap<String, String>),
    Group { id: Uuid, bundle: Option<u32> },
}

impl Placement {
    /// On all nodes alike, rather than on few.
    pub fn spread() -> Self {
        Self(Kind::Spread)
    }

    /// On the node of this id, in Ray's hexadecimal. If there is none the task fails with
    /// [`Infeasible`](crate::ErrorKind::Infeasible).
    pub fn node(id: impl Into<String>) -> Self {
        Self(Kind::Node { id: id.into(), soft: false })
    }

    /// On the node of this id, and elsewhere where that is gone or can never run the task.
    pub fn prefer_node(id: impl Into<String>) -> Self {
        Self(Kind::Node { id: id.into(), soft: true })
    }

    /// On a node with this label, as `ray start --labels` gives them. If no node has it the task fails with
    /// [`Infeasible`](crate::ErrorKind::Infeasible).
    pub fn label(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::labels([(name, value)])
    }

    /// On a node with all of these labels.
    pub fn labels(
        labels: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        let labels = labels.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self(Kind::Labels(labels.collect()))
    }

    /// Whether it goes with a group of resources.
    pub(crate) fn is_in_group(&self) -> bool {
        matches!(self.0, Kind::Group { .. })
    }

    /// # Errors
    /// Why there is no such group, as far as this process knows.
    pub(crate) fn check(&self) -> Result<()> {
        let Kind::Group { id, .. } = &self.0 else { return Ok(()) };
        ids::find(*id).and_then(|group| group.failure()).map_or(Ok(()), Err)
    }

    /// In a group of resources, in the bundle of that number or in whichever has room.
    pub(crate) fn group(id: Uuid, bundle: Option<u32>) -> Self {
        Self(Kind::Group { id, bundle })
    }
}

/// Resources to be kept free for tasks and actors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reservation {
    /// By Ray's name.
    pub(crate) strategy: String,
    pub(crate) bundles: Vec<BTreeMap<String, f64>>,
}
