"""Makes `vectors.json`: what NumPy draws, for `tests/random.rs` to compare with.

    pip install -r requirements.txt
    python make_vectors.py

A *program* is a bit generator, a seed and calls that are made one after another
on one generator, so that what a call leaves behind (a half of 32 bits, say)
counts too. Of each result the file has the first values, for people, and the
start of the SHA-256 of all its bytes, little-endian, for the test.

Some distributions ask the C library for a logarithm, an exponential function or
a power, and not every library rounds these alike. So the file also has what
this machine's library gives at many places: the test looks whether its own is
the same one, before it blames us.
"""

import ctypes
import ctypes.util
import hashlib
import json
import pathlib
import platform

import numpy as np
from numpy.random import PCG64, PCG64DXSM, Generator, Philox, SeedSequence

SHOWN = 1
DIGEST_CHARACTERS = 16
TYPES = {"f64": np.float64, "f32": np.float32}
INTEGERS = ["i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"]
GENERATORS = {"PCG64": PCG64, "PCG64DXSM": PCG64DXSM, "Philox": Philox}

# As texts: whole numbers; as lists: lists of them.
SEEDS = [0, 1, 42, 12345, 2**32 - 1, 2**32, 2**64 - 1, 2**64, 2**128 - 1,
         0x87351080E25CB0FAD77A44A3BE03B491, [], [0], [1, 2, 3], [2**64 - 1, 0, 7],
         [5] * 4, list(range(9))]


def digest(array):
    array = np.ascontiguousarray(array)
    little_endian = array.astype(array.dtype.newbyteorder("<"))
    return hashlib.sha256(little_endian.tobytes()).hexdigest()[:DIGEST_CHARACTERS]


def seed_text(seed):
    return seed if isinstance(seed, list) else str(seed)


def seed_sequences():
    made = []

    def add(seed, way, pool_size):
        sequence = SeedSequence(seed, spawn_key=way, pool_size=pool_size)
        made.append({
            "seed": seed_text(seed), "way": list(way), "pool_size": pool_size,
            "u32": sequence.generate_state(7, np.uint32).tolist(),
            "u64": [str(word) for word in sequence.generate_state(3, np.uint64)],
            # Children of children, by `spawn` after another `spawn`.
            "spawned": spawned(sequence),
        })

    def spawned(sequence):
        sequence.spawn(2)
        child = sequence.spawn(3)[1]
        child = child.spawn(1)[0]
        return [list(child.spawn_key), int(child.generate_state(1)[0])]

    for seed in SEEDS:
        for pool_size in (4, 5, 8, 16):
            add(seed, (), pool_size)
        add(seed, (0,), 4)
        add(seed, (3, 0, 2**32 - 1), 4)
        add(seed, (2**32, 2**64 - 1), 7)
        add(seed, tuple(range(20)), 4)
    return made


def bit_streams():
    """Raw bits, halves, and the ways to move."""
    made = []
    for name, kind in GENERATORS.items():
        for seed in SEEDS:
            made.append(bit_stream(name, kind(seed), {"seed": seed_text(seed)}))
    for key, counter in ((0, 0), (1, 2**256 - 1), (2**128 - 1, 2**255 + 12345), (2**64, 2**64 - 1)):
        words = {"key": [str(key >> s & 2**64 - 1) for s in (0, 64)],
                 "counter": [str(counter >> s & 2**64 - 1) for s in (0, 64, 128, 192)]}
        made.append(bit_stream("Philox", Philox(key=key, counter=counter), words))
    return made


def bit_stream(name, bits, start):
    def take():
        whole = [str(word) for word in bits.random_raw(6)]
        return {"u64": whole, "u32": Generator(bits).integers(0, 2**32, 3, dtype=np.uint32).tolist()}

    steps = [{"move": "stay", "by": "0"} | take()]
    moves = [("advance", by) for by in (0, 1, 5, 2**64, 2**127 + 12345, 2**128 - 1)]
    moves += [("jumped", by) for by in (1, 2, 1000, 2**64 + 1)]
    for move, by in moves:
        if move == "advance":
            bits.advance(by)
        else:
            bits = bits.jumped(by)
        steps.append({"move": move, "by": str(by)} | take())
    return {"generator": name} | start | {"steps": steps}


class Program:
    def __init__(self, generator, seed):
        self.rng = Generator(GENERATORS[generator](seed))
        self.made = {"generator": generator, "seed": seed_text(seed), "calls": []}

    def note(self, name, result, n, arguments=(), **more):
        result = np.asarray(result)
        call = {"call": name, "arguments": list(arguments), "n": n} | more
        call["shown"] = [str(value) for value in result.ravel()[:SHOWN]]
        call["digest"] = digest(result)
        self.made["calls"].append(call)

    def draw(self, name, *arguments, n=200, type=None):
        draw = getattr(self.rng, name)
        if type is None:
            self.note(name, draw(*arguments, size=n), n, arguments)
        else:
            self.note(name, draw(*arguments, size=n, dtype=TYPES[type]), n, arguments, type=type)

    def integers(self, type, low, high, n=50):
        result = self.rng.integers(low, high, n, dtype=np_integer(type), endpoint=True)
        self.note("integers", result, n, [str(low), str(high)], type=type)

    def choice(self, population, n, replace=True, p=None, shuffle=True):
        result = self.rng.choice(population, n, replace=replace, p=p, shuffle=shuffle)
        self.note("choice", result, n, [population, replace, p, shuffle])

    def end(self):
        """Shows that no draw took more or fewer bits."""
        self.note("random", self.rng.random(2), 2, type="f64")
        return self.made


def np_integer(type):
    return np.dtype({"i": "int", "u": "uint"}[type[0]] + type[1:])


def everything(generator, seed):
    program = Program(generator, seed)
    for type in TYPES:
        program.draw("random", n=3, type=type)
        program.draw("standard_normal", n=1000, type=type)
        program.draw("standard_exponential", n=1000, type=type)
        for shape in (0.0, 0.01, 0.3, 1.0, 1.5, 30.0):
            program.draw("standard_gamma", shape, n=100, type=type)
    for arguments in ((0.0, 1.0), (10.0, 2.5), (-1e300, 1e299), (3.0, 0.0)):
        program.draw("normal", *arguments)
    for arguments in ((0.0, 1.0), (-5.0, 7.5), (3.0, 3.0), (1e-300, 3e-300), (-8e307, 8e307)):
        program.draw("uniform", *arguments, n=20)
    for scale in (0.0, 1.0, 2.5, 1e300):
        program.draw("exponential", scale, n=50)
    for arguments in ((0.2, 3.0), (1.0, 0.1), (7.5, 1e5), (2.0, 0.0)):
        program.draw("gamma", *arguments)
    for df in (0.1, 1.0, 2.0, 3.0, 100.0, 1e6):
        program.draw("chisquare", df, n=50)
    for mean in (0.0, 1e-10, 0.5, 3.7, 9.999, 10.0, 12.0, 100.0, 1e6, 1e12, 9.2e18):
        program.draw("poisson", mean, n=100)
    for tries, p in ((0, 0.5), (10, 0.0), (10, 1.0), (10, 0.3), (60, 0.5), (61, 0.5), (1000, 0.9),
                     (10**6, 1e-5), (10**6, 0.25), (10**12, 0.75)):
        program.draw("binomial", tries, p, n=100)
    for arguments in ((0.5, 0.5), (1.0, 1.0), (2.0, 3.0), (0.5, 4.0), (1e-3, 1e-4)):
        program.draw("beta", *arguments, n=100)
    for type in INTEGERS:
        least, greatest = np.iinfo(np_integer(type)).min, np.iinfo(np_integer(type)).max
        program.integers(type, 0, 9, n=7)
        program.integers(type, 5, 5, n=3)
        program.integers(type, int(least), int(greatest), n=7)
    program.choice(10, 5)
    program.choice(10, 5, replace=False)
    program.choice(5, 5, p=[0.1, 0.2, 0.3, 0.15, 0.25])
    program.choice(5, 4, replace=False, p=[0.1, 0.2, 0.3, 0.15, 0.25])
    shuffle(program, 100)
    program.note("permutation", program.rng.permutation(100), 100)
    for length in (0, 1, 5):
        program.note("bytes", np.frombuffer(program.rng.bytes(length), np.uint8), length)
    return program.end()


def shuffle(program, n):
    items = np.arange(n)
    program.rng.shuffle(items)
    program.note("shuffle", items, n)


def gammas_and_betas():
    program = Program("PCG64", 1)
    for type in TYPES:
        largest = 1e300 if type == "f64" else 1e30
        for shape in (1e-30, 1e-5, 0.1, 0.5, 0.9, 0.999, 1.0001, 1.1, 2.0, 3.3, 10.0, 1e3, 1e10, largest):
            program.draw("standard_gamma", shape, n=2000, type=type)
    sides = (1e-320, 1e-200, 2.9e-103, 3e-103, 1e-50, 1e-10, 1e-3, 0.01, 0.1, 0.5, 0.99, 1.0, 1.01, 3.0, 1e5)
    for a in sides:
        for b in sides:
            program.draw("beta", a, b, n=100)
    return program.end()


def counts():
    program = Program("PCG64", 2)
    for mean in (5e-324, 1e-3, 0.1, 1.0, 2.0, 5.0, 9.0, np.nextafter(10.0, 0.0), 10.0, 10.5, 11.0, 15.0,
                 20.0, 30.0, 50.0, 99.9, 200.0, 1e3, 1e4, 1e5, 1e7, 1e9, 1e15, 1e18, 9.223372006484771e18):
        program.draw("poisson", mean, n=2000)
    for tries in (1, 2, 3, 7, 20, 59, 60, 61, 100, 299, 301, 1000, 10**4, 10**6, 10**9, 10**12, 10**15, 2**62, 2**63 - 1):
        for p in (1e-18, 1e-10, 1e-5, 0.001, 0.1, 0.25, 0.3, 0.49999, 0.5, 0.50001, 0.7, 0.99, 0.99999):
            program.draw("binomial", tries, p, n=300)
    return program.end()


def integers():
    program = Program("PCG64", 3)
    for type in INTEGERS:
        info = np.iinfo(np_integer(type))
        least, greatest = int(info.min), int(info.max)
        bits = info.bits
        for span in (0, 1, 2, 3, 9, 2 ** (bits - 1) - 1, 2 ** (bits - 1), 2 ** (bits - 1) + 1,
                     3 * 2 ** (bits - 2), 2**bits - 2, 2**bits - 1, 99, 126):
            program.integers(type, least, least + span, n=300)
            program.integers(type, greatest - span, greatest, n=3)
        for span in (2**31, 2**31 + 1, 2**32 - 2, 2**32 - 1, 2**32, 2**32 + 1, 2**33, 2**40 + 7):
            if bits == 64:
                program.integers(type, 5, 5 + span, n=300)
    return program.end()


def choices():
    program = Program("PCG64", 4)
    for population, n in ((1, 1), (2, 2), (7, 3), (100, 50), (10000, 9999), (10001, 199), (10001, 200),
                          (10001, 201), (10001, 500), (10001, 501), (10001, 10001), (50000, 1000),
                          (50000, 1001), (50000, 2500), (50000, 2501), (10, 0), (0, 0)):
        if population:
            program.choice(population, n)
        for shuffled in (True, False):
            program.choice(population, n, replace=False, shuffle=shuffled)
    ps = ([1.0], [0.5, 0.5], [0.0, 1.0, 0.0], [0.1] * 10, [0.7, 0.1, 0.1, 0.05, 0.05, 0.0],
          (np.arange(1, 41) / 820).tolist())
    for p in ps:
        program.choice(len(p), 100, p=p)
        program.choice(len(p), 0, p=p)
        for n in (1, np.count_nonzero(p)):
            program.choice(len(p), int(n), replace=False, p=p)
    for n in (0, 1, 2, 3, 10, 100, 1000, 100000):
        shuffle(program, n)
        program.note("permutation", program.rng.permutation(n), n)
        # A list that is given: the values are the places.
        program.note("permutation_of", program.rng.permutation(np.arange(n)), n)
    for length in (0, 1, 2, 3, 4, 5, 7, 8, 9, 1000):
        program.note("bytes", np.frombuffer(program.rng.bytes(length), np.uint8), length)
    return program.end()


def many():
    """Long enough to come through every layer of the ziggurats, and the tails."""
    program = Program("PCG64", 5)
    for type in TYPES:
        for name in ("standard_normal", "standard_exponential", "random"):
            program.draw(name, n=10_000_000 if (name, type) == ("standard_normal", "f64") else 2_000_000, type=type)
        program.draw("standard_gamma", 2.5, n=100_000, type=type)
        program.draw("standard_gamma", 0.5, n=100_000, type=type)
    return program.end()


def library():
    """What the C library gives, for both precisions; `library_digests` in `random.rs` asks the same."""
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    places = [(k + 0.5) / 4096 for k in range(4096)]
    found = {}
    for type, suffix, real in (("f64", "", ctypes.c_double), ("f32", "f", ctypes.c_float)):
        def ask(name, *arguments):
            function = getattr(libm, name + suffix)
            function.restype, function.argtypes = real, [real] * len(arguments)
            return function(*arguments)

        values = []
        for x in places:
            values += [ask("exp", -8 * x), ask("log", x), ask("log1p", -x), ask("pow", x, 3.3)]
        found[type] = digest(np.array(values, TYPES[type]))
    return found


def rows(name, items):
    """One item a line, so that a difference between two versions can be read."""
    return f'"{name}": [\n' + ",\n".join(json.dumps(item, separators=(",", ":")) for item in items) + "\n]"


def main():
    programs = [everything(generator, seed) for generator in GENERATORS for seed in SEEDS[:4]]
    programs += [everything("PCG64", seed) for seed in SEEDS[4:]]
    programs += [gammas_and_betas(), counts(), integers(), choices(), many()]
    about = {"numpy": np.__version__, "python": platform.python_version(),
             "machine": platform.machine(), "libc": " ".join(platform.libc_ver())}
    parts = [f'"about": {json.dumps(about)}', f'"library": {json.dumps(library())}', rows("seed_sequences", seed_sequences()),
             rows("bit_streams", bit_streams()), rows("programs", programs)]
    path = pathlib.Path(__file__).with_name("vectors.json")
    path.write_text("{" + ",\n".join(parts) + "}\n")


if __name__ == "__main__":
    main()
