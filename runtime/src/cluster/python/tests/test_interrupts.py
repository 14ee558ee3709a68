"""Interrupts of the engine's, of the main thread of a worker."""

import signal
import threading
import unittest

import driver  # noqa: F401  (what is tested is found by it)
from python.host import Interrupts


def interrupt():
    signal.raise_signal(signal.SIGINT)


class OfTheMainThread(unittest.TestCase):
    def setUp(self):
        self.addCleanup(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT))

    def test_they_are_noted_while_calls_run_and_else_are_exceptions(self):
        for _ in range(2):
            with Interrupts() as interrupts:
                self.assertFalse(interrupts.came)
                interrupt()
                self.assertTrue(interrupts.came)
            self.assertRaises(KeyboardInterrupt, interrupt)

    def test_what_others_do_about_them_is_done_while_no_call_runs(self):
        others = []
        signal.signal(signal.SIGINT, lambda *_: others.append(1))
        with Interrupts() as interrupts:
            interrupt()
        self.assertEqual((interrupts.came, others), (True, []))
        interrupt()
        self.assertEqual(others, [1])
        # They may do so between calls.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with Interrupts() as interrupts:
            interrupt()
        self.assertEqual((interrupts.came, others), (True, [1]))

    def test_calls_on_other_threads_hear_of_none(self):
        came = []

        def run():
            with Interrupts() as interrupts:
                came.append(interrupts.came)

        with Interrupts() as interrupts:
            other = threading.Thread(target=run)
            other.start()
            other.join()
            interrupt()
        self.assertEqual((came, interrupts.came), ([False], True))


if __name__ == "__main__":
    unittest.main()
