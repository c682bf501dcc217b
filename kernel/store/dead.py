"""Dead letters: what was set aside for a person: messages to the gateway, and steps that took their workers down."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel.errors import KernelError
from kernel.store import keys
from kernel.store.gateway import FIRST, SINCE
from kernel.store.replies import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.store.space import Space

PAGE_MAX: Final = 1_000
KEPT_MAX: Final = 100_000
"""Letters that a stream keeps at most, whatever their age."""
_ID: Final = re.compile(r"(?:g|(\d+))\.(\d+-\d+)")


class NoSuchLetter(KernelError):
    """There is no dead letter of that id."""


class DeadLetter(NamedTuple):
    """One thing that was set aside."""

    id: str
    """``g.<entry>`` of a message to the gateway, ``<partition>.<entry>`` of a step."""
    at_ms: int
    fields: dict[str, bytes]
    """Of the stream's entry, but for what stands in the two below."""
    came_as: str
    """The entry as which a message came; empty of a step."""
    reason: str
    """Why a message could not be carried out; empty of a step."""


class Dead:
    """The streams ``ns:dead`` and ``K:dead``."""

    def __init__(self, space: Space) -> None:
        """Work in one namespace."""
        self._space = space

    @property
    def sources(self) -> tuple[str, ...]:
        """What ids begin with: ``g`` and the partitions, in the order of a list."""
        return ("g", *map(str, range(self._space.keys.partitions)))

    async def page(self, source: str, *, after: str = "", count: int = PAGE_MAX) -> list[DeadLetter]:
        """Return the letters of one source, the oldest first, those behind the entry ``after``; at most ``count``."""
        stream = self.stream(source)
        begin = f"({after}" if after else "-"
        rows = listed(await self._space.send(stream, "XRANGE", stream, begin, "+", "COUNT", min(count, PAGE_MAX)))
        return [_letter(source, entry.decode(), fields) for entry, fields in rows]

    async def count(self) -> dict[str, int]:
        """Return how many letters there are, by source."""
        found: dict[str, int] = {}
        for source in self.sources:
            stream = self.stream(source)
            if await self._space.send(stream, "TYPE", stream) not in {b"stream", b"none"}:
                continue  # somebody else's: the doctor says so
            length = await self._space.send(stream, "XLEN", stream)
            found[source] = length if isinstance(length, int) else 0
        return found

    async def get(self, letter_id: str) -> DeadLetter:
        """Return a letter. Raises NoSuchLetter."""
        source, entry = self._split(letter_id)
        stream = self.stream(source)
        rows = listed(await self._space.send(stream, "XRANGE", stream, entry, entry))
        if not rows:
            raise _no_letter(letter_id)
        return _letter(source, entry, rows[0][1])

    async def drop(self, letter_id: str) -> bool:
        """Delete a letter for good; False: it is gone already. Raises NoSuchLetter: that cannot be its id."""
        source, entry = self._split(letter_id)
        stream = self.stream(source)
        return await self._space.send(stream, "XDEL", stream, entry) == 1

    async def publish(self, letter: DeadLetter, fields: Mapping[str, bytes]) -> None:
        """Give a message to the gateway once more, with these fields.

        It stays the message that it was, so it takes effect once, however often it is published.
        """
        stream, words = self._space.keys.gateway, list[str | bytes | int]()
        for name, value in fields.items():
            words += (name, value)
        own = (FIRST, letter.came_as, SINCE, self._space.now_ms())
        await self._space.send(stream, "XADD", stream, "*", *own, *words)

    async def prune(self, *, before_ms: int) -> int:
        """Delete letters that are older, and the oldest of a stream that has too many; return how many."""
        gone = 0
        for source in self.sources:
            stream = self.stream(source)
            if not await self._space.send(stream, "EXISTS", stream):
                continue
            for bound in (("MINID", max(before_ms, 0)), ("MAXLEN", KEPT_MAX)):
                trimmed = await self._space.send(stream, "XTRIM", stream, *bound)
                gone += trimmed if isinstance(trimmed, int) else 0
        return gone

    def stream(self, source: str) -> str:
        """Return the stream of a source."""
        space_keys = self._space.keys
        return space_keys.dead if source == "g" else keys.shared(space_keys.tags[int(source)], "dead")

    def _split(self, letter_id: str) -> tuple[str, str]:
        match = _ID.fullmatch(letter_id)
        if match is None or int(match[1] or 0) >= self._space.keys.partitions:
            raise _no_letter(letter_id)
        return match[1] or "g", match[2]


def _no_letter(letter_id: str) -> NoSuchLetter:
    return NoSuchLetter(f"there is no dead letter {letter_id!r}: see the ids in `headrace dead list`")


def _letter(source: str, entry: str, words: Sequence[bytes]) -> DeadLetter:
    # The first two fields of a buried message are ours; its own may have the same names.
    found = [(words[i].decode(errors="replace"), words[i + 1]) for i in range(0, len(words), 2)]
    came_as = reason = ""
    if source == "g" and len(found) > 1:
        (_, first), (_, second), *found = found
        came_as, reason = first.decode(errors="replace"), second.decode(errors="replace")
    return DeadLetter(f"{source}.{entry}", int(entry.partition("-")[0]), dict(found), came_as, reason)
