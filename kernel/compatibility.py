"""What a Redis server must be to be used here: versions and settings. Judges facts that others have read."""

from __future__ import annotations

import re
from typing import Final

from kernel.errors import EvictingServer, ServerTooOld

Version = tuple[int, ...]

MINIMUM_VERSION: Final[Version] = (6, 2)
"""Oldest server whose streams and scripts behave as the protocol needs (``XTRIM MINID`` is the newest command used)."""

_DIGITS: Final = re.compile(r"\d+(?:\.\d+)*")


def parse_version(text: str) -> Version:
    """Return the first dotted number in ``text`` as integers, ``()`` if there is none: ``v=7.0.15`` → (7, 0, 15)."""
    match = _DIGITS.search(text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def format_version(version: Version) -> str:
    """Return a version as people write it."""
    return ".".join(str(part) for part in version)


def check_server(*, version: str, eviction_policy: str) -> None:
    """Refuse a server that cannot keep the kernel's promises.

    Args:
        version: ``redis_version`` of INFO. Valkey states there the Redis version that it is compatible with.
        eviction_policy: ``maxmemory-policy`` of CONFIG GET, or of INFO memory (``maxmemory_policy``) where managed
            servers forbid CONFIG. Empty if unknown: not judged.

    Raises:
        ServerTooOld: below ``MINIMUM_VERSION``.
        EvictingServer: keys may be dropped when memory is full.
    """
    if parse_version(version) < MINIMUM_VERSION:
        raise ServerTooOld(version, minimum=format_version(MINIMUM_VERSION))
    if eviction_policy not in {"", "noeviction"}:
        raise EvictingServer(eviction_policy)
