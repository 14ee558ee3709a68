import shutil
import tempfile
import time
import unittest

from contract import Carried, Nested, Running, Tasks
from driver import Driver


class OnRay(Tasks, Running, Nested, Carried, unittest.TestCase):
    engine = "ray"

    def test_deaf(self):
        """A call that does not listen is killed."""
        a = self.submit("sleep", 1000)
        time.sleep(1)
        self.send(["cancel", a, False])
        self.fails(a, "Cancelled")

    def test_num_cpus(self):
        self.fails(self.submit("add", 1, 2, options={"num_cpus": 64}), "Infeasible", "64 CPU")


class OnTwoNodes(unittest.TestCase):
    """A cluster that was there before, of two nodes, of which one is killed."""

    def test_lost_node(self):
        from ray.cluster_utils import Cluster

        folder = tempfile.mkdtemp(prefix="ray-")
        head = {"num_cpus": 1, "include_dashboard": False, "temp_dir": folder}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            second = cluster.add_node(num_cpus=1)
            cluster.wait_for_nodes()
            driver = Driver("ray", cluster.address)
            self.assertEqual(driver.started, ["started", 2.0])
            more = {"options": {"max_retries": 3}}
            ids = [driver.submit("slowly", i, **more) for i in range(30)]
            nodes = set()
            for id in ids[:10]:
                _, (_, node) = driver.get(id)
                nodes.add(node)
            self.assertEqual(len(nodes), 2, "work lands on both nodes")
            cluster.remove_node(second, allow_graceful=False)
            self.assertEqual([driver.get(id)[1][0] for id in ids[10:]], list(range(10, 30)))
            self.assertEqual(driver.end(), 0)
        finally:
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    unittest.main()
