"""What `rng_streams.rs` does, in NumPy. Both print the same."""

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence

SEED = 12345
TASKS = 5
DRAWS = 100_000


def simulate(bits, n):
    draws = Generator(bits).standard_normal(n)
    return draws[0], np.count_nonzero(np.abs(draws) > 1.96)


def run(streams):
    for task, bits in enumerate(streams):
        first, outside = simulate(bits, DRAWS)
        print(f"stream {task}: first {first:+.15f}, share outside {outside / DRAWS:.5f}")


print("Spawned: a seed for each stream, all from one.")
seed = SeedSequence(SEED)
run(PCG64(child) for child in seed.spawn(TASKS))

print("Spawned again: the next children of the same seed.")
run(PCG64(child) for child in seed.spawn(TASKS))

print("Jumped: places in one stream, 2e38 draws apart.")
run(PCG64(SEED).jumped(jumps) for jumps in range(TASKS))
