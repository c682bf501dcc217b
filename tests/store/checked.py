"""A space whose every script call is followed by an audit, and by a look back: what was recorded must not change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kernel.event import Event
from kernel.store.audit import violations
from kernel.store.journal import other_event, outcome_event
from kernel.store.snapshot import ActorKeys, read_partition
from kernel.store.space import Space

if TYPE_CHECKING:
    from collections.abc import Iterator


class Memory:
    """Every event id ever seen and what it stood for (I7), every outcome within its generation (I1)."""

    def __init__(self) -> None:
        self._events: dict[tuple[str, str], Event] = {}
        self._outcomes: dict[tuple[str, str, int], bytes] = {}

    def changes(self, actor: ActorKeys) -> Iterator[str]:
        """Yield what has changed that must not."""
        generation = actor.record.get("generation", "")
        for name, value in actor.journal.items():
            if name[0] not in "re" or name == "result":
                continue
            if name[0] == "r":
                event = outcome_event(int(name[1:]), value)
                if self._outcomes.setdefault((actor.address, generation, event.seq), value) != value:
                    yield f"I1: {actor.address}: outcome {event.seq} was recorded twice"
            else:
                event = other_event(value)
            if self._events.setdefault((actor.address, event.id), event) != event:
                yield f"I7: {actor.address}: event id {event.id} was issued twice"


class CheckedSpace(Space):
    """See the module's docstring. ``lenient``: findings that a test brings about on purpose."""

    memory: Memory
    checking = True

    def call(self, name: str, key: str, *arguments: str | bytes | float) -> asyncio.Future[object]:
        return asyncio.ensure_future(self._checked(name, super().call, key, arguments))

    def actor_call(self, name: str, address: str, *arguments: str | bytes | float) -> asyncio.Future[object]:
        return self.call(name, self.keys.tag_of(address), *arguments)

    async def _checked(
        self, name: str, call: object, key: str, arguments: tuple[str | bytes | int | float, ...]
    ) -> object:
        if not hasattr(self, "_one"):
            self._one = asyncio.Lock()
            self.memory = Memory()
        async with self._one:
            reply = await Space.call(self, name, key, *arguments)
            if self.checking:
                await self.check(f"{name} {arguments} -> {reply!r}")
            return reply

    async def check(self, after: str) -> None:
        """Fail with every violation."""
        texts: list[str] = []
        for tag in self.keys.tags:
            found = await read_partition(self, tag)
            texts += violations(found)
            for actor in found.actors.values():
                texts += self.memory.changes(actor)
        assert not texts, "\n  ".join([f"after {after}:", *texts])
