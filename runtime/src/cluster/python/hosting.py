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


class Call:
    """A call that was sent, or is about to be."""

    def __init__(self, answer):
        # What comes of it.
        self.answer = answer
        self.sent = time.monotonic()
        self.may_have_begun = True

    def tell(self, result):
        """What comes of it. False: nobody has asked for that yet, since it gives a stream, and has told of an item."""
        if self.answer.done():
            return False
        self.answer.set_result(result)
        return True


class Hosting:
    """A child with an actor in it."""

    def __init__(self, job, in_turn, content, bridge):
        # Whether the child runs the calls one after the other, and begins none before it has answered the last.
        self.in_turn = in_turn
        self.child = host.take(job, content)
        self.child.wait_for(0)
        self.bridge = self.child.bridge = bridge(self.child)
        self.lock = threading.Lock()
        # The calls that were sent, by their ids, in the order in which they were.
        self.calls = {}
        # How calls have ended that give streams, until somebody asks for what comes after their last item; and the calls
        # of which nobody does any more.
        self.ends = {}
        self.given_up = set()
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
                failed = outcome.failure_of(needed, call)
                if failed is None and self.end.done():
                    failed = outcome.lost(False, self.end.result())
                if failed is None and self.cancelled.pop(id, self) is None:
                    failed = outcome.failed("Cancelled", "it was cancelled before it ran")
                if failed is not None:
                    answer.set_result(failed)
                    continue
                runs.append(host.resolved(id, call, needed, carries, 1))
                self.calls[id] = Call(answer)
        for *_, carries in runs:
            for carried, handle in carries.items():
                self.bridge.adopt(carried, handle)
        try:
            self.child.writer.send(*(["run", *run, list(carries)] for *run, carries in runs))
        except OSError:
            # Who hears the child tells how it has died. What did not get there whole has not begun; of several, the first
            # may have got there.
            with self.lock:
                for id, *_ in runs:
                    if id in self.calls:
                        self.calls[id].may_have_begun = len(runs) > 1
        return answers

    def cancel(self, ids, children):
        """Asks calls to stop; `children`: and what they have submitted."""
        self._stop(ids, "cancel", children)

    def take_back(self, ids):
        """Asks calls to stop that have not begun."""
        self._stop(ids, "take_back")

    def _stop(self, ids, message, *rest):
        """Asks calls to stop, by this message, in this order; they may be on their way here."""
        with self.lock:
            here = [id for id in ids if id in self.calls]
            self.cancelled.update((id, None) for id in ids if id not in self.calls)
            while len(self.cancelled) > host.CANCELLED_MAX:
                self.cancelled.popitem(last=False)
        with contextlib.suppress(Died):
            self.child.send(*([message, id, *rest] for id in here))

    def give_up(self, ids):
        """Whoever has made these calls has heard how they failed, and asks no more: they are to stop."""
        with self.lock:
            for id in ids:
                self.ends.pop(id, None)
            self.given_up.update(id for id in ids if id in self.calls)
        self.cancel(ids, True)

    def next(self, id):
        """Lets a call go on that gives a stream, whose item was taken, and gives the future of what comes of it next."""
        answer = concurrent.futures.Future()
        with self.lock:
            call = self.calls.get(id)
            if call is not None:
                call.answer = answer
            else:
                answer.set_result(self.ends.pop(id, outcome.failed("Engine", "the stream has ended")))
        if call is not None:
            # If the child is gone, who hears it tells so.
            with contextlib.suppress(Died):
                self.child.send(["more", id])
        return answer

    def _hear(self):
        try:
            while True:
                message = self.child.receive()
                if message[0] == "done":
                    self._done(*message[1:])
                elif message[0] == "item":
                    self._item(*message[1:])
                else:
                    self.bridge.handle(message)
        except Died as died:
            text = str(died)
        except Exception as error:
            text = f"the actor's worker said what makes no sense: {error}"
        with self.lock:
            self.end.set_result(text)
            calls, self.calls = self.calls, {}
            is_first = True
            for id, call in calls.items():
                begun = call.may_have_begun and (is_first or not self.in_turn)
                self._end(id, call, outcome.lost(begun, text))
                is_first = False
        self.child.kill()

    def _done(self, id, status, carries, freed, payload):
        now = time.monotonic()
        sent = self.calls[id].sent if id in self.calls else now
        began = max(sent, self.answered) if self.in_turn else sent
        self.answered = now
        result = (status, payload, self.bridge.handles(carries), now - began)
        self.bridge.on_free(freed)
        self._answer(id, result)

    def _item(self, id, status, carries, payload):
        result = outcome.owned((status, payload, self.bridge.handles(carries), 0.0))
        with self.lock:
            call = self.calls.get(id)
        if call is not None:
            call.tell(outcome.item(result))

    def _answer(self, id, result):
        with self.lock:
            call = self.calls.pop(id, None)
            if call is not None:
                self._end(id, call, result)

    def _end(self, id, call, result):
        """Tells how a call has ended that is none of `calls` any more. The lock is held, so whoever asks for it finds one
        or the other."""
        given_up = id in self.given_up
        self.given_up.discard(id)
        if not call.tell(result) and not given_up:
            self.ends[id] = result
