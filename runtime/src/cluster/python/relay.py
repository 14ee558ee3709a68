"""Calls that tasks make of the driver's actors, on their way there: an actor of Ray's that both know by its name.

Tasks call it, in their order, and get the outcome when the driver has given that. The driver takes what has come.
"""

import asyncio
import collections

from . import host
from .order import Order


class Relay:
    """On the event loop of an actor of Ray's."""

    def __init__(self):
        # By who calls, while calls wait for each other; and else the number of the next.
        self.orders = {}
        self.next = {}
        # What the driver has not taken.
        self.waiting = asyncio.Queue()
        # The futures of the outcomes, by the ids of the calls.
        self.outcomes = {}
        # Calls that are to stop, and have not come or are done, in order: each with whether its children are to.
        self.cancelled = collections.OrderedDict()

    async def call(self, caller, number, id, call, *inside):
        """Passes a call on, with what says what is inside, and gives its outcome."""
        await self._order(caller).turn(number)
        try:
            self.outcomes[id] = asyncio.get_running_loop().create_future()
            self.waiting.put_nowait(("call", caller, id, bytes(call), *inside))
            children = self.cancelled.pop(id, None)
            if children is not None:
                self.waiting.put_nowait(("cancel", id, children))
        finally:
            self.passes(caller, number)
        return await self.outcomes[id]

    def _order(self, caller):
        if caller not in self.orders:
            self.orders[caller] = Order(self.next.pop(caller, 0))
        return self.orders[caller]

    def passes(self, caller, number):
        order = self._order(caller)
        order.passes(number)
        if order.is_idle():
            del self.orders[caller]
            self.next[caller] = order.next

    def cancel(self, ids, spared):
        for id in ids:
            children = id not in spared
            if id in self.outcomes:
                self.waiting.put_nowait(("cancel", id, children))
                continue
            self.cancelled[id] = children
            if len(self.cancelled) > host.CANCELLED_MAX:
                self.cancelled.popitem(last=False)

    async def take(self):
        """All that has come, as soon as something has."""
        taken = [await self.waiting.get()]
        while not self.waiting.empty():
            taken.append(self.waiting.get_nowait())
        return taken

    def answer(self, id, result):
        """The driver tells what came of a call."""
        answer = self.outcomes.pop(id, None)
        # Ray breaks off a call whose caller is dead.
        if answer is not None and not answer.done():
            answer.set_result(result)
