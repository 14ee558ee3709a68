"""Calls in the order in which they were made, where they may arrive in another."""

import asyncio


class Order:
    """Lets calls that are numbered from 0 go one after the other. For one event loop."""

    def __init__(self, next=0):
        # The number of the call whose turn it is.
        self.next = next
        # Those that are done with and came early, and those that wait for their turn.
        self.passed = set()
        self.waiting = {}

    async def turn(self, number):
        """Waits until all calls before this one have passed."""
        if number > self.next:
            self.waiting[number] = asyncio.get_running_loop().create_future()
            await self.waiting[number]

    def passes(self, number):
        """The call has had its turn, or will never ask for one. To say so again does nothing."""
        if number < self.next:
            return
        self.passed.add(number)
        while self.next in self.passed:
            self.passed.remove(self.next)
            self.next += 1
        waiting = self.waiting.pop(self.next, None)
        if waiting is not None:
            waiting.set_result(None)

    def is_idle(self):
        """Whether nobody waits, and nobody came early."""
        return not self.passed and not self.waiting
