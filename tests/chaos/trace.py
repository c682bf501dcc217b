"""Trace: what steps leave in a file outside Redis, so that what Redis may have forgotten is still seen."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from actors import current_step

if TYPE_CHECKING:
    from pathlib import Path


class Mark(NamedTuple):
    """One line: a step of a workflow did something in a process at a time."""

    what: str
    """``begun`` or ``ended``."""
    step: str
    workflow_id: str
    seq: int
    attempt: int
    pid: int
    at_s: float
    """Seconds since the epoch, by this machine's clock."""


class Trace:
    """Appends lines, each by one write, so that those of several processes do not mix."""

    def __init__(self, path: Path) -> None:
        """Open the file, to be made if it is not there."""
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def mark(self, what: str, step: str) -> None:
        """Leave a line of the step that runs."""
        me = current_step()
        line = f"{what} {step} {me.workflow_id} {me.seq} {me.attempt} {os.getpid()} {time.time():.4f}\n"
        os.write(self._file, line.encode())

    def read(self) -> list[Mark]:
        """Return what was left so far, by all processes."""
        return read_marks(self._path)


def read_marks(path: Path) -> list[Mark]:
    """Return what was left so far, in the order of writing."""
    if not path.exists():
        return []
    words = [line.split() for line in path.read_text().splitlines()]
    return [
        Mark(what, step, workflow_id, int(seq), int(attempt), int(pid), float(at))
        for what, step, workflow_id, seq, attempt, pid, at in words
    ]
