"""What is promised when a slot moves, a primary dies, or another takes over. (In places that have several nodes.)"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from actors import WorkflowManager
from tests.conformance.here import Here
from tests.conformance.load import Load, report
from tests.topology.clusters import Cluster, slot_of
from tests.topology.node import Node
from tests.topology.place import Place
from tests.topology.sentinels import Sentinels

pytestmark = pytest.mark.parametrize("here", ["warm"], indirect=True)
on_cluster = pytest.mark.only("cluster")
on_sentinels = pytest.mark.only("sentinel")

LOST_MAX = 2
"""Starts of which the client has heard, but not the replica, when the primary was killed; nearly always none."""


@pytest.fixture
def cluster(place: Place) -> Iterator[Cluster]:
    assert isinstance(place, Cluster)
    yield place
    _mend(place)
    place.await_whole()


@pytest.fixture
def sentinels(place: Place) -> Iterator[Sentinels]:
    assert isinstance(place, Sentinels)
    yield place
    _mend(place)
    place.await_replicated()


def _mend(place: Cluster | Sentinels) -> None:
    for node in place.nodes:
        if node.runs:
            node.resume()
        else:
            node.start()


def _report(what: str, *, load: Load, since: float, taken_over_s: float = 0.0) -> None:
    """Have the times printed at the end of the run."""
    taken = f"another primary after {taken_over_s:.2f} s, " if taken_over_s else ""
    lost = f", {sum(load.lost.values())} starts lost" if load.lost else ""
    report(f"{what}: {taken}longest pause {load.longest_pause(since):.2f} s{lost}")


async def _take_over_from(cluster: Cluster, victim: Node, load: Load, what: str) -> None:
    """Wait until the victim's replica serves and the load goes on; report."""
    since = time.monotonic()
    replica = await asyncio.to_thread(cluster.replica_of, victim)
    victim.kill()
    await asyncio.to_thread(cluster.await_primary, replica)
    taken_over_s = time.monotonic() - since
    await load.progress()
    _report(what, load=load, since=since, taken_over_s=taken_over_s)


@on_cluster
async def test_workers_follow_a_slot_that_is_moved_under_load(
    here: Here, manager: WorkflowManager, cluster: Cluster
) -> None:
    async with here.working(manager), here.working(manager), Load(manager) as load:
        space = (await manager.store()).space
        since = time.monotonic()
        for key in (*space.keys.tags[:3], space.keys.workers, space.keys.gateway):
            source = cluster.primary_of(key)
            target = next(node for node in cluster.primaries if node is not source)
            await asyncio.to_thread(cluster.move_slot, slot_of(key), to=target)
            await load.progress()
            assert cluster.primary_of(key) is target
        _report("five slots moved", load=load, since=since)
    await load.check_exactly_once()
    assert not load.lost


@on_cluster
async def test_a_slot_that_is_on_the_move_is_waited_for_and_nothing_is_done_in_two_places(
    here: Here, manager: WorkflowManager, cluster: Cluster
) -> None:
    async with here.working(manager), Load(manager) as load:
        space = (await manager.store()).space
        tag = space.keys.tags[0]
        source = cluster.primary_of(tag)
        target = next(node for node in cluster.primaries if node is not source)
        held = asyncio.Event()
        loop = asyncio.get_running_loop()

        def between() -> None:
            # Some keys are here, some there, and calls come in all the while.
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.05), loop).result()
            loop.call_soon_threadsafe(held.set)

        await asyncio.to_thread(cluster.move_slot, slot_of(tag), to=target, between=between)
        assert held.is_set()
        await load.progress()
    await load.check_exactly_once()
    assert not load.lost


@on_cluster
async def test_workers_follow_when_a_primary_of_the_cluster_dies(
    here: Here, manager: WorkflowManager, cluster: Cluster
) -> None:
    async with here.working(manager), here.working(manager), Load(manager) as load:
        space = (await manager.store()).space
        victim = cluster.primary_of(space.keys.workers)
        await _take_over_from(cluster, victim, load, "a Cluster's primary killed, that of the heartbeats")
        assert len(await (await manager.store()).custody.living()) == 2
    await load.check_exactly_once()
    assert sum(load.lost.values()) <= LOST_MAX


@on_cluster
async def test_workers_follow_when_a_primary_of_the_cluster_hands_over_in_order(
    here: Here, manager: WorkflowManager, cluster: Cluster
) -> None:
    async with here.working(manager), here.working(manager), Load(manager) as load:
        space = (await manager.store()).space
        since = time.monotonic()
        await asyncio.to_thread(cluster.failover, cluster.primary_of(space.keys.tags[0]))
        await load.progress()
        _report("a Cluster's primary handed over", load=load, since=since)
    await load.check_exactly_once()
    assert not load.lost


@on_sentinels
async def test_workers_follow_when_the_primary_of_the_sentinels_dies(
    here: Here, manager: WorkflowManager, sentinels: Sentinels
) -> None:
    async with here.working(manager), here.working(manager), Load(manager) as load:
        victim = sentinels.primary()
        since = time.monotonic()
        victim.kill()
        await asyncio.to_thread(sentinels.await_primary, other_than=victim)
        taken_over_s = time.monotonic() - since
        await load.progress()
        _report("the Sentinels' primary killed", load=load, since=since, taken_over_s=taken_over_s)
    await load.check_exactly_once()
    assert sum(load.lost.values()) <= LOST_MAX


@pytest.mark.slow
@on_cluster
async def test_a_primary_that_only_falls_silent_is_left_for_its_successor(
    here: Here, manager: WorkflowManager, cluster: Cluster
) -> None:
    async with here.working(manager), here.working(manager), Load(manager) as load:
        victim = cluster.primary_of((await manager.store()).space.keys.tags[0])
        replica = await asyncio.to_thread(cluster.replica_of, victim)
        since = time.monotonic()
        victim.pause()
        await asyncio.to_thread(cluster.await_primary, replica)
        taken_over_s = time.monotonic() - since
        await load.progress()
        _report("a Cluster's primary fell silent", load=load, since=since, taken_over_s=taken_over_s)
    await load.check_exactly_once()
