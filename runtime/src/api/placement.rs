//! Resources of a cluster, kept free for tasks and actors.

use std::collections::BTreeMap;
use std::panic::Location;

use uuid::Uuid;

use crate::api::crossing;
use crate::api::object::ObjectRef;
use crate::api::options;
use crate::api::port::Way;
use crate::cluster;
use crate::cluster::argument::{Asked, unfit};
use crate::cluster::coder;
pub use crate::cluster::placement::Placement;
use crate::cluster::placement::Reservation;
use crate::cluster::registry::Registered;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{Call, Function};
use crate::local::cell::Ref;
use crate::local::{current, default};

/// In the group, in whichever bundle has room.
impl From<&PlacementGroup> for Placement {
    fn from(group: &PlacementGroup) -> Self {
        Self::group(group.id, None)
    }
}

/// Resources on one node: a part of a [`PlacementGroup`].
#[derive(Clone, Debug, Default)]
pub struct Bundle(BTreeMap<String, f64>);

impl Bundle {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many CPUs.
    pub fn num_cpus(self, num_cpus: impl Into<f64>) -> Self {
        self.resource("CPU", num_cpus)
    }

    /// So much of a named resource; `gpu` is what Ray calls `GPU`.
    pub fn resource(mut self, name: impl Into<String>, amount: impl Into<f64>) -> Self {
        let name = name.into();
        self.0.insert(if name == "gpu" { "GPU".to_owned() } else { name }, amount.into());
        self
    }
}

/// Resources that are kept free for tasks and actors, on one node or on several: Ray's placement groups. A task runs
/// there, and an actor lives there, by `placement(&group)`, or in one of its parts by `placement(group.bundle(0))`. What
/// fits into none of them, alone there, is [`Infeasible`](ErrorKind::Infeasible).
///
/// When the last clone is dropped the resources are others' again, and what runs on them, or waits for them, is killed
/// by Ray: keep it until the results are there.
///
/// ```no_run
/// use mobula::prelude::*;
/// use mobula::{Bundle, PlacementGroup};
///
/// #[remote]
/// fn simulate(i: u64) -> f64 {
///     i as f64
/// }
///
/// let group = PlacementGroup::strict_spread([Bundle::new().num_cpus(4), Bundle::new().num_cpus(4)]);
/// mobula::get(group.ready())?;
/// let results: Vec<_> = (0..2)
///     .map(|i| simulate::options().num_cpus(4).placement(group.bundle(i)).remote(u64::from(i)))
///     .collect();
/// println!("{:?}", mobula::get(results)?);
/// # Ok::<(), mobula::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PlacementGroup {
    id: Uuid,
    ready: ObjectRef<()>,
}

static GROUP: Function = Function::new("placement_group", module_path!(), file!(), line!());

/// No worker is asked to run it: the cluster itself does what is asked for.
static REGISTERED: Registered = Registered::new(
    || &GROUP,
    |start, _, body| {
        let here = start.here(&GROUP);
        let result: Result<()> = Err(unfit("a placement group"));
        crossing::end(here, result, false, body, Way::new().encode, &REGISTERED, None)
    },
    |_| {
        let call = Call { function: &GROUP, called_at: Location::caller() };
        Ref::<()>::complete(Err(unfit("a placement group")), call).into_any()
    },
    |_| None,
);

impl PlacementGroup {
    /// On as few nodes as possible.
    #[track_caller]
    pub fn pack(bundles: impl IntoIterator<Item = Bundle>) -> Self {
        Self::reserve("PACK", bundles)
    }

    /// On as many nodes as possible.
    #[track_caller]
    pub fn spread(bundles: impl IntoIterator<Item = Bundle>) -> Self {
        Self::reserve("SPREAD", bundles)
    }

    /// All on one node.
    #[track_caller]
    pub fn strict_pack(bundles: impl IntoIterator<Item = Bundle>) -> Self {
        Self::reserve("STRICT_PACK", bundles)
    }

    /// Each on a node of its own.
    #[track_caller]
    pub fn strict_spread(bundles: impl IntoIterator<Item = Bundle>) -> Self {
        Self::reserve("STRICT_SPREAD", bundles)
    }

    /// Is ready when the resources are reserved. Its error is why there can be no group:
    /// [`Infeasible`](ErrorKind::Infeasible), where the nodes that there are could not hold it if nothing else were on
    /// them; `Engine`, on other engines than `ray`.
    pub fn ready(&self) -> ObjectRef<()> {
        self.ready.clone()
    }

    /// The bundle of that number, from 0, as a place for tasks and actors.
    pub fn bundle(&self, bundle: u32) -> Placement {
        Placement::group(self.id, Some(bundle))
    }

    #[track_caller]
    fn reserve(strategy: &str, bundles: impl IntoIterator<Item = Bundle>) -> Self {
        let call = Call { function: &GROUP, called_at: Location::caller() };
        let bundles = bundles.into_iter().map(|Bundle(resources)| resources).collect();
        let reservation = Reservation { strategy: strategy.to_owned(), bundles };
        let ready = Self::ask(reservation, call)
            .unwrap_or_else(|error| Ref::complete(Err(error.through(call)), call));
        Self { id: coder::id_of(ready.any()), ready: ready.into() }
    }

    fn ask(mut reservation: Reservation, call: Call) -> Result<Ref<()>> {
        let Reservation { bundles, .. } = &mut reservation;
        for bundle in &mut *bundles {
            let given: Vec<_> = std::mem::take(bundle).into_iter().collect();
            let amounts = options::amounts(&given)?.into_iter();
            bundle.extend(amounts.map(|(name, amount)| (name, amount.as_f64())));
        }
        if bundles.iter().any(BTreeMap::is_empty) || bundles.is_empty() {
            let message = "a placement group is made of bundles, and a bundle of resources, more than 0 of one";
            return Err(Error::new(ErrorKind::Value, message));
        }
        let place = default::with_current(current::next_place);
        let upstream = cluster::way_to_ray("placement groups")?;
        let asked = Asked { reservation: Some(reservation), ..Asked::default() };
        crossing::send_upstream(
            upstream,
            &REGISTERED,
            |_| Ok(()),
            Way::new(),
            Some(asked),
            call,
            &place,
        )
    }
}
