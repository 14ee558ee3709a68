"""Calls that tasks make of the driver's actors, on their way there: an actor of Ray's that both know by its name.

Tasks call it, in their order, and get the outcome when the driver has given that. The driver takes what has come.
"""

import asyncio
import collections

from . import host, outcome
from .order import Order


class Relay:
    """On the event loop of an actor of Ray's. `needed` makes an outcome of what an object was resolved to."""

    def __init__(self, needed):
        self.needed = needed
        # By who calls.
        self.orders = collections.defaultdict(Order)
        # What the driver has not taken.
        self.waiting = asyncio.Queue()
        # The futures of the outcomes, by the ids of the calls.
        self.outcomes = {}

    async def call(self, caller, number, calls, flat):
        """Passes a call on, and gives its outcome."""
        order = self.orders[caller]
        await order.turn(number)
        try:
            ((id, call, needs, carries),) = calls
            needed = [self.needed(*need, flat) for need in needs]
            failed = outcome.failure_of(needed)
            if failed is not None:
                return failed
            _, _, call, values, carries = host.resolved(id, call, needed, carries, 1)
            self.outcomes[id] = asyncio.get_running_loop().create_future()
            self.waiting.put_nowait(("call", caller, id, bytes(call), list(map(bytes, values)), carries))
        finally:
            order.passes(number)
        return await self.outcomes[id]

    def passes(self, caller, number):
        self.orders[caller].passes(number)

    def cancel(self, ids):
        for id in ids:
            self.waiting.put_nowait(("cancel", id))

    async def take(self):
        """All that has come, as soon as something has."""
        taken = [await self.waiting.get()]
        while not self.waiting.empty():
            taken.append(self.waiting.get_nowait())
        return taken

    def answer(self, id, result):
        """The driver tells what came of a call."""
        answer = self.outcomes.pop(id, None)
        if answer is not None:
            answer.set_result(result)
