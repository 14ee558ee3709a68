"""Does one work on one engine and prints how many seconds it took.

    python run.py ENGINE WORK --num-cpus N --ops N

The engine starts and warms up before the clock runs, and ends before the
answer is printed: one JSON object, {"seconds": ...}, the last line of standard
output. Its files go to the temporary folder of the environment.
"""

import argparse
import importlib
import json
import signal
import sys
import tempfile
import time

import works


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("engine")
    parser.add_argument("work")
    parser.add_argument("--num-cpus", type=int, required=True)
    parser.add_argument("--ops", type=int, required=True)
    parser.add_argument("--calls", type=int, help="calls or objects of one operation")
    parser.add_argument("--servers", type=int, help="actors that are called")
    parser.add_argument("--numbers", type=int, help="numbers of a large array")
    parser.add_argument("--ideal", type=int, help="metg: see there")
    parser.add_argument("--draws", type=int, help="calc_mean: draws of a call")
    parser.add_argument("--data", help="loo_forest: CSV with a header, y in the last column; metg: a graph")
    parser.add_argument("--trees", type=int, help="loo_forest: trees of a forest")
    return parser.parse_args()


def main():
    # Asked to end, leave by an exception, so that the engine ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to end"))
    options = arguments()
    module = importlib.import_module(f"engine_{options.engine}")
    with module.Engine(options.num_cpus, tempfile.gettempdir()) as engine:
        if options.work in works.UNTIMED:
            seconds = works.UNTIMED[options.work](engine, options)()
        else:
            work = (works.ALL | getattr(module, "WORKS", {}))[options.work]
            seconds = timed(work(engine, options), options)
    print(json.dumps({"seconds": seconds}))


def timed(work, options):
    # Enough calls that each worker has imported what it needs.
    work(min(options.ops, 4 * options.num_cpus))
    start = time.perf_counter()
    results = work(options.ops)
    seconds = time.perf_counter() - start
    if len(results) != options.ops:
        sys.exit(f"{len(results)} results of {options.ops} calls")
    return seconds


if __name__ == "__main__":
    main()
