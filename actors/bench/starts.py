"""Starts: how many workflows a second one client can start durably."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Final

from actors.bench.job import Sample
from actors.bench.workload import Workload

if TYPE_CHECKING:
    from actors.bench.session import Session

BATCH: Final = 500
"""Calls of one of the floor's pipelines: as many as ``start_many`` has under way."""


class Starts(Workload):
    """``count`` starts by one ``start_many``; no worker runs. The floor: as many calls, in pipelines of 500."""

    name: ClassVar[str] = "starts"
    unit: ClassVar[str] = "starts/s"
    count: ClassVar[int] = 10_000
    has_workers: ClassVar[bool] = False

    async def measure(self, session: Session, count: int) -> Sample:
        """Start all."""
        began = time.perf_counter()
        await session.manager.start_many(session.flows.sequential.bind() for _ in range(count))
        return Sample(count / (time.perf_counter() - began))

    async def measure_floor(self, session: Session, count: int) -> Sample:
        """Make as many calls."""
        records = session.floor.records(count)
        began = time.perf_counter()
        for at in range(0, count, BATCH):
            await session.floor.tick(records[at : at + BATCH])
        return Sample(count / (time.perf_counter() - began))
