"""The supervisor starts a process again that has ended, the sooner it ended the later: no tight loop."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest
from structlog.testing import capture_logs

from actors.cli import supervisor
from actors.cli.supervisor import Supervisor


def test_a_process_that_ends_at_once_is_started_again_later_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "BACKOFF_S_MIN", 0.01)
    monkeypatch.setattr(supervisor, "BACKOFF_S_MAX", 0.04)

    async def watch() -> list[float]:
        kept = Supervisor(command=[sys.executable, "-S", "-c", "raise SystemExit(1)"], environment=os.environ, count=1)
        with capture_logs() as logs:
            running = asyncio.create_task(kept.run())
            while len(logs) < 4:  # noqa: ASYNC110 - nothing announces a line of the log
                await asyncio.sleep(0.005)
            kept.stop()
            await running
        return [log["in_s"] for log in logs if "in_s" in log]

    assert asyncio.run(watch())[:4] == [0.01, 0.02, 0.04, 0.04]
