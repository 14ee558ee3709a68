"""Random numbers of many distributions, in NumPy; see `random.rs` among the cases."""

import time

import numpy as np

DRAWS = {
    "random_uniform": lambda rng, n: rng.random(n),
    "random_uniform_f32": lambda rng, n: rng.random(n, dtype=np.float32),
    "random_normal": lambda rng, n: rng.standard_normal(n),
    "random_normal_f32": lambda rng, n: rng.standard_normal(n, dtype=np.float32),
    "random_exponential": lambda rng, n: rng.standard_exponential(n),
    "random_gamma": lambda rng, n: rng.standard_gamma(2.5, n),
    "random_beta": lambda rng, n: rng.beta(2.0, 3.0, n),
    "random_poisson_3": lambda rng, n: rng.poisson(3.0, n),
    "random_poisson_100": lambda rng, n: rng.poisson(100.0, n),
    "random_binomial_100": lambda rng, n: rng.binomial(100, 0.2, n),
    "random_binomial_1000": lambda rng, n: rng.binomial(1000, 0.3, n),
    "random_integers": lambda rng, n: rng.integers(0, 1000, n),
}


def work(draw):
    """In lists of `--numbers`; seconds for `--ops` numbers."""

    def prepare(_engine, options):
        rng = np.random.default_rng(1)

        def run():
            draw(rng, options.numbers)
            start = time.perf_counter()
            for _ in range(options.ops // options.numbers):
                draw(rng, options.numbers)
            return time.perf_counter() - start

        return run

    return prepare


WORKS = {name: work(draw) for name, draw in DRAWS.items()}
