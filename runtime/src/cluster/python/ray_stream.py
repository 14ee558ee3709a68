"""Streams on Ray: its generators, read as far as items are wanted."""

import threading

import ray
from ray import exceptions

from . import outcome
from .ray_worker import END

# How often an item of a stream is read that nobody wants, so that it sees that it is to stop.
STOPPING_SECONDS = 0.02


class Reading:
    """Reads a stream, on a thread of its own, as far as items are wanted: what it has not read, the generator of Ray's
    is behind with, and waits."""

    def __init__(self, generator, id, sent, engine):
        self.generator = generator
        self.id = id
        self.sent = sent
        self.engine = engine
        self.wanted = 0
        self.stops = False
        # What came of the call, once that is known.
        self.end = None
        self.changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def more(self, count):
        with self.changed:
            self.wanted += count
            self.changed.notify()

    def read_on(self):
        """To the end, which comes soon; but no faster than that, if Ray has not told the task that it is to stop."""
        self.stops = True
        self.more(1)

    def close(self):
        if self.end is None:
            self.engine.cancel(self, [self.id], False, [])

    def _read(self):
        while self.end is None:
            with self.changed:
                self.changed.wait_for(lambda: self.wanted > 0, STOPPING_SECONDS if self.stops else None)
                if self.wanted == 0 and not self.stops:
                    continue
                self.wanted = max(0, self.wanted - 1)
            try:
                self.end = self._read_one()
            except Exception as error:
                self.end = self.engine.failure(error)
        self.sent.ended(self.end)

    def _next(self):
        """The next ref of the generator's; where there is none, raises why the task ended without telling the end."""
        ref = next(self.generator, None)
        if ref is None:
            ray.get(self.generator.completed())
            if self.stops:
                # Ray does not always tell why.
                raise exceptions.TaskCancelledError
            raise LookupError("the stream ended in the middle")
        return ref

    def _read_one(self):
        """Reads an item, or the end, which it gives."""
        meta = self._next()
        result, *end = outcome.unpacked(ray.get(meta))
        if end == [END]:
            return result
        payload = None
        if result[0] == outcome.REMOTE:
            payload = self._next()
            if payload == self.generator.completed():
                # Not the value, but why the task ended before it.
                ray.get(payload)
        self.sent.bridge.item(self.id, (meta, 0, payload), result)
        return None


class Stream(tuple):
    """The handle of a stream: its end's, and what reads it."""

    def more(self, count):
        self.reading.more(count)

    def close(self):
        """Nobody has it any more."""
        self.reading.close()
