"""Program: a workflow that is run while a guard is missing, and what is to come of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from actors.definitions import Workflow


class Program(NamedTuple):
    """A workflow with its arguments and its result."""

    workflow: Workflow[..., Any]
    arguments: tuple[Any, ...]
    result: object
    """None: it depends on others."""
