"""What runs on a worker of the cluster: it keeps children in worker mode and passes calls to them.

A child takes one call after the other; where the engine runs several calls in one process (Dask's threads),
each takes a child of its own out of `idle`. A child that was interrupted or died is never used again.
"""

import collections
import contextlib
import inspect
import signal
import threading
import time

from . import binary
from . import calling, outcome, python
from .child import Child, Died

# How often a wait for the child looks up, so that an interrupt of the engine's gets through.
POLL_SECONDS = 0.05
# The same for a wait for the cluster, during which the worker's CPU is free for others.
BLOCK_SECONDS = 0.2
# A call that has waited for so long for what other calls give waits: what is there already takes less.
WAITED_SECONDS = 0.001
# How long a cancelled call may take to notice, before its child is killed.
GRACE_SECONDS = 2.0
# How long a program may take until it serves.
READY_SECONDS = 60.0
# How many children may wait for work.
IDLE_MAX = 64
# Without the conversions around it, which take longer than it does.
HANDLER_OF = inspect.unwrap(signal.getsignal)
# How many calls are remembered that were cancelled and do not run here.
CANCELLED_MAX = 10_000

_idle = []
_lock = threading.Lock()
# The calls that run here, by the ids of their results, for engines that cancel by id.
_running = {}
# Calls that were cancelled and do not run here: one of them may be on its way here, where the engine says who is
# cancelled by another way than it sends calls. In order, each with whether its children are to stop, too.
_cancelled = collections.OrderedDict()


class Interrupted(Exception):
    """The engine asked the calls to stop, and the child had to be killed."""


def take(job, content):
    """A child that waits for work, or a new one."""
    with _lock:
        for position, (digest, child) in enumerate(_idle):
            if digest == job["binary"]["digest"] and child.process.poll() is None:
                del _idle[position]
                return child
    child = Child(binary.locate(job["binary"], content), job)
    child.wait_until_ready(READY_SECONDS)
    child.wait_for(POLL_SECONDS)
    return child


def _end(child):
    if child is not None:
        child.kill()


def _give_back(job, child):
    with _lock:
        if len(_idle) < IDLE_MAX:
            _idle.append((job["binary"]["digest"], child))
            return
    child.kill()


def run(job, calls, attempt, retries, content, bridge):
    """Runs calls, each an (id, call, outcomes of what it needs, carried handles), and gives their outcomes.

    `attempt` is the first, and calls that are worth it are tried up to `retries` times again, right here.
    `content` gives the program's bytes. `bridge` makes what serves a child's calls to the cluster.
    """
    results = [outcome.failure_of(needed, call) for _, call, needed, _ in calls]
    positions = [position for position, result in enumerate(results) if result is None]
    while positions:
        ready = [resolved(*calls[position], attempt) for position in positions]
        for position, result in zip(positions, _try(job, ready, content, bridge)):
            results[position] = result
        if retries == 0:
            break
        positions = [position for position in positions if outcome.is_worth_a_try(results[position])]
        attempt, retries = attempt + 1, retries - 1
    return results


def resolved(id, call, needed, carries, attempt):
    """A call as its child gets it."""
    values = [payload for _, payload, _, _ in needed]
    for _, _, carried, _ in needed:
        carries = {**carries, **carried}
    return id, attempt, call, values, carries


def _try(job, calls, content, bridge):
    """One try. A call that kills its child fails, and the rest goes to a new one."""
    if calling.is_of_python(calls[0][2]):
        # The others ask for the same.
        return [python.run(call, values) for _, _, call, values, _ in calls]
    with Interrupts() as interrupts:
        return _on_children(job, calls, content, bridge, interrupts)


def stream(job, call, attempt, content, bridge):
    """Runs a call that gives a stream: gives the outcome of each item, and returns that of the call."""
    failed = outcome.failure_of(call[2], call[1])
    if failed is not None:
        return failed
    child, outcomes = None, []
    with Interrupts() as interrupts:
        try:
            child = take(job, content)
            if child.bridge is None:
                child.bridge = bridge(child)
            with Run(child, [resolved(*call, attempt)], outcomes, interrupts) as calls:
                result = yield from calls.items()
        except Died as died:
            _end(child)
            return outcome.failed("WorkerCrashed", str(died))
        except BaseException:
            _end(child)
            raise
        _give_back(job, child)
    return result


def _on_children(job, calls, content, bridge, interrupts):
    outcomes = []
    while len(outcomes) < len(calls):
        child = None
        try:
            child = take(job, content)
            if child.bridge is None:
                child.bridge = bridge(child)
            with Run(child, calls[len(outcomes) :], outcomes, interrupts) as rest:
                rest.go()
        except Died as died:
            outcomes.append(outcome.failed("WorkerCrashed", str(died)))
            _end(child)
        except BaseException:
            _end(child)
            raise
        else:
            _give_back(job, child)
    return outcomes


def cancel(ids, spared):
    """Asks calls to stop that run in this process, or will; `spared`: those of them whose children are to go on."""
    wishes = [(bytes(id), id not in spared) for id in ids]
    with _lock:
        running = [(*wish, _running.get(wish[0])) for wish in wishes]
        for id, children, child in running:
            if child is None:
                _cancelled[id] = children
        while len(_cancelled) > CANCELLED_MAX:
            _cancelled.popitem(last=False)
    for id, children, child in running:
        if child is not None:
            with contextlib.suppress(Died):
                child.send(["cancel", id, children])


class Interrupts:
    """Notes the engine's interrupts of this process's main thread, where the engine interrupts that. As exceptions
    they would come anywhere, and be lost in code that catches them, or tear what is half done."""

    # Those of what runs on the main thread now, and the handler for when nothing does.
    now = None
    otherwise = signal.default_int_handler

    def __init__(self):
        # How many have come.
        self.came = 0

    def __enter__(self):
        if threading.get_ident() == threading.main_thread().ident:
            # To ask who is there costs much less than to go there, and to leave again.
            if HANDLER_OF(signal.SIGINT) is not _interrupted:
                before = signal.signal(signal.SIGINT, _interrupted)
                Interrupts.otherwise = before if callable(before) else signal.default_int_handler
            Interrupts.now = self
        return self

    def __exit__(self, *_):
        if Interrupts.now is self:
            Interrupts.now = None


def _interrupted(*signal_and_frame):
    if Interrupts.now is not None:
        Interrupts.now.came += 1
    else:
        Interrupts.otherwise(*signal_and_frame)


class Run:
    """Some calls on one child, where they can be cancelled."""

    def __init__(self, child, calls, outcomes, interrupts):
        self.child = child
        self.bridge = child.bridge
        self.calls = calls
        self.outcomes = outcomes
        self.interrupts = interrupts
        # Those that were, before they came here, each with whether its children were, too.
        self.cancelled = []
        # How many interrupts it has heard.
        self.heard = 0
        self.done = 0
        # How long the call has waited for others that runs.
        self.waited = 0.0
        self.deadline = None

    def __enter__(self):
        with _lock:
            for id, *_ in self.calls:
                _running[id] = self.child
                if _cancelled and (children := _cancelled.pop(id, None)) is not None:
                    self.cancelled.append((id, children))
        return self

    def __exit__(self, *_):
        with _lock:
            for id, *_ in self.calls:
                _running.pop(id, None)

    def _send(self):
        for id, attempt, call, values, carries in self.calls:
            for carried, handle in carries.items():
                self.bridge.adopt(carried, handle)
            self.child.send(["run", id, attempt, call, values, list(carries)])
        for wish in self.cancelled:
            self.child.send(["cancel", *wish])

    def go(self):
        self._send()
        began = time.monotonic()
        while self.done < len(self.calls):
            message = self._receive()
            if message is None:
                continue
            if message[0] != "done":
                self.bridge.handle(message)
                continue
            now = time.monotonic()
            # How long one takes that waits for others, nobody knows.
            self._done(message, now - began if self.waited < WAITED_SECONDS else None)
            began, self.waited = now, 0.0

    def items(self):
        """Gives the outcome of each item of the one call that is there, and returns that of the call. The child goes on
        when whoever takes them does."""
        ((id, *_),) = self.calls
        self._send()
        while not self.done:
            message = self._receive()
            if message is None:
                continue
            if message[0] == "done":
                self._done(message, 0.0)
            elif message[0] == "item":
                _, _, status, carries, payload = message
                yield (status, payload, self.bridge.handles(carries), 0.0)
                if not self.interrupts.came:
                    self.child.send(["more", id])
            else:
                self.bridge.handle(message)
        return self.outcomes[0]

    def _done(self, message, seconds):
        _, id, status, carries, freed, payload = message
        if id != self.calls[self.done][0]:
            raise Died("the worker answered a call that was not its turn")
        self.outcomes.append((status, payload, self.bridge.handles(carries), seconds))
        if freed:
            self.bridge.on_free(freed)
        self.done += 1

    def _receive(self):
        """As the child's, but an interrupt of the engine's becomes a request to stop."""
        try:
            if self.bridge.is_blocked():
                began = time.monotonic()
                self.bridge.block(BLOCK_SECONDS)
                self.waited += time.monotonic() - began
        except KeyboardInterrupt:
            # What waits for the cluster may hear of it by itself.
            self.interrupts.came += 1
        message = self.child.receive()
        if self.interrupts.came > self.heard:
            self._stop()
        # What the child has said is read first: it may have told its own calls to stop.
        if message is None and self.deadline is not None and time.monotonic() > self.deadline:
            raise Interrupted
        return message

    def _stop(self):
        """The engine asks the calls to stop; if it does so again, maybe with their children."""
        self.heard = self.interrupts.came
        if self.deadline is None:
            self.deadline = time.monotonic() + GRACE_SECONDS
        spared = self.bridge.engine.spared()
        for id, *_ in self.calls[self.done :]:
            self.child.send(["cancel", id, id not in spared])
