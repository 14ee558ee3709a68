"""A program in worker mode, for the tests: it speaks the worker's frames and knows a few functions.

The values that a call needs come behind its arguments.
"""

import os
import socket
import sys
import threading
import time

import msgpack
import speech

FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(FOLDER))
from python import blocks, calling, frames

numbers = map(int, os.environ["MOBULA_WORKER"].partition(":")[2].split(","))
channel = socket.socket(fileno=next(numbers))
come, go = map(blocks.inherited, numbers)
writer = frames.Writer(channel.sendall, blocks.Blocks(go))
read = frames.Reader(channel.recv_into, blocks.Views(come).view).next


def end_with_host():
    """As the runtime's own reader does: the end of the host is ours, whatever a call is doing."""
    host = os.getppid()
    while os.getppid() == host:
        time.sleep(0.2)
    os._exit(1)


threading.Thread(target=end_with_host, daemon=True).start()


class Failed(Exception):
    pass


def ask(message, name):
    """Sends a message and waits for the news of that name."""
    writer.send(message)
    while True:
        news = read()
        if news[0] == name:
            return news


def nested(x):
    """Submits `add(x, 1)` to the cluster, and gives the double of it."""
    id = os.urandom(16)
    call = speech.call("add", [x, 1])
    writer.send(["submit", [[id, "add", call, [], [], {}]]])
    news = ask(["blocked", [id], False], "done")
    writer.send(["unblocked"])
    writer.send(["free", [[id, 1]]])
    (_, status, _, payload) = news[1][0]
    if status != 0:
        raise Failed(f"{status} {payload}")
    return 2 * msgpack.unpackb(payload)


def fail(text):
    raise Failed(text)


def die(text):
    print("before the end", text, file=sys.stderr, flush=True)
    os.abort()


def die_once(path):
    if os.path.exists(path):
        return "lived"
    open(path, "x").close()
    os.abort()


def wait_for_cancel():
    while True:
        message = read()
        if message[0] == "cancel":
            raise Failed(f"cancelled, children: {message[2]}")


def put_and_return():
    """Puts a value, and gives a ref to it."""
    id = os.urandom(16)
    ask(["put", id, 0, [], msgpack.packb("kept")], "done")
    return id, [id]


def slowly(x):
    """Takes a moment, and tells on which node: Ray's workers know the process that is theirs."""
    time.sleep(0.2)
    return x, int(os.environ["RAY_RAYLET_PID"])


def count(to, length):
    """Gives the numbers up to one, each with a text so long; breaks at 1000."""
    for number in range(to):
        if number == 1000:
            raise Failed("too far")
        writer.send(["item", id, 0, [], msgpack.packb([number, "x" * length])])
        while (news := read())[0] != "more":
            if news[0] == "cancel":
                raise Failed("stopped")
    return to


FUNCTIONS = {
    "count": count,
    "slowly": slowly,
    "add": lambda a, b: a + b,
    "pid": os.getpid,
    "echo": lambda x: x,
    "length": len,
    "zeros": bytes,
    "sleep": time.sleep,
    "fail": fail,
    "die": die,
    "die_once": die_once,
    "nested": nested,
    "wait_for_cancel": wait_for_cancel,
    "attempt": lambda: attempt,
}

writer.send(["ready"])
while True:
    try:
        message = read()
    except frames.Closed:
        break
    if message[0] != "run":
        continue
    _, id, attempt, call, values, carries = message
    head, arguments = calling.opened(call)
    name = head["function"]
    arguments = msgpack.unpackb(arguments) + [msgpack.unpackb(value) for value in values]
    try:
        carried, freed = [], []
        if name == "put_and_return":
            result, carried = put_and_return()
        elif name == "take_ref":
            (news,) = [ask(["fetch", carries[0]], "fetched")]
            result = msgpack.unpackb(news[4])
            writer.send(["free", [[carries[0], 1]]])
        elif name == "let_go":
            result, freed = None, [[carries[0], 1]]
        else:
            result = FUNCTIONS[name](*arguments)
        writer.send(["done", id, 0, carried, freed, msgpack.packb(result)])
    except Failed as failed:
        writer.send(["done", id, 1, [], [], speech.failure(name, str(failed))])
