import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from contract import Nested, Running, Tasks


class OnDask(Tasks, Running, Nested, unittest.TestCase):
    engine = "dask"

    def test_refused(self):
        self.fails(self.submit("add", 1, 2, options={"num_cpus": 2}), "Engine", "num_cpus")


class OnProcessesOfTheirOwn(Tasks, Nested, unittest.TestCase):
    """On a cluster that is there already: neither scheduler nor workers have anything from the sidecar."""

    engine = "dask"

    @classmethod
    def setUpClass(cls):
        from distributed import Client

        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.address = str(Path(cls.folder) / "scheduler.json")
        cls.start("scheduler", "--host", "127.0.0.1", "--port", "0")
        cls.start("worker", "--nworkers", "2", "--nthreads", "1")
        with Client(scheduler_file=cls.address) as client:
            client.wait_for_workers(2)
        super().setUpClass()

    @classmethod
    def start(cls, what, *options):
        command = [sys.executable, "-m", "dask", what, "--scheduler-file", cls.address, "--no-dashboard", *options]
        log = cls.enterClassContext(open(Path(cls.folder) / f"{what}.log", "wb"))
        # They leave nothing elsewhere.
        environment = {**os.environ, "DASK_TEMPORARY_DIRECTORY": cls.folder}
        process = subprocess.Popen(command, cwd=cls.folder, env=environment, stdout=log, stderr=log)
        cls.addClassCleanup(process.wait, 30)
        cls.addClassCleanup(process.terminate)


if __name__ == "__main__":
    unittest.main()
