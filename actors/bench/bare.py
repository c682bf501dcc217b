"""Bare: the floor by itself: what redis-py and the server can do here at all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from actors.bench.job import Sample
from actors.bench.latency import Latency
from actors.bench.workload import Workload

if TYPE_CHECKING:
    from actors.bench.session import Session


class Bare(Workload):
    """``count`` calls of the small script in pipelines of a hundred, by as many processes as workers were asked for.

    Also how long one takes that is awaited by itself.
    """

    name: ClassVar[str] = "floor"
    unit: ClassVar[str] = "calls/s"
    count: ClassVar[int] = 20_000
    has_workers: ClassVar[bool] = False
    shares_floor: ClassVar[bool] = True

    async def measure(self, session: Session, count: int) -> Sample:
        """Call and wait, one by one; the rate is the floor's own."""
        alone = await Latency().measure_floor(session, max(count // 20, 2))
        return Sample(0.0, {"alone_p50_ms": alone.value, "alone_p99_ms": alone.details["p99_ms"]})

    async def measure_floor(self, session: Session, count: int) -> Sample:
        """Do this process's share."""
        share = max(count // session.job.processes, 1)
        began = time.perf_counter()
        await session.floor.chains(share, calls=1)
        return Sample(share / (time.perf_counter() - began))
