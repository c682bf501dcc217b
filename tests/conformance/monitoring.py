"""Watches what scripts do on the nodes of a Cluster: which key each call inside a script names, by MONITOR."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from typing import Final

from kernel.store.scripts import SCRIPTS
from tests.topology.clusters import slot_of
from tests.topology.node import HOST, Node

_LINE: Final = re.compile(rb'\+\d+\.\d+ \[\d+ (\S+)\] "([^"]*)"(.*)')
_WORD: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_KEYLESS: Final = frozenset({b"PUBLISH", b"TIME"})
_ALL_KEYS: Final = frozenset({b"DEL", b"UNLINK", b"EXISTS"})
_SECOND: Final = frozenset({b"XGROUP", b"MEMORY"})
_NAMES: Final = {script.sha.encode(): name for name, script in SCRIPTS.items()}
_NAMES_OF_TEXTS: Final = {
    script.text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n").encode(): name
    for name, script in SCRIPTS.items()
}
"""By their texts as MONITOR shows them."""
_RETRY_S: Final = 0.05


class SlotWatch:
    """One thread a node. ``wrong``: calls on a key of another slot than the script's; ``seen``: names of scripts."""

    def __init__(self, nodes: list[Node]) -> None:
        """Begin to watch."""
        self.wrong: set[str] = set()
        self.seen: set[str] = set()
        self.calls = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._watch, args=(node,), daemon=True) for node in nodes]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End all threads."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _watch(self, node: Node) -> None:
        while not self._over.is_set():
            # A node that is killed is watched again when it is back.
            with contextlib.suppress(OSError), socket.create_connection((HOST, node.port), timeout=1) as connection:
                connection.settimeout(0.2)
                connection.sendall(b"MONITOR\r\n")
                self._read(connection)
            time.sleep(_RETRY_S)

    def _read(self, connection: socket.socket) -> None:
        rest, script, slot = b"", "", -1
        while not self._over.is_set():
            try:
                data = connection.recv(1 << 20)
            except TimeoutError:
                continue
            if not data:
                return
            *lines, rest = (rest + data).split(b"\r\n")
            for line in lines:
                found = _LINE.match(line)
                if found is None:
                    continue
                source, command, words = found.groups()
                if source != b"lua":
                    if command.upper() in {b"EVALSHA", b"EVAL"}:
                        script, slot = self._begin(words)
                elif slot >= 0:
                    self._check(script, slot, command.upper(), words)

    def _begin(self, words: bytes) -> tuple[str, int]:
        text, _, key = (match.group(1) for match, _ in zip(_WORD.finditer(words), range(3), strict=False))
        # Some are sent whole, not by their hash.
        name = _NAMES.get(text) or _NAMES_OF_TEXTS.get(text, "unknown")
        self.seen.add(name)
        return name, slot_of(key.decode())

    def _check(self, script: str, slot: int, command: bytes, words: bytes) -> None:
        if command in _KEYLESS:
            return
        self.calls += 1
        named = [match.group(1) for match in _WORD.finditer(words)]
        keys = named if command in _ALL_KEYS else named[1:2] if command in _SECOND else named[:1]
        for key in keys:
            if slot_of(key.decode(errors="replace")) != slot:
                self.wrong.add(f"{script}: {command.decode()} {key.decode(errors='replace')}")
