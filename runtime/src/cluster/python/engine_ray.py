"""Ray, by its Python API.

A handle is a triple of meta, index and payload. `meta` is a ref to the outcomes of a task of Ray's, of which
the object's is the one at `index`; it is small, so Ray brings it to whoever owns it with the news that the
task has ended. `payload` is a ref to a pair of bytes and handles carried in them: of an object that was put
(then there is no meta), or of a result too large for the meta. It moves only to where it is needed.
"""

import os
import shutil
import socket
import tempfile
import time

from . import binary, outcome, placing, shipping
from .losing import Losing
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

from . import ray_cancelling, ray_upcalls  # noqa: E402
from .ray_lending import Lending  # noqa: E402
from .ray_refs import Failure, failed, first_lines, when_there  # noqa: E402
from .ray_stream import Reading, Stream  # noqa: E402
from .ray_worker import MARK, blob, bytes_of, header, put_file  # noqa: E402

# How long a cluster may take to answer at all.
CONNECT_SECONDS = 5
# How many calls of an actor may be under way in Ray; how many there are in fact, the driver sees to.
ACTOR_CALLS_MAX = 1_000_000
# How often it is looked whether what waits for a stream goes on: Ray only says when all of it is there.
STREAM_SECONDS = 0.02
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
        "content": [put_file(program["path"])],
        "arguments": settings["arguments"],
        "environment": settings["environment"],
        "serves": settings["serves"],
        "package": shipping.package_of(__name__),
        # The name of the relay, where there are actors that tasks may ask for.
        "relay": ray_upcalls.name() if settings.get("actors") else None,
    }
    return Ray(job, own.get("_temp_dir"))


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
        self.cancelling = ray_cancelling.Cancelling()
        self.losing = Losing(_is_gone)
        self.lending = Lending()
        self.actor_class = None
        # The way to the driver's actors, and the driver's end of it.
        self.caller = ray_upcalls.Caller(job["relay"], self)
        self.hearer = None
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
            return [self.caller.call(group[0], sent)]
        if "stream" in group[0].options:
            return [self._stream(group[0], sent)]
        if "detached" in group[0].options:
            return [self._look_for(group[0].options["detached"], sent)]
        if "group" in group[0].options:
            return [self._reserve(group[0].options["group"], sent)]
        split = len(group) == 1 and not sent.bridge.fuser.is_small(group[0].function)
        calls, flat = self._pack(group, sent.bridge)
        told = header(calls, group[0].options.get("max_retries", 0), split)
        refs = self._function(group[0], 1 + split, sent.bridge).remote(told, *flat)
        meta, payload = refs if split else (refs, None)
        sent.task = meta
        when_there(meta, lambda value: sent.ended(self._outcomes(value)))
        return [(meta, index, payload) for index in range(len(group))]

    def _call_actor(self, group, sent):
        """Makes calls of one actor one call of Ray's."""
        hosted = self.actors[group[0].actor]
        split = len(group) == 1 and not sent.bridge.fuser.is_small(group[0].function)
        calls, flat = self._pack(group, sent.bridge)
        number = group[0].turn
        if split:
            meta, payload = hosted.split.remote(hosted.caller, number, split, calls, *flat)
        else:
            meta, payload = hosted.actor.call.remote(hosted.caller, number, split, calls, *flat), None
        sent.task = hosted.actor

        def ended(value):
            if isinstance(value, exceptions.RayActorError):
                self._is_lost(hosted.actor, value, lambda text: sent.ended(outcome.lost(True, text)))
            elif failed(value):
                # It may have failed on its way, or on the way back: then the calls have begun.
                self.skip(group[0])
                hosted.actor.give_up.remote([task.id for task in group])
                sent.ended(self.failure(value))
            else:
                outcomes = outcome.unpacked(value)
                sent.ended([None if _is_item(result) else result for result in outcomes])
                for index, result in enumerate(outcomes):
                    if result is None:
                        # It took longer than others with it.
                        self._wait_for(hosted.actor.late, hosted.actor, sent, index)
                    elif _is_item(result):
                        _tell_item(sent, index, result)

        when_there(meta, ended)
        return [(meta, index, payload) for index in range(len(group))]

    def skip(self, task):
        """The call is not sent, and those after it are not to wait for it."""
        hosted = self.actors.get(task.actor)
        if hosted is not None:
            hosted.actor.passes.remote(hosted.caller, task.turn)

    def listen(self, bridge):
        """Lets the program hear, from now on, what tasks ask of its actors."""
        if self.job["relay"] is not None:
            self.hearer = ray_upcalls.Hearer(self._shipped("Relayed"), self.job["relay"], bridge)

    def answer(self, id, result):
        """The program tells what came of what a task has asked for."""
        self.hearer.answer(id, result)

    def go_on(self, sent, id):
        """Lets a call of an actor go on that gives a stream, whose item was taken."""
        index = next(index for index, task in enumerate(sent.group) if task.id == id)
        hosted = self.actors.get(sent.group[index].actor)
        if hosted is not None:
            self._wait_for(hosted.actor.next, hosted.actor, sent, index)

    def _wait_for(self, method, actor, sent, index):
        """Tells of a call when it has ended, or of its next item, whichever this method of the actor's gives."""

        def tell(result):
            outcomes = [None] * len(sent.group)
            outcomes[index] = result
            sent.ended(outcomes)

        def ended(value):
            if isinstance(value, exceptions.RayActorError):
                self._is_lost(actor, value, lambda text: tell(outcome.lost(True, text)))
            elif failed(value):
                # Nobody asks for the rest any more.
                actor.give_up.remote([sent.group[index].id])
                tell(self.failure(value))
            elif _is_item(value):
                _tell_item(sent, index, value)
            else:
                tell(value)

        try:
            when_there(method.remote(sent.group[index].id), ended)
        except Exception as error:
            tell(self.failure(error))

    def _stream(self, task, sent):
        """Makes the call one of Ray's generators, which a thread reads as far as items are wanted."""
        calls, flat = self._pack([task], sent.bridge)
        generator = self._function(task, "streaming", sent.bridge).remote(header(calls, 0, True), *flat)
        sent.task = Reading(generator, task.id, sent, self)
        handle = Stream((generator.completed(), 0, None))
        handle.reading = sent.task
        return handle

    def _pack(self, group, bridge):
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
            calls.append((task.id, blob(task.take_call()), needs, bridge.handles(task.carries)))
        return calls, flat

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
                self.functions[name] = ray.remote(ship(*self.job["package"], "ray_worker", name, self.job))
            function = self.functions[key] = self.functions[name].options(num_returns=returns, **options)
        return function

    def _reserve(self, wanted, sent):
        """Makes a placement group, whose handle is that of an object which is there when the group is ready."""
        self._refuse(lambda nodes: placing.refusal_of_group(wanted["strategy"], wanted["bundles"], nodes))
        group = placement_group(wanted["bundles"], strategy=wanted["strategy"])
        nothing = ray.remote(shipping.caller(*self.job["package"], "ray_worker", "nothing"))
        strategy = PlacementGroupSchedulingStrategy(group)
        meta = nothing.options(num_cpus=0, name="placement_group", scheduling_strategy=strategy).remote()
        sent.task = meta
        when_there(meta, lambda value: sent.ended(self._outcomes(value)))
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
                return outcome.failed("Config", first_lines(error))
        hosted = Hosted(actor)
        self.actors[id] = hosted

        def tell(text):
            if id in self.actors:
                then(text)

        def ended(value):
            if isinstance(value, exceptions.RayActorError):
                self._is_lost(actor, value, tell)
            else:
                tell(first_lines(value) if failed(value) else value)

        when_there(hosted.end, ended)
        return None

    def _shipped(self, name, *first):
        """A class of `ray_worker` as one of Ray's actors."""
        ray.cloudpickle.register_pickle_by_value(shipping)
        return ray.remote(shipping.actor(*self.job["package"], "ray_worker", name, *first))

    def _is_lost(self, actor, error, then):
        """Tells `then` why, once it is sure."""
        text = first_lines(error)
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

    def take_back(self, id, calls, begun, children):
        hosted = self.actors.get(id)
        if hosted is not None:
            if begun:
                hosted.actor.cancel.remote(calls, children)
            else:
                hosted.actor.take_back.remote(calls)

    def _look_for(self, detached, sent):
        """Sees whether the actor of that name lives, and gives the handle of what is there if it does."""
        meta = _named(detached).kind.remote(detached["kind"])
        sent.task = meta
        when_there(meta, lambda value: sent.ended(self._outcomes(value)))
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

    def lend(self, handle, then):
        return self.lending.lend(handle, then)

    def is_stored(self, handle):
        return handle[0] is None

    def put(self, result):
        status, payload, carries, _ = result
        if status != outcome.VALUE:
            return (ray.put(outcome.packed([result])), 0, None)
        return (None, 0, ray.put((blob(payload), carries)))

    def fetch(self, handle, then):
        meta, index, payload = handle
        if payload is None:
            self.watch(handle, then)
            return

        def arrived(value):
            # A result that was small is in the meta.
            if value is None:
                self.watch(handle, then)
            elif failed(value):
                then(self.failure(value))
            else:
                bytes, carries = value
                then((outcome.VALUE, bytes_of(bytes), carries, 0.0))

        when_there(payload, arrived)

    def watch(self, handle, then):
        meta, index, _ = handle
        if meta is None:
            then((outcome.REMOTE, 0, {}, 0.0))
        else:
            when_there(meta, lambda value: then(self.failure(value) if failed(value) else outcome.unpacked(value)[index]))

    def cancel(self, task, ids, force, spared):
        if isinstance(task, ray.actor.ActorHandle):
            task.cancel.remote(ids, spared)
            return
        if isinstance(task, Reading):
            task.read_on()
            task = task.generator.completed()
        if force:
            ray.cancel(task, force=True)
        else:
            self.cancelling.add(task, spared)

    def spared(self):
        """Of the calls that run on this thread and are to stop, those whose children are to go on."""
        return ray_cancelling.spared()

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

    def _outcomes(self, value):
        """What came of a task's calls, by what Ray gives for it."""
        return self.failure(value) if failed(value) else outcome.unpacked(value)

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
                # Why a task was cancelled Ray does not say.
                text = "it was cancelled" if kind == "Cancelled" else first_lines(cause)
                return outcome.failed(kind, text)
        return outcome.failed("Engine", f"{type(cause).__name__}: {first_lines(cause)}")


def _name(detached):
    """Name and namespace of an actor, as Ray takes them; where none is told it is in that of the program."""
    return {"name": detached["name"], "namespace": detached["namespace"] or None}


def _named(detached):
    """The actor of that name."""
    try:
        actor = ray.get_actor(**_name(detached))
    except ValueError as error:
        raise Failure(outcome.failed("ActorDied", first_lines(error))) from None
    if not hasattr(actor, "kind"):
        raise Failure(outcome.failed("Value", "the name is that of an actor of another program's"))
    return actor


def _is_gone(actor):
    """Whether Ray has given the actor up."""
    known = ray._private.state.actors(actor._actor_id.hex())
    return known.get("State", "DEAD") == "DEAD"


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
    if held is None:
        raise LookupError("the placement group is gone")
    if not isinstance(held.handle, Group):
        # That is why it could not be made, which was put here.
        meta, index, _ = held.handle
        raise Failure(outcome.unpacked(ray.get(meta))[index])
    group, bundle = held.handle.group, what["bundle"]
    text = placing.refusal_by_group(options, group.bundle_specs, bundle)
    if text is not None:
        raise Failure(outcome.failed("Infeasible", text))
    return {"scheduling_strategy": PlacementGroupSchedulingStrategy(group, -1 if bundle is None else bundle)}


def _is_item(result):
    return result is not None and result[0] == outcome.ITEM


def _tell_item(sent, index, result):
    """Tells of an item of a call, which is the program's at once: there is nothing of it on the cluster."""
    sent.bridge.fuser.gives_items(sent.group[index].function)
    sent.bridge.item(sent.group[index].id, (None, 0, None), result[1])
