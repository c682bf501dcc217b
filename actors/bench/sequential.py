"""Sequential: how many steps a second many workflows get done together."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from actors.bench import probes
from actors.bench.flows import STEPS
from actors.bench.job import BenchError, Sample
from actors.bench.workload import Workload

if TYPE_CHECKING:
    from actors.bench.session import Session


class Sequential(Workload):
    """``count`` workflows of ten no-op steps each, started at once.

    From the first start to the last end, by the times that Redis recorded, so that what the measuring process does
    afterwards does not count. While it waits it asks for one number every 20 ms. The floor: eleven calls a workflow, a
    hundred workflows side by side in each process.
    """

    name: ClassVar[str] = "sequential"
    unit: ClassVar[str] = "steps/s"
    count: ClassVar[int] = 2_000
    shares_floor: ClassVar[bool] = True

    async def measure(self, session: Session, count: int) -> Sample:
        """Start all, wait for all."""
        index = f"index:{session.flows.sequential.name}:completed"
        ended = await session.total(index)
        before = await _Usage.now(session)
        handles = await session.manager.start_many(session.flows.sequential.bind() for _ in range(count))
        await session.until(ended + count, lambda: session.total(index), what="workflows ended")
        after = await _Usage.now(session)
        steps = count * STEPS
        return Sample(steps / await session.span_s(handles), after.per_step(before, steps))

    async def measure_floor(self, session: Session, count: int) -> Sample:
        """Do this process's share."""
        share = max(count // session.job.processes, 1)
        began = time.perf_counter()
        await session.floor.chains(share, calls=1 + STEPS)
        return Sample(share * STEPS / (time.perf_counter() - began))


class _Usage:
    """What server and workers have used so far."""

    def __init__(self, *, calls: int, server_s: float, workers_s: float | None) -> None:
        self._calls, self._server_s, self._workers_s = calls, server_s, workers_s

    @classmethod
    async def now(cls, session: Session) -> _Usage:
        # Elsewhere than on Linux the workers' share is left out.
        try:
            workers_s = sum(probes.cpu_s(pid) for pid in session.job.worker_pids)
        except BenchError:
            workers_s = None
        return cls(
            calls=await probes.script_calls(session.space),
            server_s=await probes.server_cpu_s(session.space),
            workers_s=workers_s,
        )

    def per_step(self, before: _Usage, steps: int) -> dict[str, float]:
        """Return the difference for each of ``steps`` steps."""
        found = {
            "script_calls_per_step": (self._calls - before._calls) / steps,
            "server_us_per_step": (self._server_s - before._server_s) / steps * 1e6,
        }
        if self._workers_s is not None and before._workers_s is not None:
            found["workers_us_per_step"] = (self._workers_s - before._workers_s) / steps * 1e6
        return found
