"""Mending: putting right what damage has left. Each script looks once more, and does nothing where all is well."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal

from kernel.errors import ServerRefused
from kernel.store import keys
from kernel.store.custody import nonce_base
from kernel.store.replies import listed
from kernel.store.slices import PAGE, PARTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.store.rounds import Placed
    from kernel.store.space import Space

Mendable = Literal["ready", "start", "indexes", "mailbox", "ending", "messages", "commands"]
OLD_MS: Final = 10**12
"""So long ago is no message without an answer."""


class Mending:
    """Repairs of one namespace."""

    def __init__(self, space: Space) -> None:
        """Work in one namespace."""
        self._space = space

    async def mend(self, address: str, what: Mendable, *, unknown: bytes = b"", commands: Sequence[int] = ()) -> int:
        """Put one kind of thing right; return how many were wrong. ``unknown``: what becomes of at-most-once steps."""
        mended = 0
        for first in range(0, max(len(commands), 1), PAGE):
            page = commands[first : first + PAGE]
            reply = await self._space.actor_call(
                "mend", address, self._space.clock, address, what, unknown, nonce_base(), *page
            )
            word, *count = listed(reply)
            mended += count[0] if word == b"MENDED" else 0
        return mended

    async def place_again(self, address: str) -> int:
        """Give open commands whose place is gone another; return how many."""
        healed, cursor = 0, "0"
        while True:
            reply = listed(
                await self._space.actor_call("reconcile", address, self._space.clock, address, cursor, OLD_MS * 10)
            )
            healed, cursor = healed + int(reply[1]), reply[2].decode()
            if cursor == "0":
                return healed

    async def drop(self, place: Placed) -> bool:
        """Take something that no actor names out of its place; False: it is named, or gone."""
        return await self._space.call("drop", place.tag, place.name, place.item) == b"DROPPED"

    async def purge(self, address: str) -> int:
        """Delete what is left of an actor without a record; return how many keys."""
        reply = await self._space.actor_call("purge", address, address)
        return max(reply, 0) if isinstance(reply, int) else 0

    async def idle_s(self, address: str) -> float | None:
        """Return how long nobody has used the keys of an actor without a record, seconds; None: not known here."""
        tag = self._space.keys.tag_of(address)
        names = [keys.actor(tag, address, part) for part in PARTS]
        try:
            replies = await asyncio.gather(*(self._space.send(tag, "OBJECT", "IDLETIME", name) for name in names))
        except ServerRefused:
            return None
        return float(min((reply for reply in replies if isinstance(reply, int)), default=0))
