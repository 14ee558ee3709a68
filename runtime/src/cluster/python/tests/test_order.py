import asyncio
import itertools
import unittest

import driver  # noqa: F401  (what is tested is found by it)
from python.order import Order


class OfCalls(unittest.TestCase):
    def test_all_orders(self):
        """Calls go as they were numbered, however they arrive; some only ever pass."""
        for arrival in itertools.permutations(range(4)):
            for lost in itertools.product([False, True], repeat=4):
                went = asyncio.run(self.arrive(arrival, lost))
                self.assertEqual(went, [number for number in range(4) if not lost[number]])

    async def arrive(self, arrival, lost):
        order, went = Order(), []

        async def one(number):
            if not lost[number]:
                await order.turn(number)
                went.append(number)
                await asyncio.sleep(0)
                order.passes(number)
            # Who saw it fail does not know whether it had its turn.
            order.passes(number)

        calls = []
        for number in arrival:
            calls.append(asyncio.ensure_future(one(number)))
            await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.gather(*calls), 60)
        return went


if __name__ == "__main__":
    unittest.main()
