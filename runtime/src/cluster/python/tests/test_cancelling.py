"""Tasks of Ray's that are to stop, without a cluster: Ray is played."""

import queue
import unittest
from unittest import mock

import driver  # noqa: F401  (what is tested is found by it)
from python import ray_cancelling

SECONDS = 30.0


class Task:
    def __init__(self):
        # Something for each time that it was asked to stop.
        self.asked = queue.Queue()

    def _on_completed(self, then):
        self.ends = then


class Cancelling(unittest.TestCase):
    def setUp(self):
        self.fails = False
        for name, value in (("ray", mock.Mock(cancel=self.cancel)), ("CANCEL_AGAIN_SECONDS", 0.001)):
            patch = mock.patch.object(ray_cancelling, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.cancelling = ray_cancelling.Cancelling()
        self.addCleanup(self.cancelling.close)

    def cancel(self, task):
        task.asked.put(1)
        if self.fails:
            raise ConnectionError("played")

    def test_it_is_done_until_the_task_has_ended(self):
        for self.fails in (False, True):
            task = Task()
            self.cancelling.add(task)
            for _ in range(4):
                task.asked.get(timeout=SECONDS)
            task.ends(None)
            self.assertEqual(self.cancelling.tasks, set())


if __name__ == "__main__":
    unittest.main()
