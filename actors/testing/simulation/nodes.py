"""Nodes: which of them a key lies on, and what is kept of one, or of all, to come back in a failover."""

from __future__ import annotations

import re
from typing import Any, Final

ALL: Final = -1
"""Every node: the whole server."""
_TAG: Final = re.compile(rb"\{[^{}]*:(\d+)\}")


class Nodes:
    """One in-memory server that stands for several. At most one earlier state is kept at a time.

    With two of different moments a node could come to a state that lies ahead of what another one has gone back to,
    which no failover brings about.
    """

    def __init__(self, server: Any, count: int) -> None:  # noqa: ANN401 - what ``look_into_memory`` returns
        """``count``: nodes over which the partitions are spread; 1: one server has everything."""
        self.count: Final = count
        self._server = server
        self._kept: Any = None
        self._node = ALL
        self._back_at = 0

    def of(self, key: str | bytes) -> int:
        """Return the node of a key or tag: 1 and up for a partition's, 0 for all others."""
        found = _TAG.match(key.encode() if isinstance(key, str) else key)
        return 1 + int(found[1]) % self.count if found else 0

    def remember(self, node: int, back_at: int) -> None:
        """Keep the state of a node (or of ``ALL``) now; it is ``due`` after so many writes. Nothing, if one is kept."""
        if self._kept is None:
            self._node, self._back_at = node, back_at
            self._keep()

    def promise(self, key: str | bytes) -> None:
        """Somebody who is not to be disappointed was told of a write to a key: what is kept is to have it."""
        if self._kept is not None and self._node in {ALL, self.of(key)}:
            self._keep()

    def is_due(self, writes: int) -> bool:
        """Tell whether something is to come back after so many writes."""
        return self._kept is not None and writes >= self._back_at

    def roll_back(self) -> int:
        """Let come back what is kept; return of which node it was, or ``ALL``."""
        kept, self._kept = self._kept, None
        self._server.restore(kept, of=self._is_meant)
        return self._node

    def _keep(self) -> None:
        self._kept = self._server.snapshot(of=self._is_meant)

    def _is_meant(self, key: bytes) -> bool:
        return self._node in {ALL, self.of(key)}
