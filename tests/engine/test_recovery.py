"""Worker processes that are killed in the middle of steps, and steps that take longer than any timeout."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from kernel import Begun, Command, Held
from tests.engine.app import make
from tests.engine.process import until
from tests.engine.team import team

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.server

SLACK_S = 2.0
"""What recovery may take beyond the heartbeat's timeout."""


@pytest.mark.parametrize("worker_timeout", [1.0, pytest.param(5.0, marks=pytest.mark.slow)])
async def test_what_a_killed_worker_held_goes_on_soon(server_url: str, tmp_path: Path, worker_timeout: float) -> None:
    async with team(server_url, tmp_path, workers=2, worker_timeout=worker_timeout) as crew:
        handles = await crew.app.manager.start_many([crew.app.nap.bind(0.7) for _ in range(16)])
        victim = crew.workers[0]

        async def busy() -> bool:
            return sum(mark.pid == victim.pid for mark in crew.marks("begun")) >= 4

        await until(busy)
        os.kill(victim.pid, signal.SIGKILL)
        killed_at = time.time()
        results = await asyncio.gather(*(handle.result(timeout=worker_timeout + 10) for handle in handles))
        assert results == ["rested"] * len(handles)
        ended = {mark.workflow_id for mark in crew.marks("ended") if mark.pid == victim.pid}
        begun = {mark.workflow_id for mark in crew.marks("begun") if mark.pid == victim.pid}
        lost = begun - ended
        assert lost, "the kill came too late to interrupt anything"
        again = {mark.workflow_id: mark.at_s for mark in crew.marks("begun") if mark.pid != victim.pid}
        late = max(again[workflow_id] for workflow_id in lost) - killed_at
        assert late < worker_timeout + SLACK_S
        # Nobody else's work was run again.
        assert len(crew.marks("begun")) == len(handles) + len(lost)


async def test_a_step_longer_than_every_timeout_runs_once_on_a_live_worker(server_url: str, tmp_path: Path) -> None:
    async with team(server_url, tmp_path, workers=2, worker_timeout=0.5) as crew:
        manager = crew.app.manager
        # The worker's timeout, the audit's 2 s, a reply's 5 s and a blocking read's 5 s pass meanwhile; so does the
        # worker's loop, which stands still for 6 s.
        handles = [
            await manager.start(crew.app.nap, 7.0),
            await manager.start(crew.app.thread, 7.0),
            await manager.start(crew.app.block, 6.0),
        ]
        results = await asyncio.gather(*(handle.result(timeout=20) for handle in handles))
        assert results == ["rested"] * 3
        assert sorted(mark.workflow_id for mark in crew.marks("begun")) == sorted(handle.id for handle in handles)
        assert len(crew.marks("ended")) == 3


async def test_a_step_that_is_taken_back_before_it_runs_leaves_its_slot(server_url: str, tmp_path: Path) -> None:
    app = make(server_url, namespace="slots", worker_timeout=5, trace=tmp_path / "trace")
    async with app.manager, app.manager.worker(concurrency=2) as worker:
        host = worker.host
        held = Held("wf/none", "1-1", 1, 1, host.incarnation, "token")
        # Revoked in the very tick in which it was granted: its task never comes to run.
        host.start_step(Begun(held, Command("step", "nap", "nap"), 0, 0, b""))
        assert host.hands.free == 1
        host.runner.cancel(held)
        await host.hands.until(lambda: host.hands.free == 2)
