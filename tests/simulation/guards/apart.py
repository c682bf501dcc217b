"""Runs in a process of their own: without a guard a run may go round in circles for ever, or leave anything behind."""

from __future__ import annotations

import os
import pickle
import signal
from typing import TYPE_CHECKING, Any, Final

from actors.testing.simulation import Run, Schedule
from tests.simulation.guards.focus import play
from tests.simulation.guards.guard import Disarmed

if TYPE_CHECKING:
    from tests.simulation.guards.focus import Focus
    from tests.simulation.guards.guard import Guard

PROCESSOR_S_MAX: Final = 6.0
"""What one run may take of the processor; they take a tenth of it."""


ENDLESS: Final = "it goes round in circles and never ends"


class Seen(Exception):
    """What a run in another process failed with, as text."""


def play_apart(focus: Focus, schedule: Schedule, guard: Guard | None = None) -> Run:
    """Run a schedule as ``play`` does. One that is endless fails as well."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_child(writing, focus, schedule, guard)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        data = answer.read()
    _, status = os.waitpid(child, 0)
    if not data:
        assert os.WIFSIGNALED(status), "a run ended without a word"
        return Run(schedule=schedule, error=Seen(ENDLESS), taken=schedule.faults)
    found: Any = pickle.loads(data)
    if isinstance(found, BaseException):
        raise found
    error = found.pop("error")
    return Run(schedule=schedule, error=None if error is None else Seen(error), **found)


def _be_child(writing: int, focus: Focus, schedule: Schedule, guard: Guard | None) -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, PROCESSOR_S_MAX)  # which ends it
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    try:
        done = play(focus, schedule, guard)
        error = None if done.error is None else str(done.error) or type(done.error).__name__
        os.write(writing, pickle.dumps({"error": error, "taken": done.taken, "writes": done.writes}))
    except BaseException as wrong:  # noqa: BLE001 - who asked has to hear of it, and the child must not go on
        os.write(writing, pickle.dumps(wrong if isinstance(wrong, Disarmed) else RuntimeError(repr(wrong))))
    finally:
        os._exit(0)
