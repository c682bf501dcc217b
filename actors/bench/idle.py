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

    async def measure(self, session: Session, count: int) -> Sample:  # noqa: ARG002 - it has no size
        """Watch."""
        job = session.job
        workers = await _watch(job.worker_pids, seconds=job.seconds, beside=job.server_pid)
        return workers

    async def measure_floor(self, session: Session, count: int) -> Sample:  # noqa: ARG002 - it has no size
        """Watch this process."""
        return await _watch((os.getpid(),), seconds=session.job.seconds, beside=None)


async def _watch(pids: tuple[int, ...], *, seconds: float, beside: int | None) -> Sample:
    """Return the mean CPU use of processes, percent of one core, and that of the one ``beside``."""
    watched = (*pids, *((beside,) if beside is not None else ()))
    before, began = [probes.cpu_s(pid) for pid in watched], time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed = time.perf_counter() - began
    used = [100 * (probes.cpu_s(pid) - start) / elapsed for pid, start in zip(watched, before, strict=True)]
    details = {"server_percent": used[-1]} if beside is not None else {}
    return Sample(sum(used[: len(pids)]) / len(pids), details)
