"""Injections: one function a kind. Each does its harm, takes it back in time, and says what it hit."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final, cast

from redis.exceptions import RedisError

from tests.chaos.stage import Injected
from tests.chaos.victims import take_victim
from tests.topology.node import NotInTime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.chaos.crew import Hand
    from tests.chaos.stage import Stage
    from tests.topology.node import Node

DOWN_S_MAX: Final = 1.5
FULL_S: Final = 1.5
"""How long a disk or a memory is full at the least."""
SLEEPERS: Final = 3
MUTATIONS: Final = 12
"""So many instances that make so many mutations each, one every 0.3 s, run when memory becomes full."""
COMMITTED_S_MAX: Final = 10.0
"""After so long at least one of them must have been committed."""
SLACK_BYTES: Final = 2_000
"""What a full disk still takes: not even a whole transition."""
EVERYTHING: Final = "1gb"


async def inject(stage: Stage, kind: str, size: float) -> None:
    """Carry out one injection; what lasts is ended by a task of the stage.

    ``size``: 0 to 1, how long or how much.
    """
    done = await _KINDS[kind](stage, size)
    if done is not None:
        note(stage, done)


def note(stage: Stage, done: Injected) -> None:
    """Enter what was done."""
    stage.injected.append(done)
    hit = f", {len(done.hit)} workflows in its hands" if done.pid else ""
    lasted = f" for {done.until_s - done.at_s:.1f} s" if done.until_s - done.at_s > 0.05 else ""
    words = f"{done.kind}{lasted}{hit}{f', {done.note}' if done.note else ''}"
    stage.say(f"{done.at_s - stage.began_s:6.1f} s  {words}")


async def _kill(stage: Stage, _size: float) -> Injected | None:
    hand = await take_victim(stage)
    if hand is None:
        return None
    await stage.crew.kill(hand, cause="kill")
    at_s = time.time()
    return Injected("kill", at_s, at_s, stage.in_hand(hand.pid), hand.pid)


async def _pause(stage: Stage, size: float) -> None:
    """Stop a worker for up to twice its timeout: about half of them come back as zombies."""
    hand = await take_victim(stage)
    if hand is not None:
        at_s = time.time()
        stage.spawned.append(asyncio.get_running_loop().create_task(_resume(stage, hand, at_s, size)))


async def _resume(stage: Stage, hand: Hand, at_s: float, size: float) -> None:
    hit = stage.in_hand(hand.pid)
    timeout_s = stage.settings.worker_timeout_s
    try:
        await asyncio.sleep(2 * timeout_s * size)
    finally:
        stage.crew.resume(hand)
    word = "a zombie" if time.time() - at_s > timeout_s else "in time"
    note(stage, Injected("pause", at_s, time.time(), hit, hand.pid, word))


async def _restart(stage: Stage, size: float) -> Injected:
    node = stage.node
    at_s = time.time()
    await stage.ask(node.kill)
    await asyncio.sleep(DOWN_S_MAX * size)
    await stage.ask(node.start)
    return Injected("restart", at_s, time.time())


async def _disk(stage: Stage, size: float) -> Injected:
    """Let the append-only file not grow any more: Redis refuses writes until it can."""
    node = stage.node
    at_s = time.time()
    await stage.ask(lambda: node.limit_files(_size_of_log(node) + SLACK_BYTES))
    try:
        await asyncio.sleep(FULL_S + 3 * size)
    finally:
        node.limit_files(None)
    await _until(stage, node, lambda: node.info("persistence")["aof_last_write_status"] == "ok")
    return Injected("disk", at_s, time.time())


def _size_of_log(node: Node) -> int:
    return max(file.stat().st_size for file in node.folder.rglob("*.aof"))


async def _memory(stage: Stage, size: float) -> Injected:
    """Allow less memory than is used: starts are refused, what runs goes on, mutations included."""
    node = stage.node
    orders = [stage.load.submit("sleeper", MUTATIONS) for _ in range(SLEEPERS)]
    while not all(order.acknowledged_s or order.refused for order in orders):  # noqa: ASYNC110 - the load sets it
        await asyncio.sleep(0.01)
    at_s = time.time()
    await stage.ask(lambda: node.set(maxmemory="1mb"))
    try:
        before = await stage.committed()
        await asyncio.sleep(FULL_S + 2 * size)
        deadline = at_s + COMMITTED_S_MAX
        while (mutations := await stage.committed() - before) == 0 and time.time() < deadline:  # noqa: ASYNC110 - others do it
            await asyncio.sleep(0.05)
    finally:
        await stage.ask(lambda: node.set(maxmemory=EVERYTHING))
    note = f"{mutations} mutations committed meanwhile"
    return Injected("memory", at_s, time.time(), note=note, mutations=mutations)


async def _until(stage: Stage, node: Node, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(RedisError, OSError):
                if await stage.ask(condition):
                    return
            await asyncio.sleep(0.05)


def _toxic(flow: str) -> Callable[[Stage, float], Awaitable[Injected]]:
    """Start a workflow with a step that kills its worker each time, or tries to."""

    async def start(stage: Stage, size: float) -> Injected:
        order = stage.load.submit(flow, 1 + round(size))
        at_s = time.time()
        return Injected(flow, at_s, at_s, (order.id,), note=order.id)

    return start


async def _failover(stage: Stage, _size: float) -> Injected:
    """Have a replica take over while its primary lives."""
    place = cast("Any", stage.place)
    at_s = time.time()
    if stage.settings.place == "sentinel":
        await stage.ask(place.failover)
        await stage.ask(place.await_replicated)
    else:
        await stage.ask(lambda: place.failover(place.primaries[0]))
        await stage.ask(place.await_whole)
    return Injected("failover", at_s, time.time())


async def _primary(stage: Stage, _size: float) -> Injected:
    """Kill a primary; its replica takes over; start it again, as a replica."""
    place = cast("Any", stage.place)
    sentinel = stage.settings.place == "sentinel"
    primary = await stage.ask(place.primary) if sentinel else (await stage.ask(lambda: place.primaries))[0]
    replica = await stage.ask(place.replica if sentinel else lambda: place.replica_of(primary))
    at_s = time.time()
    await stage.ask(primary.kill)
    if sentinel:
        await stage.ask(lambda: place.await_primary(other_than=primary))
    else:
        await stage.ask(lambda: place.await_primary(replica))
    until_s = time.time()
    await stage.ask(primary.start)
    await stage.ask(place.await_replicated if sentinel else place.await_whole)
    return Injected("primary", at_s, until_s)


_KINDS: Final[dict[str, Callable[[Stage, float], Awaitable[Injected | None]]]] = {
    "kill": _kill,
    "pause": _pause,
    "restart": _restart,
    "disk": _disk,
    "memory": _memory,
    "failover": _failover,
    "primary": _primary,
    **{flow: _toxic(flow) for flow in ("exit", "swell", "overdo", "stubborn")},
}

__all__ = ["NotInTime", "inject", "note"]
