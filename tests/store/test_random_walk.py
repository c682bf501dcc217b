"""Random walks over the real scripts: workers that die, zombies, lost replies, cancels, restarts, ordered by a seed."""

from __future__ import annotations

import asyncio

import pytest

from kernel.memory import drop_memory_server
from kernel.store import scripts, turns
from kernel.store.connect import connector
from kernel.store.payloads import LARGE_BYTES
from tests.store.checked import CheckedSpace
from tests.store.walk import Walk

FAULTS = {"lost": 15, "crash": 2, "zombie": 2, "cancel": 1, "clean": 1, "restart": 2, "event": 5, "postpone": 2}
ACTORS = {"wf/a": b"", "wf/b": b"family again"}
STEPS_MAX = 6000


class Backwards:
    """A codec that can be seen to have been there."""

    def encode(self, data: bytes) -> bytes:
        return b"<" + data[::-1]

    def decode(self, data: bytes) -> bytes:
        assert data[:1] == b"<"
        return data[:0:-1]


async def walk(
    seed: int, *, actors: dict[str, bytes] = ACTORS, large_bytes: int = LARGE_BYTES, codec: Backwards | None = None
) -> None:
    walks: list[Walk] = []
    url = f"memory://walk{seed}"
    space = CheckedSpace(
        connector(url),
        namespace="t",
        partitions=1,
        now_ms=lambda: walks[0].now if walks else 1_000_000,
        codec=codec,
    )
    space.payloads.large_bytes = large_bytes
    await space.open()
    try:
        walks.append(Walk(space, seed, FAULTS))
        await walks[0].prepare(actors)
        await walks[0].run(STEPS_MAX)
        await walks[0].tidy()
    finally:
        await space.close()
        drop_memory_server(url)


@pytest.mark.parametrize("seed", range(14))
def test_every_actor_ends_and_every_invariant_holds_after_every_call(seed: int) -> None:
    asyncio.run(walk(seed))


@pytest.mark.parametrize("seed", range(300, 302))
def test_so_they_do_with_steps_that_share_a_pool_which_is_left_empty(seed: int) -> None:
    asyncio.run(walk(seed, actors={"wf/a": b"pool", "wf/b": b"pool family again", "wf/c": b"pool"}))


@pytest.mark.parametrize("seed", range(200, 206))
def test_so_they_do_with_payloads_that_are_encoded_and_kept_apart(seed: int) -> None:
    asyncio.run(walk(seed, large_bytes=8, codec=Backwards()))


@pytest.mark.parametrize("seed", range(100, 108))
def test_so_they_do_with_decisions_that_go_in_parts(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "CHUNK", 2)
    for name in ("commit", "advance", "emit"):
        text = scripts.SCRIPTS[name].text.replace("emit(a, now, 200,", "emit(a, now, 2,")
        assert text != scripts.SCRIPTS[name].text
        monkeypatch.setitem(scripts.SCRIPTS, name, scripts.Script(name, text))
    asyncio.run(walk(seed))
