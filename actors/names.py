"""Names of workers: one a life, never used again, and read by people: the host, the process, then what makes it one."""

from __future__ import annotations

import re
from typing import Final

_UNFIT: Final = re.compile(r"[^A-Za-z0-9.-]")
_NAME: Final = re.compile(r"(.+)_(\d+)_[0-9a-f]{16}")
HOST_CHARACTERS_MAX: Final = 40


def new_worker_name(*, host: str, pid: int, nonce: int) -> str:
    """Return the name of a life. ``nonce``: 64 random bits."""
    return f"{_UNFIT.sub('-', host)[:HOST_CHARACTERS_MAX] or 'host'}_{pid}_{nonce:016x}"


def worker_name(worker: str) -> str:
    """Return a worker's name as people read it; what is not of that form, as it is."""
    match = _NAME.fullmatch(worker)
    return f"process {match[2]} on {match[1]}" if match else worker
