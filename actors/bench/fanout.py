"""Fanout: how long one workflow takes that asks for many steps at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from actors.bench.job import Sample
from actors.bench.workload import Workload

if TYPE_CHECKING:
    from actors.bench.session import Session


class Fanout(Workload):
    """One workflow that gathers ``count`` no-op steps: from before its start until its result is here.

    The floor: one call, then ``count`` calls in pipelines of a hundred.
    """

    name: ClassVar[str] = "fanout"
    unit: ClassVar[str] = "s"
    count: ClassVar[int] = 1_000

    async def measure(self, session: Session, count: int) -> Sample:
        """Run one workflow."""
        began = time.perf_counter()
        handle = await session.manager.start(session.flows.fanout, count)
        await handle.result()
        return Sample(time.perf_counter() - began)

    async def measure_floor(self, session: Session, count: int) -> Sample:
        """Make as many calls."""
        began = time.perf_counter()
        await session.floor.one(*session.floor.records(1))
        await session.floor.chains(count, calls=1)
        return Sample(time.perf_counter() - began)
