"""Which workflow the running code belongs to: read by direct calls of definitions, set by the replay core."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from random import Random

    from actors.definitions import Action

P = ParamSpec("P")
R = TypeVar("R")


class ContinueAsNew(BaseException):
    """Unwinds workflow code that begins anew; the replay core catches it. ``except Exception`` lets it pass."""

    def __init__(self, *, version: str, arguments: bytes) -> None:
        """``version``: under whose code it begins anew; ``arguments``: as the definition encoded them."""
        super().__init__("the workflow begins anew")
        self.version = version
        self.arguments = arguments


class ActiveSurroundings(Protocol):
    """What the guards of workflow code need to know of the instance whose code is running."""

    @property
    def name(self) -> str:
        """The registered name of the instance's workflow."""
        ...

    @property
    def now_ms(self) -> int:
        """Recorded time of the latest event, ms since the epoch."""
        ...

    @property
    def silent(self) -> bool:
        """Whether nothing may be logged now."""
        ...

    def stream(self, purpose: str) -> Random:
        """Return the instance's random numbers for one purpose."""
        ...


class ActiveStep(Protocol):
    """What a direct call, and the guards of workflow code, need of the workflow's ``Step``."""

    @property
    def surroundings(self) -> ActiveSurroundings:
        """The instance's time, random numbers and whether it is silent."""
        ...

    def run_action(self, action: Action[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        """Ask for the action as a durable step."""
        ...


active_step: ContextVar[ActiveStep | None] = ContextVar("active_step", default=None)
"""The ``Step`` of the workflow whose code is running, set in its root context; None outside workflow code."""
answering: ContextVar[str] = ContextVar("answering", default="")
"""The name of the update whose handler is running, also in tasks that it made; empty elsewhere."""
