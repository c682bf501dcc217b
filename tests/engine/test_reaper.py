"""The reaper's observations: what it makes of answers that take long."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from actors.servers.reaper import Reaper
from kernel import Heartbeat, Space, Store, connector, drop_memory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

URL = "memory://reaper"
TIMEOUT_S = 0.1


async def workers(store: Store) -> list[str]:
    return sorted(beat.worker for beat in await store.custody.living())


def unbroken(_key: str) -> int:
    return 0


async def with_reaper(play: Callable[[Store, Reaper], Awaitable[None]]) -> None:
    space = Space(connector(URL), namespace="t", partitions=1)
    await space.open()
    try:
        store = Store(space)
        host: Any = SimpleNamespace(
            store=store,
            incarnation="me",
            worker_timeout_s=TIMEOUT_S,
            epoch_of=unbroken,
            on_fenced=lambda: None,
            streams=list,
            auditor=SimpleNamespace(soon=lambda: None),
            deaths_max=3,
        )
        for worker in ("me", "other"):
            await store.custody.register(worker, "{}")
        reaper = Reaper(host)
        await store.custody.heartbeat("me", 1)
        await reaper.look()  # the first of a link is not counted
        await play(store, reaper)
    finally:
        await space.close()
        drop_memory(URL)


def answers_slowly(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    living = store.custody.living

    async def slowly() -> list[Heartbeat]:
        answer = await living()
        await asyncio.sleep(TIMEOUT_S * 2)
        return answer

    monkeypatch.setattr(store.custody, "living", slowly)


def test_a_worker_is_not_declared_dead_since_an_answer_about_it_took_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(store: Store, reaper: Reaper) -> None:
        await store.custody.heartbeat("other", 1)
        with monkeypatch.context() as slow:
            answers_slowly(slow, store)
            await reaper.look()
        await store.custody.heartbeat("me", 2)
        await reaper.look()
        assert await workers(store) == ["me", "other"]

    asyncio.run(with_reaper(play))


def test_one_whose_heartbeat_does_not_change_for_the_timeout_is() -> None:
    async def play(store: Store, reaper: Reaper) -> None:
        await store.custody.heartbeat("other", 1)
        await reaper.look()
        await asyncio.sleep(TIMEOUT_S * 1.5)
        await store.custody.heartbeat("me", 2)
        await reaper.look()
        assert await workers(store) == ["me"]

    asyncio.run(with_reaper(play))
