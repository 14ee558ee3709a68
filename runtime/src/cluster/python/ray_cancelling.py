"""Tasks of Ray's that are to stop."""

import sys
import threading
import time

import ray

from . import host

# After how long a task that was cancelled is cancelled again: a host gives a call some time to notice.
CANCEL_AGAIN_SECONDS = 1.0 + host.GRACE_SECONDS


class Cancelling:
    """Tasks that were cancelled and have not ended. A task that is just about to begin may not hear of it: Ray does not
    always tell its worker, and the interrupt by which the worker is told can be lost before the task's function has
    begun. So it is done again, after longer than it takes where it works; where Ray fails to do it, too."""

    def __init__(self):
        self.lock = threading.Lock()
        self.tasks = set()
        self.is_watched = False

    def add(self, task):
        with self.lock:
            self.tasks.add(task)
            begins, self.is_watched = not self.is_watched, True
        task._on_completed(lambda _: self._remove(task))
        if begins:
            threading.Thread(target=self._repeat, daemon=True).start()
        _cancel(task)

    def close(self):
        with self.lock:
            self.tasks.clear()

    def _remove(self, task):
        with self.lock:
            self.tasks.discard(task)

    def _repeat(self):
        while True:
            time.sleep(CANCEL_AGAIN_SECONDS)
            with self.lock:
                tasks = list(self.tasks)
                self.is_watched = bool(tasks)
            if not tasks:
                return
            for task in tasks:
                if task in self.tasks:
                    _cancel(task)


def _cancel(task):
    try:
        ray.cancel(task)
    except Exception as error:
        print(f"mobula: a task is not cancelled yet: {error}", file=sys.stderr)
