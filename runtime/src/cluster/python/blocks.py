"""Long values, in memory that the program has mapped, too: a file of blocks for each direction; frames say where in it
they lie. The program's side is in Rust, in `blocks.rs` and `views.rs`.

Who writes a block has it until the other side has put down its flag. There may be many at a time, and they come free in
any order. What finds no room goes in a frame, so nobody waits. The pages stay for the next value, since fresh ones cost
more than the copy, and go back to the system when nothing was written for a while. The file has no name: it goes with
the two processes.
"""

import fcntl
import mmap
import os
import struct
import threading
import weakref

import msgpack

from . import memory

# How long a file is: no more is on its way at a time. Pages come when something is written there.
FILE_BYTES = 1 << 31
# How many blocks there are at a time, at most. Each has a flag, a byte at the front of the file.
SLOTS = 512
# Blocks begin at multiples of this, the first one behind the flags, and each can be mapped alone.
ALIGN = 64 << 10

# The type of the extension that says where a value lies, and what is in it: the number of the flag, start and length.
LIES = 1
PLACE = struct.Struct("<IQQ")
FREE, TAKEN = 0, 1

# By their numbers in Linux, which not every build of Python has names for.
ADD_SEALS, GET_SEALS, SEAL_SHRINK = 1033, 1034, 2
MADV_REMOVE = 9
MAP_POPULATE = 0x8000


def file():
    """A file for the blocks of one direction, which cannot shrink, so that nobody reads where nothing is."""
    number = os.memfd_create("mobula-blocks", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    found = os.fdopen(number, "r+b")
    os.ftruncate(number, FILE_BYTES)
    fcntl.fcntl(number, ADD_SEALS, SEAL_SHRINK)
    return found


def inherited(number):
    """One that the program gave to this process when it started it."""
    os.set_inheritable(number, False)
    found = os.fdopen(number, "r+b")
    if not fcntl.fcntl(number, GET_SEALS) & SEAL_SHRINK:
        raise ValueError("a file of blocks that may shrink")
    return found


def shared():
    """For a child of this process: the files for it, to go and to come, with this side's ends. Nothing, where the system
    or this Python has no such memory: then all goes through the stream."""
    try:
        go, come = file(), file()
        return [go, come], Blocks(go), Views(come).view
    except (AttributeError, OSError):
        return [], None, None


def _end(start, length):
    """Where another block may begin."""
    return -(-(start + length) // ALIGN) * ALIGN


class Blocks:
    """The end that writes."""

    # From here on a value is long. On Ray what is shorter may go with the news of a call's end, and is to be bytes.
    LONG_BYTES = 128 << 10

    def __init__(self, file):
        self.memory = mmap.mmap(file.fileno(), FILE_BYTES)
        self.lock = threading.Lock()
        # Start, length and flag of those that are taken, by their starts.
        self.taken = []
        # Where the last one ended of those that have pages still, and whether one was taken since it was asked.
        self.top = ALIGN
        self.is_fresh = False
        memory.give_back_of(self)

    def lend(self, value):
        """What says where the value lies for the other side. None: there is no room."""
        length = len(value)
        with self.lock:
            found = self._take(length)
        if found is None:
            return None
        start, slot = found
        self.memory[start : start + length] = value
        return msgpack.ExtType(LIES, PLACE.pack(slot, start, length))

    def _take(self, length):
        """Takes the first place that has room. The lock is held."""
        self._let_go()
        position, start = len(self.taken), ALIGN
        for nth, (other, its_length, _) in enumerate(self.taken):
            if other - start >= length:
                position = nth
                break
            start = _end(other, its_length)
        slot = min(set(range(SLOTS)) - {slot for _, _, slot in self.taken}, default=None)
        if slot is None or start + length > FILE_BYTES:
            return None
        self.taken.insert(position, (start, length, slot))
        self.memory[slot] = TAKEN
        self.top = max(self.top, _end(start, length))
        self.is_fresh = True
        return start, slot

    def _let_go(self):
        """Of what the other side has read. The lock is held."""
        self.taken = [block for block in self.taken if self.memory[block[2]] != FREE]

    def give_back(self):
        """Gives those pages back to the system in which nothing was written since the last time."""
        with self.lock:
            fresh, self.is_fresh = self.is_fresh, False
            if fresh:
                return
            self._let_go()
            start, gaps = ALIGN, []
            for other, length, _ in self.taken:
                gaps.append((start, other))
                start = _end(other, length)
            gaps.append((start, self.top))
            self.top = start
            for start, end in gaps:
                if start < end:
                    self.memory.madvise(MADV_REMOVE, start, end - start)


class Views:
    """The end that reads."""

    def __init__(self, file):
        self.file = file
        self.flags = mmap.mmap(file.fileno(), SLOTS)

    def view(self, kind, place):
        """The value that lies there, without a copy. It is the other side's again when the last view of it is gone."""
        if kind != LIES or len(place) != PLACE.size:
            raise ValueError("an extension that does not say where a value lies")
        slot, start, length = PLACE.unpack(place)
        if slot >= SLOTS or start < ALIGN or start % ALIGN or length == 0 or start + length > FILE_BYTES:
            raise ValueError(f"no value lies at {start}, of {length} bytes, with the flag {slot}")
        # All at once: it is faster than page by page.
        how = mmap.MAP_SHARED | MAP_POPULATE
        memory = mmap.mmap(self.file.fileno(), length, flags=how, prot=mmap.PROT_READ, offset=start)
        weakref.finalize(memory, self._put_down, slot).atexit = False
        return memoryview(memory)

    def _put_down(self, slot):
        self.flags[slot] = FREE
