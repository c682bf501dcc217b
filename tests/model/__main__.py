"""``python -m tests.model``: random programs beside the oracle, or disturbed; called by ``scripts/model``."""

# ruff: noqa: T201 - printing is its job

from __future__ import annotations

import argparse
import random
import sys
from itertools import count

from tests.model import moments
from tests.model.comparing import Tally, quiet, run
from tests.model.disturbing import WHATS, WHENS, Moment

SECONDS = 60.0


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/model", description="Random programs on the engine and in an oracle, or disturbed at any moment."
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, help="this program alone (default: fresh ones)")
    parser.add_argument(
        "--moments",
        type=positive,
        nargs="?",
        const=sys.maxsize,
        metavar="MAX",
        help="instead: cancel, restart and delete at every write of the worker, or at so many of each program",
    )
    parser.add_argument(
        "--moment",
        type=read_moment,
        metavar="WRITE:WHEN:WHAT",
        help=f"of --moments --seed, this one alone; WHEN: {', '.join(WHENS)}; WHAT: {', '.join(WHATS)}",
    )
    options = parser.parse_args()
    if not options.seconds > 0:
        parser.error("--seconds: give more than 0")
    if options.moment is not None:
        if not options.moments or options.seed is None:
            parser.error("--moment: say of which program, --moments --seed N")
        return try_one(options.seed, options.moment)
    first = random.randrange(1 << 40) if options.seed is None else options.seed
    seeds = count(first) if options.seed is None else iter([first])
    if options.moments:
        tried = moments.Tally()
        left = moments.run(seeds, seconds=options.seconds, tally=tried, moments_max=options.moments)
        report_moments(tried, first)
        return verdict(left, "nothing is left after any of these moments")
    tally = Tally()
    found = run(seeds, seconds=options.seconds, tally=tally)
    report(tally, first)
    return verdict(
        found,
        "the engine and the oracle agree"
        if tally.programs
        else "the program's outcome is not defined: nothing was compared",
    )


def positive(text: str) -> int:
    """Read a number of 1 or more."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number of 1 or more, or none for every moment")
    return int(text)


def read_moment(text: str) -> Moment:
    """Read a moment."""
    try:
        return Moment.read(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: give WRITE:WHEN:WHAT, such as 12:after:cancel") from None


def try_one(seed: int, moment: Moment) -> int:
    """Try one moment of one program."""
    with quiet():
        left = moments.trial(moments.prepare(seed), moment)
    return verdict(left, "nothing is left after this moment")


def verdict(found: object, otherwise: str) -> int:
    """Print how it went; return the exit code."""
    if found is None:
        print(otherwise)
        return 0
    print(found)
    print("FAILED")
    return 1


def report_moments(tally: moments.Tally, first: int) -> None:
    """Print what was tried."""
    print(f"programs    {tally.programs} from seed {first} on, of {tally.whole} every moment; {tally.writes} writes")
    print(
        f"moments     {tally.moments}: " + ", ".join(f"{name} {number}" for name, number in tally.whens.most_common())
    )
    print("done then   " + ", ".join(f"{name} {number}" for name, number in tally.whats.most_common()))


def report(tally: Tally, first: int) -> None:
    """Print what was tried."""
    print(f"programs    {tally.programs} run from seed {first} on, {tally.discarded} discarded (two things on one ms)")
    print("statements  " + ", ".join(f"{name} {number}" for name, number in tally.statements.most_common()))
    print("script      " + ", ".join(f"{name} {number}" for name, number in tally.script.most_common()))
    print("outcomes    " + ", ".join(f"{name} {number}" for name, number in tally.outcomes.most_common()))
    print(f"compared    {tally.attempts} attempts, {tally.mutations} committed mutations")


if __name__ == "__main__":
    sys.exit(main())
