"""What runs on a worker of Ray's: its tasks and its actors, each with a host of this program in it.

The outcomes of a task's calls are its *meta*, which is small; a large value is a *payload* of its own, a pair of bytes and
the handles carried in them.
"""

import asyncio
import collections
import mmap
import pickle

import msgpack
import ray

from . import binary, host, outcome
from .bridge import Bridge
from .hosting import Hosting
from .order import Order
from .relay import Relay

# From here on bytes go to the object store from where they lie, and are read where they are.
OUT_OF_BAND_BYTES = 64 * 1024
# A result up to here is told with the news of its completion.
INLINE_BYTES = 64 * 1024
# Marks what a host raises so that Ray tries the call again.
MARK = "mobula"
# Follows the outcome of a stream that has ended.
END = "end"
# How long calls of an actor that came together wait for each other.
TOGETHER_SECONDS = 0.1


def header(calls, retries, split):
    """What a task of Ray's is told, as bytes where there is nothing else in it."""
    told = (calls, retries, split)
    plain = all(isinstance(call, bytes) and not carries for _, call, _, carries in calls)
    return msgpack.packb(told) if plain else told


def _told(header):
    return msgpack.unpackb(header) if isinstance(header, bytes) else header


def put_file(path):
    with open(path, "rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return ray.put(pickle.PickleBuffer(content))


def blob(data):
    """Bytes as an argument or a value of Ray's, large ones without a copy on the way to the object store."""
    return pickle.PickleBuffer(data) if len(data) >= OUT_OF_BAND_BYTES else bytes(data)


def bytes_of(blob):
    """What `blob` made, on the other side."""
    return blob if isinstance(blob, bytes) else memoryview(blob).cast("B")


_nested = None


def run(job, header, *flat):
    """A task of Ray's: some calls, and the objects that they need as Ray resolved them."""
    calls, retries, split = _told(header)
    attempt = ray._private.worker.global_worker.core_worker.get_current_task_attempt_number() + 1
    calls = [
        (id, bytes_of(call), [_needed(*need, flat) for need in needs], carries) for id, call, needs, carries in calls
    ]
    try:
        results = host.run(job, calls, attempt, 0, lambda: _content(job), lambda child: _bridge(job, child))
    except host.Interrupted:
        raise KeyboardInterrupt from None
    if attempt <= retries and outcome.is_worth_a_try(results[0]):
        status, payload, _, _ = results[0]
        raise RuntimeError(MARK, status, payload)
    return _meta_and_payload(results[0]) if split else outcome.packed(results)


def stream(job, header, *flat):
    """A task of Ray's that gives a stream: for each item its outcomes, and its value apart where that is large. What comes
    last is the end of it."""
    ((id, call, needs, carries),), _, _ = _told(header)
    call = (id, bytes_of(call), [_needed(*need, flat) for need in needs], carries)
    items = host.stream(job, call, 1, lambda: _content(job), lambda child: _bridge(job, child))
    while True:
        try:
            result = next(items)
        except StopIteration as ended:
            result = ended.value
            break
        except host.Interrupted:
            raise KeyboardInterrupt from None
        meta, payload = _meta_and_payload(result)
        yield meta
        if payload is not None:
            yield payload
    yield [result, END]


def nothing():
    """A task that gives nothing, as the program has it."""
    return [(outcome.VALUE, b"\x01\xc0", {}, 0.0)]


class Host:
    """What an actor of Ray's does, on its event loop."""

    def __init__(self, job, in_turn, kind):
        """`in_turn`: its calls run one after the other. `kind`: the type of an actor that outlives the program which
        starts it."""
        if kind is not None:
            # What its calls send to the cluster needs the program, which goes with whoever has put it there.
            path = binary.locate(job["binary"], lambda: _content(job))
            job = {**job, "content": [put_file(path)]}
        self.of_kind = kind
        self.hosting = Hosting(job, in_turn, lambda: _content(job), lambda child: _bridge(job, child))
        # By who calls.
        self.orders = collections.defaultdict(Order)
        # What comes of calls that took longer than others with them, by their ids.
        self.late_answers = {}

    async def call(self, caller, number, split, calls, *flat):
        # Ray lets calls of what waits overtake each other.
        order = self.orders[caller]
        await order.turn(number)
        try:
            answers = self.hosting.call(
                (id, bytes_of(call), [_needed(*need, flat) for need in needs], carries)
                for id, call, needs, carries in calls
            )
        finally:
            order.passes(number)
        if len(answers) == 1:
            result = await asyncio.wrap_future(answers[0])
            return _meta_and_payload(result) if split else outcome.packed([result])
        # Whoever has made them may wait for one, and another for what that does then.
        last = answers[-1:] if self.hosting.in_turn else answers
        await asyncio.wait([asyncio.wrap_future(answer) for answer in last], timeout=TOGETHER_SECONDS)
        results = [answer.result() if answer.done() else None for answer in answers]
        for (id, *_), answer, result in zip(calls, answers, results):
            if result is None:
                self.late_answers[id] = answer
        return outcome.packed(results)

    async def late(self, id):
        return outcome.owned(await asyncio.wrap_future(self.late_answers.pop(id)))

    async def next(self, id):
        return outcome.owned(await asyncio.wrap_future(self.hosting.next(id)))

    def passes(self, caller, number):
        self.orders[caller].passes(number)

    def leaves(self, caller):
        """Who calls so calls no more."""
        self.orders.pop(caller, None)

    def cancel(self, ids, children):
        self.hosting.cancel(ids, children)

    def take_back(self, ids):
        self.hosting.take_back(ids)

    def give_up(self, ids):
        self.hosting.give_up(ids)

    async def ended(self):
        # Several programs may wait for it.
        return await asyncio.shield(asyncio.wrap_future(self.hosting.end))

    def kind(self, wanted):
        """Nothing, as the program has it, or why this is not what is looked for."""
        if self.of_kind == wanted:
            return nothing()
        return [outcome.failed("Value", f"the name is that of an actor of another type, `{self.of_kind}`")]


class Relayed(Relay):
    """The relay, as an actor of Ray's."""

    async def call(self, *call):
        # As the outcomes of a task's calls, of which it is one.
        return [await super().call(*call)]


def _needed(meta, index, payload, flat):
    """The outcome of an object, with its value in it."""
    result = (outcome.REMOTE, 0, {}, 0.0) if meta is None else outcome.unpacked(flat[meta])[index]
    if result[0] != outcome.REMOTE:
        return result
    value, carries = flat[payload]
    return (outcome.VALUE, bytes_of(value), carries, 0.0)


def _content(job):
    return bytes(memoryview(ray.get(job["content"][0])))


def _bridge(job, child):
    """Serves what the calls on this child ask for."""
    global _nested
    if _nested is None:
        from .engine_ray import Ray

        _nested = Ray(job)
    return Bridge(_nested, child.writer)


def _meta_and_payload(result):
    """The outcomes of one call, and its value apart where that is large."""
    status, value, carries, seconds = result
    if status != outcome.VALUE or len(value) <= INLINE_BYTES:
        return outcome.packed([result]), None
    return outcome.packed([(outcome.REMOTE, len(value), carries, seconds)]), (blob(value), carries)
