"""Processes: the server, workers and measuring clients of a benchmark, and their end. Not what they do."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actors.bench.job import BenchError
from kernel import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType
    from typing import Self

    from actors.bench.job import Job

END_S_MAX: Final = 10.0
"""How long a process may take to end before it is killed."""
HURRY_S: Final = 0.5
"""The same, when the benchmark was broken off."""
_CODE: Final = Path(__file__).parents[2]
"""The folder that the packages are in; children find them there, also where they are not installed."""


@contextlib.contextmanager
def private_server() -> Generator[EmbeddedServer]:
    """Run a Redis server for this benchmark alone, in a temporary folder: unix socket, append-only file every second.

    It ends with the block, and by its guard also if this process is killed; the folder is deleted.

    Raises:
        NoServerBinary, FolderUnusable, ServerUnreachable: with what to do.
    """
    folder = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    try:
        with EmbeddedServer.open(folder) as server:
            yield server
        deadline = time.monotonic() + END_S_MAX
        while EmbeddedServer.running(folder) and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Child:
    """One process of the benchmark: a line in, a line out. It ends when its stdin does, so also if we are killed."""

    def __init__(self, module: str, job: Job) -> None:
        """Start ``python -m module``; ``first`` waits until it is ready."""
        paths = [str(_CODE), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._name = module.rpartition(".")[2]
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, job.encode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            # Not of this terminal's group: on Ctrl-C they are ended in order, by us.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, word: str) -> None:
        """Send a word; ``answer`` has what comes of it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{word}\n")
            self._process.stdin.flush()
        except OSError as error:
            raise BenchError(self._ended()) from error

    def answer(self) -> str:
        """Wait for its next line.

        Raises:
            BenchError: it ended, or says that something failed.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(self._ended())
        if reason := json.loads(line).get("error"):
            raise BenchError(reason)
        return line

    def _ended(self) -> str:
        return f"the benchmark's {self._name} process ended by itself: see what it wrote above, then run it again"

    def close(self, *, patience_s: float = END_S_MAX) -> None:
        """End it and wait until it has ended; what takes longer than ``patience_s`` is killed."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # After a failure, or Ctrl-C, it may be in the middle of a measurement that nobody wants any more.
        self.close(patience_s=END_S_MAX if kind is None else HURRY_S)
