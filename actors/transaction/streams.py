"""Streams of the application's own, under redis-py's names. Consumer groups and what blocks belong in actions."""

from __future__ import annotations

from typing import Final

from actors.transaction.core import TransactionCore
from actors.transaction.encoding import Fields, Key, StreamId, Value, encode_integer, encode_pairs, encode_stream_id
from actors.transaction.errors import InvalidCommand
from actors.transaction.replies import Entry, as_entries, as_integer

_CHOSEN: Final = frozenset({b"*"})


class StreamCommands(TransactionCore):
    """XADD to XTRIM."""

    async def xlen(self, name: Key) -> int:
        """Return the number of entries; 0 when absent."""
        return as_integer(await self._read("XLEN", [name]))

    async def xrange(
        self,
        name: Key,
        min: StreamId = "-",  # noqa: A002 - redis-py's name
        max: StreamId = "+",  # noqa: A002 - redis-py's name
        count: int | None = None,
    ) -> list[Entry]:
        """Return entries (id, fields) from ``min`` to ``max``, both included; ``(id`` leaves that one out."""
        return as_entries(await self._read("XRANGE", [name], min, max, *_count(count)))

    async def xrevrange(
        self,
        name: Key,
        max: StreamId = "+",  # noqa: A002 - redis-py's name
        min: StreamId = "-",  # noqa: A002 - redis-py's name
        count: int | None = None,
    ) -> list[Entry]:
        """Return entries as `xrange` does, the newest first."""
        return as_entries(await self._read("XREVRANGE", [name], max, min, *_count(count)))

    def xadd(
        self,
        name: Key,
        fields: Fields,
        id: StreamId = "*",  # noqa: A002 - redis-py's name
        maxlen: int | None = None,
        *,
        approximate: bool = True,
        nomkstream: bool = False,
        minid: StreamId | None = None,
        limit: int | None = None,
    ) -> None:
        """Add an entry.

        Args:
            name: The stream.
            fields: What it holds; not empty.
            id: Its id, larger than every id before; ``*``: Redis chooses.
            maxlen: Keep only so many entries, the newest.
            approximate: Keep some more if that is cheaper.
            nomkstream: Do nothing if there is no stream.
            minid: Keep only entries from this id on.
            limit: Remove at most so many entries; only with ``approximate``.
        """
        entry = encode_stream_id("xadd", id, what="id", also=_CHOSEN)
        if entry.strip(b"0-") == b"":
            raise InvalidCommand("xadd", "id must be larger than 0-0.")
        trim = _trim("xadd", maxlen=maxlen, minid=minid, approximate=approximate, limit=limit)
        create = [b"NOMKSTREAM"] if nomkstream else []
        self._write("XADD", [name], *create, *trim, entry, *encode_pairs("xadd", fields, what="fields"))

    def xdel(self, name: Key, *ids: StreamId) -> None:
        """Delete entries."""
        entries = [encode_stream_id("xdel", entry, what="id") for entry in ids]
        if not entries:
            raise InvalidCommand("xdel", "at least one id is needed; leave the call out when there is none.")
        self._write("XDEL", [name], *entries)

    def xtrim(
        self,
        name: Key,
        maxlen: int | None = None,
        *,
        approximate: bool = True,
        minid: StreamId | None = None,
        limit: int | None = None,
    ) -> None:
        """Delete the oldest entries; the arguments are those of `xadd`."""
        trim = _trim("xtrim", maxlen=maxlen, minid=minid, approximate=approximate, limit=limit)
        if not trim:
            raise InvalidCommand("xtrim", "give maxlen or minid.")
        self._write("XTRIM", [name], *trim)


def _trim(
    command: str, *, maxlen: int | None, minid: StreamId | None, approximate: bool, limit: int | None
) -> list[bytes]:
    if maxlen is not None and minid is not None:
        raise InvalidCommand(command, "give one of maxlen and minid.")
    if maxlen is not None:
        bound = [b"MAXLEN", encode_integer(command, maxlen, what="maxlen", least=0)]
    elif minid is not None:
        bound = [b"MINID", encode_stream_id(command, minid, what="minid")]
    else:
        bound = []
    if limit is not None and not (bound and approximate):
        raise InvalidCommand(command, "limit needs maxlen or minid, and approximate=True.")
    most = [] if limit is None else [b"LIMIT", encode_integer(command, limit, what="limit", least=0)]
    return [*bound[:1], *([b"~"] if bound and approximate else []), *bound[1:], *most]


def _count(count: int | None) -> list[Value]:
    return [] if count is None else ["COUNT", count]
