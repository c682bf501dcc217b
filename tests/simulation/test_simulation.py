"""Whole workers under faults: whatever goes wrong, every instance ends as it must, and every invariant holds."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from actors.testing.simulation import NO_FAULTS, Fault, Faults, Run, Schedule, run, shrink, simulate
from tests.simulation.scenario import KINDS, Mixed

ROOT = Path(__file__).parents[2]
SEEDS, GROUP = int(os.environ.get("HEADRACE_SEEDS", "500")), 25
FRESH = 15
DEFECTS = [
    "seed=63 workers=3 w1@5:skew=-700 w1@6:slow=900 w1@40:late=5 w2@8:timeout w3@16:pause=900 w3@23:rollback=3",
    "seed=72 workers=3 w5@0:old",
    "seed=739 workers=3 w2@1:rollback=25 w2@6:slow=4500 w3@23:regroup",
]
"""Schedules that once found a defect: a message of the gateway lost by a rollback; a history read while it changed; a
child started for a parent whose wish for it a rollback had undone."""
KINDS_THEN = tuple(kind for kind in KINDS if kind != "far")
"""Of what the seeds of those schedules draw."""
LATER_DEFECTS = [
    "seed=5550170 workers=2 w2@1:rollback=3",
    "seed=5552558 workers=3 nodes=2 w1@6:failover=25/n2 w1@10:crash-before=300",
    "seed=5552740 workers=3 nodes=2 w1@46:failover=25/n2",
    "seed=5553664 workers=3 nodes=2 w1@0:old w3@11:failover=25/n0 w3@22:failover=25/n0",
]
"""The same, of seeds that draw from all kinds: a worker declared dead while it began; an end undone, two attempts
of one step forgotten, and a start that was published twice, all of which was held against the engine."""


@pytest.mark.parametrize("first", range(0, SEEDS, GROUP))
def test_fixed_seeds(first: int) -> None:
    simulate(Mixed, range(first, first + GROUP))


def test_fresh_seeds() -> None:
    """Which they were is in the message of a failure."""
    first = random.SystemRandom().randrange(10**9)
    simulate(Mixed, range(first, first + FRESH))


@pytest.mark.parametrize(
    ("text", "kinds"), [*((one, KINDS_THEN) for one in DEFECTS), *((one, ()) for one in LATER_DEFECTS)]
)
def test_schedules_that_found_defects(text: str, kinds: tuple[str, ...]) -> None:
    done = run(lambda schedule: Mixed(schedule, kinds=kinds), Schedule.parse(text))
    assert done.error is None, done.error


def test_every_kind_of_fault_comes_to_pass() -> None:
    kinds = {fault.kind for seed in range(SEEDS) for fault in Faults().draw(seed, workers=3).faults}
    assert kinds == set(Faults().kinds)


@pytest.mark.parametrize("seed", [5, 9])
def test_one_schedule_gives_the_same_calls_and_replies_each_time(seed: int) -> None:
    schedule = Faults().draw(seed, workers=3)
    first, second = run(Mixed, schedule, trace=True), run(Mixed, schedule, trace=True)
    assert first.trace == second.trace
    assert first.digest == second.digest
    assert first.digest != run(Mixed, Faults().draw(seed + 1, workers=3)).digest


def test_another_process_goes_through_the_same_calls() -> None:
    schedule = Faults().draw(5, workers=3)
    code = (
        "from actors.testing.simulation import Schedule, run; from tests.simulation.scenario import Mixed; "
        f"print(run(Mixed, Schedule.parse({str(schedule)!r})).digest)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == str(run(Mixed, schedule).digest), done.stderr


def test_without_faults_every_step_begins_once() -> None:
    simulate(Mixed, range(10), faults=NO_FAULTS)


def test_a_schedule_reads_what_it_writes() -> None:
    for seed in range(50):
        schedule = Faults().draw(seed, workers=seed % 4 + 1)
        assert Schedule.parse(str(schedule)) == schedule


def test_a_failing_schedule_is_shrunk_to_what_makes_it_fail() -> None:
    guilty = Fault(2, 7, "pause", 9_000)
    schedule = Faults(most=20).draw(3, workers=3)
    schedule = Schedule(3, 3, tuple(sorted({*schedule.faults, guilty})))

    def play(tried: Schedule) -> Run:
        found = any(f.worker == 2 and f.at == 7 and f.kind == "pause" and f.amount >= 900 for f in tried.faults)
        return Run(schedule=tried, error=AssertionError("found") if found else None, taken=tried.faults)

    least = shrink(play, play(schedule)).schedule
    assert least == Schedule(3, 1, (Fault(2, 7, "pause", 900),), delays=False)


@pytest.mark.parametrize(
    "text", ["workers=1 w1@0:old", "workers=2 w1@0:old w2@0:old", "workers=1 w1@3:crash-after=300 w2@0:old"]
)
def test_somebody_at_work_has_the_new_code(text: str) -> None:
    done = run(lambda schedule: Mixed(schedule, kinds=("versioned", "told")), Schedule.parse(f"seed=1 {text}"))
    assert done.error is None, done.error
