"""Ray, on this machine alone."""

import functools
import os

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray

import actors
import envelope
import microbenchmark
import nested

WORKS = {**actors.ALL, **microbenchmark.ALL, **envelope.ALL, **nested.ALL}


class Engine:
    def __init__(self, cpus, folder):
        ray.init(
            num_cpus=cpus,
            include_dashboard=False,
            logging_level="error",
            log_to_driver=False,
            _temp_dir=folder,
        )
        self._remote = functools.cache(ray.remote)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        ray.shutdown()

    def share(self, value):
        return ray.put(value)

    def map(self, function, items, *handles):
        remote = self._remote(function)
        return ray.get([remote.remote(item, *handles) for item in items])

    def call(self, function, item):
        return ray.get(self._remote(function).remote(item))

    def graph(self, function, item, inputs):
        remote, refs = self._remote(function), []
        for needed in inputs:
            refs.append(remote.remote(item, *[refs[task] for task in needed]))
        return ray.get(refs)

    def actor(self, cls):
        actor = self._remote(cls).remote()
        return lambda ops: ray.get([actor.add.remote(1) for _ in range(ops)])
