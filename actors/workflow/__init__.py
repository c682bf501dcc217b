"""The replay core of workflows: pure. Events go in, commands come out; the host stores and carries out.

The core owns: the order in which the author's code runs, what it asks for and under which number, whether that is what
its journal holds, how it ended. The host owns: the journal, time, when an instance is built, kept and disposed of, and
everything that a command means outside.
"""

from __future__ import annotations

from actors.workflow.disposal import unclosable
from actors.workflow.errors import Deadlocked, JournalMismatch, TurnTooLong
from actors.workflow.instance import Instance, restarts_in
from actors.workflow.step import Step
from actors.workflow.tasks import StepFuture

__all__ = [
    "Deadlocked",
    "Instance",
    "JournalMismatch",
    "Step",
    "StepFuture",
    "TurnTooLong",
    "restarts_in",
    "unclosable",
]
