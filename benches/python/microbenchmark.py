"""What Ray's own `ray microbenchmark` measures, for Ray alone.

After `python/ray/_private/ray_perf.py` of Ray, whose names these are. A work
here is as in `works`: it prepares itself and gives back a function that does so
many operations.
"""

import numpy as np
import ray

BATCH = 1000
CALLERS = 4


@ray.remote
def small_value():
    return b"ok"


@ray.remote
def put_small():
    for _ in range(100):
        ray.put(0)


@ray.remote
def refs_in_object():
    return [ray.put(1) for _ in range(10_000)]


@ray.remote(num_cpus=0)
class Server:
    def small_value(self):
        return b"ok"

    def small_value_with_arg(self, _):
        return b"ok"


@ray.remote(num_cpus=0)
class AsyncServer:
    async def small_value(self):
        return b"ok"

    async def small_value_with_arg(self, _):
        return b"ok"


@ray.remote(num_cpus=0)
class TaskClient:
    def small_value_batch(self, calls):
        ray.get([small_value.remote() for _ in range(calls)])


@ray.remote(num_cpus=0)
def call_in_turn(servers, calls):
    ray.get([servers[i % len(servers)].small_value.remote() for i in range(calls)])


@ray.remote(num_cpus=0)
def call_with_ref(server, calls):
    number = ray.put(0)
    ray.get([server.small_value_with_arg.remote(number) for _ in range(calls)])


def repeated(once):
    """Does so many operations and keeps nothing of what they give."""

    def work(ops):
        for _ in range(ops):
            once()
        return range(ops)

    return work


def get_calls(_engine, _options):
    value = ray.put(0)
    return repeated(lambda: ray.get(value))


def put_calls(_engine, _options):
    return repeated(lambda: ray.put(0))


def multi_put_calls(_engine, _options):
    return repeated(lambda: ray.get([put_small.remote() for _ in range(10)]))


def put_gigabytes(_engine, options):
    array = np.arange(options.numbers, dtype=np.int64)
    return repeated(lambda: ray.put(array))


def get_containing_refs(_engine, _options):
    objects = refs_in_object.remote()
    return repeated(lambda: len(ray.get(objects)))


def tasks_batch(_engine, _options):
    return repeated(lambda: ray.get([small_value.remote() for _ in range(BATCH)]))


def wait(_engine, _options):
    def once():
        pending = [small_value.remote() for _ in range(BATCH)]
        # Asking to fetch once is enough, as in Ray's script.
        _, pending = ray.wait(pending, fetch_local=True)
        while pending:
            _, pending = ray.wait(pending, fetch_local=False)

    return repeated(once)


def tasks_sync(_engine, _options):
    return repeated(lambda: ray.get(small_value.remote()))


def multi_tasks(_engine, options):
    clients = [TaskClient.remote() for _ in range(CALLERS)]
    calls = options.calls
    return repeated(lambda: ray.get([c.small_value_batch.remote(calls) for c in clients]))


def one_by_one(server):
    def prepare(_engine, options):
        actor = server.remote()

        def once():
            for _ in range(options.calls):
                ray.get(actor.small_value.remote())

        return repeated(once)

    return prepare


def outside(server):
    def prepare(_engine, options):
        actor, calls = server.remote(), options.calls
        return repeated(lambda: ray.get([actor.small_value.remote() for _ in range(calls)]))

    return prepare


def outside_with_numbers(server):
    def prepare(_engine, options):
        actor, calls = server.remote(), options.calls
        return repeated(
            lambda: ray.get([actor.small_value_with_arg.remote(i) for i in range(calls)])
        )

    return prepare


def callers(server, tasks):
    def prepare(_engine, options):
        servers = [server.remote() for _ in range(options.servers)]
        calls = options.calls
        return repeated(lambda: ray.get([call_in_turn.remote(servers, calls) for _ in range(tasks)]))

    return prepare


def pairs(_engine, options):
    servers = [Server.remote() for _ in range(options.servers)]
    calls = options.calls
    return repeated(lambda: ray.get([call_with_ref.remote(server, calls) for server in servers]))


ALL = {
    "single_client_get_calls": get_calls,
    "single_client_put_calls": put_calls,
    "multi_client_put_calls": multi_put_calls,
    "single_client_put_gigabytes": put_gigabytes,
    "single_client_get_object_containing_10k_refs": get_containing_refs,
    "single_client_tasks_and_get_batch": tasks_batch,
    "single_client_tasks_async": tasks_batch,
    "single_client_wait_1k_refs": wait,
    "single_client_tasks_sync": tasks_sync,
    "multi_client_tasks_async": multi_tasks,
    "1_1_actor_calls_sync": one_by_one(Server),
    "1_1_actor_calls_async": outside(Server),
    "1_1_actor_calls_concurrent": outside(Server.options(max_concurrency=16)),
    "1_n_actor_calls_async": callers(Server, 1),
    "n_n_actor_calls_async": callers(Server, CALLERS),
    "n_n_actor_calls_with_arg_async": pairs,
    "1_1_async_actor_calls_sync": one_by_one(AsyncServer),
    "1_1_async_actor_calls_async": outside(AsyncServer),
    "1_1_async_actor_calls_with_args_async": outside_with_numbers(AsyncServer),
    "1_n_async_actor_calls_async": callers(AsyncServer, 1),
    "n_n_async_actor_calls_async": callers(AsyncServer, CALLERS),
}
