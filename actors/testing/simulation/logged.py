"""Logged: what the engine reports while a simulation runs, kept instead of printed."""

from __future__ import annotations

import contextlib
import traceback
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Generator


class Logged:
    """Keeps errors that the engine reports of itself; there should be none, whatever goes wrong around it."""

    def __init__(self) -> None:
        """Nothing was reported yet."""
        self.errors: list[str] = []

    def __call__(self, _logger: object, method: str, event: Any) -> Any:  # noqa: ANN401 - as structlog's processors
        """Take an entry; nobody else sees it."""
        if method in {"error", "critical", "exception"}:
            how = traceback.format_exc() if event.pop("exc_info", False) else ""
            self.errors.append(f"the engine reported an error of its own: {event} {how}")
        raise structlog.DropEvent


@contextlib.contextmanager
def logged() -> Generator[Logged]:
    """Keep what is logged in the block."""
    kept = Logged()
    processors: list[Any] = structlog.get_config()["processors"]
    before = processors.copy()
    # In place, as loggers that were used already have a reference to the list.
    processors[:] = [kept]
    try:
        yield kept
    finally:
        processors[:] = before
