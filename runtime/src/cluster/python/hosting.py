"""An actor's place on a worker of the cluster: one child of this process in which it lives, with nobody else.

Calls come as the driver sends them, and may be under way side by side. A thread hears the child: it passes answers
to whoever waits for them, and does what calls ask the cluster for. When the child is gone, so is the actor.
"""

import collections
import concurrent.futures
import threading
import time

from . import host, outcome
from .child import Died


class Hosting:
    """A child with an actor in it."""

    def __init__(self, job, in_turn, content, bridge):
        # Whether the child runs the calls one after the other, and begins none before it has answered the last.
        self.in_turn = in_turn
        self.child = host.take(job, content)
        self.bridge = self.child.bridge = bridge(self.child)
        self.lock = threading.Lock()
        # The calls that were sent, by their ids, in the order in which they were: what comes of each, and when it was.
        self.calls = {}
        # When the last answer came.
        self.answered = 0.0
        # The calls that are to stop and have not come, or are done. An ordered set.
        self.cancelled = collections.OrderedDict()
        # Complete when the child is gone, with how it went.
        self.end = concurrent.futures.Future()
        threading.Thread(target=self._hear, daemon=True).start()

    def call(self, id, call, needed, carries):
        """Sends a call, and gives the future of its outcome."""
        answer = concurrent.futures.Future()
        failed = outcome.failure_of(needed)
        if failed is not None:
            answer.set_result(failed)
            return answer
        _, attempt, call, values, carries = host.resolved(id, call, needed, carries, 1)
        with self.lock:
            if self.end.done():
                answer.set_result(outcome.lost(False, self.end.result()))
                return answer
            self.calls[id] = (answer, time.monotonic())
            is_to_stop = self.cancelled.pop(id, self) is None
        for carried, handle in carries.items():
            self.bridge.adopt(carried, handle)
        try:
            self.child.send(["run", id, attempt, call, values, list(carries)])
        except Died as died:
            # What did not get there whole has not begun.
            self._answer(id, outcome.lost(False, str(died)))
        if is_to_stop:
            self.cancel(id)
        return answer

    def cancel(self, id):
        """Asks a call to stop; it may be on its way here."""
        with self.lock:
            if id not in self.calls:
                self.cancelled[id] = None
                while len(self.cancelled) > host.CANCELLED_MAX:
                    self.cancelled.popitem(last=False)
                return
        try:
            self.child.send(["cancel", id])
        except Died:
            pass

    def _hear(self):
        try:
            while True:
                message = self.child.receive(None)
                if message[0] == "done":
                    self._done(*message[1:])
                else:
                    self.bridge.handle(message)
        except Died as died:
            text = str(died)
        except Exception as error:
            text = f"the actor's worker said what makes no sense: {error}"
        with self.lock:
            self.end.set_result(text)
            calls, self.calls = self.calls, {}
        begun = True
        for answer, _ in calls.values():
            answer.set_result(outcome.lost(begun, text))
            begun = begun and not self.in_turn
        self.child.kill()

    def _done(self, id, status, carries, payload):
        now = time.monotonic()
        _, sent = self.calls.get(id, (None, now))
        began = max(sent, self.answered) if self.in_turn else sent
        self.answered = now
        self._answer(id, (status, payload, self.bridge.handles(carries), now - began))

    def _answer(self, id, result):
        with self.lock:
            answer, _ = self.calls.pop(id, (None, None))
        if answer is not None:
            answer.set_result(result)
