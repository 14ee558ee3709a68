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
    parser.add_argument("work", choices=works.ALL)
    parser.add_argument("--num-cpus", type=int, required=True)
    parser.add_argument("--ops", type=int, required=True)
    parser.add_argument("--draws", type=int, help="calc_mean: draws of a call")
    parser.add_argument("--data", help="loo_forest: CSV with a header, y in the last column")
    parser.add_argument("--trees", type=int, help="loo_forest: trees of a forest")
    return parser.parse_args()


def main():
    # Asked to end, leave by an exception, so that the engine ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to end"))
    options = arguments()
    module = importlib.import_module(f"engine_{options.engine}")
    with module.Engine(options.num_cpus, tempfile.gettempdir()) as engine:
        work = works.ALL[options.work](engine, options)
        # Enough calls that each worker has imported what it needs.
        work(min(options.ops, 4 * options.num_cpus))
        start = time.perf_counter()
        results = work(options.ops)
        seconds = time.perf_counter() - start
    if len(results) != options.ops:
        sys.exit(f"{len(results)} results of {options.ops} calls")
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
