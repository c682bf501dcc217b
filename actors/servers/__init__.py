"""The process's loops: one loop, one file, one agent noun. A worker hosts them; what they decide is decided elsewhere."""

from __future__ import annotations

from actors.servers.settings import WorkerSettings
from actors.servers.worker import Worker

__all__ = ["Worker", "WorkerSettings"]
