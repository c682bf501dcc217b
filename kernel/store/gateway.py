"""Gateway: messages that any service publishes by one XADD, as a worker takes and answers them. Not what they mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from kernel.store.keys import GATEWAYS
from kernel.store.reader import Entry, Reader
from kernel.store.replies import listed

if TYPE_CHECKING:
    from kernel.store.space import Space

FIRST: Final = b"first"
"""Field of a message that was passed on: the entry that it came as."""
SINCE: Final = b"since"
"""Field of a message that was set aside and published again: ms since the epoch at which it was."""
_ENTRY: Final = re.compile(rb"\d{1,20}-\d{1,20}")
_MS: Final = re.compile(rb"\d{1,15}")


class Gateway:
    """The stream ``ns:gateway``, and ``ns:dead`` for what could not be carried out."""

    def __init__(self, space: Space) -> None:
        """Work in one namespace."""
        self._space = space

    async def done(self, entry: Entry, *, since: int | None = None) -> bool:
        """Take a message out; False: somebody else did.

        ``since``: the space's stamp from before it was carried out. Raises LinkChanged: that may be lost, do it again.
        """
        if since is None:
            return await self._answer(entry) == 1
        return await self._space.call_if(since, "answer", entry.stream, GATEWAYS, entry.id) == 1

    async def pass_on(self, entry: Entry) -> bool:
        """Put a message at the end of the stream, for other workers; False: somebody else answered it."""
        fields = [FIRST, first_entry(entry).encode()]
        fields += [word for pair in _pairs(entry) for word in pair if pair[0] != FIRST]
        return await self._answer(entry, *fields) == 1

    async def bury(self, entry: Entry, reason: str) -> None:
        """Set a message aside for a person, with the reason. Broken off in the middle, it is set aside twice."""
        dead = self._space.keys.dead
        fields = [word for pair in _pairs(entry) for word in pair if pair[0] not in {FIRST, SINCE}]
        await self._space.send(dead, "XADD", dead, "*", "entry", first_entry(entry), "reason", reason, *fields)
        await self.done(entry)

    async def give_back(self, worker: str) -> None:
        """Pass on what a leaving worker had read and not answered."""
        stream = self._space.keys.gateway
        reader = Reader(self._space, group=GATEWAYS, consumer=worker, streams=(stream,))
        for entry in await reader.pending():
            await (self.pass_on(entry) if entry.fields else self.done(entry))

    async def _answer(self, entry: Entry, *fields: bytes) -> object:
        return await self._space.call("answer", entry.stream, GATEWAYS, entry.id, *fields)


async def gateway_violations(space: Space) -> list[str]:
    """Return what is wrong with the gateway's stream: messages that are pending, but deleted."""
    stream = space.keys.gateway
    if not await space.send(stream, "EXISTS", stream):
        return []
    texts: list[str] = []
    for group in listed(await space.send(stream, "XINFO", "GROUPS", stream)):
        name = dict(zip(group[::2], group[1::2], strict=True))[b"name"]
        rows = listed(await space.send(stream, "XPENDING", stream, name, "-", "+", 1000))
        pending: list[str] = [row[0].decode() for row in rows]
        texts += [
            f"I5: {stream} {entry} is pending, but deleted"
            for entry in pending
            if not await space.send(stream, "XRANGE", stream, entry, entry)
        ]
    return texts


def first_entry(entry: Entry) -> str:
    """Return the id of the entry as which a message was published; passed on, it lies in another one."""
    first = dict(_pairs(entry)).get(FIRST, b"")
    return (first if _ENTRY.fullmatch(first) else entry.id).decode()  # anybody may publish a field of that name


def published_ms(entry: Entry) -> int:
    """Return when a message was published, ms since the epoch; again, if it was set aside before."""
    since = dict(_pairs(entry)).get(SINCE, b"")
    return int(since) if _MS.fullmatch(since) else int(first_entry(entry).partition("-")[0])


def _pairs(entry: Entry) -> list[tuple[bytes, bytes]]:
    return list(zip(entry.fields[::2], entry.fields[1::2], strict=True))
