"""The command line as processes, seen from a test. No tests in here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import signal

ROOT = Path(__file__).parents[2]


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of its error."""
        assert self.err.count("\n") == 1, self.err
        assert self.err.endswith("\n")
        assert "Traceback" not in self.err
        return self.err.rstrip("\n")


class Run(Protocol):
    def __call__(self, *words: str) -> Done: ...


class Program:
    """A real process of the command line, with everything that it printed."""

    def __init__(self, words: tuple[str, ...], *, folder: Path, environment: dict[str, str]) -> None:
        self.log = folder / f"{len(list(folder.glob('*.log')))}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "actors.cli", *words],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "random", **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 30.0) -> int:
        return self.process.wait(timeout=timeout_s)


def living(word: str) -> set[int]:
    """Return the processes whose command line or environment names ``word``, but for those that have ended."""
    found: set[int] = set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            status = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
            told = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if status != "Z" and word.encode() in told:
            found.add(int(folder.name))
    return found
