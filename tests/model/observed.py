"""What is seen of a program at its end: by the oracle, and on the engine. The two must be equal."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(slots=True)
class Observed:
    """How the root instance stands, and what all instances of the program have done."""

    status: str
    """completed, failed, canceled or in_progress."""
    result: Any = None
    """``completed``: the value. ``failed``: type and message."""
    runs: dict[str, int] = field(default_factory=dict[str, int])
    """Attempts begun, by label."""
    mutations: dict[str, int] = field(default_factory=dict[str, int])
    """Mutations committed, by label."""
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    """Published values of the root."""
    untaken: list[Any] = field(default_factory=list[Any])
    """Values of the events that no wait of the root has taken."""
    replies: list[Any] = field(default_factory=list[Any])
    """Answers to the updates, in the order sent."""
    tied: bool = False
    """Two things fell on one ms, so that the outcome is not defined (the oracle alone can tell)."""

    def differences(self, other: Observed) -> list[str]:
        """Say in which fields the other, the engine's, differs."""
        found: list[str] = []
        for one in fields(self):
            mine, its = getattr(self, one.name), getattr(other, one.name)
            if one.name != "tied" and mine != its:
                found.append(f"{one.name}: the oracle says {mine!r}, the engine {its!r}")
        return found
