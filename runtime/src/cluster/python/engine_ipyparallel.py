"""ipyparallel, by its Python API.

It has no object store: what a task gives comes to the client, and goes out again with the tasks that need it.
So the sidecar is the store: a handle is a `Slot`, and a call is sent when the slots that it needs are full.

A call is tried again on its engine; an engine that dies is replaced by another, as often as the call may be
tried again.
"""

import contextlib
import os
import queue
import shutil
import tempfile
import threading
import time

import ipyparallel
import psutil
from ipyparallel import error as errors

from . import binary, host, outcome, shipping
from .bridge import Bridge
from .sidecar import Refused

# From here on a value is not told with the news of its completion, but kept until it is asked for.
LARGE_BYTES = 64 * 1024
# How long engines may take to register.
CONNECT_SECONDS = 60
# How long the controller may take to answer.
ANSWER_SECONDS = 10
# How long the hub may take to hear of a task that was sent.
HEARD_SECONDS = 2.0


def connect(settings):
    """Joins a cluster as a client, or starts one."""
    address = settings["address"] or "default"
    cluster = None
    try:
        if address == "local":
            engines = settings["num_cpus"] or os.cpu_count()
            cluster = Own(engines)
            client = cluster.client
        elif os.path.exists(address):
            client = ipyparallel.Client(address, timeout=ANSWER_SECONDS)
        else:
            client = ipyparallel.Client(profile=address, timeout=ANSWER_SECONDS)
    except (OSError, errors.IPythonError) as error:
        text = (
            f"no ipyparallel cluster at {address!r}: {error}; start one by `ipcluster start`, set MOBULA_ADDRESS "
            "to its profile or its connection file, or to local for one that ends with this program"
        )
        raise Refused("Engine", text) from None
    if not client.ids:
        raise Refused("Engine", f"the ipyparallel cluster at {address!r} has no engines")
    job = {
        "binary": binary.describe(settings["program"]),
        "arguments": settings["arguments"],
        "environment": settings["environment"],
        "serves": settings["serves"],
    }
    _send_ahead(client, job)
    return Ipyparallel(client, cluster, job)


def _send_ahead(client, job):
    """Gives every engine this package, and the program where it has no such file."""
    package, texts = shipping.package_of(__name__)
    engines = client[:]
    code = "import types; mobula_ = types.ModuleType('shipping'); "
    code += f"exec({texts['shipping']!r}, mobula_.__dict__); mobula_.install({package!r}, {texts!r}); del mobula_"
    engines.execute(code, block=True)
    here = engines.apply_sync(binary.is_here, job["binary"])
    if not all(here):
        with open(job["binary"]["path"], "rb") as file:
            engines.apply_sync(binary.store, job["binary"], file.read())


class Own:
    """A cluster of this process's own, with a folder of its own, that ends with it at once."""

    def __init__(self, engines):
        self.folder = tempfile.mkdtemp(prefix="mobula-ipyparallel-")
        try:
            cluster = ipyparallel.Cluster(n=engines, profile_dir=self.folder, log_level=40)
            cluster.start_cluster_sync()
            self.client = cluster.connect_client_sync()
            self.client.wait_for_engines(engines, timeout=CONNECT_SECONDS)
        except BaseException:
            self.end()
            raise

    def end(self):
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Slot:
    """A value that is there, or will be."""

    def __init__(self):
        self.outcome = None
        self.waiters = []
        self.lock = threading.Lock()

    def fill(self, result):
        with self.lock:
            self.outcome = result
            waiters, self.waiters = self.waiters, []
        for then in waiters:
            then(result)

    def when_full(self, then):
        with self.lock:
            if self.outcome is None:
                self.waiters.append(then)
                return
        then(self.outcome)


class Ipyparallel:
    """What the bridge asks of ipyparallel."""

    def __init__(self, client, cluster, job):
        self.client = client
        self.cluster = cluster
        self.job = job
        # Engines that come later have not got this package.
        self.engines = client.ids
        self.view = client.load_balanced_view()
        self.cpus = float(len(self.engines))
        # What is to be asked of the client, which is one thread's.
        self.wishes = queue.SimpleQueue()
        # The tasks that were sent and have not ended.
        self.under_way = {}
        self.lock = threading.Lock()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        if self.cluster is not None:
            self.cluster.end()
        with contextlib.suppress(Exception):
            self.client.close()

    # Calls.

    def refusal(self, task):
        options = task.options
        lacking = [name for name in ("resources", "priority") if options.get(name)]
        if options.get("num_cpus", 1) != 1:
            lacking.append("num_cpus")
        if task.carries:
            lacking.append("refs inside of values")
        if lacking:
            return outcome.cannot("ipyparallel", f"honour {', '.join(lacking)}")
        return None

    def submit(self, group, sent):
        """Sends the calls when what they need is there, and gives their results' slots."""
        slots = [Slot() for _ in group]
        needed = [[sent.bridge.objects[id].handle for id in task.needs] for task in group]
        missing = Countdown(sum(map(len, needed)), lambda: self.wishes.put((self._send, sent, slots, needed)))
        for slot in (slot for slots in needed for slot in slots):
            slot.when_full(lambda _: missing.less())
        missing.less()
        return slots

    def _serve(self):
        while True:
            act, *arguments = self.wishes.get()
            act(*arguments)

    def _send(self, sent, slots, needed):
        calls = [
            (task.id, bytes(task.take_call()), [slot.outcome for slot in slots], {})
            for task, slots in zip(sent.group, needed)
        ]
        retries = sent.group[0].options.get("max_retries", 0)
        alive = [engine for engine in self.client.ids if engine in self.engines]
        if not alive:
            self._ended(sent, slots, [outcome.failed("Engine", "no engine is left")] * len(slots))
            return
        try:
            with self.view.temp_flags(retries=retries, targets=alive):
                result = self.view.apply_async(run, self.job, calls, retries)
        except Exception as error:
            self._ended(sent, slots, [self.failure(error)] * len(slots))
            return
        with self.lock:
            self.under_way[id(result)] = (sent, slots)
        if not sent.begin(result):
            self._cancel(result)
        result.add_done_callback(lambda result: self._done(result, sent, slots))

    def _done(self, result, sent, slots):
        with self.lock:
            if self.under_way.pop(id(result), None) is None:
                return
        try:
            outcomes = result.get(timeout=ANSWER_SECONDS)
        except BaseException as error:
            outcomes = [self.failure(error)] * len(slots)
        self._ended(sent, slots, outcomes)

    def _ended(self, sent, slots, outcomes):
        for slot, result in zip(slots, outcomes):
            slot.fill(result)
        sent.ended([_news(result) for result in outcomes])

    # Objects.

    def is_stored(self, handle):
        return handle.outcome is not None

    def put(self, result):
        if result[2]:
            raise outcome.Cannot("ipyparallel", "store refs inside of values")
        slot = Slot()
        slot.fill(outcome.owned(result))
        return slot

    def fetch(self, handle, then):
        handle.when_full(then)

    def watch(self, handle, then):
        handle.when_full(lambda result: then(_news(result)))

    def cancel(self, result, ids, force, spared):
        # What was not sent is cancelled when its turn comes. There are no children: tasks submit nothing here.
        if result is not None:
            self.wishes.put((self._cancel, result))

    def _cancel(self, result):
        """Cancels what no engine has. Nothing reaches what runs: it goes on, and its result is for nobody."""
        waits = self._waits(result)
        with self.lock:
            found = self.under_way.pop(id(result), None)
        if found is None:
            return
        sent, slots = found
        if not waits:
            ended = outcome.cannot("ipyparallel", "stop what runs: it goes on, and its result is for nobody")
        else:
            result.abort()
            ended = outcome.failed("Cancelled", "the task was cancelled")
        self._ended(sent, slots, [ended] * len(slots))

    def _waits(self, result):
        """Whether no engine has the task yet, as the hub says once it has heard of it."""
        (task,) = result.msg_ids
        end = time.monotonic() + HEARD_SECONDS
        while not result.ready() and time.monotonic() < end:
            try:
                status = self.client.queue_status(verbose=True)
            except Exception:
                return False
            if task in status.pop("unassigned"):
                return True
            if any(task in engine["tasks"] for engine in status.values()):
                return False
        return False

    def failure(self, error):
        if isinstance(error, outcome.Cannot):
            return outcome.cannot(*error.args)
        for known, kind in ((errors.EngineError, "WorkerCrashed"), (errors.TaskAborted, "Cancelled")):
            if isinstance(error, known):
                return outcome.failed(kind, " ".join(str(error).split()))
        if isinstance(error, errors.RemoteError) and error.ename in ("EngineError", "TaskAborted"):
            kind = "WorkerCrashed" if error.ename == "EngineError" else "Cancelled"
            return outcome.failed(kind, error.evalue)
        return outcome.failed("Engine", f"{type(error).__name__}: {error}")


class Countdown:
    """Does something once, when as much has come as was missing, and who counts has begun to wait."""

    def __init__(self, missing, then):
        self.missing = missing + 1
        self.then = then
        self.lock = threading.Lock()

    def less(self):
        with self.lock:
            self.missing -= 1
            last = self.missing == 0
        if last:
            self.then()


def _news(result):
    """The outcome as it is told: a large value stays here until it is asked for."""
    status, payload, carries, seconds = result
    if status == outcome.VALUE and len(payload) > LARGE_BYTES:
        return (outcome.REMOTE, len(payload), carries, seconds)
    return result


# In an engine.


class Alone:
    """What a call finds that asks for the cluster: ipyparallel's engines cannot."""

    cpus = 1.0

    def refusal(self, task):
        return outcome.cannot("ipyparallel", "run calls that a task makes")

    def is_stored(self, _):
        return False

    def put(self, result):
        raise outcome.Cannot("ipyparallel", "store what a task puts")

    def failure(self, error):
        return outcome.cannot(*error.args)

    def spared(self):
        # What interrupts an engine ends it.
        return []

    def block(self, handles, any, seconds):
        return True

    def unblock(self):
        pass


class Lone(Bridge):
    """What serves its child there: no ref is known, and what has any inside is refused for them."""

    def handles(self, ids):
        return dict.fromkeys(ids)


def run(job, calls, retries):
    """A task of ipyparallel's: some calls, and what they need."""
    results = host.run(job, calls, 1, retries, _missing, lambda child: Lone(Alone(), child.writer))
    return [outcome.owned(outcome.without_refs("ipyparallel", result)) for result in results]


def _missing():
    raise FileNotFoundError("the program is not on this node; engines get it when the driver starts")
