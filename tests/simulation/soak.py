"""Soak: seed after seed for as long as is asked, with a tally; the first that fails is shrunk and can be run again."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from actors.testing.simulation import Faults, Run, Schedule, run, shrink
from tests.simulation.pooled import Pooled
from tests.simulation.scenario import Mixed


def main(words: list[str]) -> int:
    options = parsed(words)
    scenario = Pooled if options.pools else Mixed
    if options.schedule is not None or (options.seed is not None and options.minutes is None):
        schedule = Schedule.parse(options.schedule) if options.schedule else Faults().draw(options.seed, workers=3)
        return once(schedule, scenario, trace=options.trace)
    return soak(options.seed or int(time.time()) % 10**6 * 1000, (options.minutes or 30) * 60, scenario)


def parsed(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, help="run seeds for so long (default 30)")
    parser.add_argument("--seed", type=int, help="the first seed; without --minutes the only one")
    parser.add_argument("--schedule", metavar="TEXT", help="run this schedule once, as printed when a seed fails")
    parser.add_argument("--pools", action="store_true", help="run the scenario of steps that share a pool")
    parser.add_argument("--trace", action="store_true", help="print every call of that run")
    return parser.parse_args(words)


def once(schedule: Schedule, scenario: type[Mixed], *, trace: bool) -> int:
    """Run one schedule."""
    done = run(scenario, schedule, trace=trace)
    for line in done.trace:
        print(line)
    print(f"{done.schedule}\n{dict(done.injected)}, {done.writes} writes, {done.seconds:.0f} virtual seconds")
    if done.error is None:
        print("all was well")
        return 0
    print(told(done, scenario))
    return 1


def soak(first: int, seconds: float, scenario: type[Mixed]) -> int:
    """Run seeds until the time is over, one fails, or Ctrl-C."""
    began, seeds, injected, failed = time.monotonic(), 0, Counter[str](), None
    print(f"seeds from {first} on, for {seconds / 60:g} minutes", flush=True)
    shown = began
    try:
        while time.monotonic() - began < seconds and failed is None:
            done = run(scenario, Faults().draw(first + seeds, workers=3))
            seeds += 1
            injected += done.injected
            if done.error is not None:
                failed = done
            if time.monotonic() - shown > 30:
                shown = time.monotonic()
                print(f"{seeds} seeds, {seeds / (shown - began):.1f} a second", flush=True)
    except KeyboardInterrupt:
        print("interrupted")
    spent = time.monotonic() - began
    print(f"{seeds} seeds in {spent:.0f} s, {seeds / max(spent, 0.001):.1f} a second")
    print("injected: " + ", ".join(f"{kind} {count}" for kind, count in injected.most_common()))
    if failed is None:
        print("verdict: every instance ended as expected, every invariant held")
        return 0
    print(
        f"verdict: seed {failed.schedule.seed} fails: {failed.error!r:.300}\nlooking for a shorter schedule …",
        flush=True,
    )
    print(told(shrink(lambda schedule: run(scenario, schedule), failed), scenario))
    return 1


def told(failed: Run, scenario: type[Mixed]) -> str:
    again = f"scripts/soak{' --pools' * (scenario is Pooled)} --schedule '{failed.schedule}' --trace"
    return f"{type(failed.error).__name__}: {failed.error}\nrun it again: {again}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
