"""What the demo can be told, and the environment by which its workers are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - part of a value
from typing import Final

from actors.errors import HeadraceError

NAMESPACE: Final = "HEADRACE_DEMO_NAMESPACE"
"""Environment variable: the namespace of one run."""
PACE: Final = "HEADRACE_DEMO_PACE_S"
"""Environment variable: how long an analysis takes at least, in seconds, so that there is something to see."""

WORKERS: Final = 2
CONCURRENCY: Final = 5
"""Steps at once, a worker."""
SLEEP_S: Final = 2.0
"""The durable sleep of each workflow."""
WORKER_TIMEOUT_S: Final = 2.0
"""How long a worker may be silent before its work is taken over."""

_BUSY_S: Final = 11.0
"""How long the workers shall be busy, about."""
_PACES_A_DOCUMENT: Final = 3.75
_PACE_S_MAX: Final = 1.5
_INTERVAL_S_MAX: Final = 0.4


class DemoError(HeadraceError):
    """The demo cannot run as asked; nothing was started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """One run."""

    folder: Path | None = None
    """Whose text files to take; None: the project's own documents."""
    count: int = 24
    """How many files at most."""
    kill: bool = True
    url: str | None = None
    """The Redis server; None: HEADRACE_URL, else the embedded one of the current folder."""
    json: bool = False
    """One JSON object at the end instead of tables."""
    keep: bool = False
    """Leave what is in Redis there."""


def pace_s(count: int) -> float:
    """Return how long one analysis takes when ``count`` documents share the workers."""
    return min(_PACE_S_MAX, _BUSY_S * WORKERS * CONCURRENCY / (_PACES_A_DOCUMENT * count))


def interval_s(count: int) -> float:
    """Return how long after one document the next is begun: about as fast as the workers get through them."""
    return min(_INTERVAL_S_MAX, 0.9 * _BUSY_S / count)
