"""Worker processes that run ``app``, and may be killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from tests.engine.app import App, Mark, make, read_trace
from tests.engine.process import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

ROOT = Path(__file__).parents[2]


class Team(NamedTuple):
    """An application of which some worker processes run."""

    app: App
    workers: list[subprocess.Popen[bytes]]
    trace: Path

    def marks(self, what: str) -> list[Mark]:
        """Return what the steps of all processes have left so far."""
        return [mark for mark in read_trace(self.trace) if mark.what == what]


@contextlib.asynccontextmanager
async def team(url: str, folder: Path, *, workers: int, worker_timeout: float) -> AsyncGenerator[Team, None]:
    """Start worker processes; kill them at the end."""
    namespace, trace = uuid4().hex, folder / "trace"
    app = make(url, namespace=namespace, worker_timeout=worker_timeout, trace=trace)
    command = [sys.executable, "-m", "tests.engine.app", url, namespace, str(worker_timeout), str(trace)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)  # noqa: ASYNC220 - returns at once
        for _ in range(workers)
    ]
    try:
        async with app.manager:
            custody = (await app.manager.store()).custody

            async def all_there() -> bool:
                return len(await custody.living()) == workers

            await until(all_there)
            yield Team(app, processes, trace)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
