"""Memory for large values. Fresh pages are much of what they cost, so what one leaves is there for the next, and goes
back to the system after a while."""

import ctypes
import threading
import time

# Parameters of glibc's `mallopt`, by their numbers in its `malloc.h`: how much stays at the end of the heap when it
# is freed, and how many allocations have pages of their own.
TRIM_THRESHOLD = (-1, 256 << 20)
MMAP_MAX = (-4, 0)
# How long what is free stays with the process, at most.
KEEP_SECONDS = 10.0

_lock = threading.Lock()
_keeps = False


def keep():
    """Lets this process's `malloc` keep what is freed for a while, where that is glibc's."""
    global _keeps
    with _lock:
        before, _keeps = _keeps, True
    libc = ctypes.CDLL(None)
    if before or not hasattr(libc, "mallopt"):
        return
    for parameter, value in (TRIM_THRESHOLD, MMAP_MAX):
        libc.mallopt(parameter, value)
    threading.Thread(target=_give_back, args=(libc.malloc_trim,), daemon=True).start()


def _give_back(malloc_trim):
    while True:
        time.sleep(KEEP_SECONDS)
        malloc_trim(0)
