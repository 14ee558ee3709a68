"""How a call ended: a tuple of status, payload, the refs that the payload carries, and the seconds it took, or None if it
has waited for others meanwhile.

The payload is bytes for the program: this package never looks into them, except where a call has failed: then it adds those
that fail because of it. A failure of the engine's own is a pair of kind and text, the kind by its name in
`mobula::ErrorKind`.
"""

import msgpack

from . import calling

# The payload is the value, encoded.
VALUE = 0
# The payload is the error, encoded: the call ended by it.
ERROR = 1
# The value stays on the cluster until it is fetched; the payload is its size in bytes.
REMOTE = 2
# The engine failed the call; the payload is kind and text.
FAILED = 3
# As ERROR, of a call whose argument failed, with the call itself added: it never began.
UPSTREAM = 4
# As ERROR, where the call's own rule says that it is worth another try.
RETRY = 5
# The actor whose call it was is gone; the payload is whether the call had begun, and how the actor went.
LOST = 6
# Of a call of an actor that gives a stream: the payload is the outcome of an item. What comes after it is to be asked for.
ITEM = 7


# How many calls are told that a failure came through; further ones are only counted.
CALLS_MAX = 16


def failed(kind, text):
    return (FAILED, [kind, _sent(text)], {}, 0.0)


def lost(begun, text):
    return (LOST, [begun, _sent(text)], {}, 0.0)


def _sent(text):
    """The text as it can be sent: Python's may have in them what is no character, as of names of files."""
    return text.encode(errors="backslashreplace").decode()


def cannot(engine, what):
    """What an engine says of what it has no way to do."""
    return failed("Engine", f"the engine `{engine}` cannot {what}")


def item(result):
    return (ITEM, result, {}, 0.0)


class Cannot(Exception):
    """The same, raised: with the engine, and what it cannot do."""


def without_refs(engine, result):
    """The outcome, or a failure where its value has refs in it and the engine cannot pass those."""
    _, _, carries, _ = result
    return cannot(engine, "return refs inside of values: return the values") if carries else result


def owned(result):
    """The outcome with bytes of its own, where they are a view of memory that others want back."""
    status, payload, carries, seconds = result
    return (status, bytes(payload), carries, seconds) if isinstance(payload, memoryview) else result


def packed(results):
    """Outcomes of calls, or None for some, as bytes where there is nothing else in them: what engines pass fastest."""
    results = [result and owned(result) for result in results]
    for result in results:
        # What an item carries is in its own outcome.
        if result is not None and (result[0] == ITEM or result[2]):
            return results
    return msgpack.packb(results)


def unpacked(results):
    """What `packed` made, as it was."""
    return [result and tuple(result) for result in msgpack.unpackb(results)] if isinstance(results, bytes) else results


def failure_of(needed, call):
    """Why a call fails that needs these outcomes, or None."""
    for status, payload, _, _ in needed:
        if status in (ERROR, RETRY, UPSTREAM):
            return (UPSTREAM, _through(payload, call), {}, 0.0)
        if status == FAILED:
            return (FAILED, payload, {}, 0.0)
    return None


def _through(failure, call):
    """The same failure, come through one more call, which is the last that it tells."""
    error, calls, cut = msgpack.unpackb(failure)
    if len(calls) == CALLS_MAX:
        calls, cut = calls[:-1], cut + 1
    return msgpack.packb([error, [*calls, calling.shown(call)], cut])


def is_worth_a_try(result):
    """Whether a call that ended so may be tried again: its worker died, or its own rule says so."""
    return result[0] == RETRY or is_crash(result)


def is_crash(result):
    status, payload, _, _ = result
    return status == FAILED and payload[0] == "WorkerCrashed"
