"""Tasks that call tasks, on Ray."""

import ray

CHILDREN = 100


@ray.remote
def child():
    return None


@ray.remote
def parent():
    ray.get([child.remote() for _ in range(CHILDREN)])


def nested(_engine, _options):
    def work(ops):
        ray.get([parent.remote() for _ in range(-(-ops // CHILDREN))])
        return range(ops)

    return work


ALL = {"nested": nested}
