"""Processes: the demo's workers, each a ``headrace worker``: started, killed, ended; none outlives the demo."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from typing import TYPE_CHECKING, Final, Literal

from actors.cli.lifeline import SUPERVISED
from actors.demo.settings import CONCURRENCY, DemoError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Mapping

GRACE_S: Final = 1.0
"""What running steps get at the end of the demo."""
END_S_MAX: Final = 5.0
"""After so long a worker that was told to stop is killed."""
_TAIL_LINES: Final = 5

State = Literal["starting", "running", "killed", "stopped"]


class WorkerProcess:
    """One worker."""

    def __init__(self, number: int, process: Process) -> None:
        """``number``: from 1, in the order of their starts."""
        self.number: Final = number
        self.pid: Final = process.pid
        self.state: State = "starting"
        self.incarnation = ""
        """The name under which it holds steps; empty until it is known."""
        self.said: deque[str] = deque(maxlen=_TAIL_LINES)
        """The end of its log."""
        self._process = process
        self._reading = asyncio.get_running_loop().create_task(self._read())

    def __str__(self) -> str:
        """Name it as people see it."""
        return f"worker {self.number} (pid {self.pid})"

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.returncode is not None

    def freeze(self) -> None:
        """Stop the process where it is, so that what it holds stays what it is."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it with SIGKILL: nothing of it runs any more, no ``finally``, no farewell."""
        self._process.kill()
        await self._process.wait()
        self.state = "killed"

    async def stop(self) -> None:
        """Let it drain; kill it if that takes too long."""
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(END_S_MAX):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        await self._reading
        if self.state != "killed":
            self.state = "stopped"

    async def _read(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.said.append(line.decode(errors="replace").rstrip())


class Workers:
    """All workers of one run."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """``environment``: on top of this process's own."""
        self.all: list[WorkerProcess] = []
        self._environment = {**os.environ, **environment, SUPERVISED: "1"}

    async def start(self) -> WorkerProcess:
        """Start another one; it is ready some time later."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "actors.cli", "worker", "actors.demo.flows:manager"),
            *("--concurrency", str(CONCURRENCY), "--grace", str(GRACE_S)),
            # A pipe that ends with this process, however it ends: the worker then stops too.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )
        worker = WorkerProcess(len(self.all) + 1, process)
        self.all.append(worker)
        return worker

    def check(self) -> None:
        """Raise DemoError if a worker ended that nobody killed."""
        for worker in self.all:
            if worker.ended and worker.state in {"starting", "running"}:
                last = worker.said[-1] if worker.said else "it said nothing"
                raise DemoError(f"{worker} ended unasked: {last}")

    async def stop(self) -> None:
        """End all that are left."""
        await asyncio.gather(*(worker.stop() for worker in self.all))
