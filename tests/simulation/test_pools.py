"""Steps that share a pool, under faults."""

from __future__ import annotations

import random

import pytest

from actors.testing.simulation import Schedule, run, simulate
from kernel.store.pools import Pools
from tests.simulation.pooled import Pooled

SEEDS, GROUP = 8, 8
FRESH = 2
DEFECTS = [
    "seed=38 workers=2 w1@3:slow=1 w1@12:timeout prompt",
    "seed=1225 workers=3 w3@72:rollback=25",
    "seed=1300 workers=3 w2@23:rollback=25 prompt",
    "seed=908436988 workers=1 nodes=2 w1@51:failover=25/n1 prompt",
    "seed=908437411 workers=3 nodes=2 w1@10:skew=-700 w1@24:failover=8/n2 w2@24:cut=2000 w3@6:timeout w4@0:old",
]
"""Schedules that once found a defect: a pool looked after while a connection broke; messages delivered that a rollback
had undone; an oracle that held against a pool what its node had forgotten, at once or by a call under way."""
FORGETFUL = "seed=130 workers=2 nodes=2 w1@64:failover=25/n1"
"""A schedule in which a failover leaves a permit out that nobody wants any more."""


class Unchecked(Pooled):
    """The same, judged by the simulation alone."""

    async def _check_pool(self) -> None:
        pass


@pytest.mark.parametrize("first", range(0, SEEDS, GROUP))
def test_fixed_seeds(first: int) -> None:
    simulate(Pooled, range(first, first + GROUP))


@pytest.mark.parametrize("text", DEFECTS)
def test_schedules_that_found_defects(text: str) -> None:
    done = run(Pooled, Schedule.parse(text))
    assert done.error is None, done.error


def test_a_pool_that_nobody_looks_after_is_found_by_the_simulation_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    healed = run(Unchecked, Schedule.parse(FORGETFUL))
    assert healed.error is None, healed.error

    async def never(_pools: Pools, _pool: str) -> int:
        return 0

    monkeypatch.setattr(Pools, "recheck", never)
    assert "I8: the pool few has given a permit" in str(run(Unchecked, Schedule.parse(FORGETFUL)).error)


def test_fresh_seeds() -> None:
    """Which they were is in the message of a failure."""
    first = random.SystemRandom().randrange(10**9)
    simulate(Pooled, range(first, first + FRESH))
