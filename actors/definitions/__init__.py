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
)
from actors.definitions.workflow import DEFAULT_VERSION, BoundWorkflow, Workflow, decode_beginning

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
    "decode_beginning",
]
