"""Frames: a length of four bytes, little-endian, then so many bytes of MessagePack: an array whose first
element names the message. `protocol.md` lists the messages. Long values do not go through the stream, where both sides
share memory: frames say where they lie."""

import select
import struct
import threading

import msgpack

LENGTH = struct.Struct("<I")
# The most bytes in a frame; a longer one is surely a stream out of step.
FRAME_BYTES_MAX = (1 << 32) - 1
# So much is written without waiting where there is room at all: by pipe(7), and sockets say so only where more is free.
SHORT_BYTES = select.PIPE_BUF
# So much is read at a time.
READ_BYTES = 1 << 16
# From here on the last part of a frame is written from where it lies.
LARGE_BYTES = 1 << 16
# What is a value's bytes.
BYTES = (bytes, bytearray, memoryview)


class Closed(Exception):
    """The other side closed the stream, between frames or within one."""


class Unfit(Exception):
    """A message that no frame can hold."""


def _no_view(kind, place):
    raise ValueError("an extension where no memory is shared")


def decode(body, view=None):
    """A message from its bytes. Raises ValueError where they are none."""
    try:
        message = msgpack.unpackb(body, strict_map_key=False, ext_hook=view or _no_view)
    except Exception as error:
        raise ValueError(f"a frame that is no MessagePack: {error}") from error
    if not isinstance(message, list) or not message or not isinstance(message[0], str):
        raise ValueError("a frame that is no message")
    return message


class Reader:
    """Reads messages, several short ones at a time. `read_into` fills a part of what it is given, and tells how much of it;
    `view` gives values that lie elsewhere, where memory is shared."""

    def __init__(self, read_into, view=None):
        self.read_into = read_into
        self.view = view
        self._empty(READ_BYTES)

    def _empty(self, size):
        self.buffer = memoryview(bytearray(size))
        # What was read and not taken.
        self.start = self.end = 0

    def _length(self):
        """How long the next frame is with its own length, as far as that is known."""
        if self.end - self.start < LENGTH.size:
            return LENGTH.size
        return LENGTH.size + LENGTH.unpack_from(self.buffer, self.start)[0]

    def next(self):
        """The next message. Raises Closed at the end, and ValueError where what comes is no message."""
        while self.end - self.start < (length := self._length()):
            self._make_room(length)
            got = self.read_into(self.buffer[self.end :])
            if not got:
                raise Closed
            self.end += got
        begin = self.start + LENGTH.size
        self.start += length
        message = decode(self.buffer[begin : self.start], self.view)
        if self.start == self.end:
            if len(self.buffer) > READ_BYTES:
                self._empty(READ_BYTES)
            self.start = self.end = 0
        return message

    def _make_room(self, length):
        """The next frame, which is so long, lies at the begin of the buffer, and has room there."""
        if self.start == 0 and length <= len(self.buffer):
            return
        begun = bytes(self.buffer[self.start : self.end])
        try:
            self._empty(max(length, READ_BYTES))
        except MemoryError:
            raise ValueError(f"a frame of {length} bytes, for which there is no memory") from None
        self.end = len(begun)
        self.buffer[: self.end] = begun


def encode(message):
    """A message with its length, as parts to be written one after the other. Raises Unfit where it cannot be one.

    Where the last element is large bytes, it is a part of its own, which is not copied.
    """
    try:
        return _encoded(message)
    except (ValueError, TypeError, OverflowError) as error:
        raise Unfit(f"it does not fit into a message: {error}") from error


def _encoded(message):
    last = message[-1]
    if isinstance(last, BYTES) and len(last) >= LARGE_BYTES:
        packer = msgpack.Packer(autoreset=False)
        packer.pack_array_header(len(message))
        for element in message[:-1]:
            packer.pack(element)
        # The header of a `bin 32`.
        begin = packer.bytes() + b"\xc6" + len(last).to_bytes(4, "big")
        return [_length_of(len(begin) + len(last)) + begin, last]
    body = msgpack.packb(message)
    return [_length_of(len(body)) + body]


def _length_of(length):
    """What goes before a frame that is so long."""
    if length > FRAME_BYTES_MAX:
        raise ValueError(f"a message of {length} bytes; a frame holds {FRAME_BYTES_MAX}")
    return LENGTH.pack(length)


class Writer:
    """Writes messages to a stream, one at a time, from any thread; `blocks`: where long values go; `number`: the stream's
    descriptor, where short messages may be sent at once."""

    def __init__(self, write_all, blocks=None, number=None):
        self.write_all = write_all
        self.room = None
        if number is not None:
            self.room = select.poll()
            self.room.register(number, select.POLLOUT)
        self.blocks = blocks
        self.lock = threading.Lock()

    def _lent(self, parts):
        """The parts of a message with what says where they lie in the place of long values."""
        lent = []
        for part in parts:
            if isinstance(part, BYTES):
                if len(part) >= self.blocks.LONG_BYTES:
                    part = self.blocks.lend(part) or part
            elif part and isinstance(part, list):
                part = self._lent(part)
            lent.append(part)
        return lent

    def send_at_once(self, message):
        """Sends a short message, if that is done without waiting. False: it is not sent."""
        data = b"".join(encode(message))
        if self.room is None or len(data) > SHORT_BYTES or not self.lock.acquire(blocking=False):
            return False
        try:
            has_room = any(events == select.POLLOUT for _, events in self.room.poll(0))
            if has_room:
                self.write_all(data)
            return has_room
        finally:
            self.lock.release()

    def send(self, *messages):
        if self.blocks is not None:
            messages = [self._lent(message) for message in messages]
        parts = [part for message in messages for part in encode(message)]
        if len(parts) > 1 and sum(map(len, parts)) < LARGE_BYTES:
            parts = [b"".join(parts)]
        with self.lock:
            for part in parts:
                self.write_all(part)
