"""Tests of the search, on an engine whose cost is known.

    python -m unittest
"""

import unittest

import metg


class Search(unittest.TestCase):
    def test_half_is_lost_where_a_task_is_as_long_as_its_overhead(self):
        for overhead in (70e-6, 1e-3, 0.03):
            found = metg.search(lambda length: length / (length + overhead), most=0.5)
            self.assertAlmostEqual(found / overhead, 1, delta=0.05)

    def test_what_never_gets_there_is_an_error(self):
        with self.assertRaisesRegex(RuntimeError, "30%"):
            metg.search(lambda length: 0.3, most=0.5)

    def test_the_chain_depends_on_iterations_and_inputs(self):
        results = {metg.compute(n, seed) for n in range(3) for seed in range(3)}
        self.assertEqual(len(results), 9)


if __name__ == "__main__":
    unittest.main()
