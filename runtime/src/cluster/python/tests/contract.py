"""What every engine does, and what each can do; a test of an engine takes what is its."""

import os
import time

import msgpack

from driver import Driver


class Tasks:
    """On a cluster that the sidecar starts for itself."""

    engine = None
    address = "local"

    @classmethod
    def setUpClass(cls):
        cls.driver = Driver(cls.engine, cls.address)
        assert cls.driver.started[0] == "started", cls.driver.started

    @classmethod
    def tearDownClass(cls):
        assert cls.driver.end() == 0

    def setUp(self):
        self.submit, self.get, self.send = self.driver.submit, self.driver.get, self.driver.writer.send

    def fails(self, id, kind, text=""):
        status, payload = self.get(id)
        self.assertEqual((status, payload[0]), (3, kind), payload)
        self.assertIn(text, payload[1])

    def test_value(self):
        self.assertEqual(self.get(self.submit("add", 1, 2)), (0, 3))

    def test_error(self):
        self.assertEqual(self.get(self.submit("fail", "why")), (1, b"why"))

    def test_needs(self):
        a = self.submit("add", 1, 2)
        b = self.submit("add", 10, needs=[a])
        self.assertEqual(self.get(b), (0, 13))

    def test_large(self):
        a = self.submit("zeros", 1_000_000)
        n = self.submit("length", needs=[a])
        self.assertEqual(self.get(n), (0, 1_000_000))
        self.assertEqual(self.get(a), (0, bytes(1_000_000)))

    def test_upstream(self):
        a = self.submit("fail", "root")
        b = self.submit("add", 1, needs=[a])
        c = self.submit("add", 1, needs=[b])
        self.assertEqual(self.get(c), (4, b"root"))
        self.assertEqual(self.driver.calls, ["fail", "add", "add"])

    def test_upstream_from_afar(self):
        last = self.submit("fail", "root")
        for _ in range(20):
            last = self.submit("add", 1, needs=[last])
        self.assertEqual(self.get(last), (4, b"root"))
        self.assertEqual(self.driver.calls, ["fail"] + 15 * ["add"])

    def test_crash(self):
        id = self.submit("die", "of this")
        self.fails(id, "WorkerCrashed", "before the end of this")

    def test_retry(self):
        path = f"/tmp/bridge-once-{os.getpid()}"
        self.assertEqual(self.get(self.submit("die_once", path, options={"max_retries": 2})), (0, "lived"))
        os.unlink(path)

    def test_retries_end(self):
        self.fails(self.submit("die", "twice", options={"max_retries": 1}), "WorkerCrashed")

    def test_cancel_queued(self):
        busy = [self.submit("sleep", 1) for _ in range(2)]
        a = self.submit("sleep", 1000)
        self.send(["cancel", a, False, True])
        self.fails(a, "Cancelled")
        for b in busy:
            self.assertEqual(self.get(b), (0, None))

    def test_put(self):
        id = os.urandom(16)
        value = msgpack.packb(b"x" * 500_000)
        self.send(["put", id, 0, [], value])
        self.assertEqual(self.get(id), (0, b"x" * 500_000))
        self.assertEqual(self.get(self.submit("length", needs=[id])), (0, 500_000))

    def test_freed(self):
        a = self.submit("add", 1, 2)
        self.get(a)
        self.send(["free", [[a, 1]]])
        self.fails(self.submit("add", 1, needs=[a]), "ObjectLost")

    def test_infeasible(self):
        self.fails(self.submit("add", 1, 2, options={"resources": {"unicorn": 1}}), "Infeasible", "unicorn")

    def test_many(self):
        began = time.monotonic()
        tasks = [self.driver.task("add", i, 1) for i in range(5000)]
        for first in range(0, len(tasks), 256):
            self.send(["submit", tasks[first : first + 256]])
        self.assertEqual([self.get(task[0])[1] for task in tasks], [i + 1 for i in range(5000)])
        print(f"{self.engine}: {5000 / (time.monotonic() - began):.0f} tasks/s")

    def test_round_trip(self):
        began = time.monotonic()
        for i in range(100):
            self.get(self.submit("add", i, 1))
        print(f"{self.engine}: round trip {(time.monotonic() - began) / 100 * 1e3:.2f} ms")


class Running:
    """Calls that run are cancelled."""

    def test_cancel_running(self):
        for children in (True, False):
            a = self.submit("wait_for_cancel")
            time.sleep(1)
            self.send(["cancel", a, False, children])
            status, payload = self.get(a)
            text = f"cancelled, children: {children}".encode()
            self.assertIn((status, payload), [(1, text), (3, ["Cancelled", payload[1]])])
        # The CPU is free again.
        self.assertEqual([self.get(self.submit("add", i, 1)) for i in range(2)], [(0, 1), (0, 2)])


class Nested:
    """Calls call the cluster."""

    def test_nested(self):
        # More than there are CPUs, each of which waits for one more.
        ids = [self.submit("nested", i) for i in range(6)]
        self.assertEqual([self.get(id) for id in ids], [(0, 2 * (i + 1)) for i in range(6)])


class Streams:
    """Calls that give streams."""

    def numbers(self, items):
        return [msgpack.unpackb(payload)[0] for _, status, payload in items if status == 0]

    def test_stream(self):
        a = self.submit("count", 5, 1, options={"stream": 2})
        self.send(["more", a, 2])
        self.assertEqual(self.numbers(self.driver.items(a, 2)), [0, 1])
        time.sleep(0.3)
        self.assertEqual(self.driver.items(a, 0), [], "no more than is wanted")
        self.send(["more", a, 100])
        items = self.driver.items(a, 3)
        self.assertEqual(self.numbers(items), [2, 3, 4])
        self.assertEqual(self.get(a), (0, 5))
        self.assertEqual(self.get(self.submit("echo", needs=[items[1][0]])), (0, [3, "x"]))

    def test_stream_of_large_items(self):
        a = self.submit("count", 4, 300_000, options={"stream": 1})
        self.send(["more", a, 5])
        items = self.driver.items(a, 4)
        self.assertEqual([status for _, status, _ in items], [2] * 4)
        self.assertEqual(self.get(a), (0, 4))
        self.assertEqual(self.get(self.submit("length", needs=[items[3][0]])), (0, 2))
        self.send(["fetch", items[2][0]])
        _, _, payload = self.driver.wait(items[2][0], "fetched")
        self.assertEqual(msgpack.unpackb(payload), [2, "x" * 300_000])

    def test_stream_that_breaks(self):
        a = self.submit("count", 2000, 1, options={"stream": 100})
        self.send(["more", a, 2000])
        self.assertEqual(self.numbers(self.driver.items(a, 1000)), list(range(1000)))
        self.assertEqual(self.get(a), (1, b"too far"))

    def test_stream_that_is_stopped(self):
        for wanted in (0, 3):
            a = self.submit("count", 10**9, 1, options={"stream": 4})
            self.send(["more", a, wanted])
            self.driver.items(a, wanted)
            # By now it waits, or has not begun.
            time.sleep(1)
            self.send(["cancel", a, False, True])
            status, payload = self.get(a)
            self.assertIn((status, payload), [(1, b"stopped"), (3, ["Cancelled", payload[1]])])
            self.assertLess(len(self.driver.items(a, 0)), 100)
        self.assertEqual([self.get(self.submit("add", i, 1)) for i in range(2)], [(0, 1), (0, 2)])

    def test_stream_that_dies(self):
        a = self.submit("count", 3, "no length", options={"stream": 4})
        self.send(["more", a, 1])
        self.fails(a, "WorkerCrashed")

    def test_stream_of_what_failed(self):
        a = self.submit("count", 3, needs=[self.submit("fail", "root")], options={"stream": 4})
        self.send(["more", a, 1])
        self.assertEqual(self.get(a), (4, b"root"))


class Carried:
    """Refs travel inside of values."""

    def test_carried(self):
        a = self.submit("put_and_return")
        status, carries, payload = self.driver.wait(a)
        self.assertEqual((status, len(carries)), (0, 1))
        b = self.submit("take_ref", carries=carries)
        self.assertEqual(self.get(b), (0, "kept"))
        c = self.submit("add", "still ", needs=carries)
        self.assertEqual(self.get(c), (0, "still kept"))
