"""Workpools: how many steps of one kind may be under way at once, over all workers together."""

from __future__ import annotations

from actors.workpool.workpool import Workpool

__all__ = ["Workpool"]
