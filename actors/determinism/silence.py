"""Silence: what workflow code logs by ``logging`` or structlog is dropped while it only repeats itself."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import structlog

from actors.calls import active_step
from actors.determinism.patch import Patch

if TYPE_CHECKING:
    from collections.abc import Callable


def log_patches() -> list[Patch]:
    """Return the patches of the two, each at the one place that every logger's records pass."""
    return [
        Patch(logging.Logger, "handle", _handle(logging.Logger.handle), method=True),
        Patch(structlog.BoundLoggerBase, "_process_event", _process_event(), method=True),
    ]


def _handle(real: Callable[[logging.Logger, logging.LogRecord], None]) -> Callable[..., None]:
    active = active_step.get

    def handle(self: logging.Logger, record: logging.LogRecord) -> None:
        step = active()
        if step is None or not step.surroundings.silent:
            real(self, record)

    return handle


def _process_event() -> Callable[..., Any]:
    active = active_step.get
    # Documented by structlog as the place to extend.
    real: Callable[..., Any] = structlog.BoundLoggerBase._process_event  # noqa: SLF001

    def process_event(self: structlog.BoundLoggerBase, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        step = active()
        if step is not None and step.surroundings.silent:
            raise structlog.DropEvent
        return real(self, *args, **kwargs)

    return process_event
