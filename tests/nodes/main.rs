//! Several nodes of a Ray cluster: where actors and groups of resources are, and what becomes of an actor whose node
//! dies. `MOBULA_TEST_CLUSTERS` asks for these tests, as for those of `engines`; one machine plays the nodes.

use std::time::Duration;

use mobula::prelude::*;
use mobula::{ActorEnd, Bundle, Placement, PlacementGroup};

mod cluster;

use self::cluster::{Nodes, raylet};

/// A head, and another node.
const TWO: &str = r#"[
    {"num_cpus": 2, "resources": {"seat": 1}},
    {"num_cpus": 2, "resources": {"seat": 1, "second": 1}, "labels": {"kind": "second"}}
]"#;

struct Guest {
    visits: u64,
}

#[remote]
impl Guest {
    pub fn new() -> Self {
        Self { visits: 0 }
    }

    /// Where it is, and how often it was asked.
    pub fn visit(&mut self) -> (u32, u64) {
        self.visits += 1;
        (raylet(), self.visits)
    }

    /// Comes to an end on another node than this.
    pub fn leaves(&mut self, node: u32) -> (u32, Option<u32>) {
        while raylet() == node {
            std::thread::park();
        }
        (mobula::context().attempt(), Some(mobula::context().restarts()))
    }

    fn checkpoint(&self) -> u64 {
        self.visits
    }

    fn restore(&mut self, visits: u64) {
        self.visits = visits;
    }
}

#[remote]
fn place() -> u32 {
    raylet()
}

#[test]
fn actors_go_on_when_their_node_dies() {
    let Some(cluster) = Nodes::start(TWO) else { return };
    let _entered = cluster.enter();
    let (head, second) = (&cluster.nodes[0], &cluster.nodes[1]);
    let there = || Guest::options().num_cpus(0).placement(Placement::node(&second.id));
    let rather_there =
        || Guest::options().num_cpus(0).placement(Placement::prefer_node(&second.id));

    let fails = rather_there().max_restarts(1).remote();
    let tried_again = rather_there().max_restarts(1).max_task_retries(1).remote();
    let idle = rather_there().max_restarts(1).remote();
    let at_head =
        Guest::options().num_cpus(0).resource("seat", 1).placement(Placement::node(&head.id));
    let at_head = at_head.remote();
    let (mortal, nowhere_else) = (there().remote(), there().max_restarts(3).remote());
    assert_eq!(mobula::get(at_head.visit()).unwrap(), (head.raylet, 1));
    // The only seat that is left is on the second node.
    let seated = Guest::options().num_cpus(0).resource("seat", 1).max_restarts(1).remote();
    for guest in [&fails, &tried_again, &idle, &mortal, &nowhere_else, &seated] {
        assert_eq!(mobula::get(guest.visit()).unwrap(), (second.raylet, 1));
    }

    let ends = [mortal.watch(), nowhere_else.watch()];
    let under_way = [&fails, &tried_again, &mortal].map(|guest| guest.leaves(second.raylet));
    cluster.kill(1);
    let [failed, again, of_mortal] = under_way;
    // The call that was under way.
    assert_eq!(mobula::get(failed).unwrap_err().kind(), ErrorKind::WorkerCrashed);
    assert_eq!(mobula::get(again).unwrap(), (2, Some(1)));
    // Those after it.
    for (guest, visits) in [(&fails, 2), (&tried_again, 2), (&idle, 2)] {
        assert_eq!(mobula::get(guest.visit()).unwrap(), (head.raylet, visits));
    }
    // One that is made anew waits for room.
    let visit = seated.visit();
    assert!(mobula::get_timeout(&visit, Duration::from_secs(2)).is_err());
    drop(at_head);
    assert_eq!(mobula::get(visit).unwrap(), (head.raylet, 2));

    assert_eq!(mobula::get(of_mortal).unwrap_err().kind(), ErrorKind::WorkerCrashed);
    for (guest, why) in [(&mortal, "node"), (&nowhere_else, &*second.id)] {
        let error = mobula::get(guest.visit()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ActorDied, "{error}");
        assert!(error.to_string().contains(why), "{why} is not in {error}");
    }
    for end in mobula::get(ends).unwrap() {
        assert!(matches!(end, ActorEnd::Crashed { .. }), "{end}");
    }
}

#[test]
fn actors_and_groups_are_where_they_are_asked_to_be() {
    let Some(cluster) = Nodes::start(TWO) else { return };
    let _entered = cluster.enter();
    let (head, second) = (&cluster.nodes[0], &cluster.nodes[1]);
    let is_at = |placement: Placement| {
        let guest = Guest::options().num_cpus(1).placement(placement).remote();
        mobula::get(guest.visit()).map(|(raylet, _)| raylet)
    };
    for node in [head, second] {
        assert_eq!(is_at(Placement::node(&node.id)).unwrap(), node.raylet);
        assert_eq!(is_at(Placement::prefer_node(&node.id)).unwrap(), node.raylet);
    }
    assert_eq!(is_at(Placement::label("kind", "second")).unwrap(), second.raylet);
    is_at(Placement::spread()).unwrap();
    let seated = Guest::options().num_cpus(0).resource("second", 1).remote();
    assert_eq!(mobula::get(seated.visit()).unwrap().0, second.raylet);
    drop(seated);

    let one = || Bundle::new().num_cpus(1);
    let nodes_of = |group: &PlacementGroup| {
        mobula::get(group.ready()).unwrap();
        [0, 1].map(|bundle| {
            // A task first, since the actor keeps what the bundle has.
            let task = mobula::get(place::options().placement(group.bundle(bundle)).remote());
            let guest = is_at(group.bundle(bundle)).unwrap();
            assert_eq!(task.unwrap(), guest);
            guest
        })
    };
    for _ in 0..3 {
        let [one_node, same] = nodes_of(&PlacementGroup::strict_pack([one(), one()]));
        assert_eq!(one_node, same);
        let [one_node, other] = nodes_of(&PlacementGroup::strict_spread([one(), one()]));
        assert_ne!(one_node, other);
    }
    let second_seat = Bundle::new().num_cpus(1).resource("second", 1);
    let group = PlacementGroup::strict_pack([one(), second_seat]);
    assert_eq!(nodes_of(&group), [second.raylet; 2]);

    // What can never be.
    let never = |group: PlacementGroup, why: &str| {
        let error = mobula::get(group.ready()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Infeasible, "{error}");
        assert!(error.to_string().contains(why), "{why} is not in {error}");
    };
    never(
        PlacementGroup::strict_pack([one(), one(), one()]),
        "STRICT_PACK: no node of the cluster has 3 CPU",
    );
    never(
        PlacementGroup::strict_spread([one(), one(), one()]),
        "nodes for 2 of the group's 3 bundles",
    );
    never(PlacementGroup::spread([Bundle::new().num_cpus(3)]), "3 CPU");
    let error = is_at(Placement::node("0".repeat(56))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Infeasible);
    assert!(error.to_string().contains("and the id 000"), "{error}");
}
