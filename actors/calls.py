"""Which workflow the running code belongs to: read by direct calls of definitions, set by the replay core."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from actors.definitions import Action

P = ParamSpec("P")
R = TypeVar("R")


class ActiveStep(Protocol):
    """What a direct call needs of the workflow's ``Step``."""

    def run_action(self, action: Action[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        """Ask for the action as a durable step."""
        ...


active_step: ContextVar[ActiveStep | None] = ContextVar("active_step", default=None)
"""The ``Step`` of the workflow whose code is running, set in its root context; None outside workflow code."""
