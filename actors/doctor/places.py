"""Places: what lies in the streams and sorted sets that actors share, and who reads them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from actors.doctor.finding import REPAIR, Finding
from actors.doctor.verdicts import foreign
from kernel import Placed, ServerRefused, is_damage, keys, rounds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from actors.doctor.stuck import Workforce
    from actors.doctor.treatment import Treatment
    from kernel import Consumer, Store

_GROUPS: Final = {"ready": keys.DISPATCHERS, "outbox": keys.COURIERS}


class Places:
    """Looks at the places of a namespace."""

    def __init__(self, store: Store, treatment: Treatment, *, pause_s: float, leftover_after_s: float) -> None:
        """``pause_s``: between two looks at what seems wrong."""
        self._store = store
        self._treatment = treatment
        self._pause_s = pause_s
        self._leftover_after_ms = leftover_after_s * 1000
        self._unused: dict[str, set[str]] = {}
        """Of queues that are empty and that nobody serves, by their name: their streams."""

    async def look(self, tag: str, name: str) -> list[Finding]:
        """Return what lies in a place and is nobody's."""
        if name == "outbox":
            return []
        found: list[Finding] = []
        async for page in rounds.place_pages(self._store.space, tag, name):
            suspects = await rounds.perhaps_nobodys(self._store.space, page)
            nobodys = [place for place in suspects if await self._is_nobodys(place)]
            found += [await self._treatment.place(place, _nobodys(place)) for place in nobodys]
        return found

    async def _is_nobodys(self, place: Placed) -> bool:
        if not await rounds.is_nobodys(self._store.space, place):
            return False
        await asyncio.sleep(self._pause_s)
        return await rounds.is_nobodys(self._store.space, place)

    async def groups(self, stream: str, name: str, *, workforce: Workforce) -> list[Finding]:
        """Return what is wrong with those who read a stream."""
        living = workforce.about.keys()
        own = _GROUPS.get(name, keys.WORKERS)
        found: list[Finding] = []
        for group in await rounds.groups(self._store.space, stream):
            if group != own:
                found.append(_foreign_group(stream, group))
                continue
            found += [one async for one in self._consumers(stream, group, living)]
            found += [one async for one in self._deleted(stream, group, name)]
        if living and name.startswith("q:") and not workforce.serves(name.removeprefix("q:")):
            await self._note_unused(stream, name)
        return found

    def unused(self) -> list[Finding]:
        """Return the queues seen that are empty and that nobody serves; of each one finding for all partitions."""
        return [_unused_queue(name, streams) for name, streams in sorted(self._unused.items())]

    async def _note_unused(self, stream: str, name: str) -> None:
        """Note a queue that is empty and has no reader; what waits in one is seen with its instances."""
        space = self._store.space
        readers = [
            one for group in await rounds.groups(space, stream) for one in await rounds.consumers(space, stream, group)
        ]
        if not readers and not await space.send(stream, "XLEN", stream):
            self._unused.setdefault(name, set()).add(stream)

    async def gateway(self, living: Collection[str]) -> list[Finding]:
        """Return what is wrong with those who read the gateway's stream."""
        stream = self._store.space.keys.gateway
        if await self._store.space.send(stream, "TYPE", stream) != b"stream":
            return []
        groups = await rounds.groups(self._store.space, stream)
        return [
            one for group in groups if group == keys.GATEWAYS async for one in self._consumers(stream, group, living)
        ]

    async def _consumers(self, stream: str, group: str, living: Collection[str]) -> AsyncIterator[Finding]:
        for consumer in await rounds.consumers(self._store.space, stream, group):
            if consumer.name in living or consumer.idle_ms < self._leftover_after_ms:
                continue
            alive = {beat.worker for beat in await self._store.custody.living()}
            if consumer.name not in alive:  # it may have begun since
                yield await self._treatment.consumer(consumer, _leftover(consumer))

    async def _deleted(self, stream: str, group: str, name: str) -> AsyncIterator[Finding]:
        tag = stream.removesuffix(f":{name}")
        for entry in await rounds.deleted_pending(self._store.space, stream, group):
            finding = Finding(
                kind="orphan",
                code="pending_deleted",
                subject=f"{stream} {entry}",
                text=f"is pending in the group {group!r}, but deleted",
                advice=f"{REPAIR} acknowledges it",
            )
            yield await self._treatment.place(Placed(tag, name, entry, ""), finding)

    async def waiting(self, *, now_ms: int, after_ms: int) -> list[Finding]:
        """Return messages that have waited too long: to actors, and to the gateway."""
        space = self._store.space
        streams = [(tag, keys.shared(tag, "outbox")) for tag in space.keys.tags]
        streams.append((space.keys.gateway, space.keys.gateway))
        found: list[Finding] = []
        for key, stream in streams:
            try:
                async for page in rounds.stream_pages(space, key, stream):
                    oldest_ms = int(page[0][0].partition("-")[0]) if page else now_ms
                    if now_ms - oldest_ms > after_ms:
                        found.append(_undelivered(stream, (now_ms - oldest_ms) // 1000))
                    break
            except ServerRefused as error:
                if not is_damage(error):
                    raise
                found.append(foreign(stream))
        return found

    async def dead(self) -> list[Finding]:
        """Return where dead letters lie."""
        found: list[Finding] = []
        for source, count in (await self._store.dead.count()).items():
            if count:
                what = "messages to the gateway" if source == "g" else "steps that took their workers down"
                found.append(
                    Finding(
                        kind="dead",
                        code="dead_letters",
                        subject=self._store.dead.stream(source),
                        text=f"{count:,} {what} were set aside",
                        advice="see them by headrace dead list; then headrace dead requeue or drop them",
                    )
                )
        return found


def _nobodys(place: Placed) -> Finding:
    return Finding(
        kind="orphan",
        code="nobodys",
        subject=place.address.removeprefix("wf/") or keys.shared(place.tag, place.name),
        text=f"{keys.shared(place.tag, place.name)} has {place.item}, which no instance names",
        advice=f"{REPAIR} takes it out",
    )


def _foreign_group(stream: str, group: str) -> Finding:
    return Finding(
        kind="orphan",
        code="foreign_group",
        subject=stream,
        text=f"has a group {group!r}, which is not Headrace's",
        advice="whoever reads it there should not: XGROUP DESTROY it; to watch, use handle.watch or headrace watch",
    )


def _unused_queue(name: str, streams: Collection[str]) -> Finding:
    (first, *more) = sorted(streams)
    return Finding(
        kind="orphan",
        code="unused_queue",
        subject=name if more else first,
        text=f"is empty{f' in {len(streams)} partitions' if more else ''}, and no worker serves it",
        advice="nothing, if it will be used again; else delete it by headrace redis DEL",
        severity="note",
    )


def _leftover(consumer: Consumer) -> Finding:
    held = f"has {consumer.pending} entries and " if consumer.pending else ""
    return Finding(
        kind="worker",
        code="leftover_consumer",
        subject=consumer.name,
        text=f"{held}is a consumer of {consumer.stream} since its worker is gone",
        advice="a worker takes over what it has within half a minute: start one" if held else f"{REPAIR} deletes it",
    )


def _undelivered(stream: str, age_s: int) -> Finding:
    return Finding(
        kind="stuck",
        code="messages_wait",
        subject=stream,
        text=f"its oldest message waits for {age_s:,} s",
        advice="start workers, which deliver it; if some run, see their logs",
    )
