"""Latency: how long one step takes from end to end, when nothing else is under way."""

from __future__ import annotations

import statistics
import time
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from actors.bench.job import Sample
from actors.bench.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.bench.session import Session


class Latency(Workload):
    """One workflow of ``count`` steps, one after the other; start and result do not count.

    Each step is an action that returns the machine's monotonic clock, in ns, so the difference of two neighbours is one
    whole step as a user has it: the action's return, its outcome made durable in Redis, the workflow taken on, the next
    step held and begun. The times in the journal would be too coarse (ms). Median and 99th percentile of the
    differences.
    The floor: as many calls, each awaited before the next.
    """

    name: ClassVar[str] = "latency"
    unit: ClassVar[str] = "ms"
    count: ClassVar[int] = 2_000

    async def measure(self, session: Session, count: int) -> Sample:
        """Run one workflow."""
        handle = await session.manager.start(session.flows.stamped, max(count, 2))
        return _percentiles(await handle.result())

    async def measure_floor(self, session: Session, count: int) -> Sample:
        """Call and wait, one by one."""
        (record,) = session.floor.records(1)
        stamps = [time.perf_counter_ns()]
        for _ in range(max(count, 2)):
            await session.floor.one(record)
            stamps.append(time.perf_counter_ns())
        return _percentiles(stamps)


def _percentiles(stamps_ns: Sequence[int]) -> Sample:
    """Return median and 99th percentile of the differences of neighbours, ms."""
    differences = sorted((late - early) / 1e6 for early, late in pairwise(stamps_ns))
    p99 = differences[min(len(differences) - 1, round(len(differences) * 0.99))]
    return Sample(statistics.median(differences), {"p99_ms": p99})
