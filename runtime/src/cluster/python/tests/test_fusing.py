import unittest
from unittest import mock

import driver  # noqa: F401  (what is tested is found by it)
from python import fusing, outcome
from python.task import Task


class WithTime(unittest.TestCase):
    """Time passes where a test says so."""

    def setUp(self):
        self.now = 100.0
        clock = mock.patch.object(fusing.time, "monotonic", lambda: self.now)
        clock.start()
        self.addCleanup(clock.stop)
        self.fuser = fusing.Fuser(2)

    def passes(self, seconds):
        self.now += seconds

    def learns(self, function):
        """That its calls are short."""
        for _ in range(fusing.KNOWN_AFTER):
            self.fuser.learn(function, (outcome.VALUE, b"", {}, 0.0001))


def task(number, function="f", needs=()):
    return Task(number, function, b"", list(needs), [], {})


def numbers(groups):
    return [[task.id for task in group] for group, _ in groups]


class OfTasks(WithTime):
    def line(self, count, function="f"):
        line = fusing.Line(self.fuser, 2)
        for number in range(count):
            line.add(task(number, function))
        return line

    def test_what_is_not_known_waits_for_the_first_but_not_for_long(self):
        line = self.line(6)
        self.assertEqual(numbers(line.take()), [[0], [1], [2], [3]])
        self.passes(fusing.WAIT_SECONDS / 2)
        self.assertEqual(line.overdue(), [])
        self.passes(fusing.WAIT_SECONDS * 0.6)
        self.assertEqual(numbers(line.overdue()), [[4], [5]])
        self.assertEqual((line.ids, line.waiting), (set(), {}))

    def test_calls_that_have_waited_go_alone(self):
        self.learns("f")
        self.assertEqual(self.fuser.calls_max("f"), fusing.CALLS_MAX)
        self.fuser.learn("f", (outcome.VALUE, b"", {}, None))
        self.assertEqual(self.fuser.calls_max("f"), 1)
        self.learns("f")
        self.assertEqual(numbers(self.line(20).take()), [[number] for number in range(20)])

    def test_short_calls_wait_as_long_as_others_end(self):
        self.learns("f")
        line = self.line(1000)
        self.assertEqual(len(line.take()), line.under_way_max)
        left = len(line.ids)
        for _ in range(5):
            self.passes(fusing.WAIT_SECONDS * 0.9)
            line.ended()
            line.under_way += 1
            self.assertEqual(line.overdue(), [])
        # Nothing ends but what has nothing to do with them.
        self.learns("g")
        self.passes(fusing.WAIT_SECONDS * 1.1)
        groups = line.overdue()
        self.assertEqual(numbers(groups), [[number] for number in range(1000 - left, 1000)])
        self.assertTrue(all(counts is None for _, counts in groups))


class OfAnActor(WithTime):
    def test_a_group_more_goes_where_nothing_ends(self):
        self.learns("f")
        line = fusing.ActorLine(self.fuser)
        for number in range(2):
            line.add(task(number))
            self.assertEqual(numbers(line.take()), [[number]])
        for number in range(2, 5):
            line.add(task(number))
        self.assertEqual((line.take(), line.overdue()), ([], []))
        self.passes(fusing.ACTOR_WAIT_SECONDS * 1.1)
        ((group, counts),) = line.overdue()
        self.assertEqual(([task.id for task in group], group[0].turn, counts), ([2, 3, 4], 2, line))
        self.assertEqual(line.under_way, 3)
        line.add(task(5))
        self.passes(fusing.ACTOR_WAIT_SECONDS / 2)
        self.assertEqual(line.overdue(), [])
        line.ended()
        self.passes(fusing.ACTOR_WAIT_SECONDS / 2)
        self.assertEqual((line.take(), line.overdue()), ([], []))
        self.passes(fusing.ACTOR_WAIT_SECONDS * 0.6)
        self.assertEqual(numbers(line.overdue()), [[5]])


if __name__ == "__main__":
    unittest.main()
