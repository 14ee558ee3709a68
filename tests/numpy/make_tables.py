"""Makes the ziggurat tables of `runtime/src/random`.

    python make_tables.py

needs mpmath, and NumPy for the check. A ziggurat (Marsaglia and Tsang, "The
ziggurat method for generating random variables", 2000) of 256 layers of equal
area v covers the density f. Layer i reaches from 0 to x[i]; the last, i = 255,
ends at r, where the tail begins; layer 0 is the base, as wide as if it held the
tail too: v / f(r). Of a layer we need

    w   the width of one step of the random integer: x[i] / steps
    k   how many steps lie beneath the layer above, so that no test is needed
    f   f(x[i])

r and v follow from each other: they make the top layer end at f(0) = 1.

NumPy's tables are made by these equations, but not in the same arithmetic, and
to the last bit that matters. What was found by comparing:

- normal: in doubles, each step rounded. At layer 38 its f is one unit above
  the rounded value, as an exponential function of the time may give it.
- exponential: exact, then rounded; but k counts even steps only.
- single precision: the normal's are the doubles rounded; the exponential's
  went through texts of nine digits. The k of both are the doubles' k, rounded.

At the end all tables are searched for in NumPy's own library.
"""

import pathlib
import sys

import mpmath
import numpy as np

mpmath.mp.dps = 60
LAYERS = 256
SOURCE = pathlib.Path(__file__).parents[2] / "runtime/src/random"


def doubled(value):
    """The exact value, rounded to a double."""
    return float(value)


def normal():
    def f(x):
        return doubled(mpmath.exp(mpmath.mpf(-0.5 * x * x)))

    def inverse(y):
        return doubled(mpmath.sqrt(mpmath.mpf(-2.0 * doubled(mpmath.log(mpmath.mpf(y))))))

    r, v = 3.6541528853610088, 0.0049286732339746519
    steps = 2.0**52
    xs, fs = [0.0] * LAYERS, [1.0] * LAYERS
    xs[255], fs[255] = r, f(r)
    xs[0] = v / fs[255]
    for i in range(254, 0, -1):
        xs[i] = inverse(v / xs[i + 1] + fs[i + 1])
        fs[i] = f(xs[i])
        if i == 38:
            fs[i] = float(np.nextafter(fs[i], 1.0))
    ks = [round(r * fs[255] / v * steps), 0]
    ks += [round(xs[i - 1] / xs[i] * steps) for i in range(2, LAYERS)]
    return {
        "double": [(k, x / steps) for k, x in zip(ks, xs)],
        "double_f": fs,
        "single": [((k + 2**28) >> 29, np.float32(x / 2**23)) for k, x in zip(ks, xs)],
        "single_f": [np.float32(y) for y in fs],
    }


def exponential():
    def widths(r):
        v = (r + 1) * mpmath.exp(-r)
        xs = [mpmath.mpf(0)] * LAYERS
        xs[255], xs[0] = r, v / mpmath.exp(-r)
        for i in range(254, 0, -1):
            xs[i] = -mpmath.log(v / xs[i + 1] + mpmath.exp(-xs[i + 1]))
        return v, xs

    def gap(r):
        v, xs = widths(r)
        return v - xs[1] * (1 - mpmath.exp(-xs[1]))

    bounds = (mpmath.mpf("7.697117470131"), mpmath.mpf("7.697117470132"))
    r = mpmath.findroot(gap, bounds, solver="anderson", tol=1e-50)
    _, xs = widths(r)
    fs = [mpmath.mpf(1)] + [mpmath.exp(-x) for x in xs[1:]]
    steps = mpmath.mpf(2) ** 53
    shares = [r / xs[0], 0] + [xs[i - 1] / xs[i] for i in range(2, LAYERS)]
    ks = [2 * int(mpmath.floor(share * 2**52)) for share in shares]

    def nine_digits(value):
        return np.float32(f"{float(value):.8e}")

    return {
        "double": [(k, float(x / steps)) for k, x in zip(ks, xs)],
        "double_f": [float(y) for y in fs],
        "single": [((k + 2**29) >> 30, nine_digits(x / 2**23)) for k, x in zip(ks, xs)],
        "single_f": [nine_digits(y) for y in fs],
    }


def check(tables):
    """All of it is in NumPy's library, byte for byte."""
    (library,) = pathlib.Path(np.random.__file__).parent.glob("_generator*.so")
    library = library.read_bytes()
    for precision, k_type in (("double", np.uint64), ("single", np.uint32)):
        layers = tables[precision]
        w_type = np.float64 if precision == "double" else np.float32
        found = {
            "k": np.array([k for k, _ in layers], k_type),
            "w": np.array([w for _, w in layers], w_type),
            "f": np.array(tables[precision + "_f"], w_type),
        }
        for name, table in found.items():
            if table.tobytes() not in library:
                sys.exit(f"NumPy {np.__version__} has another table {name} in {precision} precision")


def rust(name, tables):
    def rows(items, per_line):
        items = list(items)
        lines = [items[i : i + per_line] for i in range(0, len(items), per_line)]
        return "".join("    " + " ".join(f"{item}," for item in line) + "\n" for line in lines)

    def layers(which):
        return (f"({k:#x}, {float_text(w)})" for k, w in tables[which])

    def float_text(value):
        return str(value) if "." in str(value) else str(value).replace("e", ".0e")

    f_double = (float_text(y) for y in tables["double_f"])
    f_single = (float_text(y) for y in tables["single_f"])
    return f"""//! The layers of the {name} ziggurat: made by `tests/numpy/make_tables.py`, which says how.
//!
//! Of each layer: how many steps lie beneath the layer above, and the width of a step; in a table
//! of its own, the density at its right end.

#[rustfmt::skip]
pub(super) const LAYERS_F64: [(u64, f64); 256] = [
{rows(layers("double"), 2)}];

#[rustfmt::skip]
pub(super) const DENSITIES_F64: [f64; 256] = [
{rows(f_double, 4)}];

#[rustfmt::skip]
pub(super) const LAYERS_F32: [(u32, f32); 256] = [
{rows(layers("single"), 3)}];

#[rustfmt::skip]
pub(super) const DENSITIES_F32: [f32; 256] = [
{rows(f_single, 8)}];
"""


def main():
    for name, make in (("normal", normal), ("exponential", exponential)):
        tables = make()
        check(tables)
        (SOURCE / f"{name}_tables.rs").write_text(rust(name, tables))


if __name__ == "__main__":
    main()
