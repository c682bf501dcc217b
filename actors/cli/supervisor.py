"""Supervisor: keeps a number of worker processes running, and ends them together. It knows nothing of what they do."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Mapping, Sequence

log = structlog.get_logger(__name__)

BACKOFF_S_MIN: Final = 0.5
BACKOFF_S_MAX: Final = 30.0
STABLE_S: Final = 60.0
"""A process that lived this long is started again at once."""


class Supervisor:
    """Starts ``count`` processes, and another for each that ends unasked: the sooner it ended, the later."""

    def __init__(self, *, command: Sequence[str], environment: Mapping[str, str], count: int) -> None:
        """``command`` must end by itself when its standard input ends."""
        self._command = tuple(command)
        self._environment = dict(environment)
        self._count = count
        self._processes: set[Process] = set()
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Run until ``stop``; return the exit code: 0 if each process ended in order."""
        codes = await asyncio.gather(*(self._keep(number) for number in range(1, self._count + 1)))
        return max(codes)

    def stop(self) -> None:
        """Let every process drain; ``run`` returns when they have ended."""
        log.info("draining", processes=len(self._processes))
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End every process at once."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _keep(self, number: int) -> int:
        backoff_s = 0.0
        while not self._stopping.is_set():
            began = asyncio.get_running_loop().time()
            code = await self._run_one()
            if self._stopping.is_set():
                return 0 if code == 0 else 1
            lived_s = asyncio.get_running_loop().time() - began
            backoff_s = 0.0 if lived_s > STABLE_S else min(max(backoff_s * 2, BACKOFF_S_MIN), BACKOFF_S_MAX)
            log.warning("a worker process ended and is started again", number=number, code=code, in_s=backoff_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff_s):
                    await self._stopping.wait()
        return 0

    async def _run_one(self) -> int:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            env=self._environment,
            # Not of this terminal's group: Ctrl-C reaches them as the one SIGTERM that is passed on.
            start_new_session=True,
        )
        self._processes.add(process)
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)
        try:
            return await process.wait()
        finally:
            self._processes.discard(process)
