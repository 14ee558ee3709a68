import threading
import unittest
from unittest import mock

import driver  # noqa: F401  (what is tested is found by it)
from python import losing


class OfActors(unittest.TestCase):
    def setUp(self):
        self.gone = set()
        self.told = []
        self.changed = threading.Condition()
        self.losing = losing.Losing(lambda actor: actor in self.gone)

    def doubts(self, actor):
        def then():
            with self.changed:
                self.told.append(actor)
                self.changed.notify_all()

        self.losing.add(actor, then)

    def hears(self, *actors):
        with self.changed:
            self.assertTrue(self.changed.wait_for(lambda: set(actors) <= set(self.told), 60), self.told)

    def test_told_when_it_is_sure(self):
        self.doubts("a")
        self.doubts("b")
        self.gone.add("b")
        self.hears("b")
        self.assertEqual(self.told, ["b"])
        self.gone.add("a")
        self.hears("a")
        # And once more after there was nobody to watch.
        self.gone.add("c")
        self.doubts("c")
        self.hears("c")

    def test_told_when_it_never_is(self):
        with mock.patch.object(losing, "DOUBT_SECONDS_MAX", 0.0):
            self.doubts("a")
        self.hears("a")

    def test_told_when_nobody_knows(self):
        self.losing.is_gone = mock.Mock(side_effect=ConnectionError)
        self.doubts("a")
        self.hears("a")


if __name__ == "__main__":
    unittest.main()
