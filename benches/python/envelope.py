"""Ray's single-node envelope, for Ray alone, with an object of one number.

After `release/benchmarks/single_node/test_single_node.py` of Ray. `--calls` is
how many objects there are in one operation.
"""

import pathlib
import tempfile
import time

import numpy as np
import ray

POLL = 0.001


@ray.remote
def sum_arguments(*numbers):
    return sum(numbers)


@ray.remote
def open_refs(refs):
    return sum(ray.get(refs))


@ray.remote
def empty():
    pass


@ray.remote
def block(begun, opened):
    """Keeps its CPU, which it would lay down if it waited by `ray.get`."""
    begun.touch()
    while not opened.exists():
        time.sleep(POLL)


def put_all(count):
    return [ray.put(i) for i in range(count)]


def checked(count, total):
    """A function that checks and repeats what sums up 0, 1, 2 and so on."""

    def once():
        found = total()
        if found != count * (count - 1) // 2:
            raise ValueError(f"the objects sum up to {found}")

    return lambda ops: [once() for _ in range(ops)]


def many_arguments(_engine, options):
    count = options.calls
    return checked(count, lambda: ray.get(sum_arguments.remote(*put_all(count))))


def many_returns(_engine, options):
    count = options.calls
    returned = ray.remote(num_returns=count)(lambda: tuple(range(count)))
    return checked(count, lambda: sum(ray.get(returned.remote())))


def many_gets(_engine, options):
    count = options.calls
    return checked(count, lambda: sum(ray.get(put_all(count))))


def refs_in_object(_engine, options):
    count = options.calls
    return checked(count, lambda: ray.get(open_refs.remote(ray.put(put_all(count)))))


def wait_one_by_one(_engine, options):
    def total():
        pending, found = put_all(options.calls), 0
        while pending:
            (ready,), pending = ray.wait(pending)
            found += ray.get(ready)
        return found

    return checked(options.calls, total)


def queued_tasks(_engine, options):
    def work(ops):
        folder = pathlib.Path(tempfile.mkdtemp())
        opened, begun = folder / "opened", [folder / str(i) for i in range(options.num_cpus)]
        blockers = [block.remote(path, opened) for path in begun]
        while not all(path.exists() for path in begun):
            time.sleep(POLL)
        pending = [empty.remote() for _ in range(ops)]
        opened.touch()
        ray.get(blockers)
        return ray.get(pending)

    return work


def large_object(_engine, options):
    array = np.ones(options.numbers // 8 * 8, dtype=np.uint8)

    def once():
        ref = ray.put(array)
        shared = ray.get(ref)
        if shared[0] != 1 or shared[-1] != 1:
            raise ValueError("the bytes are wrong")

    return lambda ops: [once() for _ in range(ops)]


ALL = {
    "many_arguments": many_arguments,
    "many_returns": many_returns,
    "many_gets": many_gets,
    "refs_in_object": refs_in_object,
    "wait_one_by_one": wait_one_by_one,
    "queued_tasks": queued_tasks,
    "large_object": large_object,
}
