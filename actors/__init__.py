"""Durable workflows on Redis: the author's face. Define with a ``WorkflowManager``, run with ``headrace worker``."""

from __future__ import annotations

from actors.current import current_step
from actors.errors import (
    CallNotAllowed,
    DeterminismViolation,
    DuplicateDefinition,
    Failure,
    HeadraceError,
    InvalidArguments,
    InvalidOption,
    InvalidReturn,
    Misuse,
    MutationBroken,
    NondeterminismError,
    NonRetryable,
    OutcomeUnknown,
    PayloadTooLarge,
    RemoteFailure,
    RetryAfter,
    StepCanceled,
    StepFailed,
    StepTimedOut,
    UnknownDefinition,
    WorkerDied,
    WorkflowCanceled,
    WorkflowFailed,
    WorkflowNotFound,
)
from actors.handle import WorkflowHandle
from actors.listing import Listed, Page
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
    "Failed",
    "Failure",
    "HeadraceError",
    "InProgress",
    "InvalidArguments",
    "InvalidOption",
    "InvalidReturn",
    "Listed",
    "Misuse",
    "MutationBroken",
    "NonRetryable",
    "NondeterminismError",
    "OutcomeUnknown",
    "Page",
    "PayloadTooLarge",
    "ReadOnly",
    "RemoteFailure",
    "Result",
    "RetryAfter",
    "RetryPolicy",
    "RunningStep",
    "Scheduled",
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
    "WorkerDied",
    "WorkflowCanceled",
    "WorkflowFailed",
    "WorkflowHandle",
    "WorkflowManager",
    "WorkflowNotFound",
    "current_step",
]
