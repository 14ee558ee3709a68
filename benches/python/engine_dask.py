"""Dask's distributed scheduler, with a process for each CPU."""

import dask
from distributed import Client, LocalCluster


class Engine:
    def __init__(self, cpus, folder):
        dask.config.set({"temporary-directory": folder})
        self._cluster = LocalCluster(
            n_workers=cpus,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=folder,
        )
        self._client = Client(self._cluster)
        self._client.wait_for_workers(cpus)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._client.close()
        self._cluster.close()

    def share(self, value):
        return self._client.scatter(value, broadcast=True)

    def map(self, function, items, *handles):
        # Impure: else Dask remembers equal calls and runs them once.
        futures = [self._client.submit(function, i, *handles, pure=False) for i in items]
        return self._client.gather(futures)

    def call(self, function, item):
        return self._client.submit(function, item, pure=False).result()

    def graph(self, function, item, inputs):
        futures = []
        for needed in inputs:
            before = [futures[task] for task in needed]
            futures.append(self._client.submit(function, item, *before, pure=False))
        return self._client.gather(futures)

    def actor(self, cls):
        actor = self._client.submit(cls, actor=True).result()
        return lambda ops: [reply.result() for reply in [actor.add(1) for _ in range(ops)]]
