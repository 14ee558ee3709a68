"""What the programs in the tests say, in the form of real ones: calls, and why they failed."""

import struct

import msgpack


def call(name, arguments):
    head = b"\x01" + msgpack.packb({"function": name, "stands_at": "here", "options": {"name": None}})
    body = msgpack.packb(arguments)
    return struct.pack("<II", len(head) + len(body), len(head)) + head + body


def failure(name, text):
    return msgpack.packb([text.encode(), [[name, "here", None]], 0])


def failed(payload):
    """The text, and the functions that it came through."""
    text, calls, _ = msgpack.unpackb(payload)
    return text, [name for name, _, _ in calls]
