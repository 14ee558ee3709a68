"""The first lines of the sidecar, given to Python by `-c`: takes the package as the first frame, and starts it.

Nothing is written to a file, so nothing is left behind.
"""

import sys

# With `-c` the folder that the driver was started in comes first, and what lies there would be taken for modules.
sys.path[:] = [folder for folder in sys.path if folder]

import importlib  # noqa: E402
import struct  # noqa: E402
import types  # noqa: E402


def main():
    try:
        import msgpack
    except ImportError:
        refuse(f"Python at {sys.executable} has no msgpack; install it there, or name another by MOBULA_PYTHON")
    name, package, texts = msgpack.unpackb(read(*struct.unpack("<I", read(4))))
    # As `install` does everywhere else; here it must be made first.
    shipping = types.ModuleType("shipping")
    exec(texts["shipping"], shipping.__dict__)
    shipping.install(package, texts)
    importlib.import_module(package + ".sidecar").main()


def refuse(text):
    """Says why the sidecar does not start, in a frame made by hand."""
    text = text.encode()[:65535]
    body = b"\x93\xa7refused\xa6Engine\xda" + struct.pack(">H", len(text)) + text
    sys.stdout.buffer.write(struct.pack("<I", len(body)) + body)
    sys.stdout.flush()
    sys.exit(1)


def read(count):
    # Without a buffer: what follows is the sidecar's to read.
    data = bytearray()
    while len(data) < count:
        part = sys.stdin.buffer.raw.read(count - len(data))
        if not part:
            sys.exit("the driver ended before it had sent the bridge")
        data += part
    return data


main()
