"""METG(50 %): the length of a task at which the efficiency is one half.

The graph comes as a file: for each task the numbers of those whose results it
needs. `--ideal` is what the graph takes on engines without any cost, in lengths
of a task.
"""

import json
import time

ITERATIONS = 200_000
FIRST = 62.5e-6
REPEATS = 2

# Seconds that a run takes at most, so that the search ends on a busy machine.
RUN_MAX = 10


def compute(iterations, *inputs):
    """So many steps of a linear congruence, from the sum of the inputs on."""
    state = sum(inputs)
    for _ in range(iterations):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
    return state


def seconds_of_iteration(_):
    start = time.perf_counter()
    compute(ITERATIONS)
    return (time.perf_counter() - start) / ITERATIONS


def search(efficiency, most):
    """The length at which `efficiency`, which grows with the length, is 1/2."""
    length, below = FIRST, (0.0, 0.0)
    while (reached := efficiency(length)) < 0.5:
        if length >= most:
            raise RuntimeError(f"the efficiency is {reached:.0%} with tasks of {length} s")
        length, below = 2 * length, (length, reached)
    shorter, worse = below
    # Between two lengths on a line, as the one is but twice the other.
    return shorter + (length - shorter) * (0.5 - worse) / (reached - worse)


def metg(engine, options):
    with open(options.data) as file:
        inputs = json.load(file)
    # All workers at once, as in a graph.
    measured = engine.map(seconds_of_iteration, range(2 * options.num_cpus))
    iteration = sum(measured) / len(measured)

    def efficiency(length):
        iterations = max(1, round(length / iteration))
        taken = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            engine.graph(compute, iterations, inputs)
            taken.append(time.perf_counter() - start)
        return options.ideal * iterations * iteration / min(taken)

    return lambda: search(efficiency, RUN_MAX / options.ideal)
