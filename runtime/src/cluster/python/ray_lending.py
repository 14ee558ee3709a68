"""Handles of the program's actors, on Ray: objects without a value, so that Ray counts who has them, or values with them
inside, wherever that is. It tells who has made an object when nobody has it any more."""

import queue
import threading

import ray

# The index in the handle of such an object, by which it is known.
LENT = -1


class Lending:
    """The objects that stand for handles, until nobody has them."""

    def __init__(self):
        # By the ids of the objects: how often each was lent, and who is told when it is gone.
        self.lent = {}
        # The objects that are gone.
        self.gone = queue.SimpleQueue()
        self.teller = None

    def lend(self, handle, then):
        """The handle of such an object: this one once more, which somebody here has, or of a new one. `then` is told how
        often it was lent, when nobody has it."""
        ref = handle and handle[2]
        known = ref and self.lent.get(ref.binary())
        if known:
            known[0] += 1
            return handle
        ref = ray.put(None)
        self.lent[ref.binary()] = [1, then]
        self._watch(ref)
        return (None, LENT, ref)

    def _watch(self, ref):
        if self.teller is None:
            self.teller = threading.Thread(target=self._tell, daemon=True)
            self.teller.start()
        worker = ray._private.worker.global_worker
        watch = getattr(getattr(worker, "core_worker", None), "add_object_out_of_scope_callback", None)
        # Where Ray cannot tell, or is far away, it stays lent. The callback may come anywhere, in the middle of anything.
        if watch is not None:
            watch(ref, self.gone.put)

    def _tell(self):
        while True:
            count, then = self.lent.pop(self.gone.get())
            then(count)
