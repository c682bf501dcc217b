"""Verdicts: what a replay said about one recorded history, as a value; for those who replay many and go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from actors.errors import DeterminismViolation, NondeterminismError, UnknownDefinition
from actors.testing.replaying import replay_history
from actors.workflow import TurnTooLong

if TYPE_CHECKING:
    from actors.registry import Registry
    from actors.testing.recording import RecordedHistory

VerdictKind = Literal["fits", "differs", "violates", "blocks", "unknown"]
"""``violates``: the code did what no replay can repeat. ``blocks``: a turn takes too long. ``unknown``: the workflow,
or its version, is not registered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a recorded history fits the code at hand."""

    kind: VerdictKind
    message: str = ""
    """All of it in words, with what to do; empty if it fits."""
    step: int = 0
    """``differs``: number of the first command that differs, one more than there are for the end. Else 0."""
    was: str = ""
    """``differs``: what was recorded there."""
    now: str = ""
    """``differs``: what the code does instead."""
    site: str = ""
    """``differs``: ``file:line`` of the author's code, perhaps ``in function``."""

    @property
    def fits(self) -> bool:
        """Whether an instance with this history would go on under this code."""
        return self.kind == "fits"


def judge_history(registry: Registry, history: RecordedHistory, *, strict: bool = True) -> Verdict:
    """Replay a recorded history as ``replay_history`` does, and return what that says in place of raising it."""
    try:
        replay_history(registry, history, strict=strict)
    except NondeterminismError as error:
        return Verdict(
            kind="differs", message=str(error), step=error.seq, was=error.was, now=error.now, site=error.site
        )
    except DeterminismViolation as error:
        return Verdict(kind="violates", message=str(error))
    except TurnTooLong as error:
        return Verdict(kind="blocks", message=str(error))
    except UnknownDefinition as error:
        return Verdict(kind="unknown", message=str(error))
    return Verdict(kind="fits")
