"""Fuzz the parsers: ``python -m tests.fuzz TARGET... [--seconds N | --inputs N]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz.runner import make_input, run
from tests.fuzz.target import load_target, target_names


def main() -> int:
    """Run targets, print their counts, and return 1 if an input failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all of them by default")
    parser.add_argument("--list", action="store_true", help="print the names of the targets")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, help="how long to run each target")
    length.add_argument("--inputs", type=int, help="how many inputs to run of each target")
    parser.add_argument("--seed", type=int, default=0, help="seed of the mutations")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--keep", type=Path, help="write inputs that fail to this folder")
    parser.add_argument("--write", type=Path, help="write input number --first there, run nothing")
    options = parser.parse_args()
    names = target_names()
    if options.list:
        print("\n".join(names))
        return 0
    for name in options.targets:
        if name not in names:
            parser.error(f"expected a target ({', '.join(names)}), got {name}")
    if options.write is not None:
        options.write.write_bytes(make_input(options.targets[0], options.first, options.seed)[1])
        return 0
    failed = False
    for name in options.targets or names:
        test_run = options.seconds is None and options.inputs is None
        result = run(
            name,
            seconds=options.seconds,
            inputs=load_target(name).test_inputs if test_run else options.inputs,
            first=options.first,
            seed=options.seed,
            keep=options.keep,
        )
        failed |= bool(result.failures)
        counts = ", ".join(f"{count} {outcome}" for outcome, count in result.outcomes.most_common())
        print(
            f"{name}: {result.inputs} inputs: {counts or 'no result'}, "
            f"{len(result.failures)} failures; slowest {result.slowest:.2f} s, "
            f"peak {result.peak / 2**20:.0f} MiB"
        )
        for failure in result.failures[:20]:
            print(f"  input {failure.number} (from {failure.seed}): {failure.reason}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
