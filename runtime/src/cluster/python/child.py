"""The user's own program as a child of this process, in worker mode.

Frames go over a socket that the child inherits, so its standard streams are the program's. What it writes to
stderr is passed on, and the last lines are kept for the error that tells how it died.
"""

import collections
import os
import signal
import socket
import struct
import subprocess
import sys
import threading

from . import blocks, frames, memory

# Tells the program that it is a worker of a cluster, when it begins to serve, and by which descriptors.
VARIABLE = "MOBULA_WORKER"
# How many lines of stderr an error tells.
STDERR_LINES = 10
# A `struct timeval` of the system's.
TIME = struct.Struct("@ll")
# How long a child that was killed may take to be gone.
END_SECONDS = 5.0


class Died(Exception):
    """The child is gone. The text tells how."""


class Child:
    """A started child, to which calls are sent."""

    def __init__(self, path, job):
        memory.keep()
        ours, theirs = socket.socketpair()
        files, its_blocks, view = blocks.shared()
        numbers = [end.fileno() for end in (theirs, *files)]
        variable = f"{job['serves']}:{','.join(map(str, numbers))}"
        environment = {**os.environ, **job["environment"], VARIABLE: variable}
        with theirs:
            self.process = subprocess.Popen(
                [job["arguments"][0], *job["arguments"][1:]],
                executable=path,
                env=environment,
                pass_fds=numbers,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        self.socket = ours
        self.writer = frames.Writer(ours.sendall, its_blocks, ours.fileno())
        self.reader = frames.Reader(ours.recv_into, view)
        # Serves what the child's calls ask the cluster for; the host's to set.
        self.bridge = None
        self.lines = collections.deque(maxlen=STDERR_LINES)
        self.pump = threading.Thread(target=self._pass_stderr_on, daemon=True)
        self.pump.start()

    def _pass_stderr_on(self):
        for line in self.process.stderr:
            text = line.decode(errors="replace")
            self.lines.append(text.rstrip())
            sys.stderr.write(text)
            sys.stderr.flush()

    def wait_until_ready(self, seconds):
        """Waits until the program serves."""
        self.wait_for(seconds)
        message = self.receive()
        if message is None:
            self.kill()
            raise Died(f"the program did not become a worker within {seconds:g} s: does it call mobula::init?")
        if message[0] != "ready":
            raise Died(f"the worker began with {message[0]!r}")

    def send(self, *messages):
        try:
            self.writer.send(*messages)
        except OSError:
            raise Died(self.death()) from None

    def wait_for(self, seconds):
        """How long to wait for messages from now on; 0: until they come."""
        whole = int(seconds)
        time = TIME.pack(whole, int(1e6 * (seconds - whole)))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, time)

    def receive(self):
        """The next message, or None if none came in time."""
        try:
            return self.reader.next()
        except BlockingIOError:
            return None
        except (frames.Closed, OSError, ValueError) as error:
            self.process.poll()
            why = f" ({error})" if isinstance(error, ValueError) else ""
            raise Died(self.death() + why) from None

    def death(self):
        """How the child died. A child that has closed its stream but lives is killed first."""
        try:
            code = self.process.wait(1.0)
        except subprocess.TimeoutExpired:
            self.kill()
            code = None
        self.pump.join(1.0)
        if code is None:
            text = "the worker closed its channel and was killed"
        elif code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = "unknown"
            text = f"the worker process was ended by signal {-code} ({name})"
        else:
            text = f"the worker process ended with exit code {code}"
        if self.lines:
            text += "; its last lines on stderr: " + " | ".join(self.lines)
        return text

    def kill(self):
        """Ends the child, whatever it does."""
        if self.bridge is not None:
            self.bridge.close()
        self.process.kill()
        self.process.wait(END_SECONDS)
        self.socket.close()
