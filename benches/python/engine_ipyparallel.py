"""ipyparallel, with an engine for each CPU and its load-balanced view."""

import logging
import os

import ipyparallel


class Engine:
    def __init__(self, cpus, folder):
        os.environ["IPYTHONDIR"] = os.path.join(folder, "ipython")
        self._cluster = ipyparallel.Cluster(
            n=cpus,
            controller_ip="127.0.0.1",
            log_level=logging.ERROR,
        )
        self._client = self._cluster.start_and_connect_sync()
        self._client.wait_for_engines(cpus)
        self._view = self._client.load_balanced_view()
        self._shared = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._client.close()
        self._cluster.stop_cluster_sync()

    def share(self, value):
        name = f"shared_{self._shared}"
        self._shared += 1
        self._client[:].push({name: value}, block=True)
        return ipyparallel.Reference(name)

    def map(self, function, items, *handles):
        calls = [self._view.apply_async(function, item, *handles) for item in items]
        return [call.get() for call in calls]

    def call(self, function, item):
        return self._view.apply_sync(function, item)
