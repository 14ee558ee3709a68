"""Messages come whole, however the stream is cut."""

import unittest

import driver  # noqa: F401  (what is tested is found by it)
from python import frames

MESSAGES = [["short"], ["long", b"a" * (3 * frames.READ_BYTES)], ["fits", b"b" * (frames.READ_BYTES - 100)], ["last", 1]]
STREAM = b"".join(part for message in MESSAGES for part in frames.encode(message))


def reader(stream, at_once):
    """Reads what a stream gives in parts of so many bytes at most."""
    rest = memoryview(stream)

    def read_into(view):
        nonlocal rest
        count = min(len(view), len(rest), at_once)
        view[:count], rest = rest[:count], rest[count:]
        return count

    return frames.Reader(read_into)


class Frames(unittest.TestCase):
    def test_messages_come_whole_however_the_stream_is_cut(self):
        for at_once in (1, 3, 4, 5, 1000, frames.READ_BYTES, len(STREAM)):
            messages = reader(STREAM, at_once)
            self.assertEqual([messages.next() for _ in MESSAGES], MESSAGES, at_once)
            self.assertEqual(len(messages.buffer), frames.READ_BYTES)
            self.assertRaises(frames.Closed, messages.next)

    def test_short_ones_are_read_together(self):
        messages = reader(b"".join(frames.encode(["a"]) * 3), frames.READ_BYTES)
        self.assertEqual(messages.next(), ["a"])
        messages.read_into = None
        self.assertEqual([messages.next() for _ in range(2)], [["a"], ["a"]])

    def test_what_is_cut_or_no_message_is_an_error(self):
        for stream in (b"", STREAM[:2], STREAM[:9]):
            self.assertRaises(frames.Closed, reader(stream, 2).next)
        for body in (b"", b"\xc1", b"\x01", b"\x91\x01", b"\x90", b"\x91\xa1a\x01"):
            self.assertRaises(ValueError, reader(frames.LENGTH.pack(len(body)) + body, 100).next)


if __name__ == "__main__":
    unittest.main()
