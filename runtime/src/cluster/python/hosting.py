"""An actor's place on a worker of the cluster: one child of this process in which it lives, with nobody else.

Calls come as the driver sends them, and may be under way side by side. A thread hears the child: it passes answers
to whoever waits for them, and does what calls ask the cluster for. When the child is gone, so is the actor.
"""

import collections
import concurrent.futures
import contextlib
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

    def call(self, calls):
        """Sends calls, each an (id, call, outcomes of what it needs, carried handles), and gives the futures of their
        outcomes."""
        answers, runs = [], []
        with self.lock:
            for id, call, needed, carries in calls:
                answer = concurrent.futures.Future()
                answers.append(answer)
                failed = outcome.failure_of(needed)
                if failed is None and self.end.done():
                    failed = outcome.lost(False, self.end.result())
                if failed is None and self.cancelled.pop(id, self) is None:
                    failed = outcome.failed("Cancelled", "it was cancelled before it ran")
                if failed is not None:
                    answer.set_result(failed)
                    continue
                runs.append(host.resolved(id, call, needed, carries, 1))
                self.calls[id] = (answer, time.monotonic())
        for *_, carries in runs:
            for carried, handle in carries.items():
                self.bridge.adopt(carried, handle)
        try:
            self.child.send(*(["run", *run, list(carries)] for *run, carries in runs))
        except Died as died:
            # What did not get there whole has not begun. Of several some may have; who hears the child tells of them.
            if len(runs) == 1:
                self._answer(runs[0][0], outcome.lost(False, str(died)))
        return answers

    def cancel(self, ids):
        """Asks calls to stop, in this order; they may be on their way here."""
        with self.lock:
            here = [id for id in ids if id in self.calls]
            self.cancelled.update((id, None) for id in ids if id not in self.calls)
            while len(self.cancelled) > host.CANCELLED_MAX:
                self.cancelled.popitem(last=False)
        with contextlib.suppress(Died):
            self.child.send(*(["cancel", id] for id in here))

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
