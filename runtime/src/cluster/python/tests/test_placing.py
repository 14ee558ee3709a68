import itertools
import random
import unittest

import driver  # noqa: F401  (what is tested is found by it)
from python import placing


def node(id, labels=None, **resources):
    return {"NodeID": id, "Resources": resources, "Labels": labels or {}}


NODES = [node("a", CPU=4.0, GPU=1.0), node("b", {"disk": "nvme"}, CPU=8.0)]


class OfCalls(unittest.TestCase):
    def refused(self, text, **options):
        self.assertEqual(placing.refusal(options, NODES), text)

    def test_amounts(self):
        self.refused(None)
        self.refused(None, num_cpus=4, resources={"gpu": 1})
        self.refused("no node of the cluster has 5 CPU, 1 GPU", num_cpus=5, resources={"gpu": 1})
        self.refused("no node of the cluster has 1 CPU, 0.5 unicorn", resources={"unicorn": 0.5})
        self.assertIsNotNone(placing.refusal({}, []))

    def test_places(self):
        nvme = {"labels": {"disk": "nvme"}}
        self.refused(None, num_cpus=8, placement=nvme)
        text = "no node of the cluster has 1 CPU, 1 GPU and the label disk=nvme"
        self.refused(text, resources={"gpu": 1}, placement=nvme)
        self.refused(None, placement="spread")
        self.refused(None, num_cpus=4, placement={"node": {"id": "a", "soft": False}})
        text = "no node of the cluster has 8 CPU and the id a"
        self.refused(text, num_cpus=8, placement={"node": {"id": "a", "soft": False}})
        self.refused(None, num_cpus=8, placement={"node": {"id": "a", "soft": True}})

    def test_bundles(self):
        bundles = [{"CPU": 2.0}, {"GPU": 1.0}]
        refusal = placing.refusal_by_group
        self.assertIsNone(refusal({"num_cpus": 2}, bundles, None))
        self.assertIsNone(refusal({"num_cpus": 0, "resources": {"gpu": 1}}, bundles, 1))
        # What asks for nothing takes a CPU.
        self.assertEqual(refusal({}, bundles, 1), "the placement group has no bundle 1 with 1 CPU")
        text = "the placement group has no bundle with 1 CPU, 1 GPU"
        self.assertEqual(refusal({"resources": {"gpu": 1}}, bundles, None), text)
        self.assertIn("no bundle 2", refusal({}, bundles, 2))


class OfGroups(unittest.TestCase):
    def refused(self, strategy, *bundles):
        return placing.refusal_of_group(strategy, bundles, NODES)

    def test_strategies(self):
        six = [{"CPU": 3}, {"CPU": 3}]
        for strategy in ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"):
            self.assertIsNone(self.refused(strategy, *six), strategy)
        text = "STRICT_PACK: no node of the cluster has 6 CPU, 1 GPU, for all bundles of the group"
        self.assertEqual(self.refused("STRICT_PACK", *six, {"GPU": 1}), text)
        self.assertIsNone(self.refused("PACK", *six, {"GPU": 1}))
        self.assertIsNone(placing.refusal_of_group("STRICT_PACK", [{"CPU": 0.1}] * 3, [node("a", CPU=0.3)]))
        text = "PACK: no node of the cluster has 9 CPU, for a bundle of the group"
        self.assertEqual(self.refused("PACK", {"CPU": 9}), text)
        text = "SPREAD: the cluster has no 13 CPU, for all bundles of the group"
        self.assertEqual(self.refused("SPREAD", *[{"CPU": 1}] * 13), text)
        text = "the cluster has nodes for 2 of the group's 3 bundles, each on one of its own"
        self.assertIn(text, self.refused("STRICT_SPREAD", *six, {"CPU": 1}))

    def test_apart_is_as_many_as_can_be(self):
        random.seed(7)
        for _ in range(300):
            amounts = lambda count: [{"CPU": random.randrange(4), "GPU": random.randrange(2)} for _ in range(count)]
            bundles, nodes = amounts(random.randrange(1, 5)), amounts(random.randrange(1, 5))
            found = placing.refusal_of_group(
                "STRICT_SPREAD", bundles, [node(str(id), **has) for id, has in enumerate(nodes)]
            )
            can = any(
                all(has["CPU"] >= wanted["CPU"] and has["GPU"] >= wanted["GPU"] for has, wanted in zip(chosen, bundles))
                for chosen in itertools.permutations(nodes, len(bundles))
            )
            self.assertEqual(found is None, can, (bundles, nodes))


if __name__ == "__main__":
    unittest.main()
