"""Actors as the group `actors` calls them, for Ray alone.

A work here is as in `works`: it prepares itself and gives back a function that
does so many operations. Each of Ray's actors is a process, so where mobula has a
thousand there are a few here.
"""

import ray

FEW = 8


@ray.remote(num_cpus=0)
class Counter:
    def __init__(self):
        self.total = 0

    def add(self, by):
        self.total += by
        return self.total


@ray.remote(num_cpus=0)
class AsyncCounter:
    def __init__(self):
        self.total = 0

    async def add(self, by):
        self.total += by
        return self.total


@ray.remote(num_cpus=0)
class Link:
    def join(self, following):
        self.following = following

    def pass_on(self, hops):
        return self.following.pass_on.remote(hops - 1) if hops > 0 else None


def actor_tell(_engine, _options):
    counter = Counter.remote()

    def work(ops):
        for _ in range(ops - 1):
            counter.add.remote(1)
        ray.get(counter.add.remote(1))
        return range(ops)

    return work


def actor_roundtrip(_engine, _options):
    counter = Counter.remote()
    return lambda ops: [ray.get(counter.add.remote(1)) for _ in range(ops)]


def actor_create(_engine, _options):
    def work(ops):
        counters = [Counter.remote() for _ in range(ops)]
        return ray.get([counter.add.remote(1) for counter in counters])

    return work


def actor_fanout(_engine, _options):
    counters = [Counter.remote() for _ in range(FEW)]
    return lambda ops: ray.get([counters[i % FEW].add.remote(1) for i in range(ops)])


def actor_ring(_engine, _options):
    links = [Link.remote() for _ in range(FEW)]
    ray.get([link.join.remote(links[(i + 1) % FEW]) for i, link in enumerate(links)])

    def work(ops):
        # Each link gives the ref of the next one's call.
        token = links[0].pass_on.remote(ops)
        while token is not None:
            token = ray.get(token)
        return range(ops)

    return work


def async_actor_batch(_engine, _options):
    counter = AsyncCounter.remote()
    return lambda ops: ray.get([counter.add.remote(1) for _ in range(ops)])


ALL = {
    work.__name__: work
    for work in (
        actor_tell,
        actor_roundtrip,
        actor_create,
        actor_fanout,
        actor_ring,
        async_actor_batch,
    )
}
