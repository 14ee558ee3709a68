"""Memory for large values. Fresh pages are much of what they cost, so what one leaves is there for the next, and goes
back to the system after a while."""

import ctypes
import threading
import time
import weakref

# Parameters of glibc's `mallopt`, by their numbers in its `malloc.h`: how much stays at the end of the heap when it
# is freed, and how many allocations have pages of their own.
TRIM_THRESHOLD = (-1, 256 << 20)
MMAP_MAX = (-4, 0)
# How long what is free stays with the process, at most.
KEEP_SECONDS = 10.0

_lock = threading.Lock()
_keeps = False
# What has pages besides, and a `give_back`.
_others = weakref.WeakSet()


def keep():
    """Lets this process's `malloc` keep what is freed for a while, where that is glibc's."""
    global _keeps
    with _lock:
        before, _keeps = _keeps, True
    if before:
        return
    libc = ctypes.CDLL(None)
    trim = getattr(libc, "malloc_trim", None)
    if hasattr(libc, "mallopt"):
        for parameter, value in (TRIM_THRESHOLD, MMAP_MAX):
            libc.mallopt(parameter, value)
    threading.Thread(target=_give_back, args=(trim,), daemon=True).start()


def give_back_of(other):
    """Calls `other.give_back` as often, as long as it is there."""
    with _lock:
        _others.add(other)


def _give_back(trim):
    while True:
        time.sleep(KEEP_SECONDS)
        if trim is not None:
            trim(0)
        with _lock:
            others = list(_others)
        for other in others:
            other.give_back()
        others = other = None
