"""Logs of the command line: structlog on stderr, readable on a terminal, ``key=value`` elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, cast

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger


def configure_logs(*, verbose: bool, worker: bool) -> None:
    """Log warnings and above, a worker also information; ``verbose``: one level more."""
    level = (logging.DEBUG if worker else logging.INFO) if verbose else logging.INFO if worker else logging.WARNING
    terminal = sys.stderr.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%S.%fZ" if not terminal else "%H:%M:%S", utc=not terminal),
    ]
    structlog.configure(
        processors=[*shared, _on_terminal() if terminal else _plain],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    # What libraries log goes the same way.
    logging.basicConfig(level=max(level, logging.WARNING), format="%(levelname)s %(name)s: %(message)s", force=True)


def _on_terminal() -> Processor:
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def _plain(logger: WrappedLogger, name: str, entry: EventDict) -> str:
    """Render ``time level event key=value …``; a traceback follows in lines of its own."""
    entry = structlog.processors.format_exc_info(logger, name, entry)
    traceback = cast("str | None", entry.pop("exception", None))
    head = f"{entry.pop('timestamp', '')} {entry.pop('level', ''):<7} {entry.pop('event', '')}"
    pairs = "".join(f" {key}={_word(value)}" for key, value in entry.items())
    return f"{head}{pairs}" + (f"\n{traceback}" if traceback else "")


def _word(value: object) -> str:
    text = ",".join(map(str, cast("list[object]", value))) if isinstance(value, list) else str(value)
    return repr(text) if not text or any(c.isspace() or c in "\"'=" or not c.isprintable() for c in text) else text
