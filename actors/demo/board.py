"""Board: all that is known of a run at a moment. The run writes it, the view reads it; it does nothing itself."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from actors.results import Canceled, Completed, Failed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from actors.demo.processes import WorkerProcess
    from actors.views import Snapshot, StepView

ENDED = (Completed, Failed, Canceled)


@dataclass(slots=True)
class Entry:
    """One document."""

    workflow_id: str
    path: Path
    name: str
    """Its path within the folder."""
    snapshot: Snapshot | None = None

    @property
    def ended(self) -> bool:
        """Whether its workflow has ended."""
        return self.snapshot is not None and isinstance(self.snapshot.status, ENDED)

    @property
    def steps(self) -> tuple[StepView, ...]:
        """Its steps so far."""
        return self.snapshot.steps if self.snapshot is not None else ()

    @property
    def steps_done(self) -> int:
        """Steps that have an outcome."""
        return sum(step.state in {"completed", "failed"} for step in self.steps)

    @property
    def summary(self) -> dict[str, int] | None:
        """The figures that its workflow returned; None before it has completed."""
        if self.snapshot is None or not isinstance(self.snapshot.status, Completed):
            return None
        return cast("dict[str, int]", self.snapshot.status.result)

    @property
    def attempts(self) -> int:
        """Attempts beyond the first, over all steps."""
        return sum(step.attempt - 1 for step in self.steps)


@dataclass(slots=True)
class Board:
    """One run."""

    folder: Path
    entries: list[Entry]
    steps_each: int
    """Steps of one workflow."""
    workers: list[WorkerProcess] = field(default_factory=list["WorkerProcess"])
    lines: list[str] = field(default_factory=list[str])
    """What happened, in words."""
    listener: Callable[[str], None] | None = None
    """Is told each line as it is written."""
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    @property
    def ended(self) -> int:
        """Documents whose workflow has ended."""
        return sum(entry.ended for entry in self.entries)

    @property
    def progress(self) -> float:
        """Steps done, of all there will be."""
        return sum(entry.steps_done for entry in self.entries) / (len(self.entries) * self.steps_each)

    def say(self, text: str) -> None:
        """Write down what happened."""
        line = f"{self.elapsed_s:5.1f} s  {text}"
        self.lines.append(line)
        if self.listener is not None:
            self.listener(line)

    def worker_of(self, incarnation: str) -> WorkerProcess | None:
        """Return the worker that goes by a name."""
        return next((worker for worker in self.workers if worker.incarnation == incarnation), None)

    def running(self, worker: WorkerProcess) -> list[tuple[Entry, StepView]]:
        """Return the steps that a worker runs, as far as is known here."""
        if not worker.incarnation:
            return []
        return [
            (entry, step)
            for entry in self.entries
            for step in entry.steps
            if step.state == "running" and step.worker == worker.incarnation
        ]

    def failures(self) -> list[str]:
        """Return what went wrong with workflows, one line each."""
        return [
            f"{entry.name}: {entry.snapshot.status.error.to_exception()}"
            for entry in self.entries
            if entry.snapshot is not None and isinstance(entry.snapshot.status, Failed)
        ]
