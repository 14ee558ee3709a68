"""Calls of an actor that give streams, without a cluster: their child is played."""

import queue
import threading
import unittest
from unittest import mock

import driver  # noqa: F401  (what is tested is found by it)
from python import host, hosting, outcome
from python.child import Died

ITEM = (outcome.VALUE, b"item", {}, 0.0)
SECONDS = 30.0


class Child:
    """Says what the test puts into `says`, and keeps what it is told."""

    def __init__(self):
        self.says = queue.Queue()
        self.told = queue.Queue()
        self.writer = self
        self.bridge = mock.Mock(handles=lambda ids: {})
        self.killed = threading.Event()

    def send(self, *messages):
        for message in messages:
            self.told.put(message[:2] if message[0] == "run" else message)

    def wait_for(self, seconds):
        assert seconds == 0

    def receive(self):
        message = self.says.get()
        if message is None:
            raise Died("it died")
        return message

    def kill(self):
        self.killed.set()


class Streams(unittest.TestCase):
    def setUp(self):
        self.child = Child()
        with mock.patch.object(host, "take", lambda *_: self.child):
            self.hosting = hosting.Hosting(None, True, None, lambda child: child.bridge)

    def begin(self):
        """A call that has given an item."""
        (answer,) = self.hosting.call([(b"id", b"call", [], {})])
        self.assertEqual(self.told(), ["run", b"id"])
        self.child.says.put(["item", b"id", outcome.VALUE, [], b"item"])
        self.assertEqual(answer.result(SECONDS), outcome.item(ITEM))

    def told(self):
        return self.child.told.get(timeout=SECONDS)

    def end(self):
        """The call ends, and that is heard."""
        self.child.says.put(["done", b"id", outcome.VALUE, [], [], b""])
        (other,) = self.hosting.call([(b"other", b"call", [], {})])
        self.child.says.put(["done", b"other", outcome.VALUE, [], [], b""])
        other.result(SECONDS)

    def test_what_comes_after_an_item_waits_until_it_is_asked_for(self):
        self.begin()
        self.end()
        self.assertEqual(self.hosting.next(b"id").result(SECONDS)[:2], (outcome.VALUE, b""))
        self.assertEqual(self.hosting.next(b"id").result(SECONDS)[0], outcome.FAILED)

    def test_a_call_that_was_given_up_is_asked_to_stop_and_leaves_nothing(self):
        self.begin()
        self.hosting.give_up([b"id"])
        self.assertEqual(self.told(), ["cancel", b"id", True])
        self.end()
        self.assertEqual((self.hosting.ends, self.hosting.given_up, self.hosting.calls), ({}, set(), {}))

    def test_a_call_is_told_whether_its_children_are_to_stop_with_it(self):
        self.begin()
        for children in (False, True):
            self.hosting.cancel([b"id"], children)
            self.assertEqual(self.told(), ["cancel", b"id", children])
        self.hosting.take_back([b"id"])
        self.assertEqual(self.told(), ["take_back", b"id"])

    def test_a_call_that_was_given_up_when_it_had_ended_leaves_nothing(self):
        self.begin()
        self.end()
        self.hosting.give_up([b"id"])
        self.assertEqual((self.hosting.ends, self.hosting.given_up), ({}, set()))

    def test_the_death_of_the_child_is_what_comes_after_an_item(self):
        self.begin()
        self.child.says.put(None)
        self.assertTrue(self.child.killed.wait(SECONDS))
        self.assertEqual(self.hosting.next(b"id").result(SECONDS)[0], outcome.LOST)
