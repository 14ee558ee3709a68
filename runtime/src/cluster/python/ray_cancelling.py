"""Tasks of Ray's that are to stop.

A task is interrupted, which does not say whether what it has submitted is to stop, too. Where it is not, that is noted with
the cluster before, by the task's id, and who is interrupted looks it up.
"""

import sys
import threading
import time

import msgpack
import ray
from ray.experimental import internal_kv

from . import host

# After how long a task that was cancelled is cancelled again: a host gives a call some time to notice.
CANCEL_AGAIN_SECONDS = 1.0 + host.GRACE_SECONDS
# Where it is noted whose children are spared.
NAMESPACE = "mobula-spared"


class Cancelling:
    """Tasks that were cancelled and have not ended. A task that is just about to begin may not hear of it: Ray does not
    always tell its worker, and the interrupt by which the worker is told can be lost before the task's function has
    begun. So it is done again, after longer than it takes where it works; where Ray fails to do it, too."""

    def __init__(self):
        self.lock = threading.Lock()
        # Each with those of its calls whose children are spared.
        self.tasks = {}
        # What is noted with the cluster of each, by its key, and the keys of those that have ended.
        self.noted = {}
        self.over = []
        # Held by who tells Ray, so that what it is told last is what is wanted last.
        self.telling = threading.Lock()
        self.is_watched = False

    def add(self, task, spared):
        with self.lock:
            self.tasks[task] = spared
            begins, self.is_watched = not self.is_watched, True
        task._on_completed(lambda _: self._remove(task))
        if begins:
            threading.Thread(target=self._repeat, daemon=True).start()
        self._cancel(task)

    def close(self):
        with self.lock:
            self.tasks.clear()
            self.over += self.noted
        self._forget()

    def _remove(self, task):
        """It has ended. This thread is Ray's, and does not wait for the cluster."""
        with self.lock:
            self.tasks.pop(task, None)
            self.over.append(_key(task))

    def _repeat(self):
        while True:
            time.sleep(CANCEL_AGAIN_SECONDS)
            self._forget()
            with self.lock:
                tasks = list(self.tasks)
                self.is_watched = bool(tasks or self.over)
                if not self.is_watched:
                    return
            for task in tasks:
                self._cancel(task)

    def _cancel(self, task):
        with self.telling:
            spared = self.tasks.get(task)
            if spared is None:
                return
            try:
                self._note(_key(task), spared)
                # Its host tells what it has submitted. To be told by Ray, too, is once too often: a worker of Ray's dies
                # that cancels a task just when that one's end has come.
                ray.cancel(task, recursive=False)
            except Exception as error:
                print(f"mobula: a task is not cancelled yet: {error}", file=sys.stderr)

    def _note(self, key, spared):
        if spared != self.noted.get(key, []):
            internal_kv._internal_kv_put(key, msgpack.packb(spared), namespace=NAMESPACE)
            self.noted[key] = spared

    def _forget(self):
        """Lets the cluster forget what is of no use any more."""
        with self.telling:
            with self.lock:
                over, self.over = self.over, []
            try:
                for key in over:
                    if self.noted.pop(key, None) is not None:
                        internal_kv._internal_kv_del(key, namespace=NAMESPACE)
            except Exception as error:
                print(f"mobula: some bytes are left with the cluster: {error}", file=sys.stderr)


def _key(task):
    return task.task_id().binary()


def spared():
    """Of the calls of the task that this thread runs, which is to stop, those whose children are not."""
    try:
        key = bytes.fromhex(ray.get_runtime_context().get_task_id())
        noted = internal_kv._internal_kv_get(key, namespace=NAMESPACE)
    except Exception as error:
        print(f"mobula: it is not known whether children of a cancelled task are to go on: {error}", file=sys.stderr)
        return []
    return [] if noted is None else msgpack.unpackb(noted)
