"""Tasks that are to stop, without a cluster: Ray is played."""

import queue
import unittest
from unittest import mock

import driver  # noqa: F401  (what is tested is found by it)
from python import ray_cancelling
from python.sent import Sent

SECONDS = 30.0


class Task:
    def __init__(self, id=b"task"):
        self.id = id
        # For each time that it was asked to stop, what was noted of it then.
        self.asked = queue.Queue()

    def task_id(self):
        return mock.Mock(binary=lambda: self.id)

    def _on_completed(self, then):
        self.ends = then


class Noted(dict):
    """What the cluster keeps."""

    def _internal_kv_put(self, key, value, namespace):
        self[key] = value

    def _internal_kv_get(self, key, namespace):
        return self.get(key)

    def _internal_kv_del(self, key, namespace):
        del self[key]
        self.forgotten.put(key)


class Cancelling(unittest.TestCase):
    def setUp(self):
        self.fails = False
        self.noted = Noted()
        self.noted.forgotten = queue.Queue()
        context = mock.Mock(get_task_id=b"task".hex)
        ray = mock.Mock(cancel=self.cancel, get_runtime_context=lambda: context)
        for name, value in (("ray", ray), ("internal_kv", self.noted), ("CANCEL_AGAIN_SECONDS", 0.001)):
            patch = mock.patch.object(ray_cancelling, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.cancelling = ray_cancelling.Cancelling()
        self.addCleanup(self.cancelling.close)

    def cancel(self, task, recursive):
        # Its host tells its children.
        assert not recursive
        task.asked.put(ray_cancelling.spared())
        if self.fails:
            raise ConnectionError("played")

    def test_it_is_done_until_the_task_has_ended(self):
        for self.fails in (False, True):
            task = Task()
            self.cancelling.add(task, [])
            for _ in range(4):
                self.assertEqual(task.asked.get(timeout=SECONDS), [])
            task.ends(None)
            self.assertEqual(self.cancelling.tasks, {})

    def test_whose_children_are_spared_is_noted_while_the_task_is_there(self):
        task = Task()
        self.cancelling.add(task, [b"a", b"b"])
        self.assertEqual(task.asked.get(timeout=SECONDS), [b"a", b"b"])
        self.cancelling.add(task, [b"b"])
        while (asked := task.asked.get(timeout=SECONDS)) == [b"a", b"b"]:
            pass
        self.assertEqual(asked, [b"b"])
        self.cancelling.add(task, [])
        while (asked := task.asked.get(timeout=SECONDS)) == [b"b"]:
            pass
        self.assertEqual(asked, [])
        task.ends(None)
        self.assertEqual(self.noted.forgotten.get(timeout=SECONDS), b"task")
        self.assertEqual(self.noted, {})

    def test_what_is_noted_goes_with_whoever_noted_it(self):
        self.cancelling.add(Task(), [b"a"])
        self.assertEqual(list(self.noted), [b"task"])
        self.cancelling.close()
        self.assertEqual(self.noted, {})


class Groups(unittest.TestCase):
    def test_calls_that_go_together_are_spared_or_not_each_by_itself(self):
        bridge = mock.Mock()
        sent = Sent([Task(b"a"), Task(b"b")], bridge, None)
        sent.task = "task"
        sent.cancel(b"b", False, False)
        bridge.engine.cancel.assert_not_called()
        sent.cancel(b"a", False, True)
        bridge.engine.cancel.assert_called_once_with("task", [b"a", b"b"], False, [b"b"])

    def test_a_call_that_is_cancelled_again_is_spared_no_more(self):
        bridge = mock.Mock()
        sent = Sent([Task(b"a")], bridge, None)
        for children, spared in ((False, [b"a"]), (True, []), (False, [])):
            sent.cancel(b"a", False, children)
            bridge.engine.cancel.assert_called_with(None, [b"a"], False, spared)


if __name__ == "__main__":
    unittest.main()
