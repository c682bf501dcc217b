"""Idle: what a worker and its server use while there is nothing to do."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, ClassVar

from actors.bench import probes
from actors.bench.job import Sample
from actors.bench.workload import Workload

if TYPE_CHECKING:
    from actors.bench.session import Session


class Idle(Workload):
    """CPU time of a worker over 20 s, percent of one core; with several workers their mean. Also the server's.

    The floor is a process with open redis-py connections and nothing to do, watched for as long: the measuring one.
    """

    name: ClassVar[str] = "idle"
    unit: ClassVar[str] = "%"
    runs: ClassVar[int] = 1
    has_floor: ClassVar[bool] = False

    async def measure(self, session: Session, count: int) -> Sample:  # noqa: ARG002 - it has no size
        """Watch."""
        job = session.job
        beside = (job.server_pid,) if job.server_pid is not None else ()
        own, *others = await _watch(os.getpid(), *beside, *job.worker_pids, seconds=job.seconds)
        details = {"server_percent": others[0]} if beside else {}
        return Sample(sum(others[len(beside) :]) / len(job.worker_pids), details, floor=own)


async def _watch(*pids: int, seconds: float) -> list[float]:
    """Return the CPU use of processes over so many seconds, each in percent of one core."""
    before, began = [probes.cpu_s(pid) for pid in pids], time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed = time.perf_counter() - began
    return [100 * (probes.cpu_s(pid) - used) / elapsed for pid, used in zip(pids, before, strict=True)]
