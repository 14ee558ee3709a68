"""A driver for the tests: it starts a sidecar the way that the Rust side does, and speaks its frames."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import msgpack
import speech

FOLDER = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(FOLDER.parent))
from python import blocks, frames

TEXTS = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.py"))}
PACKAGE = "mobula_bridge_test"
# What the Rust side passes by `-c`: the package comes as the first frame.
BOOT = TEXTS.pop("boot")


class Driver:
    def __init__(self, engine, address, **settings):
        program = str(FOLDER / "tests" / "program.py")
        go, come = blocks.file(), blocks.file()
        numbers = [go.fileno(), come.fileno()]
        self.process = subprocess.Popen(
            [sys.executable, "-c", BOOT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=numbers
        )
        output = self.process.stdout.fileno()
        self.reader = frames.Reader(lambda view: os.readv(output, [view]), blocks.Views(come).view)
        self.writer = frames.Writer(self._write)
        self.writer.send(["package", PACKAGE, TEXTS])
        self.writer.send(["start", {
            "engine": engine, "address": address, "namespace": None, "num_cpus": 2,
            "program": sys.executable, "arguments": [sys.executable, program], "environment": {}, "resources": {}, "serves": "before-main",
            "blocks": numbers,
            **settings,
        }])
        self.writer.blocks = blocks.Blocks(go)
        self.started = self._read()
        self.news = {}
        self.changed = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def _read(self):
        return self.reader.next()

    def _listen(self):
        try:
            while True:
                message = self._read()
                with self.changed:
                    if message[0] == "item":
                        self.news.setdefault(("item", message[1]), []).append(message[2:])
                        self.changed.notify_all()
                        continue
                    items = message[1] if message[0] == "done" else [message[1:]]
                    for item in items:
                        self.news[(message[0], item[0])] = item[1:]
                    self.changed.notify_all()
        except frames.Closed:
            pass

    def task(self, name, *arguments, needs=(), carries=(), options=None):
        id = os.urandom(16)
        call = speech.call(name, list(arguments))
        return [id, name, call, list(needs), list(carries), options or {}]

    def submit(self, name, *arguments, **more):
        task = self.task(name, *arguments, **more)
        self.writer.send(["submit", [task]])
        return task[0]

    def wait(self, id, name="done", seconds=60):
        with self.changed:
            assert self.changed.wait_for(lambda: (name, id) in self.news, seconds), "no news in time"
            return self.news.pop((name, id))

    def items(self, stream, count, seconds=20):
        """As many items of a stream as are there, once there are so many: for each its id, status and payload."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.news.get(("item", stream), [])) >= count, seconds), "too few"
            return [(id, status, payload) for id, status, _, payload in self.news.pop(("item", stream), [])]

    def get(self, id):
        status, carries, payload = self.wait(id)
        if status == 2:
            self.writer.send(["fetch", id])
            status, carries, payload = self.wait(id, "fetched")
        if status in (1, 4):
            payload, self.calls = speech.failed(payload)
        return (status, msgpack.unpackb(payload) if status == 0 else payload)

    def end(self):
        self.process.stdin.close()
        return self.process.wait(6)
