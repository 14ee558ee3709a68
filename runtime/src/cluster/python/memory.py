"""Memory for large values. Fresh pages are much of what they cost, so what one leaves is there for the next."""

import ctypes

# Parameters of glibc's `mallopt`, by their numbers in its `malloc.h`: how much stays at the end of the heap when it
# is freed, and how many allocations have pages of their own.
TRIM_THRESHOLD = (-1, 256 << 20)
MMAP_MAX = (-4, 0)


def keep():
    """Lets this process's `malloc` keep what is freed, where that is glibc's."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in (TRIM_THRESHOLD, MMAP_MAX):
            mallopt(parameter, value)
