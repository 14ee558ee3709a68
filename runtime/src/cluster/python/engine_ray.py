"""Ray, by its Python API.

A handle is a triple of meta, index and payload. `meta` is a ref to the outcomes of a task of Ray's, of which
the object's is the one at `index`; it is small, so Ray brings it to whoever owns it with the news that the
task has ended. `payload` is a ref to a pair of bytes and handles carried in them: of an object that was put
(then there is no meta), or of a result too large for the meta. It moves only to where it is needed.
"""

import asyncio
import collections
import mmap
import os
import pickle
import shutil
import socket
import tempfile
import threading
import time

from . import binary, host, outcome, placing, shipping
from .bridge import Bridge
from .hosting import Hosting
from .losing import Losing
from .order import Order
from .relay import Relay
from .sidecar import Refused


def _choose_token():
    """Ray asks the cluster in vain for long where a token is missing, and does not look for one by itself."""
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or os.path.expanduser("~/.ray/auth_token")
    has_token = bool(os.environ.get("RAY_AUTH_TOKEN")) or os.path.exists(path)
    if has_token:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    elif os.environ.get("RAY_AUTH_MODE") == "token":
        text = f"RAY_AUTH_MODE is token, and there is none: set RAY_AUTH_TOKEN, or write it to {path}"
        raise Refused("Engine", text)


# What Ray reads when it is imported. How often it asks a cluster that does not let it in, once a second:
os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "3")
# A thread that asks for something after the farewell is to start no new cluster:
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
_choose_token()

import ray  # noqa: E402
from ray import exceptions  # noqa: E402
from ray.util.placement_group import placement_group, remove_placement_group  # noqa: E402
from ray.util.scheduling_strategies import (  # noqa: E402
    NodeAffinitySchedulingStrategy,
    PlacementGroupSchedulingStrategy,
)

# From here on bytes go to the object store from where they lie, and are read where they are.
OUT_OF_BAND_BYTES = 64 * 1024
# A result up to here is told with the news of its completion.
INLINE_BYTES = 64 * 1024
# How long a cluster may take to answer at all.
CONNECT_SECONDS = 5
# Marks what a host raises so that Ray tries the call again.
MARK = "mobula"
# Follows the outcome of a stream that has ended.
END = "end"
# How many calls of an actor may be under way in Ray; how many there are in fact, the driver sees to.
ACTOR_CALLS_MAX = 1_000_000
# How long calls of an actor that came together wait for each other.
TOGETHER_SECONDS = 0.1
# After how long a task that was cancelled is cancelled again: a host gives a call some time to notice.
CANCEL_AGAIN_SECONDS = 1.0 + host.GRACE_SECONDS
# How often it is looked whether what waits for a stream goes on: Ray only says when all of it is there.
STREAM_SECONDS = 0.02
# How often an item of a stream is read that nobody wants, so that it sees that it is to stop.
STOPPING_SECONDS = 0.02
# For how long it is believed what nodes there are.
NODES_SECONDS = 1.0

# What is asked for where no node is looked for.
NEVER_REFUSED = {"group", "detached", "of_actors"}

# What Ray calls its failures, and what we do.
KINDS = [
    (exceptions.TaskCancelledError, "Cancelled"),
    (exceptions.PendingCallsLimitExceeded, "PendingCallsLimit"),
    (exceptions.OutOfMemoryError, "WorkerCrashed"),
    (exceptions.WorkerCrashedError, "WorkerCrashed"),
    (exceptions.NodeDiedError, "WorkerCrashed"),
    (exceptions.RayActorError, "ActorDied"),
    (exceptions.ObjectStoreFullError, "StoreFull"),
    (exceptions.OutOfDiskError, "StoreFull"),
    (exceptions.ObjectLostError, "ObjectLost"),
    (exceptions.TaskUnschedulableError, "Infeasible"),
    (exceptions.ActorUnschedulableError, "Infeasible"),
    (exceptions.GetTimeoutError, "Timeout"),
]


def connect(settings):
    """Joins a cluster as a driver."""
    address = settings["address"] or "auto"
    own = {}
    if address == "local":
        own = _own(settings)
    else:
        _check_address(address)
    try:
        ray.init(
            address=None if own else address,
            namespace=settings["namespace"],
            logging_level="warning",
            **own,
        )
    except ConnectionError as error:
        raise _unreachable(address, error) from None
    program = binary.describe(settings["program"])
    job = {
        "binary": program,
        "content": [_put_file(program["path"])],
        "arguments": settings["arguments"],
        "environment": settings["environment"],
        "serves": settings["serves"],
        "package": shipping.package_of(__name__),
        # The name of the relay, where there are actors that tasks may ask for.
        "relay": f"mobula-{os.urandom(8).hex()}" if settings["actors"] else None,
    }
    return Ray(job, own.get("_temp_dir"))


def _put_file(path):
    with open(path, "rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return ray.put(pickle.PickleBuffer(content))


def _own(settings):
    """What a cluster has that ends with this process, and leaves nothing behind."""
    resources = dict(settings["resources"])
    return {
        "num_cpus": settings["num_cpus"],
        "num_gpus": resources.pop("gpu", 0),
        "resources": resources,
        "include_dashboard": False,
        "_temp_dir": tempfile.mkdtemp(prefix="ray-"),
    }


def _unreachable(address, error):
    mode = os.environ.get("RAY_AUTH_MODE", "unset")
    return Refused(
        "Engine",
        f"no Ray cluster at {address!r} (RAY_AUTH_MODE is {mode}): {error}; start one by `ray start --head`, set "
        "MOBULA_ADDRESS to its host:port or ray://host:port, or to local for one that ends with this program; where "
        "a cluster asks for a token, set RAY_AUTH_MODE=token and its RAY_AUTH_TOKEN, where it does not, disabled",
    )


def _check_address(address):
    """Ray tries for a minute to reach what nobody listens on."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]") or "127.0.0.1", int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise _unreachable(address, error) from None


class Ray:
    """What the bridge asks of Ray, in the driver's sidecar and in hosts."""

    def __init__(self, job, folder=None):
        self.job = job
        # That of a cluster of this process's own.
        self.folder = folder
        self.functions = {}
        # By the ids of the program's actors.
        self.actors = {}
        self.cancelling = Cancelling()
        self.losing = Losing(_is_gone)
        self.actor_class = None
        # The way to the driver's actors.
        self.relay = None
        self.lock = threading.Lock()
        # How many calls each caller has sent there.
        self.upcalls = collections.Counter()
        self.nodes = (0.0, [])
        self.cpus = ray.cluster_resources().get("CPU", 1.0)

    def close(self):
        self.cancelling.close()
        ray.shutdown()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    # Calls.

    def submit(self, group, sent):
        """Makes the calls one task of Ray's, and gives their results' handles."""
        if group[0].actor is not None:
            return self._call_actor(group, sent)
        if "of_actors" in group[0].options:
            return [self._call_up(group[0], sent)]
        if "stream" in group[0].options:
            return [self._stream(group[0], sent)]
        if "detached" in group[0].options:
            return [self._look_for(group[0].options["detached"], sent)]
        if "group" in group[0].options:
            return [self._reserve(group[0].options["group"], sent)]
        split = len(group) == 1 and not sent.bridge.fuser.is_small(group[0].function)
        header, flat = self._pack(group, split, sent.bridge)
        refs = self._function(group[0], 1 + split, sent.bridge).remote(header, *flat)
        meta, payload = refs if split else (refs, None)
        sent.task = meta
        meta._on_completed(lambda value: sent.ended(self.failure(value) if _failed(value) else value))
        return [(meta, index, payload) for index in range(len(group))]

    def _call_actor(self, group, sent):
        """Makes calls of one actor one call of Ray's."""
        hosted = self.actors[group[0].actor]
        split = len(group) == 1 and not sent.bridge.fuser.is_small(group[0].function)
        (calls, _, _), flat = self._pack(group, split, sent.bridge)
        number = group[0].turn
        if split:
            meta, payload = hosted.split.remote(hosted.caller, number, split, calls, *flat)
        else:
            meta, payload = hosted.actor.call.remote(hosted.caller, number, split, calls, *flat), None
        sent.task = hosted.actor

        def ended(value):
            if isinstance(value, exceptions.RayActorError):
                self._is_lost(hosted.actor, value, lambda text: sent.ended(outcome.lost(True, text)))
            elif _failed(value):
                # It may have failed on its way.
                self.skip(group[0])
                sent.ended(self.failure(value))
            else:
                sent.ended(value)
                late = [index for index, result in enumerate(value) if result is None]
                for index in late:
                    self._wait_for_late(hosted.actor, sent, index)

        meta._on_completed(ended)
        return [(meta, index, payload) for index in range(len(group))]

    def skip(self, task):
        """The call is not sent, and those after it are not to wait for it."""
        hosted = self.actors.get(task.actor)
        if hosted is not None:
            hosted.actor.passes.remote(hosted.caller, task.turn)

    def _call_up(self, task, sent):
        """Sends a call to the driver, which has the actor."""
        if self.relay is None:
            try:
                self.relay = ray.get_actor(self.job["relay"])
            except ValueError as error:
                raise Failure(outcome.failed("ActorDied", _first_lines(error))) from None
        (calls, _, _), flat = self._pack([task], True, sent.bridge)
        # What one caller has asked for may be what another one waits for.
        relay, caller = self.relay, bytes(task.options["of_actors"])
        with self.lock:
            number = self.upcalls[caller]
            self.upcalls[caller] += 1
        try:
            meta = relay.call.remote(caller, number, False, calls, *flat)
        except Exception:
            relay.passes.remote(caller, number)
            raise
        sent.task = relay

        def ended(value):
            if _failed(value):
                # It may have failed on its way, and those after it would wait for it.
                relay.passes.remote(caller, number)
                value = self.failure(value)
            sent.ended(value)

        meta._on_completed(ended)
        return (meta, 0, None)

    def listen(self, bridge):
        """Lets the program hear, from now on, what tasks ask of its actors."""
        if self.job["relay"] is None:
            return
        strategy = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        chosen = {"name": self.job["relay"], "num_cpus": 0, "max_concurrency": ACTOR_CALLS_MAX}
        self.relay = self._shipped("Relayed").options(scheduling_strategy=strategy, **chosen).remote()
        self._hear(bridge)

    def _hear(self, bridge):
        def came(taken):
            if _failed(taken):
                # It is gone, or we are about to be. Who calls it hears so.
                return
            for what, *rest in taken:
                if what == "call":
                    bridge.upcall(*rest)
                else:
                    bridge.cancel_upcall(*rest)
            self._hear(bridge)

        self.relay.take.remote()._on_completed(came)

    def answer(self, id, result):
        """The program tells what came of what a task has asked for."""
        self.relay.answer.remote(id, outcome.owned(result))

    def _wait_for_late(self, actor, sent, index):
        """Tells of a call when it has ended that took longer than others with it."""

        def tell(result):
            outcomes = [None] * len(sent.group)
            outcomes[index] = result
            sent.ended(outcomes)

        def ended(value):
            if isinstance(value, exceptions.RayActorError):
                self._is_lost(actor, value, lambda text: tell(outcome.lost(True, text)))
            else:
                tell(self.failure(value) if _failed(value) else value)

        actor.late.remote(sent.group[index].id)._on_completed(ended)

    def _stream(self, task, sent):
        """Makes the call one of Ray's generators, which a thread reads as far as items are wanted."""
        header, flat = self._pack([task], True, sent.bridge)
        generator = self._function(task, "streaming", sent.bridge).remote(header, *flat)
        sent.task = Reading(generator, task.id, sent, self)
        handle = Stream((generator.completed(), 0, None))
        handle.reading = sent.task
        return handle

    def _pack(self, group, split, bridge):
        """The calls, with positions in the arguments in the place of the objects that they need."""
        flat, positions = [], {}

        def position(ref):
            if ref is None:
                return None
            if ref not in positions:
                positions[ref] = len(flat)
                flat.append(ref)
            return positions[ref]

        calls = []
        for task in group:
            needs = [bridge.objects[id].handle for id in task.needs]
            needs = [(position(meta), index, position(payload)) for meta, index, payload in needs]
            calls.append((task.id, _blob(task.take_call()), needs, bridge.handles(task.carries)))
        return (calls, group[0].options.get("max_retries", 0), split), flat

    def _function(self, task, returns, bridge):
        """The remote function of these options; Ray sends it to a worker once."""
        key = (task.options_key, returns)
        function = self.functions.get(key)
        if function is None:
            options = {**self._options(task.options), **_placement(task.options, bridge)}
            name, ship = "run", shipping.caller
            if returns == "streaming":
                name, ship = "stream", shipping.generator
                options["_generator_backpressure_num_objects"] = task.options["stream"]
            if name not in self.functions:
                ray.cloudpickle.register_pickle_by_value(shipping)
                self.functions[name] = ray.remote(ship(*self.job["package"], "engine_ray", name, self.job))
            function = self.functions[key] = self.functions[name].options(num_returns=returns, **options)
        return function

    def _reserve(self, wanted, sent):
        """Makes a placement group, whose handle is that of an object which is there when the group is ready."""
        self._refuse(lambda nodes: placing.refusal_of_group(wanted["strategy"], wanted["bundles"], nodes))
        group = placement_group(wanted["bundles"], strategy=wanted["strategy"])
        nothing = ray.remote(shipping.caller(*self.job["package"], "engine_ray", "nothing"))
        strategy = PlacementGroupSchedulingStrategy(group)
        meta = nothing.options(num_cpus=0, name="placement_group", scheduling_strategy=strategy).remote()
        sent.task = meta
        meta._on_completed(lambda value: sent.ended(self.failure(value) if _failed(value) else value))
        handle = Group((meta, 0, None))
        handle.group = group
        return handle

    # Actors. The driver sees to all that concerns their lives: to Ray each is a process with some resources.

    def host(self, id, options, bridge, then):
        """Starts an actor of Ray's for one of the program's, or gives why not; `then` is told how it went, where it is
        lost."""
        if self.actor_class is None:
            self.actor_class = self._shipped("Host", self.job)
        in_turn, detached = options.get("in_turn", False), options.get("detached")
        # Where nothing is asked for, it is as Ray has it: one CPU to start with, and none while it lives.
        chosen = {"max_concurrency": ACTOR_CALLS_MAX, **_placement(options, bridge)}
        if options.keys() & {"num_cpus", "resources"}:
            chosen |= self._resources(options)
            if "group" not in options.get("placement", "") and not any(placing.amounts(options).values()):
                # What takes nothing Ray puts anywhere, whatever place it is to prefer. A byte is something.
                chosen["memory"] = 1
        if detached is not None:
            shares = detached["found"] == "share"
            chosen |= {"lifetime": "detached", "get_if_exists": shares, **_name(detached)}
        if detached is not None and detached["found"] == "expect":
            actor = _named(detached)
        else:
            # An actor is made anew as soon as its node is gone. There may be a node for what asks for nothing soon.
            if options.keys() & {"num_cpus", "resources", "placement"}:
                self._refuse(lambda nodes: placing.refusal(options, nodes), 0)
            try:
                actor = self.actor_class.options(**chosen).remote(in_turn, detached and detached["kind"])
            except exceptions.ActorAlreadyExistsError as error:
                return outcome.failed("Config", _first_lines(error))
        hosted = Hosted(actor)
        self.actors[id] = hosted

        def tell(text):
            if id in self.actors:
                then(text)

        def ended(value):
            if isinstance(value, exceptions.RayActorError):
                self._is_lost(actor, value, tell)
            else:
                tell(_first_lines(value) if _failed(value) else value)

        hosted.end._on_completed(ended)
        return None

    def _shipped(self, name, *first):
        """A class of this module's as one of Ray's actors."""
        ray.cloudpickle.register_pickle_by_value(shipping)
        return ray.remote(shipping.actor(*self.job["package"], "engine_ray", name, *first))

    def _is_lost(self, actor, error, then):
        """Tells `then` why, once it is sure."""
        text = _first_lines(error)
        if isinstance(error, exceptions.ActorUnavailableError):
            self.losing.add(actor, lambda: then(text))
        else:
            then(text)

    def unhost(self, id, ends):
        hosted = self.actors.pop(id, None)
        if hosted is None:
            return
        if ends:
            ray.kill(hosted.actor)
        else:
            # It is no longer told how the actor ends, nor remembered there.
            ray.cancel(hosted.end)
            hosted.actor.leaves.remote(hosted.caller)

    def take_back(self, id, calls, begun):
        hosted = self.actors.get(id)
        if hosted is not None:
            (hosted.actor.cancel if begun else hosted.actor.take_back).remote(calls)

    def _look_for(self, detached, sent):
        """Sees whether the actor of that name lives, and gives the handle of what is there if it does."""
        meta = _named(detached).kind.remote(detached["kind"])
        sent.task = meta
        meta._on_completed(lambda value: sent.ended(self.failure(value) if _failed(value) else value))
        return (meta, 0, None)

    def _resources(self, options):
        resources = options.get("resources", {})
        return {
            "num_cpus": options.get("num_cpus", 1),
            "resources": {name: amount for name, amount in resources.items() if name != "gpu"},
            "num_gpus": resources.get("gpu", 0),
        }

    def _options(self, options):
        retries = options.get("max_retries", 0)
        return {
            "name": options.get("name") or "mobula",
            **self._resources(options),
            "max_retries": retries,
            "retry_exceptions": [RuntimeError] if retries else False,
        }

    def refusal(self, task):
        """Why no node that there is can ever run the call."""
        options = task.options
        if not options or not options.keys().isdisjoint(NEVER_REFUSED):
            return None
        return self._refusal(lambda nodes: placing.refusal(options, nodes))

    def _refusal(self, why, age_max=NODES_SECONDS):
        """What `why` says of the nodes that live, where it says so of those that are known, and of those now, too."""
        for age_max in (age_max, 0):
            when, nodes = self.nodes
            if time.monotonic() - when >= age_max:
                nodes = [node for node in ray.nodes() if node["Alive"]]
                self.nodes = (time.monotonic(), nodes)
            text = why(nodes)
            if text is None:
                return None
        return outcome.failed("Infeasible", text)

    def _refuse(self, why, age_max=NODES_SECONDS):
        refused = self._refusal(why, age_max)
        if refused is not None:
            raise Failure(refused)

    # Objects.

    def is_stored(self, handle):
        return handle[0] is None

    def put(self, payload, carries):
        return (None, 0, ray.put((_blob(payload), carries)))

    def fetch(self, handle, then):
        meta, index, payload = handle
        if payload is None:
            self.watch(handle, then)
            return

        def arrived(value):
            # A result that was small is in the meta.
            if value is None:
                self.watch(handle, then)
            elif _failed(value):
                then(self.failure(value))
            else:
                bytes, carries = value
                then((outcome.VALUE, _bytes(bytes), carries, 0.0))

        payload._on_completed(arrived)

    def watch(self, handle, then):
        meta, index, _ = handle
        if meta is None:
            then((outcome.REMOTE, 0, {}, 0.0))
        else:
            meta._on_completed(lambda value: then(self.failure(value) if _failed(value) else value[index]))

    def cancel(self, task, ids, force):
        if isinstance(task, ray.actor.ActorHandle):
            task.cancel.remote(ids)
            return
        if isinstance(task, Reading):
            task.read_on()
            task = task.generator.completed()
        if force:
            ray.cancel(task, force=True)
        else:
            self.cancelling.add(task)

    def block(self, handles, any, seconds):
        """Ray gives the CPU of a worker that waits in its calls to others."""
        refs = list({handle[0] for handle in handles if handle[0] is not None})
        if not refs:
            return True
        for handle in handles:
            if isinstance(handle, Stream):
                seconds = STREAM_SECONDS
        enough = 1 if any else len(refs)
        ready, _ = ray.wait(refs, num_returns=enough, timeout=seconds, fetch_local=False)
        return len(ready) >= enough

    def unblock(self):
        pass

    def failure(self, error):
        """The outcome of a task that Ray says has failed."""
        if isinstance(error, Failure):
            return error.args[0]
        cause = error
        while isinstance(cause, exceptions.RayTaskError) and cause.cause is not None:
            cause = cause.cause
        if isinstance(cause, RuntimeError) and cause.args[:1] == (MARK,):
            _, status, payload = cause.args
            return (status, payload, {}, 0.0)
        for known, kind in KINDS:
            if isinstance(cause, known) or isinstance(error, known):
                return outcome.failed(kind, _first_lines(cause))
        return outcome.failed("Engine", f"{type(cause).__name__}: {_first_lines(cause)}")


def _name(detached):
    """Name and namespace of an actor, as Ray takes them; where none is told it is in that of the program."""
    return {"name": detached["name"], "namespace": detached["namespace"] or None}


def _named(detached):
    """The actor of that name."""
    try:
        actor = ray.get_actor(**_name(detached))
    except ValueError as error:
        raise Failure(outcome.failed("ActorDied", _first_lines(error))) from None
    if not hasattr(actor, "kind"):
        raise Failure(outcome.failed("Value", "the name is that of an actor of another program's"))
    return actor


def _is_gone(actor):
    """Whether Ray has given the actor up."""
    known = ray._private.state.actors(actor._actor_id.hex())
    return known.get("State", "DEAD") == "DEAD"


class Failure(Exception):
    """A failure by its outcome."""


class Hosted:
    """An actor of Ray's in which one of the program's lives."""

    def __init__(self, actor):
        self.actor = actor
        # As its `call`, for one whose result may be large.
        self.split = actor.call.options(num_returns=2)
        # Tells our calls from those of other programs.
        self.caller = os.urandom(8)
        # A ref to how it ends.
        self.end = actor.ended.remote()


class Cancelling:
    """Tasks that were cancelled and have not ended. A task that is just about to begin may not hear of it: Ray does not
    always tell its worker, and the interrupt by which the worker is told can be lost before the task's function has
    begun. So it is done again, after longer than it takes where it works."""

    def __init__(self):
        self.lock = threading.Lock()
        self.tasks = set()
        self.is_watched = False

    def add(self, task):
        ray.cancel(task)
        with self.lock:
            self.tasks.add(task)
            begins, self.is_watched = not self.is_watched, True
        task._on_completed(lambda _: self._remove(task))
        if begins:
            threading.Thread(target=self._repeat, daemon=True).start()

    def close(self):
        with self.lock:
            self.tasks.clear()

    def _remove(self, task):
        with self.lock:
            self.tasks.discard(task)

    def _repeat(self):
        while True:
            time.sleep(CANCEL_AGAIN_SECONDS)
            with self.lock:
                tasks = list(self.tasks)
                self.is_watched = bool(tasks)
            if not tasks:
                return
            for task in tasks:
                if task in self.tasks:
                    ray.cancel(task)


class Reading:
    """Reads a stream, on a thread of its own, as far as items are wanted: what it has not read, the generator of Ray's
    is behind with, and waits."""

    def __init__(self, generator, id, sent, engine):
        self.generator = generator
        self.id = id
        self.sent = sent
        self.engine = engine
        self.wanted = 0
        self.stops = False
        # What came of the call, once that is known.
        self.end = None
        self.changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def more(self, count):
        with self.changed:
            self.wanted += count
            self.changed.notify()

    def read_on(self):
        """To the end, which comes soon; but no faster than that, if Ray has not told the task that it is to stop."""
        self.stops = True
        self.more(1)

    def close(self):
        if self.end is None:
            self.engine.cancel(self, [self.id], False)

    def _read(self):
        while self.end is None:
            with self.changed:
                self.changed.wait_for(lambda: self.wanted > 0, STOPPING_SECONDS if self.stops else None)
                if self.wanted == 0 and not self.stops:
                    continue
                self.wanted = max(0, self.wanted - 1)
            try:
                self.end = self._read_one()
            except Exception as error:
                self.end = self.engine.failure(error)
        self.sent.ended(self.end)

    def _next(self):
        """The next ref of the generator's; where there is none, raises why the task ended without telling the end."""
        ref = next(self.generator, None)
        if ref is None:
            ray.get(self.generator.completed())
            if self.stops:
                # Ray does not always tell why.
                raise exceptions.TaskCancelledError
            raise LookupError("the stream ended in the middle")
        return ref

    def _read_one(self):
        """Reads an item, or the end, which it gives."""
        meta = self._next()
        result, *end = ray.get(meta)
        if end == [END]:
            return result
        payload = None
        if result[0] == outcome.REMOTE:
            payload = self._next()
            if payload == self.generator.completed():
                # Not the value, but why the task ended before it.
                ray.get(payload)
        self.sent.bridge.item(self.id, (meta, 0, payload), result)
        return None


class Stream(tuple):
    """The handle of a stream: its end's, and what reads it."""

    def more(self, count):
        self.reading.more(count)

    def close(self):
        """Nobody has it any more."""
        self.reading.close()


class Group(tuple):
    """The handle of a placement group."""

    def close(self):
        """Nobody has it any more."""
        remove_placement_group(self.group)


def _placement(options, bridge):
    """Where a task is to run, or an actor to live, as options of Ray's."""
    placement = options.get("placement")
    if placement is None:
        return {}
    if placement == "spread":
        return {"scheduling_strategy": "SPREAD"}
    ((kind, what),) = placement.items()
    if kind == "node":
        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(what["id"], soft=what["soft"])}
    if kind == "labels":
        return {"label_selector": what}
    held = bridge.objects.get(what["id"])
    if held is None or not isinstance(held.handle, Group):
        raise LookupError("the placement group is gone, or could not be made")
    group, bundle = held.handle.group, what["bundle"]
    text = placing.refusal_by_group(options, group.bundle_specs, bundle)
    if text is not None:
        raise Failure(outcome.failed("Infeasible", text))
    return {"scheduling_strategy": PlacementGroupSchedulingStrategy(group, -1 if bundle is None else bundle)}


def _failed(value):
    return isinstance(value, Exception)


def _blob(data):
    """Bytes as an argument or a value of Ray's, large ones without a copy on the way to the object store."""
    return pickle.PickleBuffer(data) if len(data) >= OUT_OF_BAND_BYTES else bytes(data)


def _bytes(blob):
    """What `_blob` made, on the other side."""
    return blob if isinstance(blob, bytes) else memoryview(blob).cast("B")


def _first_lines(error):
    return " ".join(str(error).split("\n\n")[0].split())


# In a worker.

_nested = None


def run(job, header, *flat):
    """A task of Ray's: some calls, and the objects that they need as Ray resolved them."""
    calls, retries, split = header
    attempt = ray._private.worker.global_worker.core_worker.get_current_task_attempt_number() + 1
    calls = [
        (id, _bytes(call), [_needed(*need, flat) for need in needs], carries) for id, call, needs, carries in calls
    ]
    try:
        results = host.run(job, calls, attempt, 0, lambda: _content(job), lambda child: _bridge(job, child))
    except host.Interrupted:
        raise KeyboardInterrupt from None
    if attempt <= retries and outcome.is_worth_a_try(results[0]):
        status, payload, _, _ = results[0]
        raise RuntimeError(MARK, status, payload)
    return _meta_and_payload(results[0]) if split else [outcome.owned(result) for result in results]


def stream(job, header, *flat):
    """A task of Ray's that gives a stream: for each item its outcomes, and its value apart where that is large. What comes
    last is the end of it."""
    ((id, call, needs, carries),), _, _ = header
    call = (id, _bytes(call), [_needed(*need, flat) for need in needs], carries)
    items = host.stream(job, call, 1, lambda: _content(job), lambda child: _bridge(job, child))
    while True:
        try:
            result = next(items)
        except StopIteration as ended:
            result = ended.value
            break
        except host.Interrupted:
            raise KeyboardInterrupt from None
        meta, payload = _meta_and_payload(result)
        yield meta
        if payload is not None:
            yield payload
    yield [result, END]


def nothing():
    """A task that gives nothing, as the program has it."""
    return [(outcome.VALUE, b"\x01\xc0", {}, 0.0)]


class Host:
    """What an actor of Ray's does, on its event loop."""

    def __init__(self, job, in_turn, kind):
        """`in_turn`: its calls run one after the other. `kind`: the type of an actor that outlives the program which
        starts it."""
        if kind is not None:
            # What its calls send to the cluster needs the program, which goes with whoever has put it there.
            path = binary.locate(job["binary"], lambda: _content(job))
            job = {**job, "content": [_put_file(path)]}
        self.of_kind = kind
        self.hosting = Hosting(job, in_turn, lambda: _content(job), lambda child: _bridge(job, child))
        # By who calls.
        self.orders = collections.defaultdict(Order)
        # What comes of calls that took longer than others with them, by their ids.
        self.late_answers = {}

    async def call(self, caller, number, split, calls, *flat):
        # Ray lets calls of what waits overtake each other.
        order = self.orders[caller]
        await order.turn(number)
        try:
            answers = self.hosting.call(
                (id, _bytes(call), [_needed(*need, flat) for need in needs], carries)
                for id, call, needs, carries in calls
            )
        finally:
            order.passes(number)
        if len(answers) == 1:
            result = await asyncio.wrap_future(answers[0])
            return _meta_and_payload(result) if split else [outcome.owned(result)]
        # Whoever has made them may wait for one, and another for what that does then.
        last = answers[-1:] if self.hosting.in_turn else answers
        await asyncio.wait([asyncio.wrap_future(answer) for answer in last], timeout=TOGETHER_SECONDS)
        results = [outcome.owned(answer.result()) if answer.done() else None for answer in answers]
        for (id, *_), answer, result in zip(calls, answers, results):
            if result is None:
                self.late_answers[id] = answer
        return results

    async def late(self, id):
        return outcome.owned(await asyncio.wrap_future(self.late_answers.pop(id)))

    def passes(self, caller, number):
        self.orders[caller].passes(number)

    def leaves(self, caller):
        """Who calls so calls no more."""
        self.orders.pop(caller, None)

    def cancel(self, ids):
        self.hosting.cancel(ids, "cancel")

    def take_back(self, ids):
        self.hosting.cancel(ids, "take_back")

    async def ended(self):
        # Several programs may wait for it.
        return await asyncio.shield(asyncio.wrap_future(self.hosting.end))

    def kind(self, wanted):
        """Nothing, as the program has it, or why this is not what is looked for."""
        if self.of_kind == wanted:
            return nothing()
        return [outcome.failed("Value", f"the name is that of an actor of another type, `{self.of_kind}`")]


class Relayed:
    """The relay, as an actor of Ray's."""

    def __init__(self):
        self.relay = Relay(_needed)
        self.passes, self.cancel = self.relay.passes, self.relay.cancel
        self.take, self.answer = self.relay.take, self.relay.answer

    async def call(self, caller, number, _, calls, *flat):
        return [await self.relay.call(caller, number, calls, flat)]


def _needed(meta, index, payload, flat):
    """The outcome of an object, with its value in it."""
    result = (outcome.REMOTE, 0, {}, 0.0) if meta is None else flat[meta][index]
    if result[0] != outcome.REMOTE:
        return result
    value, carries = flat[payload]
    return (outcome.VALUE, _bytes(value), carries, 0.0)


def _content(job):
    return bytes(memoryview(ray.get(job["content"][0])))


def _bridge(job, child):
    """Serves what the calls on this child ask for."""
    global _nested
    if _nested is None:
        _nested = Ray(job)
    return Bridge(_nested, child.writer)


def _meta_and_payload(result):
    """The outcomes of one call, and its value apart where that is large."""
    status, value, carries, seconds = result
    if status != outcome.VALUE or len(value) <= INLINE_BYTES:
        return [result], None
    return [(outcome.REMOTE, len(value), carries, seconds)], (_blob(value), carries)
