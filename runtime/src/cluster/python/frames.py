"""Frames: a length of four bytes, little-endian, then so many bytes of MessagePack: an array whose first
element names the message. `protocol.md` lists the messages."""

import struct
import threading

import msgpack

LENGTH = struct.Struct("<I")
# The most bytes in a frame; a longer one is surely a stream out of step.
FRAME_BYTES_MAX = (1 << 32) - 1
# From here on the last part of a frame is written from where it lies.
LARGE_BYTES = 1 << 16


class Closed(Exception):
    """The other side closed the stream, between frames or within one."""


def read_exactly(read_into, count):
    """`count` bytes, from a function that fills a part of what it is given, and tells how much of it."""
    data = bytearray(count)
    rest = memoryview(data)
    while rest:
        got = read_into(rest)
        if not got:
            raise Closed
        rest = rest[got:]
    return data


def read(read_into):
    """The next message from such a function."""
    (length,) = LENGTH.unpack(read_exactly(read_into, LENGTH.size))
    try:
        body = read_exactly(read_into, length)
    except MemoryError:
        raise ValueError(f"a frame of {length} bytes, for which there is no memory") from None
    return decode(body)


def decode(body):
    """A message from its bytes. Raises ValueError where they are none."""
    try:
        message = msgpack.unpackb(body, strict_map_key=False)
    except Exception as error:
        raise ValueError(f"a frame that is no MessagePack: {error}") from error
    if not isinstance(message, list) or not message or not isinstance(message[0], str):
        raise ValueError("a frame that is no message")
    return message


def encode(message):
    """A message with its length, as parts to be written one after the other.

    Where the last element is large bytes, it is a part of its own, which is not copied.
    """
    last = message[-1]
    if isinstance(last, (bytes, bytearray, memoryview)) and len(last) >= LARGE_BYTES:
        packer = msgpack.Packer(autoreset=False)
        packer.pack_array_header(len(message))
        for element in message[:-1]:
            packer.pack(element)
        # The header of a `bin 32`.
        parts = [packer.bytes() + b"\xc6" + len(last).to_bytes(4, "big"), last]
    else:
        parts = [msgpack.packb(message)]
    length = sum(map(len, parts))
    if length > FRAME_BYTES_MAX:
        raise ValueError(f"a message of {length} bytes; a frame holds {FRAME_BYTES_MAX}")
    return [LENGTH.pack(length) + parts[0], *parts[1:]]


class Writer:
    """Writes messages to a stream, one at a time, from any thread."""

    def __init__(self, write_all):
        self.write_all = write_all
        self.lock = threading.Lock()

    def send(self, *messages):
        parts = [part for message in messages for part in encode(message)]
        if sum(map(len, parts)) < LARGE_BYTES:
            parts = [b"".join(parts)]
        with self.lock:
            for part in parts:
                self.write_all(part)
