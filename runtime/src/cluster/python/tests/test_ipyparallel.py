import unittest

import psutil
from contract import Tasks
from driver import Driver


class OnIpyparallel(Tasks, unittest.TestCase):
    engine = "ipyparallel"

    def test_infeasible(self):
        self.fails(self.submit("add", 1, 2, options={"resources": {"unicorn": 1}}), "Engine", "resources")

    def test_nested(self):
        status, payload = self.get(self.submit("nested", 1))
        self.assertEqual(status, 1)
        self.assertIn(b"`ipyparallel` cannot run calls", payload)

    def test_terminated(self):
        """A sidecar that is asked to end takes its cluster along."""
        driver = Driver(self.engine, self.address)
        self.assertEqual(driver.started[0], "started", driver.started)
        cluster = psutil.Process(driver.process.pid).children(recursive=True)
        self.assertTrue(cluster)
        driver.process.terminate()
        self.assertEqual(driver.process.wait(6), 0)
        gone, alive = psutil.wait_procs(cluster, timeout=6)
        self.assertEqual(alive, [])

    def test_an_engine_that_is_gone_gets_no_calls(self):
        driver = Driver(self.engine, self.address, num_cpus=2)
        self.assertEqual(driver.started[0], "started", driver.started)
        child = driver.get(driver.submit("pid"))[1]
        engine = psutil.Process(child).parent()
        engine.kill()
        right = 0
        while right < 8:
            status, payload = driver.get(driver.submit("add", 1, 2))
            right = right + 1 if (status, payload) == (0, 3) else 0
            # They may go to the one that is gone, as long as nobody knows.
            self.assertTrue(right or payload[0] == "WorkerCrashed", payload)
        self.assertEqual(driver.end(), 0)


if __name__ == "__main__":
    unittest.main()
