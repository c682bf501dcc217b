"""What an instance of the oracle asks for, and what it is told. Values only."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tests.model.oracle_life import Life
    from tests.model.programs import Statement

AskedKind = Literal["step", "timer", "wait", "child", "value", "reply"]
Kind = Literal["started", "outcome", "event", "update", "cancel", "restarted"]


@dataclass(slots=True)
class Reply:
    """The answer to an update: the first one counts."""

    said: Any = "none"

    def say(self, said: object) -> None:
        if self.said == "none":
            self.said = said


@dataclass(slots=True)
class Told:
    """One thing that an instance was told."""

    number: int
    at_ms: int
    kind: Kind
    seq: int = 0
    name: str = ""
    value: Any = None
    error: BaseException | None = None
    reply: Reply = field(default_factory=Reply)


@dataclass(slots=True, eq=False)
class Asked:
    """One thing that an instance has asked for."""

    seq: int
    kind: AskedKind
    label: str
    it: Statement
    at: int
    """Number of what it was told when it asked."""
    time_ms: int
    future: asyncio.Future[Any]
    placed: bool = False
    open: bool = False
    withdrawn: bool = False
    """The code no longer wants it."""
    closed: int = 0
    """Number of what the code was told when it no longer wanted it."""
    closed_ms: int = -1
    """When it was taken back."""
    child: Life | None = None

    @property
    def unwanted(self) -> bool:
        return self.withdrawn or self.future.cancelled()


def answer(future: asyncio.Future[Any], told: Told) -> None:
    """Let a future have what was told, unless it has something."""
    if future.done():
        return
    if told.error is not None:
        future.set_exception(told.error)
    else:
        future.set_result(told.value)
