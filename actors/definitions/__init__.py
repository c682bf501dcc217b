"""Definitions: functions that were decorated, as the replay core, the runner and the client see them.

They encode and check calls; they run nothing and know neither Redis nor a clock.
"""

from __future__ import annotations

from actors.definitions.base import VALUE_BYTES_MAX, BoundCall, Defaults, Definition
from actors.definitions.steps import (
    Action,
    AsyncAction,
    BoundAction,
    BoundMutation,
    BoundQuery,
    Mutation,
    Query,
    StepDefinition,
    ThreadAction,
    check_declared,
)
from actors.definitions.workflow import BoundWorkflow, Workflow
from actors.starting import DEFAULT_VERSION

__all__ = [
    "DEFAULT_VERSION",
    "VALUE_BYTES_MAX",
    "Action",
    "AsyncAction",
    "BoundAction",
    "BoundCall",
    "BoundMutation",
    "BoundQuery",
    "BoundWorkflow",
    "Defaults",
    "Definition",
    "Mutation",
    "Query",
    "StepDefinition",
    "ThreadAction",
    "Workflow",
    "check_declared",
]
