"""``python -m tests.model``: random programs on the engine beside the oracle; called by ``scripts/model``."""

# ruff: noqa: T201 - printing is its job

from __future__ import annotations

import argparse
import random
import sys
from itertools import count

from tests.model.comparing import Tally, run

SECONDS = 60.0


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/model", description="Random programs on the engine and in an oracle."
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, help="this program alone (default: fresh ones)")
    options = parser.parse_args()
    if not options.seconds > 0:
        parser.error("--seconds: give more than 0")
    first = random.randrange(1 << 40) if options.seed is None else options.seed
    seeds = count(first) if options.seed is None else iter([first])
    tally = Tally()
    found = run(seeds, seconds=options.seconds, tally=tally)
    report(tally, first)
    if found is not None:
        print(found)
        print("FAILED")
        return 1
    print(
        "the engine and the oracle agree"
        if tally.programs
        else "the program's outcome is not defined: nothing was compared"
    )
    return 0


def report(tally: Tally, first: int) -> None:
    """Print what was tried."""
    print(f"programs    {tally.programs} run from seed {first} on, {tally.discarded} discarded (two things on one ms)")
    print("statements  " + ", ".join(f"{name} {number}" for name, number in tally.statements.most_common()))
    print("script      " + ", ".join(f"{name} {number}" for name, number in tally.script.most_common()))
    print("outcomes    " + ", ".join(f"{name} {number}" for name, number in tally.outcomes.most_common()))
    print(f"compared    {tally.attempts} attempts, {tally.mutations} committed mutations")


if __name__ == "__main__":
    sys.exit(main())
