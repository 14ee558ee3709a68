"""The driver's end of the bridge: a process beside the driver that speaks the engine's own Python.

The driver's frames come on standard input, and ours go out on what was standard output. Whatever else wants
to print goes to stderr. The sidecar ends when its input does or its parent is gone, and takes no more than
some seconds for it, whatever the cluster does.
"""

import importlib
import os
import signal
import sys
import threading
import time

from . import blocks, frames, memory
from .bridge import Bridge

# How long the farewell to the cluster may take.
END_SECONDS = 3.0
# How often the sidecar looks whether its parent is there.
PARENT_SECONDS = 0.5


class Refused(Exception):
    """The engine cannot be started. Kind, by its name in `mobula::ErrorKind`, and what to do about it."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


def main():
    memory.keep()
    source, target = os.dup(0), os.dup(1)
    # What prints to standard output would be in the middle of our frames.
    os.dup2(2, 1)
    parent = os.getppid()
    signal.signal(signal.SIGTERM, _end_of_input)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    reader = frames.Reader(lambda view: os.readv(source, [view]))
    serve(reader, frames.Writer(lambda data: _write_all(target, data), number=target))
    os._exit(0)


def _end_of_input(*_):
    raise frames.Closed


def _write_all(target, data):
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]


def _end_with(parent):
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    _end_soon()


def _end_soon():
    """Ends this process after the time for the farewell, even while something hangs."""
    threading.Timer(END_SECONDS, os._exit, args=(0,)).start()


def serve(reader, writer):
    """Serves the driver until its input ends."""
    try:
        name, settings = reader.next()
        if name != "start":
            raise ValueError(f"the first message is {name!r}")
        if settings.get("blocks") is not None:
            come, go = map(blocks.inherited, settings["blocks"])
            writer.blocks, reader.view = blocks.Blocks(go), blocks.Views(come).view
        engine = _start(settings, writer)
        if engine is None:
            return
        bridge = Bridge(engine, writer)
        if hasattr(engine, "listen"):
            engine.listen(bridge)
        try:
            while True:
                bridge.handle(reader.next())
        finally:
            _end_soon()
            engine.close()
    except frames.Closed:
        pass


def _start(settings, writer):
    name = settings["engine"]
    try:
        module = importlib.import_module(f"{__package__}.engine_{name}")
        engine = module.connect(settings)
    except Refused as refused:
        writer.send(["refused", refused.kind, str(refused)])
    except ImportError as error:
        text = f"Python at {sys.executable} has no {error.name}; install it there, or name another by MOBULA_PYTHON"
        writer.send(["refused", "Engine", text])
    except Exception as error:
        writer.send(["refused", "Engine", f"{name} did not start: {type(error).__name__}: {error}"])
    else:
        writer.send(["started", engine.cpus])
        return engine
    return None
