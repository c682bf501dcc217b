"""Discarding: everything of an actor that cannot be used any more is deleted, whatever is missing or garbled of it.

Its keys go by one script, which leaves a tombstone; then what lies of it in the places that actors share goes, since
nobody names it any more. Both can be done again, after a crash in between too.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from kernel.errors import ServerRefused
from kernel.refusals import StaleGeneration
from kernel.store import keys, rounds
from kernel.store.damage import is_damage
from kernel.store.replies import listed
from kernel.store.slices import scan_hash

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from kernel.store.space import Space

CHILDREN_A_CALL: Final = 50
_STREAMS: Final = ("ready", "outbox")


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    """What was removed of an actor."""

    parts: tuple[str, ...] = ()
    """Its keys: ``record``, ``journal`` …"""
    places: Counter[str] = field(default_factory=Counter[str])
    """How many entries and members in each place that actors share."""
    told: int = 0
    """Messages to who waited for it, and to its children."""


class Discarding:
    """Removes damaged actors of one namespace."""

    def __init__(self, space: Space) -> None:
        """Work in one namespace."""
        self._space = space

    async def discard(self, address: str, *, unknown: bytes, completes: bool) -> Discarded:
        """Remove an actor; what was removed is empty if nothing of it was there.

        Its parent, and whoever else waits, get ``unknown`` as a failure, unless it had ended; children that are not
        detached are canceled and cleaned up. ``completes``: what it asks to be called on its end can be read.

        Raises:
            StaleGeneration: it began anew since the caller looked.
        """
        space, tag = self._space, self._space.keys.tag_of(address)
        generation = await self._generation(tag, address)
        told = 0
        children = await self._children(tag, address)
        for first in range(0, len(children), CHILDREN_A_CALL):
            page = children[first : first + CHILDREN_A_CALL]
            reply = listed(await space.actor_call("discard", address, address, generation, unknown, 0, *page))
            told += _unless_stale(reply)[1]
        how = 2 if completes else 1
        word, *rest = _unless_stale(
            listed(await space.actor_call("discard", address, address, generation, unknown, how))
        )
        parts: tuple[str, ...] = ()
        if word == b"DISCARDED":
            told, parts = told + rest[0], tuple(name.decode() for name in rest[1:])
        return Discarded(parts=parts, places=await self._clear(tag, address), told=told)

    async def _generation(self, tag: str, address: str) -> bytes:
        try:
            found = await self._space.send(tag, "HGET", keys.actor(tag, address), "generation")
        except ServerRefused as error:
            if not is_damage(error):
                raise
            return b""
        return found if isinstance(found, bytes) else b""

    async def _children(self, tag: str, address: str) -> list[str]:
        """Return the fields of the journal that started children."""
        try:
            journal = await scan_hash(self._space, tag, keys.actor(tag, address, "journal"))
        except ServerRefused as error:
            if not is_damage(error):
                raise
            return []
        return [name for name, value in journal.items() if name[:1] in {"c", "k"} and value.startswith(b"child|")]

    async def _clear(self, tag: str, address: str) -> Counter[str]:
        """Take out of the shared places what is an actor's that is no more."""
        removed = Counter[str]()
        async for name in self._places(tag):
            try:
                removed[name] += await self._clear_place(tag, name, address)
            except ServerRefused as error:
                if not is_damage(error):
                    raise  # else the place itself is of another type, which the doctor says
        return +removed

    async def _places(self, tag: str) -> AsyncGenerator[str, None]:
        async for page in rounds.key_pages(self._space):
            for key in page:
                name = key.removeprefix(f"{tag}:")
                if name != key and (
                    name in rounds.SETS or name in _STREAMS or name.partition(":")[0] in {"q", "index"}
                ):
                    yield name

    async def _clear_place(self, tag: str, name: str, address: str) -> int:
        space, removed = self._space, 0
        if name == "outbox":
            # Starts of children: the journal that had them is gone. All else is delivered.
            async for rows in rounds.stream_pages(space, tag, keys.shared(tag, name)):
                for entry, fields in rows:
                    if fields.get("from") == address and fields.get("w") == "create":
                        removed += await space.call("sent", tag, entry, address, "", "", space.clock) == 1
            return removed
        if name.startswith("index:") or name == "expiry":
            return int(await space.call("drop", tag, name, address) == b"DROPPED")
        async for page in rounds.place_pages(space, tag, name):
            for place in page:
                if place.address == address:
                    removed += await space.call("drop", tag, name, place.item) == b"DROPPED"
        return removed


def _unless_stale(reply: list[Any]) -> list[Any]:
    if reply[0] == b"STALE_GENERATION":
        raise StaleGeneration
    return reply
