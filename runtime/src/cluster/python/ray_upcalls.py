"""Calls that tasks make of the program's actors: by the relay, from the processes in which the tasks run to the driver's.

The relay gets nothing with refs in it from a task, but a ref to an object that has it inside. An actor may have a ref
from one process, pass it on to a second, and get it back from there before it has told the first who has it, too. Ray
then tells the second, and to the owner the object is one that nobody has. And what stands for a handle does not go at
all: the program knows it by its id, and the task has it until it has the answer. Where a process has a ref from inside of
another's object, and that is killed, Ray may never forget it.
"""

import collections
import functools
import os
import threading

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from . import host, outcome
from .ray_lending import LENT
from .ray_refs import Failure, failed, first_lines, when_there
from .ray_worker import blob

# How many calls may be under way in the relay.
CALLS_MAX = 1_000_000


def name():
    """A name for the relay of one program."""
    return f"mobula-{os.urandom(8).hex()}"


class Caller:
    """The end of those who call."""

    def __init__(self, name, engine):
        self.name = name
        self.engine = engine
        self.relay = None
        self.lock = threading.Lock()
        # How many calls each caller has sent.
        self.sent = collections.Counter()

    def call(self, task, sent):
        """Sends a call, and gives the handle of its result."""
        if self.relay is None:
            try:
                self.relay = ray.get_actor(self.name)
            except ValueError as error:
                raise Failure(outcome.failed("ActorDied", first_lines(error))) from None
        objects = sent.bridge.objects
        needs = [tuple(objects[id].handle) for id in task.needs]
        carries = sent.bridge.handles(task.carries)
        lent = [id for id, handle in carries.items() if handle[1] == LENT]
        rest = {id: handle for id, handle in carries.items() if handle[1] != LENT}
        inside = [ray.put((needs, rest))] if needs or rest else []
        # What one caller has asked for may be what another one waits for.
        caller, actor = task.options["of_actors"]
        relay, caller = self.relay, bytes(caller)
        # Whoever calls may have no handle any more by the time the call gets there.
        kept = inside, carries, objects.get(actor)
        with self.lock:
            number = self.sent[caller]
            self.sent[caller] += 1
        try:
            meta = relay.call.remote(caller, number, task.id, blob(task.take_call()), lent, inside)
        except Exception:
            relay.passes.remote(caller, number)
            raise
        sent.task = relay

        def ended(value, _=kept):
            if failed(value):
                # It may have failed on its way, and those after it would wait for it.
                relay.passes.remote(caller, number)
                value = self.engine.failure(value)
            sent.ended(value)

        when_there(meta, ended)
        return (meta, 0, None)


class Arrival:
    """A call that has come, and waits for what is inside of it, or for those before it."""

    def __init__(self, id, call, lent):
        self.id = id
        self.call = call
        # The ids of handles, and the handles of objects, that are inside of its arguments.
        self.lent = lent
        self.carries = {}
        # The outcomes of what it needs, and how many have not come; one failure ends them all.
        self.needed = []
        self.missing = 1
        self.failure = None


class Hearer:
    """The driver's end: starts the relay, and passes on what comes, in the order of each caller."""

    def __init__(self, relay_class, name, bridge):
        self.bridge = bridge
        self.lock = threading.Lock()
        # By who calls.
        self.lines = collections.defaultdict(collections.deque)
        strategy = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        chosen = {"name": name, "num_cpus": 0, "max_concurrency": CALLS_MAX}
        self.relay = relay_class.options(scheduling_strategy=strategy, **chosen).remote()
        self._hear()

    def _hear(self):
        def came(taken):
            if failed(taken):
                # It is gone, or we are about to be. Who calls it hears so.
                return
            for what, *rest in taken:
                if what == "call":
                    self._arrives(*rest)
                else:
                    self.bridge.cancel_upcall(*rest)
            self._hear()

        when_there(self.relay.take.remote(), came)

    def _arrives(self, caller, id, call, lent, inside):
        arrival = Arrival(id, call, lent)
        with self.lock:
            self.lines[caller].append(arrival)
        if inside:
            when_there(inside[0], lambda value: self._opened(caller, arrival, value))
        else:
            self._pass_on(caller, arrival)

    def _opened(self, caller, arrival, value):
        """What is inside of a call has come, or will not."""
        if failed(value):
            arrival.failure = self.bridge.engine.failure(value)
        else:
            needs, arrival.carries = value
            arrival.needed = [None] * len(needs)
            arrival.missing += len(needs)
            for place, need in enumerate(needs):
                self.bridge.engine.fetch(need, functools.partial(self._fetched, caller, arrival, place))
        self._pass_on(caller, arrival)

    def _fetched(self, caller, arrival, place, result):
        arrival.needed[place] = result
        self._pass_on(caller, arrival)

    def _pass_on(self, caller, arrival):
        """One more of what it waits for has come. Passes on what now waits for nothing."""
        with self.lock:
            arrival.missing -= 1
            line = self.lines[caller]
            while line and line[0].missing == 0:
                self._pass(caller, line.popleft())
            if not line:
                del self.lines[caller]

    def _pass(self, caller, arrival):
        refused = arrival.failure or outcome.failure_of(arrival.needed, arrival.call)
        if refused is not None:
            self.answer(arrival.id, refused)
            return
        _, _, call, values, carries = host.resolved(arrival.id, arrival.call, arrival.needed, arrival.carries, 1)
        self.bridge.upcall(caller, arrival.id, call, values, carries, arrival.lent)

    def answer(self, id, result):
        """The program tells what came of a call."""
        self.relay.answer.remote(id, outcome.owned(result))
