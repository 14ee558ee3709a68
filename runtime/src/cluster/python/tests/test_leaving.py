"""Calls that another thread is about to send."""

import threading
import unittest

import driver  # noqa: F401  (what is tested is found by it)
from python import bridge, frames, fusing, outcome

VALUE = (outcome.VALUE, b"value", {}, 0.0001)


class Engine:
    """One that takes its time where another thread than the program's brings it something."""

    cpus = 1.0

    def __init__(self):
        self.sent = []
        self.enters, self.may_go_on = threading.Event(), threading.Event()

    def refusal(self, _):
        return None

    def is_stored(self, _):
        return True

    def submit(self, group, sent):
        if threading.current_thread() is not threading.main_thread():
            self.enters.set()
            self.may_go_on.wait()
        self.sent.append(sent)
        return [f"handle of {task.id}" for task in group]


class Waits(threading.Condition):
    """What is waited by, which lets the engine go on."""

    def __init__(self, lock, engine):
        super().__init__(lock)
        self.engine = engine

    def wait_for(self, *arguments):
        self.engine.may_go_on.set()
        return super().wait_for(*arguments)


class Leaving(unittest.TestCase):
    def setUp(self):
        self.engine = Engine()
        self.bridge = bridge.Bridge(self.engine, frames.Writer(lambda data: None))
        self.bridge.left = Waits(self.bridge.lock, self.engine)
        # Those of a function that nobody knows yet go, and one waits for them.
        ids = [bytes([number]) * 16 for number in range(fusing.KNOWN_AFTER + 1)]
        self.bridge.on_submit([[id, "f", b"call", [], [], {}] for id in ids])
        self.id = ids[-1]
        self.assertEqual(self.bridge.line.ids, {self.id})
        self.thread = threading.Thread(target=self.all_end)
        self.thread.start()
        # Whatever comes of a test, its thread ends.
        self.addCleanup(self.goes_on)
        self.engine.enters.wait()
        self.assertFalse(self.bridge.line.ids)

    def goes_on(self):
        self.engine.may_go_on.set()
        self.thread.join()

    def all_end(self):
        for sent in self.engine.sent[:]:
            sent.ended([VALUE])

    def test_what_goes_out_of_the_process_has_its_handle(self):
        self.assertEqual(self.bridge.handles([self.id]), {self.id: f"handle of {self.id}"})

    def test_a_call_may_need_it(self):
        self.bridge.on_submit([[b"g", "g", b"call", [self.id], [], {}]])
        self.assertEqual(self.engine.sent[-1].group[0].id, b"g")
        self.assertIn(b"g", self.bridge.objects)

    def test_nothing_is_left_of_one_that_is_given_back(self):
        self.bridge.on_free([[self.id, 1]])
        self.goes_on()
        self.assertNotIn(self.id, self.bridge.objects)


if __name__ == "__main__":
    unittest.main()
