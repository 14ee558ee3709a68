import unittest

from contract import Nested, Running, Tasks


class OnDask(Tasks, Running, Nested, unittest.TestCase):
    engine = "dask"

    def test_refused(self):
        self.fails(self.submit("add", 1, 2, options={"num_cpus": 2}), "Engine", "num_cpus")


if __name__ == "__main__":
    unittest.main()
