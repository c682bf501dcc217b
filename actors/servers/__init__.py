"""The process's loops: one loop, one file, one agent noun. A worker hosts them; decisions are made elsewhere."""

from __future__ import annotations

from actors.servers.settings import WorkerSettings
from actors.servers.worker import Worker

__all__ = ["Worker", "WorkerSettings"]
