"""Dask, by `distributed`.

A handle is a pair of future and index: the future's value are the outcomes of a task, of which the object's
is the one at `index`. Where they are a list and not a tuple they are too large to be brought to the program
before it asks: the news that a future is complete tell its type.

A call is tried again where it ran, since Dask does not say to a task which try it is. A worker that dies is
Dask's affair: it runs the task elsewhere, up to `distributed.scheduler.allowed-failures` times.
"""

import asyncio
import contextlib
import os
import queue
import shutil
import tempfile
import threading

import cloudpickle
import dask
import distributed

from . import binary, host, outcome, shipping
from .bridge import Bridge
from .sidecar import Refused

# From here on a result stays where it is until it is asked for.
LARGE_BYTES = 64 * 1024
# How long the scheduler may take to answer.
CONNECT_SECONDS = 10
# How many values are brought to the program in one go.
GATHER_MAX = 256


def connect(settings):
    """Joins a cluster as a client, or starts one."""
    address = settings["address"] or "local"
    cluster = folder = None
    try:
        if address == "local":
            folder = tempfile.mkdtemp(prefix="dask-")
            # For all that this process starts: scheduler, nannies and workers.
            dask.config.set({"temporary-directory": folder})
            workers = settings["num_cpus"] or os.cpu_count()
            cluster = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address=None,
                resources=settings["resources"] or None,
            )
            client = distributed.Client(cluster)
        elif os.path.exists(address):
            client = distributed.Client(scheduler_file=address, timeout=CONNECT_SECONDS)
        else:
            client = distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        _remove(folder)
        text = (
            f"no Dask scheduler at {address!r}: {error}; set MOBULA_ADDRESS to its tcp://host:port or to its "
            "scheduler file, or to local for one that ends with this program"
        )
        raise Refused("Engine", text) from None
    package, texts = shipping.package_of(__name__)
    job = {
        "binary": binary.describe(settings["program"]),
        "arguments": settings["arguments"],
        "environment": settings["environment"],
        "serves": settings["serves"],
    }
    _send_ahead(client, package, texts, job)
    return Dask(client, cluster, job, folder)


def _remove(folder):
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _send_ahead(client, package, texts, job):
    """Gives every worker, also those that come later, this package, and the program where it has no such file."""
    cloudpickle.register_pickle_by_value(shipping)
    # The scheduler unpickles what it passes on.
    client.run_on_scheduler(shipping.install, package, texts)
    client.register_plugin(shipping.plugin(distributed.WorkerPlugin, package, texts), name=package)
    here = client.run(binary.is_here, job["binary"])
    if not all(here.values()):
        with open(job["binary"]["path"], "rb") as file:
            content = file.read()
        client.run(binary.store, job["binary"], content)


class Dask:
    """What the bridge asks of Dask, in the driver's sidecar and in hosts."""

    def __init__(self, client, cluster, job, folder):
        self.client = client
        # One that ends with this process, and where it puts what it writes.
        self.cluster = cluster
        self.folder = folder
        self.job = job
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        self.cpus = float(sum(worker["nthreads"] for worker in workers)) or 1.0
        self.workers = [worker["resources"] for worker in workers]
        self.wanted = queue.SimpleQueue()
        threading.Thread(target=self._gather_all, daemon=True).start()

    def close(self):
        # What does not end in time ends with this process: workers of ours look after their parent.
        with contextlib.suppress(TimeoutError):
            self.client.close(timeout=1)
            if self.cluster is not None:
                self.cluster.close(timeout=1)
        _remove(self.folder)

    # Calls.

    def refusal(self, task):
        options = task.options
        if task.carries:
            return outcome.cannot("dask", "pass refs inside of values: pass them as arguments")
        if options.get("num_cpus", 1) != 1:
            return outcome.cannot("dask", "honour num_cpus: a task takes one thread of a worker")
        wanted = options.get("resources", {})
        if wanted and not any(
            all(worker.get(name, 0) >= amount for name, amount in wanted.items()) for worker in self.workers
        ):
            asked = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
            return outcome.failed("Infeasible", f"no worker of the cluster has {asked}")
        return None

    def submit(self, group, sent):
        """Makes the calls one task of Dask's, and gives their results' handles."""
        flat, positions, calls = [], {}, []
        for task in group:
            needs = []
            for future, index in (sent.bridge.objects[id].handle for id in task.needs):
                if future.key not in positions:
                    positions[future.key] = len(flat)
                    flat.append(future)
                needs.append((positions[future.key], index))
            calls.append((task.id, bytes(task.take_call()), needs))
        options = group[0].options
        future = self.client.submit(
            run,
            self.job,
            (calls, options.get("max_retries", 0)),
            *flat,
            key=f"{options.get('name') or 'mobula'}-{group[0].id.hex()}",
            resources=options.get("resources") or None,
            priority=options.get("priority", 0),
            pure=False,
        )
        sent.task = future
        future.add_done_callback(lambda future: self._ended(future, sent))
        return [(future, index) for index in range(len(group))]

    def _ended(self, future, sent):
        if future.status == "finished" and future.type is not list:
            self.wanted.put((future, lambda value: sent.ended(self.failure(value) if _failed(value) else list(value))))
        else:
            sent.ended(self._state(future))

    def _state(self, future):
        """The outcome of a task that has ended, as far as it is known without its value."""
        if future.status == "finished":
            return (outcome.REMOTE, LARGE_BYTES, {}, 0.0)
        if future.status == "error":
            return self.failure(future.exception(timeout=CONNECT_SECONDS))
        if future.status == "cancelled":
            return outcome.failed("Cancelled", "the task was cancelled")
        return outcome.failed("ObjectLost", f"Dask says that it is {future.status}")

    def _gather_all(self):
        """Brings values to the program, those that are there together."""
        while True:
            batch = [self.wanted.get()]
            while not self.wanted.empty() and len(batch) < GATHER_MAX:
                batch.append(self.wanted.get())
            try:
                values = self.client.gather([future for future, _ in batch])
            except BaseException:
                values = [self._gather_one(future) for future, _ in batch]
            for (_, then), value in zip(batch, values):
                then(value)

    def _gather_one(self, future):
        try:
            return self.client.gather(future)
        except BaseException as error:
            return error

    # Objects.

    def is_stored(self, handle):
        return handle[0].done()

    def put(self, result):
        if result[2]:
            raise outcome.Cannot("dask", "store refs inside of values")
        (future,) = self.client.scatter([[outcome.owned(result)]], hash=False)
        return (future, 0)

    def fetch(self, handle, then):
        future, index = handle
        self.wanted.put((future, lambda value: then(self.failure(value) if _failed(value) else value[index])))

    def watch(self, handle, then):
        handle[0].add_done_callback(lambda future: then(self._state(future)))

    def cancel(self, future, ids, force, spared):
        """Asks the children that run it to stop, and cancels what has not begun."""
        self.client.run(_cancel, ids, spared, wait=False)
        self.client.cancel([future], force=force)

    def spared(self):
        # Dask interrupts nothing.
        return []

    def block(self, handles, any, seconds):
        """Gives the worker's thread to other tasks."""
        if not getattr(_seceded, "yes", False):
            distributed.secede()
            _seceded.yes = True
        return False

    def unblock(self):
        if getattr(_seceded, "yes", False):
            _seceded.yes = False
            distributed.rejoin()

    def failure(self, error):
        if isinstance(error, outcome.Cannot):
            return outcome.cannot(*error.args)
        kinds = [
            (distributed.scheduler.KilledWorker, "WorkerCrashed"),
            (distributed.client.FutureCancelledError, "Cancelled"),
            (distributed.CancelledError, "Cancelled"),
            (MemoryError, "StoreFull"),
        ]
        for known, kind in kinds:
            if isinstance(error, known):
                return outcome.failed(kind, " ".join(str(error).split()))
        return outcome.failed("Engine", f"{type(error).__name__}: {error}")


def _failed(value):
    return isinstance(value, BaseException)


# In a worker.

_seceded = threading.local()
_nested = None
_lock = threading.Lock()


def run(job, header, *flat):
    """A task of Dask's: some calls, and the objects that they need as Dask resolved them."""
    calls, retries = header
    calls = [(id, call, [flat[need][index] for need, index in needs], {}) for id, call, needs in calls]
    results = host.run(job, calls, 1, retries, _missing, lambda child: _bridge(job, child))
    results = [outcome.owned(outcome.without_refs("dask", result)) for result in results]
    large = sum(len(payload) for status, payload, *_ in results if status == outcome.VALUE) > LARGE_BYTES
    return list(results) if large else tuple(results)


async def _cancel(ids, spared):
    """In a worker's event loop, which a child that does not read must not hold up."""
    await asyncio.to_thread(host.cancel, ids, spared)


def _missing():
    raise FileNotFoundError("the program is not on this node; Dask workers get it when the driver starts")


def _bridge(job, child):
    global _nested
    with _lock:
        if _nested is None:
            _nested = Dask(distributed.get_client(), None, job, None)
    return Bridge(_nested, child.writer)
