"""The link's pumps: whatever goes wrong with one call, the others get their answers, each its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import AuthenticationError, NoScriptError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from kernel.errors import LinkChanged, ServerUnreachable
from kernel.memory import drop_memory_server
from kernel.store import link as link_module
from kernel.store.connect import connector
from kernel.store.hearing import Hearing
from kernel.store.link import Link
from kernel.store.reader import Reader
from kernel.store.scripts import SCRIPTS
from kernel.store.space import Space
from tests.store.fake_lane import FakeLane, Server, echo, linked

if TYPE_CHECKING:
    from kernel.store.pump import Words


async def test_a_call_that_cannot_be_sent_fails_alone(runner: asyncio.Runner) -> None:
    link = await linked(Server(echo))
    calls = [link.send("k", "ECHO", 1), link.send("k", "UNSENDABLE", 2), link.send("k", "ECHO", 3)]
    replies = await asyncio.gather(*calls, return_exceptions=True)
    assert replies[0] == 1
    assert isinstance(replies[1], TypeError)
    assert replies[2] == 3
    assert await link.send("k", "ECHO", 4) == 4
    await link.close()


async def test_after_an_exchange_that_broke_off_oddly_no_call_gets_the_reply_of_another(runner: asyncio.Runner) -> None:
    odd = [ValueError("a reply that cannot be parsed")]

    def answer(words: Words) -> object:
        if words[-1] == 2 and odd:
            return odd.pop()
        return words[-1]

    link = await linked(Server(answer))
    calls = [link.send("k", "ECHO", i) for i in range(1, 6)]
    assert await asyncio.gather(*calls) == [1, 2, 3, 4, 5]
    assert await asyncio.gather(*(link.send("k", "ECHO", i) for i in range(6, 9))) == [6, 7, 8]
    await link.close()


async def test_a_connection_that_breaks_while_a_lost_script_is_loaded_again_is_made_anew(
    runner: asyncio.Runner,
) -> None:
    script, state = SCRIPTS["fence"], {"lost": True, "breaks": 0}

    def answer(words: Words) -> object:
        if words[0] == "EVALSHA" and state["lost"]:
            state["lost"] = False
            state["breaks"] = 1
            return NoScriptError("NOSCRIPT")
        if words[0] == "SCRIPT" and state["breaks"]:
            state["breaks"] = 0
            return RedisConnectionError("gone")
        return words[-1]

    link = await linked(Server(answer))
    first, second = link.call(script, "{t:0}", "a"), link.send("k", "ECHO", "b")
    assert (await first, await second) == ("a", "b")
    assert await link.send("k", "ECHO", "c") == "c"
    assert link.epoch == 1
    await link.close()


async def test_a_call_that_nobody_waits_for_any_more_is_not_sent(runner: asyncio.Runner) -> None:
    server = Server(echo)
    link = await linked(server)
    kept, given_up = link.send("k", "ECHO", "kept"), link.send("k", "ECHO", "given up")
    given_up.cancel()
    assert await kept == "kept"
    assert ("ECHO", "given up") not in server.sent
    await link.close()


async def test_a_call_that_is_given_up_while_it_is_under_way_disturbs_no_other(runner: asyncio.Runner) -> None:
    link = await linked(Server(echo))
    first, second = link.send("k", "ECHO", 1), link.send("k", "ECHO", 2)
    asyncio.get_running_loop().call_soon(first.cancel)
    assert await second == 2
    assert first.cancelled()
    assert await link.send("k", "ECHO", 3) == 3
    await link.close()


async def test_a_subscription_whose_keeper_fails_is_made_anew(
    runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "memory://hearing"
    space = Space(connector(url), namespace="t", partitions=1)
    await space.open()
    hearing, failures = Hearing(space), [RuntimeError("odd"), RedisConnectionError("gone")]
    keep: Any = hearing._subscribe

    async def fail_at_first(pubsub: object) -> None:
        if failures:
            raise failures.pop()
        await keep(pubsub)

    monkeypatch.setattr(hearing, "_subscribe", fail_at_first)
    async with asyncio.timeout(5), hearing.listen("news") as ear:
        await ear.heard()  # the subscription stands
        await space.send("t", "PUBLISH", "news", "something")
        await ear.heard()
    await hearing.close()
    await space.close()
    drop_memory_server(url)


async def test_a_server_that_may_only_be_read_is_waited_for_no_longer_than_the_patience(runner: asyncio.Runner) -> None:
    def refuse(words: Words) -> object:
        return "loaded" if words[0] == "SCRIPT" else ReadOnlyError("You can't write against a read only replica.")

    link = Link(Server(refuse).connect, url="redis://:secret@fake", patience_s=0.05)
    with pytest.raises(ServerUnreachable, match="READONLY") as caught:
        await link.send("k", "SET", "k", 1)
    assert "secret" not in str(caught.value)
    assert link.broken
    await link.close()


async def test_a_link_that_waits_without_an_end_says_now_and_then_that_it_does_and_why(
    runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "TELL_FIRST_S", 0.0)
    refused = 0

    def reads_only(words: Words) -> object:
        nonlocal refused
        if words[0] != "SET" or refused == 3:
            return b"OK"
        refused += 1
        return ReadOnlyError("You can't write against a read only replica.")

    link = Link(Server(reads_only).connect, url="redis://fake", patience_s=None)
    with capture_logs() as logged:
        writing = link.send("k", "SET", "k", 1)
        while refused < 2:
            assert await link.send("k", "GET", "k") == b"OK"
        assert await writing == b"OK"
    lost, waiting, back = (line["event"] for line in logged)
    assert (lost, back) == ("connection to Redis lost, trying again", "connection to Redis is back")
    assert waiting == "still waiting for Redis"
    assert "is a replica, which takes no writes" in logged[1]["why"]
    await link.close()


async def test_a_refused_login_is_what_a_link_that_cannot_connect_waits_for(
    runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "TELL_FIRST_S", 0.0)
    monkeypatch.setattr(link_module, "TELL_AGAIN_S", 0.0)
    tries = 0

    async def connect() -> FakeLane:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise AuthenticationError("invalid username-password pair or user is disabled.")
        return await Server(echo).connect()

    link = Link(connect, url="redis://:secret@fake", patience_s=None)
    with capture_logs() as logged:
        assert await link.send("k", "ECHO", 1) == 1
    assert [line["event"] for line in logged] == ["still waiting for Redis"] * 3
    assert all("refuses the login" in line["why"] and "secret" not in line["why"] for line in logged)
    await link.close()


async def test_what_relies_on_a_connection_that_broke_is_not_sent_again(runner: asyncio.Runner) -> None:
    replies: list[object] = [RedisConnectionError("gone"), 1]
    server = Server(lambda words: b"OK" if words[0] == "SCRIPT" else replies.pop(0))
    link = Link(server.connect, url="redis://test", patience_s=None)
    epoch = link.epoch
    with pytest.raises(LinkChanged, match="answer was not sent"):
        await link.call(SCRIPTS["answer"], "{t:0}", holds=lambda: link.epoch == epoch)
    assert await link.call(SCRIPTS["answer"], "{t:0}") == 1
    await link.close()


async def test_who_waits_for_entries_of_a_node_gives_up_when_calls_to_that_node_do(runner: asyncio.Runner) -> None:
    """A server that is frozen, or cut off, closes nothing: its reads would be waited for 5 s longer than its calls."""
    space = Space(connector("memory://silent"), namespace="t", partitions=1)
    await space.open()
    stream = space.keys.gateway
    restored: list[str] = []
    reader = Reader(space, group="gateways", consumer="w", streams=(stream,), on_restored=lambda: restored.append("x"))
    try:
        assert await reader.wait(block_ms=1) == []  # it is connected, and the group is there
        waiting = asyncio.ensure_future(reader.wait(block_ms=60_000))
        await asyncio.sleep(0)
        link = space.link(stream)
        link.broke(TimeoutError())
        async with asyncio.timeout(5):
            assert await waiting == []
        assert await reader.wait(block_ms=1) == []
        assert restored == ["x"]
    finally:
        await reader.close()
        await space.close()
        drop_memory_server("memory://silent")
