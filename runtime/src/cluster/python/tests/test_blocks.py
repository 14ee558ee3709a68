import gc
import mmap
import unittest

import driver  # noqa: F401  (what is tested is found by it)
from python import blocks, frames

LONG = blocks.Blocks.LONG_BYTES


class OfValues(unittest.TestCase):
    def setUp(self):
        self.file = blocks.file()
        self.addCleanup(self.file.close)
        self.blocks, self.views = blocks.Blocks(self.file), blocks.Views(self.file)

    def sent(self, message):
        """The message as the other side reads it, and how much of it went through the stream."""
        stream = bytearray()
        frames.Writer(stream.extend, self.blocks).send(message)
        length, rest = len(stream), memoryview(bytes(stream))

        def read_into(view):
            nonlocal rest
            count = min(len(view), len(rest))
            view[:count], rest = rest[:count], rest[count:]
            return count

        return frames.Reader(read_into, self.views.view).next(), length

    def test_long_values_do_not_go_through_the_stream(self):
        values = [b"a" * LONG, b"short", memoryview(b"b" * (LONG + 1)), bytearray(b"c" * 10 * LONG)]
        message, length = self.sent(["run", values, b"d" * (LONG - 1)])
        self.assertLess(length, LONG + 200)
        self.assertEqual([bytes(value) for value in message[1]], [bytes(value) for value in values])
        self.assertEqual(message[2], b"d" * (LONG - 1))

    def test_a_block_is_free_when_the_last_view_of_it_is_gone(self):
        message, _ = self.sent(["put", b"a" * LONG])
        view = message.pop()[5:10]
        other, _ = self.sent(["put", b"b" * LONG])
        self.assertEqual([bytes(view), bytes(other[1][:1])], [b"a" * 5, b"b"])
        self.assertEqual([start for start, _, _ in self.blocks.taken], [blocks.ALIGN, blocks.ALIGN + LONG])
        del view
        gc.collect()
        third, _ = self.sent(["put", b"c" * LONG])
        self.assertEqual([start for start, _, _ in self.blocks.taken], [blocks.ALIGN, blocks.ALIGN + LONG])
        self.assertEqual(bytes(other[1]), b"b" * LONG)

    def test_what_finds_no_room_goes_through_the_stream(self):
        self.blocks.memory[: blocks.SLOTS] = bytes([blocks.TAKEN]) * blocks.SLOTS
        with self.blocks.lock:
            self.assertIsNotNone(self.blocks._take(blocks.FILE_BYTES - blocks.ALIGN))
        message, length = self.sent(["put", b"a" * LONG])
        self.assertEqual((message, length > LONG), (["put", b"a" * LONG], True))

    def test_there_is_an_end_of_flags(self):
        with self.blocks.lock:
            self.assertTrue(all(self.blocks._take(LONG) for _ in range(blocks.SLOTS)))
            self.assertIsNone(self.blocks._take(LONG))

    def test_pages_are_given_back_after_a_while(self):
        held, _ = self.sent(["put", b"a" * LONG])
        freed, _ = self.sent(["put", b"b" * LONG])
        del freed
        gc.collect()
        for place, is_there in ((0, True), (1, False)):
            self.blocks.give_back()
            at = blocks.ALIGN + LONG
            self.assertEqual(self.blocks.memory[at : at + 1] == b"b", is_there, place)
        self.assertEqual(bytes(held[1]), b"a" * LONG)

    def test_what_lies_nowhere_is_an_error(self):
        good = (0, blocks.ALIGN, 1)
        places = [
            (blocks.SLOTS, *good[1:]),
            (0, 0, 1),
            (0, blocks.ALIGN + 1, 1),
            (0, blocks.ALIGN, 0),
            (0, blocks.ALIGN, blocks.FILE_BYTES),
            (0, blocks.FILE_BYTES, 1),
            (0, (1 << 64) - blocks.ALIGN, blocks.ALIGN),
        ]
        self.assertEqual(len(self.views.view(blocks.LIES, blocks.PLACE.pack(*good))), 1)
        for place in places:
            with self.assertRaises(ValueError, msg=place):
                self.views.view(blocks.LIES, blocks.PLACE.pack(*place))
        for kind, place in ((2, blocks.PLACE.pack(*good)), (blocks.LIES, b""), (blocks.LIES, bytes(21))):
            with self.assertRaises(ValueError):
                self.views.view(kind, place)
        with self.assertRaises(ValueError, msg="no memory is shared"):
            frames.decode(b"\x92\xa3put\xc7\x14\x01" + blocks.PLACE.pack(*good))

    def test_the_file_does_not_shrink(self):
        with self.assertRaises(OSError):
            self.file.truncate(mmap.PAGESIZE)


if __name__ == "__main__":
    unittest.main()
