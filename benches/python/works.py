"""The works, written once for all engines.

A work prepares itself on an engine and gives back a function that makes so
many calls and returns their results; only that function is timed. What an
engine offers for it:

    share(value)            a handle to a large value, sent to the workers once
    map(function, items, *handles)
                            calls function(item, *values), a task each
    call(function, item)    one task, submitted and waited for
    graph(function, item, inputs)
                            a task for each list of `inputs`, the numbers of the
                            tasks it needs: function(item, *results of those)
    actor(cls)              a function that calls `add` of one actor n times

The functions live at module level, where workers in other processes find them.

Works for one engine alone are in that engine's `WORKS`. Those in `UNTIMED` give
back a function that takes nothing and returns the seconds to report.
"""

import numpy as np

import metg
import random_numbers


def empty(_):
    return None


def calc_mean(i, draws):
    x = np.random.default_rng(i).normal(size=draws)
    return float(x.mean()), float(x.std())


def loo_fit(held_out, x, y, trees):
    from sklearn.ensemble import RandomForestRegressor

    kept = np.arange(len(y)) != held_out
    forest = RandomForestRegressor(n_estimators=trees, n_jobs=1, random_state=held_out)
    forest.fit(x[kept], y[kept])
    return float(forest.predict(x[held_out : held_out + 1])[0])


def last(values):
    return float(values[-1])


def ones(count):
    return np.ones(count)


class Counter:
    def __init__(self):
        self.total = 0

    def add(self, by):
        self.total += by
        return self.total


def tasks_batch(engine, _options):
    return lambda ops: engine.map(empty, range(ops))


def roundtrip(engine, _options):
    return lambda ops: [engine.call(empty, i) for i in range(ops)]


def actor_batch(engine, _options):
    return engine.actor(Counter)


def array_there(engine, options):
    values = np.ones(options.numbers)
    return lambda ops: [engine.call(last, values) for _ in range(ops)]


def array_back(engine, options):
    return lambda ops: [len(engine.call(ones, options.numbers)) for _ in range(ops)]


def many_means(engine, options):
    draws = engine.share(options.draws)
    return lambda ops: engine.map(calc_mean, range(ops), draws)


def loo_forest(engine, options):
    table = np.loadtxt(options.data, delimiter=",", skiprows=1)
    shared = [engine.share(value) for value in (table[:, :-1], table[:, -1], options.trees)]
    return lambda ops: engine.map(loo_fit, range(ops), *shared)


ALL = {
    "tasks_batch": tasks_batch,
    "roundtrip": roundtrip,
    "actor_batch": actor_batch,
    "array_there": array_there,
    "array_back": array_back,
    "calc_mean": many_means,
    "loo_forest": loo_forest,
}

UNTIMED = {
    "metg": metg.metg,
} | random_numbers.WORKS
