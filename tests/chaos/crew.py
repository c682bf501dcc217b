"""Crew: the worker processes of a run, each a ``headrace worker``: started, killed, paused, replaced when they died."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from actors.cli.lifeline import SUPERVISED
from tests.chaos.app import NAMESPACE, TIMEOUT, TRACE

if TYPE_CHECKING:
    from asyncio.subprocess import Process

ROOT: Final = Path(__file__).parents[2]
CONCURRENCY: Final = 20
GRACE_S: Final = 2.0
END_S_MAX: Final = 12.0
"""After so long a worker that was told to stop is killed."""
AGAIN_S: Final = 0.5
"""Before a worker that found no server is started again, as a supervisor would."""
MEMORY_BYTES_MAX: Final = 3 * 2**30
"""Address space of a worker; idle it takes about a third of it."""
DEATHS_MAX: Final = 2_000
"""Processes that one run starts at most."""


class Death(NamedTuple):
    """The end of a worker that was not told to stop."""

    pid: int
    at_s: float
    cause: str
    """The injection that ended it; ``toxic``: a step did; ``no server``: it found none at its start."""


@dataclass(slots=True)
class Hand:
    """One worker process."""

    number: int
    process: Process
    paused: bool = False
    cause: str = ""
    watching: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended; paused or not."""
        return self.process.returncode is None


class Crew:
    """So many workers; whoever dies is replaced."""

    def __init__(self, folder: Path, *, url: str, namespace: str, worker_timeout_s: float, trace: Path) -> None:
        """``folder``: gets their logs."""
        self.hands: list[Hand] = []
        self.deaths: list[Death] = []
        self._folder = folder
        self._started = 0
        self._closing = False
        self._environment = {
            **os.environ,
            SUPERVISED: "1",
            "PYTHONPATH": str(ROOT),
            "HEADRACE_URL": url,
            NAMESPACE: namespace,
            TIMEOUT: str(worker_timeout_s),
            TRACE: str(trace),
        }

    async def start(self) -> Hand:
        """Start one more; it works some time later."""
        assert self._started < DEATHS_MAX, "more workers died than a run may start"
        self._started += 1
        with (self._folder / f"worker-{self._started}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "actors.cli", "worker", "tests.chaos.worker:manager"),
                *("--concurrency", str(CONCURRENCY), "--grace", str(GRACE_S)),
                # A pipe that ends with this process, however it ends: the worker then stops too.
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=self._environment,
                start_new_session=True,
            )
        hand = Hand(self._started, process)
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
        self.hands.append(hand)
        hand.watching = asyncio.get_running_loop().create_task(self._watch(hand))
        return hand

    async def _watch(self, hand: Hand) -> None:
        """Note its death, and start another in its place."""
        await hand.process.wait()
        self.hands.remove(hand)
        if not self._closing:
            cause = hand.cause or ("no server" if hand.process.returncode == 1 else "toxic")
            self.deaths.append(Death(hand.pid, time.time(), cause))
            if cause == "no server":
                await asyncio.sleep(AGAIN_S)
            await self.start()

    async def kill(self, hand: Hand, *, cause: str) -> None:
        """SIGKILL: nothing of it runs any more, no ``finally``, no farewell."""
        hand.cause = cause
        with contextlib.suppress(ProcessLookupError):
            hand.process.kill()
        await hand.process.wait()

    def pause(self, hand: Hand) -> None:
        """SIGSTOP."""
        hand.paused = True
        hand.process.send_signal(signal.SIGSTOP)

    def resume(self, hand: Hand) -> None:
        """SIGCONT."""
        hand.paused = False
        if hand.runs:
            with contextlib.suppress(ProcessLookupError):
                hand.process.send_signal(signal.SIGCONT)

    async def close(self) -> None:
        """End all, in order where that is quick, and wait until they have."""
        self._closing = True
        hands = list(self.hands)
        for hand in hands:
            self.resume(hand)
            with contextlib.suppress(ProcessLookupError):
                hand.process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S_MAX):
                await asyncio.gather(*(hand.process.wait() for hand in hands))
        self.kill_all()
        await asyncio.gather(*(hand.process.wait() for hand in hands))

    def kill_all(self) -> None:
        """SIGKILL whatever is left."""
        self._closing = True
        for hand in self.hands:
            if hand.runs:
                with contextlib.suppress(ProcessLookupError):
                    hand.process.kill()

    def complaints(self) -> list[str]:
        """Return the lines of all logs with which a worker reports a mistake of its own code."""
        words = ("please report", "Traceback", "was never retrieved", "never awaited")
        texts: list[str] = []
        for log in sorted(self._folder.glob("worker-*.log")):
            lines = log.read_text(errors="replace").splitlines()
            texts += [f"{log.name}: {line}" for line in lines if any(word in line for word in words)]
        return texts
