"""``memory://``: Redis servers in this process, by name, for tests. Not durable, and seen by no other process.

Each is fakeredis with Lua, which differs from a real server in what the protocol must not rely on: XREADGROUP inside
a script answers in another shape and hangs with BLOCK; XCLAIM's LASTID is taken for an entry's id; WATCH does not
notice that a key expired; a consumer exists from its first read on, also an empty one. Nothing is synced or evicted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from fakeredis import FakeAsyncRedis, FakeServer

from kernel.errors import InvalidUrl

if TYPE_CHECKING:
    from redis.asyncio import Redis

SCHEME: Final = "memory"
_VERSION: Final = (7,)
"""The oldest current server; what a newer one alone can do is not to be found out by accident."""

_servers: Final[dict[str, FakeServer]] = {}


def memory_server(url: str) -> FakeServer:
    """Return the server that ``url`` names, made empty when first asked for.

    Args:
        url: ``memory://name``, or ``memory://`` for the one without a name. All users of a name in this process
            share the server, whatever thread or event loop they are on.

    Raises:
        InvalidUrl: anything else.
    """
    return _servers.setdefault(_name(url), FakeServer(version=_VERSION))


def memory_client(url: str) -> Redis:
    """Return a new client of the server that ``url`` names. It answers bytes; close it like any other.

    Raises:
        InvalidUrl: the URL is not of the form ``memory://name``.
    """
    # Without a timeout: redis-py enforces it by wait_for, which on Python 3.11 may swallow a cancellation.
    return FakeAsyncRedis(server=memory_server(url), version=_VERSION, socket_timeout=None)


def drop_memory_server(url: str) -> None:
    """Forget a server and what it holds: the next user of its name finds it empty. Clients in use keep the old one."""
    _servers.pop(_name(url), None)


def _name(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != SCHEME or parts.path.strip("/") or parts.query or parts.fragment:
        raise InvalidUrl(url, "an in-memory server is named memory:// or memory://name")
    return parts.netloc
