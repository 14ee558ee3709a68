"""Calls of Python functions, by programs that are not Python.

Values are frames as the program
writes them: a byte that tells the version, then MessagePack, in which numbers of one type lie raw in an extension.
Those are NumPy arrays here, where there is NumPy, and an array of more dimensions is a map of its shape and numbers.
"""

import importlib
import time
import traceback

import msgpack

from . import calling, outcome

# The version of frames.
VERSION = b"\x01"
# The types of extensions, and what is in them: NumPy's names for it.
NUMBERS = {1: "u1", 2: "i1", 3: "<u2", 4: "<i2", 5: "<u4", 6: "<i4", 7: "<u8", 8: "<i8", 11: "<f4", 12: "<f8", 13: "?"}
# What is longer lies in pieces, whose types have `PIECE` added.
PIECE = 64
PIECE_BYTES_MAX = 1 << 30
# The most lines of an error's traceback, and the most characters of each and of its text.
LINES_MAX = 30
TEXT_MAX = 2000


class Piece(bytes):
    """Some of the numbers of a long array."""


def run(call, values):
    """Makes the call, with the values that it needs, and gives its outcome."""
    began = time.monotonic()
    try:
        target, as_array, arguments = _unpack(call, values)
        result = _encode(_find(target)(*arguments), as_array)
    except KeyboardInterrupt:
        # The engine's way to cancel it.
        raise
    except BaseException as error:
        lines = "".join(traceback.format_exception(type(error), error, error.__traceback__)).splitlines()
        text = [f"{type(error).__name__}: {_text_of(error)}", *lines[-LINES_MAX:]]
        return outcome.failed("Task", "\n".join(line[:TEXT_MAX] for line in text))
    return (outcome.VALUE, result, {}, time.monotonic() - began)


def _text_of(error):
    try:
        return str(error)
    except Exception as why:
        return f"(its text cannot be had: {type(why).__name__})"


def _find(target):
    module, _, path = target.partition(":")
    found = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _unpack(call, values):
    """The target, whether an array is wanted, and the arguments."""
    head, body = calling.opened(call)
    needs = [bytes(need) for need in head["needs"]]
    arguments = []
    for argument in head["arguments"]:
        ((kind, what),) = argument.items()
        if kind == "Value":
            inline = what["Inline"]
            arguments.append(_decode(body[inline["start"] : inline["end"]]))
        else:
            arguments.append(_decode(values[needs.index(bytes(what))]))
    target, as_array = arguments[0]
    return target, as_array, arguments[1:]


def _decode(frame):
    if bytes(frame[:1]) != VERSION:
        raise ValueError("a value of another version of Mobula")
    return msgpack.unpackb(
        frame[1:], strict_map_key=False, ext_hook=_numbers, object_hook=_shaped, list_hook=_joined
    )


def _numbers(code, data):
    if code > PIECE:
        return Piece(bytes([code - PIECE]) + data)
    kind = NUMBERS.get(code)
    if kind is None:
        raise ValueError("numbers of 128 bits: Python has arrays of up to 64")
    import numpy

    return numpy.frombuffer(data, dtype=kind)


def _joined(values):
    if values and all(isinstance(value, Piece) for value in values):
        return _numbers(values[0][0], b"".join(value[1:] for value in values))
    return values


def _shaped(value):
    """An array of Rust's ndarray says its shape."""
    if value.keys() == {"v", "dim", "data"}:
        import numpy

        return numpy.asarray(value["data"]).reshape([int(length) for length in value["dim"]])
    return value


def _encode(value, as_array):
    if as_array:
        import numpy

        value = _shape(numpy.asarray(value))
    return VERSION + msgpack.packb(value, default=_other)


def _other(value):
    """What MessagePack does not know by itself."""
    if hasattr(value, "dtype"):
        return value.item() if value.ndim == 0 else _raw(value) if value.ndim == 1 else _shape(value)
    if isinstance(value, (set, frozenset, range)):
        return list(value)
    raise TypeError(f"a value of the type {type(value).__name__} has no form in MessagePack")


def _shape(array):
    return {"v": 1, "dim": list(array.shape), "data": _raw(array.reshape(-1))}


def _raw(array):
    for code, kind in NUMBERS.items():
        if array.dtype == kind:
            break
    else:
        return array.tolist()
    data = array.astype(kind, copy=False).tobytes()
    if len(data) <= PIECE_BYTES_MAX:
        return msgpack.ExtType(code, data)
    starts = range(0, len(data), PIECE_BYTES_MAX)
    return [msgpack.ExtType(code + PIECE, data[start : start + PIECE_BYTES_MAX]) for start in starts]
