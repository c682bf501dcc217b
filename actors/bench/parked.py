"""Parked: what a workflow costs while it only waits for a far time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

from actors.bench import probes
from actors.bench.job import BenchError, Sample
from actors.bench.workload import Workload

if TYPE_CHECKING:
    from actors.bench.session import Session

SETTLE_S: Final = 0.5
"""So long after the last write the server has given back what it used for the work itself."""


class Parked(Workload):
    """``count`` workflows in a month's sleep, their first command, without tags.

    The server's memory after less before, for each; the buffers of connections and of the append-only file are left
    out. The workers keep at most 64 instances in memory, so nearly all are evicted when their memory is read; what is
    left is what each one costs for good. The floor: one call for each, a hash and a member of a sorted set.
    """

    name: ClassVar[str] = "parked"
    unit: ClassVar[str] = "bytes"
    count: ClassVar[int] = 5_000
    runs: ClassVar[int] = 3
    # Whole: a process grows until it has once held the instances that pass through it together, and not after.
    warm_up: ClassVar[float] = 1.0
    cache_instances: ClassVar[int] = 64

    async def measure(self, session: Session, count: int) -> Sample:
        """Park all."""
        sleeping = await session.total("delayed")
        before, resident = await probes.data_bytes(session.space), _resident(session)
        await session.manager.start_many(session.flows.parked.bind() for _ in range(count))
        await session.until(sleeping + count, lambda: session.total("delayed"), what="workflows parked")
        await asyncio.sleep(SETTLE_S)
        after = await probes.data_bytes(session.space)
        details: dict[str, float] = {}
        if resident is not None:
            details["worker_bytes"] = ((_resident(session) or 0) - resident) / count
        return Sample((after - before) / count, details)

    async def measure_floor(self, session: Session, count: int) -> Sample:
        """Leave as many records."""
        before = await probes.data_bytes(session.space)
        await session.floor.chains(count, calls=1)
        await asyncio.sleep(SETTLE_S)
        return Sample((await probes.data_bytes(session.space) - before) / count)


def _resident(session: Session) -> int | None:
    """Return the workers' memory together; None where the system does not tell."""
    try:
        return sum(probes.resident_bytes(pid) for pid in session.job.worker_pids)
    except BenchError:
        return None
