"""Following who serves: what nodes say when they do not, and where connections go then."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from redis.exceptions import AskError, ClusterDownError, MovedError, ResponseError

from kernel.errors import InvalidUrl
from kernel.store.cluster import ClusterConnector
from kernel.store.connect import connector
from kernel.store.exclusive import ConnectionLost, Exclusive
from kernel.store.lanes import RedisLane
from kernel.store.link import Link
from kernel.store.pump import Words, error_word
from kernel.store.sentinel import SentinelConnector
from kernel.store.space import Space

MOVED = MovedError("866 127.0.0.1:7001")


class Saying:
    """A lane on which every command gets one and the same reply."""

    def __init__(self, reply: object) -> None:
        self._reply = reply

    async def send(self, commands: Sequence[Words], *, reply_s: float = 5.0) -> list[object]:
        return [self._reply for _ in commands]

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (ClusterDownError("The cluster is down"), "CLUSTERDOWN"),
        (MOVED, "MOVED"),
        (AskError("866 127.0.0.1:7001"), "ASK"),
        (ResponseError("MASTERDOWN Link with MASTER is down"), "MASTERDOWN"),
    ],
)
def test_an_error_is_told_by_its_first_word_though_redis_py_takes_it_off(error: ResponseError, word: str) -> None:
    assert error_word(error) == word


@pytest.mark.parametrize("reply", [MOVED, ClusterDownError("The cluster is down")])
async def test_a_mutation_whose_slot_has_moved_asks_again_and_does_not_fail(
    reply: ResponseError, runner: asyncio.Runner
) -> None:
    space = Space(connector("memory://following"), namespace="t", partitions=1)
    exclusive = Exclusive(space, "{t:0}", Saying(reply))
    with pytest.raises(ConnectionLost):
        await exclusive.watch([b"{t:0}:app:k"])
    assert not exclusive.usable
    await space.close()


async def test_two_links_of_a_namespace_are_never_in_the_same_epoch(runner: asyncio.Runner) -> None:
    cluster = ClusterConnector("redis+cluster://127.0.0.1:1,127.0.0.1:2")
    cluster._learn([(0, 8000, "127.0.0.1:1"), (8001, 16383, "127.0.0.1:2")])
    space = Space(cluster, namespace="t", partitions=12)
    links = {id(link): link for link in (space.link(f"{{t:{n}}}") for n in range(12))}
    assert len({link.epoch for link in links.values()}) == len(links) == 2
    before = {link.epoch for link in links.values()}
    next(iter(links.values())).broke(ConnectionError())
    assert len(before | {link.epoch for link in links.values()}) == 3
    await space.close()


async def test_a_link_reaches_its_node_by_what_that_serves_now(runner: asyncio.Runner) -> None:
    opened: list[str] = []

    class Cluster(ClusterConnector):
        async def open(self, tag: str) -> RedisLane:
            opened.append(self.node(tag))
            raise ConnectionRefusedError

    cluster = Cluster("redis+cluster://127.0.0.1:1")
    cluster._learn([(0, 16383, "127.0.0.1:1")])
    space = Space(cluster, namespace="t", partitions=12)
    tag = "{t:0}"
    link = space.link(tag)
    cluster._learn([(0, 8000, "127.0.0.1:1"), (8001, 16383, "127.0.0.1:2")])
    elsewhere = next(t for t in (f"{{t:{n}}}" for n in range(12)) if cluster.node(t) != cluster.node(tag))
    if cluster.node(tag) == "127.0.0.1:1":
        tag, elsewhere = elsewhere, tag
    space.keys.tags = (tag, elsewhere)
    for pump in link._pumps:
        with pytest.raises(ConnectionRefusedError):
            await pump._connect()
    assert set(opened) == {"127.0.0.1:1"}
    await space.close()


def test_urls_name_several_nodes_and_some_may_be_away() -> None:
    cluster = ClusterConnector("redis+cluster://ann:secret@one:7000,two:7001,three")
    assert list(cluster._nodes) == ["one:7000", "two:7001", "three:6379"]
    assert cluster._login == {"username": "ann", "password": "secret"}
    sentinel = SentinelConnector("redis+sentinel://:secret@one,two:26380/shop/2")
    assert sentinel._sentinels == [("one", 26379), ("two", 26380)]
    assert (sentinel._service, sentinel._login["db"], sentinel._login["password"]) == ("shop", 2, "secret")
    with pytest.raises(InvalidUrl, match="redis\\+cluster"):
        connector("redis+cluster://one:seven")


def test_the_epoch_of_a_link_alone_counts_from_nothing() -> None:
    async def never() -> RedisLane:
        raise AssertionError

    assert Link(never, url="fake://", patience_s=None).epoch == 0
