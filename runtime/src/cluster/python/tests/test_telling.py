"""What the program is told of what its calls gave."""

import queue
import unittest

import driver  # noqa: F401  (what is tested is found by it)
from python import bridge, frames, outcome


class Engine:
    """One that nobody asks anything of here."""

    cpus = 1.0


class Telling(unittest.TestCase):
    def setUp(self):
        self.told = queue.Queue()
        stream = bytearray()

        def write_all(data):
            stream.extend(data)
            # A message is written at once, where it is short.
            self.told.put(frames.decode(stream[frames.LENGTH.size :]))
            stream.clear()

        self.bridge = bridge.Bridge(Engine(), frames.Writer(write_all))

    def test_what_fits_into_no_message_is_a_failure(self):
        """It may be too long, or no text. What goes with it is told as ever."""
        id, other = b"i" * 16, b"o" * 16
        value = (outcome.VALUE, b"value", {}, 0.0)
        unfit = (outcome.FAILED, ["Engine", "\ud800"], {}, 0.0)
        self.bridge.completed_all([(other, value), (id, unfit)])
        ended = [item for _ in range(2) for item in self.told.get(timeout=20)[1]]
        self.assertEqual(ended[0], [other, outcome.VALUE, [], b"value"])
        self.assertEqual(ended[1][:3], [id, outcome.FAILED, []])
        self.assertIn("does not fit into a message", ended[1][3][1])
        self.bridge.fetched(id, unfit)
        name, *item = self.told.get(timeout=20)
        self.assertEqual((name, item[:2]), ("fetched", [id, outcome.FAILED]))
        self.bridge.completed(other, value)
        self.assertEqual(self.told.get(timeout=20), ["done", [[other, outcome.VALUE, [], b"value"]]])

    def test_a_text_that_is_none_is_told(self):
        for result in (outcome.failed("Task", "\ud800 is none"), outcome.lost(True, "\ud800 is none")):
            _, (_, text), _, _ = result
            self.assertEqual(text, "\\ud800 is none")


if __name__ == "__main__":
    unittest.main()
