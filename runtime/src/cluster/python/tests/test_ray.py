import os
import shutil
import tempfile
import time
import unittest
from unittest import mock

from contract import Carried, Nested, Running, Streams, Tasks
from driver import Driver


class OnRay(Tasks, Running, Nested, Carried, Streams, unittest.TestCase):
    engine = "ray"

    def test_deaf(self):
        """A call that does not listen is killed."""
        a = self.submit("sleep", 1000)
        time.sleep(1)
        self.send(["cancel", a, False, True])
        self.fails(a, "Cancelled")

    def test_num_cpus(self):
        self.fails(self.submit("add", 1, 2, options={"num_cpus": 64}), "Infeasible", "64 CPU")

    def test_what_is_lent_is_back_when_nobody_has_it(self):
        actor, stored = os.urandom(16), os.urandom(16)
        self.send(["lend", actor])
        a = self.submit("let_go", carries=[actor])
        self.send(["lend", actor])
        self.send(["put", stored, 0, [actor], b"\xc0"])
        self.send(["free", [[actor, 2]]])
        self.assertEqual(self.get(a), (0, None))
        # It is inside of what is stored, and of what that is inside of.
        b = self.submit("let_go", carries=[stored])
        self.send(["free", [[stored, 1]]])
        self.assertEqual(self.get(b), (0, None))
        self.assertEqual(self.driver.wait(actor, "back"), [2])
        self.send(["lend", actor])
        self.send(["free", [[actor, 1]]])
        self.assertEqual(self.driver.wait(actor, "back"), [1])

    def test_streams_of_actors(self):
        """The items of an actor's call come one by one, each when the one before it was taken."""
        actor = os.urandom(16)
        self.send(["host", actor, {"in_turn": True}])
        options = {"actor": actor}

        def one_of(stream):
            ((id, status, payload),) = self.driver.items(stream, 1)
            self.send(["free", [[id, 1]]])
            return self.numbers([(id, status, payload)]), len(payload)

        for length in (1, 300_000):
            a = self.submit("count", 3, length, options=options)
            for number in range(3):
                numbers, size = one_of(a)
                self.assertEqual(numbers, [number])
                self.assertGreater(size, length)
                self.assertEqual(self.driver.items(a, 0), [], "no more than is wanted")
                self.send(["more", a, 1])
            self.assertEqual(self.get(a), (0, 3))
        # One that is told to stop may have ended before it is asked for more.
        for seconds in (0, 0.5):
            a = self.submit("count", 10**9, 1, options=options)
            one_of(a)
            self.send(["take_back", actor, [a], True, True])
            time.sleep(seconds)
            self.send(["more", a, 1])
            self.assertEqual(self.get(a), (1, b"stopped"))
        self.assertEqual(self.get(self.submit("add", 1, 2, options=options)), (0, 3))
        a = self.submit("count", 3, "no length", options=options)
        status, (begun, _) = self.get(a)
        self.assertEqual((status, begun), (6, True))
        self.send(["unhost", actor, True])


class OnTwoNodes(unittest.TestCase):
    """A cluster that was there before, of two nodes."""

    def setUp(self):
        from ray.cluster_utils import Cluster

        folder = tempfile.mkdtemp(prefix="ray-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        # Where Ray looks for the folder of its own, which it does not make in time.
        os.environ["RAY_TMPDIR"] = folder
        self.addCleanup(os.environ.pop, "RAY_TMPDIR")
        os.mkdir(os.path.join(folder, "ray"))
        # Whether there is a token on this machine does not matter here.
        patch = mock.patch.dict(os.environ, RAY_AUTH_MODE="disabled")
        patch.start()
        self.addCleanup(patch.stop)
        head = {"num_cpus": 1, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.addCleanup(self.cluster.shutdown)
        self.second = self.cluster.add_node(num_cpus=1, labels={"kind": "second"})
        self.cluster.wait_for_nodes()
        self.driver = Driver("ray", self.cluster.address)
        self.assertEqual(self.driver.started, ["started", 2.0])

    def node(self, placement):
        """Where a task runs that is placed so."""
        status, payload = self.driver.get(self.driver.submit("slowly", 0, options={"placement": placement}))
        self.assertEqual(status, 0, payload)
        return payload[1]

    def test_places_of_actors(self):
        def placed(**options):
            """On which node an actor is of these options, or the kind of failure."""
            id = os.urandom(16)
            self.driver.writer.send(["host", id, options])
            status, payload = self.driver.get(self.driver.submit("slowly", 0, options={"actor": id}))
            self.driver.writer.send(["unhost", id, True])
            return payload[1] if status == 0 else payload[0]

        (raylet,) = self.second.all_processes["raylet"]
        second, there = raylet.process.pid, {"node": {"id": self.second.node_id, "soft": True}}
        self.assertEqual(placed(placement={"labels": {"kind": "second"}}), second)
        # Wherever it is to be, it may take nothing.
        self.assertEqual([placed(num_cpus=cpus, placement=there) for cpus in (1, 0, 0, 0)], [second] * 4)
        group = {"strategy": "STRICT_SPREAD", "bundles": [{"CPU": 1}, {"CPU": 1}]}
        group = self.driver.submit("no function", options={"group": group})
        self.assertEqual(self.driver.wait(group)[0], 0)
        bundles = [{"group": {"id": group, "bundle": bundle}} for bundle in (0, 1)]
        self.assertEqual(len({placed(placement=bundle) for bundle in bundles}), 2)
        self.assertEqual(placed(num_cpus=2, placement=bundles[0]), "Infeasible")
        self.assertEqual(placed(num_cpus=2), "Infeasible")
        self.assertEqual(self.driver.end(), 0)

    def test_lost_node(self):
        more = {"options": {"max_retries": 3}}
        ids = [self.driver.submit("slowly", i, **more) for i in range(30)]
        nodes = set()
        for id in ids[:10]:
            _, (_, node) = self.driver.get(id)
            nodes.add(node)
        self.assertEqual(len(nodes), 2, "work lands on both nodes")
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.assertEqual([self.driver.get(id)[1][0] for id in ids[10:]], list(range(10, 30)))
        self.assertEqual(self.driver.end(), 0)

    def test_detached(self):
        """An actor is there for a program when the one that started it is gone."""

        def host(driver, found, kind="A"):
            id = os.urandom(16)
            detached = {"name": "kept", "namespace": "lab", "kind": kind, "found": found}
            driver.writer.send(["host", id, {"detached": detached}])
            return id

        def call(driver, id, name, *arguments):
            return driver.get(driver.submit(name, *arguments, options={"actor": id}))

        def look_for(driver, kind):
            detached = {"name": "kept", "namespace": "lab", "kind": kind, "found": "expect"}
            status, _, payload = driver.wait(driver.submit("A", options={"detached": detached}))
            return "there" if status == 0 else payload[0]

        first = self.driver
        self.assertEqual(look_for(first, "A"), "ActorDied")
        self.assertEqual(call(first, host(first, "expect"), "pid")[1][0], "ActorDied")
        a = host(first, "refuse")
        status, pid = call(first, a, "pid")
        self.assertEqual(status, 0, pid)
        self.assertEqual(call(first, host(first, "refuse"), "pid")[1][0], "Config")
        self.assertEqual(first.end(), 0)

        second = Driver("ray", self.cluster.address)
        self.assertEqual(look_for(second, "A"), "there")
        self.assertEqual(look_for(second, "B"), "Value")
        a, b = host(second, "expect"), host(second, "share")
        self.assertEqual([call(second, id, "pid") for id in (a, b)], [(0, pid)] * 2)
        # What it calls needs the program, on either node.
        for x in range(4):
            self.assertEqual(call(second, a, "nested", x), (0, 2 * (x + 1)))
        second.writer.send(["unhost", b, False])
        self.assertEqual(call(second, a, "pid"), (0, pid))
        second.writer.send(["unhost", a, True])
        while (found := look_for(second, "A")) == "there":
            pass
        self.assertEqual(found, "ActorDied")
        self.assertEqual(second.end(), 0)

    def test_placement(self):
        (raylet,) = self.second.all_processes["raylet"]
        second = raylet.process.pid
        self.assertEqual(self.node({"labels": {"kind": "second"}}), second)
        self.assertEqual(self.node({"node": {"id": self.second.node_id, "soft": False}}), second)
        group = {"strategy": "STRICT_SPREAD", "bundles": [{"CPU": 1}, {"CPU": 1}]}
        group = self.driver.submit("no function", options={"group": group})
        self.assertEqual(self.driver.wait(group)[0], 0)
        nodes = {self.node({"group": {"id": group, "bundle": bundle}}) for bundle in (0, 1)}
        self.assertEqual(len(nodes), 2)
        # Nothing is left for others until it goes.
        other = self.driver.submit("slowly", 0, options={"placement": "spread"})
        self.driver.writer.send(["free", [[group, 1]]])
        self.assertEqual(self.driver.get(other)[0], 0)
        status, payload = self.driver.get(
            self.driver.submit("slowly", 0, options={"placement": {"group": {"id": group, "bundle": 0}}})
        )
        self.assertEqual(status, 3, payload)
        self.assertEqual(self.driver.end(), 0)


if __name__ == "__main__":
    unittest.main()
