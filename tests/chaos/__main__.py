"""``scripts/chaos``: a load of workflows on real workers and servers, and whatever can happen to them."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.chaos.ending import run_to_the_end
from tests.chaos.run import run
from tests.chaos.schedule import KINDS, PLACES, UnknownKind
from tests.chaos.stage import Settings
from tests.topology.places import NotHere

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUTES_MAX: Final = 600.0
WORKERS_MAX: Final = 16
RATE_MAX: Final = 200.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as asked; return 0 if every promise was kept, 1 if not, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="of load, shared by the places (default: 5)")
    parser.add_argument("--on", default=",".join(PLACES), help=f"places, with commas (default: {','.join(PLACES)})")
    parser.add_argument("--seed", type=int, help="of the schedule and the load (default: a new one, which is printed)")
    kinds = sorted({kind for some in KINDS.values() for kind in some})
    parser.add_argument("--only", default="", help=f"kinds to inject, with commas: {', '.join(kinds)} (default: all)")
    parser.add_argument("--workers", type=int, default=3, help="worker processes (default: 3)")
    parser.add_argument("--rate", type=float, default=15.0, help="starts a second (default: 15)")
    parser.add_argument("--worker-timeout", type=float, default=1.0, help="s, as workers have it (default: 1)")
    parser.add_argument("--logs", type=Path, help="folder that gets the workers' logs and the trace, one a place")
    parser.add_argument("--json", action="store_true", help="one object a place; what happens goes to stderr")
    said = parser.parse_args(arguments)
    places = said.on.split(",")
    if unknown := set(places) - set(PLACES):
        parser.error(f"--on {', '.join(sorted(unknown))}: give {', '.join(PLACES)}")
    if not 0 < said.minutes <= MINUTES_MAX:
        parser.error(f"--minutes {said.minutes:g}: give more than 0 and at most {MINUTES_MAX:g}")
    if not 1 <= said.workers <= WORKERS_MAX or not 0 < said.rate <= RATE_MAX:
        parser.error(f"give 1 to {WORKERS_MAX} workers and a rate of up to {RATE_MAX:g}")
    seed = secrets.randbelow(10**6) if said.seed is None else said.seed
    only = tuple(kind for kind in said.only.split(",") if kind)
    good = True
    for place in places:
        settings = Settings(
            place=place,
            seed=seed,
            seconds=said.minutes * 60 / len(places),
            workers=said.workers,
            rate=said.rate,
            worker_timeout_s=said.worker_timeout,
            only=only,
            logs=said.logs / place if said.logs else None,
        )
        try:
            good &= _one(settings, as_json=said.json)
        except UnknownKind as error:
            parser.error(f"--only {error}")
        except NotHere as error:
            sys.stderr.write(f"{place} is left out: {error}\n")
        except KeyboardInterrupt:
            sys.stderr.write("interrupted; everything that was started has ended\n")
            return 130
    return 0 if good else 1


def _one(settings: Settings, *, as_json: bool) -> bool:
    """Run at one place and print what came of it."""

    def say(line: str) -> None:
        (sys.stderr if as_json else sys.stdout).write(f"{line}\n")
        (sys.stderr if as_json else sys.stdout).flush()

    report = run_to_the_end(run(settings, say))
    if as_json:
        sys.stdout.write(f"{json.dumps(report.as_dict())}\n")
    else:
        sys.stdout.write("\n".join([*report.lines(), ""]) + "\n")
    sys.stdout.flush()
    return report.good


if __name__ == "__main__":
    sys.exit(main())
