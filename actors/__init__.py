"""Durable workflows on Redis: the author's face. Define with a ``WorkflowManager``, run with ``headrace worker``."""

from __future__ import annotations

from actors.current import current_step
from actors.errors import (
    CallNotAllowed,
    DeterminismViolation,
    DuplicateDefinition,
    EventFailed,
    Failure,
    HeadraceError,
    InvalidArguments,
    InvalidOption,
    InvalidReturn,
    Misuse,
    MutationBroken,
    NondeterminismError,
    NonRetryable,
    NoSuchStep,
    OutcomeUnknown,
    PayloadTooLarge,
    RetryAfter,
    StepCanceled,
    StepFailed,
    StepTimedOut,
    UnknownDefinition,
    UpdateFailed,
    WorkerDied,
    WorkflowBusy,
    WorkflowCanceled,
    WorkflowEnded,
    WorkflowFailed,
    WorkflowNotFound,
    WorkflowRunning,
)
from actors.events import EventType
from actors.handle import WorkflowHandle
from actors.history import HistoryEntry
from actors.listing import Listed, Page, Selection
from actors.manager import WorkflowManager
from actors.policy import RetryPolicy
from actors.results import Canceled, Completed, Failed, InProgress, Result, RunningStep, Scheduled, Status, Stopped
from actors.transaction import ReadOnly, Transaction
from actors.views import AttemptView, Snapshot, StepView
from actors.workflow import Step, StepFuture

__all__ = [
    "AttemptView",
    "CallNotAllowed",
    "Canceled",
    "Completed",
    "DeterminismViolation",
    "DuplicateDefinition",
    "EventFailed",
    "EventType",
    "Failed",
    "Failure",
    "HeadraceError",
    "HistoryEntry",
    "InProgress",
    "InvalidArguments",
    "InvalidOption",
    "InvalidReturn",
    "Listed",
    "Misuse",
    "MutationBroken",
    "NoSuchStep",
    "NonRetryable",
    "NondeterminismError",
    "OutcomeUnknown",
    "Page",
    "PayloadTooLarge",
    "ReadOnly",
    "Result",
    "RetryAfter",
    "RetryPolicy",
    "RunningStep",
    "Scheduled",
    "Selection",
    "Snapshot",
    "Status",
    "Step",
    "StepCanceled",
    "StepFailed",
    "StepFuture",
    "StepTimedOut",
    "StepView",
    "Stopped",
    "Transaction",
    "UnknownDefinition",
    "UpdateFailed",
    "WorkerDied",
    "WorkflowBusy",
    "WorkflowCanceled",
    "WorkflowEnded",
    "WorkflowFailed",
    "WorkflowHandle",
    "WorkflowManager",
    "WorkflowNotFound",
    "WorkflowRunning",
    "current_step",
]
