"""What became of a workflow: one discriminated union on ``type``. Values only; ``WorkflowHandle`` answers with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - pydantic reads the annotations when a result is an argument
from typing import Generic, Literal, TypeAlias, TypeVar

from actors.errors import Failure  # noqa: TC001 - as above

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class RunningStep:
    """A step without outcome, as a status shows it."""

    seq: int
    """Its number in the workflow, from 1."""
    name: str
    attempt: int = 1
    worker: str = ""
    """The worker that runs it; empty while it waits."""


@dataclass(frozen=True, slots=True)
class InProgress:
    """It runs, or waits for a step, a time or an event."""

    running: tuple[RunningStep, ...] = ()
    waiting: str = ""
    """Why it does not go on although it could: no worker has its code, or that of a step, or none that tried could read
    the journal.

    Empty: nothing is in the way.
    """
    type: Literal["in_progress"] = "in_progress"


@dataclass(frozen=True, slots=True)
class Completed(Generic[R_co]):
    """It returned ``result``."""

    result: R_co
    type: Literal["completed"] = "completed"


@dataclass(frozen=True, slots=True)
class Failed:
    """It raised."""

    error: Failure
    type: Literal["failed"] = "failed"


@dataclass(frozen=True, slots=True)
class Canceled:
    """It was canceled; there is no result."""

    type: Literal["canceled"] = "canceled"


@dataclass(frozen=True, slots=True)
class Scheduled:
    """It starts at ``at`` (aware, UTC)."""

    at: datetime
    type: Literal["scheduled"] = "scheduled"


@dataclass(frozen=True, slots=True)
class Stopped:
    """It waits for mended code: the code no longer fits its journal, or its turn kills workers."""

    error: Failure
    type: Literal["stopped"] = "stopped"


Result: TypeAlias = Completed[R] | Failed | Canceled
"""How a workflow ended."""

Status: TypeAlias = InProgress | Completed[R] | Failed | Canceled | Scheduled | Stopped
"""Where a workflow is now."""
