"""Calls as programs write them: two lengths, a head, and a body. Only who runs Python functions looks into all of one, and
into its head who tells that it failed before it began.
"""

import struct

import msgpack

# A call of a Python function begins with this, which no call of the program's own functions does: no frame is so long.
MARK = b"\xff\xff\xff\xff"
_LENGTHS = struct.Struct("<II")


def is_of_python(call):
    return bytes(call[: len(MARK)]) == MARK


def opened(call):
    """The head and the body."""
    frame = memoryview(call)[len(MARK) if is_of_python(call) else 0 :]
    _, head_bytes = _LENGTHS.unpack_from(frame)
    body = frame[_LENGTHS.size :]
    # The first byte tells the version.
    return msgpack.unpackb(body[1:head_bytes], strict_map_key=False), body[head_bytes:]


def shown(call):
    """What a failure tells of a call that it came through: the function, where the call stands, and the name that it was
    given, if any."""
    head, _ = opened(call)
    return [head["function"], head["stands_at"], (head["options"] or {}).get("name")]
