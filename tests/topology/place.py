"""A place: where the engine can run. What all kinds have in common; see ``places`` for their list."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kernel.server_binary import find_server_binary
from tests.topology.node import Keeper, Node

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Place(ABC):
    """One deployment of Redis for the time of a ``with`` block; ``url`` is what a manager takes."""

    name: str
    url: str
    partitions = 12
    """Of the namespaces that tests found in it."""

    @abstractmethod
    def __enter__(self) -> Self:
        """Start what is needed and wait until it serves."""

    @abstractmethod
    def close(self) -> None:
        """End it; nothing of it is left, neither process nor file."""

    @abstractmethod
    def empty(self) -> None:
        """Delete every key and every script."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class OfNodes(Place):
    """A place that consists of server processes of its own."""

    def __init__(self, binary: Path | None = None) -> None:
        """``binary``: the server program; None: what is found on this machine.

        Raises:
            NoServerBinary: there is none.
        """
        self.binary: Final = binary or find_server_binary().path
        self.nodes: list[Node] = []
        """Those that hold data."""
        self.sentinels: list[Node] = []
        self._folder = Path()
        self._keeper: Keeper | None = None

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="headrace-test-"))
        self._keeper = Keeper()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    @abstractmethod
    def _start(self) -> None:
        """Start the nodes."""

    def _node(self, name: str, *, sentinel_text: str = "", **settings: str | int) -> Node:
        """Return a new node, which does not run yet."""
        assert self._keeper is not None
        node = Node(self._keeper, self.binary, self._folder / name, sentinel_text=sentinel_text, **settings)
        (self.sentinels if sentinel_text else self.nodes).append(node)
        return node

    def close(self) -> None:
        """End every process and delete every file."""
        for node in (*self.sentinels, *self.nodes):
            with contextlib.suppress(AssertionError):  # a keeper that died; the process is gone nevertheless
                node.kill()
        if self._keeper is not None:
            self._keeper.close()
        self.nodes, self.sentinels = [], []
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def primaries(self) -> list[Node]:
        """Those that take writes now, as they see it themselves."""
        return [node for node in self.nodes if node.answers() and node.info("replication")["role"] == "master"]

    def empty(self) -> None:
        """Delete every key and every script."""
        for node in self.primaries:
            node.ask("FLUSHALL")
            node.ask("SCRIPT", "FLUSH")
