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
    """``count`` calls of the small script in pipelines of a hundred; also how long one takes that is awaited by itself.

    The value is one process's. Its floor is the same by as many processes as workers were asked for, so with one worker
    the ratio shows how steady the machine is.
    """

    name: ClassVar[str] = "floor"
    unit: ClassVar[str] = "calls/s"
    count: ClassVar[int] = 20_000
    has_workers: ClassVar[bool] = False
    shares_floor: ClassVar[bool] = True

    async def measure(self, session: Session, count: int) -> Sample:
        """Call in pipelines, then one by one."""
        together = await _rate(session, count)
        alone = await Latency().measure_floor(session, count // 20)
        return Sample(together, {"alone_p50_ms": alone.value, "alone_p99_ms": alone.details["p99_ms"]})

    async def measure_floor(self, session: Session, count: int) -> Sample:
        """Do this process's share."""
        return Sample(await _rate(session, max(count // session.job.processes, 1)))


async def _rate(session: Session, count: int) -> float:
    began = time.perf_counter()
    await session.floor.chains(count, calls=1)
    return count / (time.perf_counter() - began)
