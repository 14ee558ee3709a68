"""Actors that do not answer, until the cluster knows whether they are gone.

A node that dies is believed to live for a while: who takes its actors for lost at once has the next ones put there,
too, where they never begin."""

import threading
import time

# How often the cluster is asked, and for how long what does not answer may be said to live.
LOOK_SECONDS = 0.2
DOUBT_SECONDS_MAX = 90.0


class Losing:
    """Watches those that do not answer, on a thread of its own, as long as there are any."""

    def __init__(self, is_gone):
        self.is_gone = is_gone
        self.lock = threading.Lock()
        self.doubted = []
        self.is_watched = False

    def add(self, actor, then):
        """Calls `then` once the actor is gone, or has not answered for too long."""
        with self.lock:
            self.doubted.append((time.monotonic() + DOUBT_SECONDS_MAX, actor, then))
            begins, self.is_watched = not self.is_watched, True
        if begins:
            threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        while True:
            time.sleep(LOOK_SECONDS)
            with self.lock:
                doubted, self.doubted = self.doubted, []
            for deadline, actor, then in doubted:
                if time.monotonic() > deadline or self._is_gone(actor):
                    then()
                else:
                    with self.lock:
                        self.doubted.append((deadline, actor, then))
            with self.lock:
                self.is_watched = bool(self.doubted)
                if not self.is_watched:
                    return

    def _is_gone(self, actor):
        try:
            return self.is_gone(actor)
        except Exception:
            # With the cluster, if nothing else.
            return True
