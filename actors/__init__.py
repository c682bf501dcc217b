"""Durable workflows on Redis: the author's face. Define with a ``WorkflowManager``, run with ``headrace worker``."""

from __future__ import annotations

from actors.current import current_step
from actors.dead import Dead, DeadLetters, DeadPage
from actors.doctor import Finding, Report
from actors.errors import (
    CallNotAllowed,
    DeadLetterNotFound,
    DeadLetterStale,
    DeterminismViolation,
    DuplicateDefinition,
    EventFailed,
    Failure,
    HeadraceError,
    IdInUse,
    InstanceDamaged,
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
    RemoteFailure,
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
from actors.workpool import Workpool
from kernel import PoolStatus

__all__ = [
    "AttemptView",
    "CallNotAllowed",
    "Canceled",
    "Completed",
    "Dead",
    "DeadLetterNotFound",
    "DeadLetterStale",
    "DeadLetters",
    "DeadPage",
    "DeterminismViolation",
    "DuplicateDefinition",
    "EventFailed",
    "EventType",
    "Failed",
    "Failure",
    "Finding",
    "HeadraceError",
    "HistoryEntry",
    "IdInUse",
    "InProgress",
    "InstanceDamaged",
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
    "PoolStatus",
    "ReadOnly",
    "RemoteFailure",
    "Report",
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
    "Workpool",
    "current_step",
]
