"""Calls that are refused for want of a right wait apart; calls that a full disk refuses hold their pump back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError, NoPermissionError, NoScriptError, ResponseError
from structlog.testing import capture_logs

from kernel.errors import LinkChanged, ServerUnreachable
from kernel.store import link as link_module
from kernel.store import pump as pump_module
from kernel.store.lanes import Connector
from kernel.store.scripts import SCRIPTS
from kernel.store.space import Space
from tests.store.fake_lane import FakeLane, Server, linked, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis as BlockingRedis
    from redis.asyncio import Redis

    from kernel.store.pump import Lane, Words

RARE, OFTEN = SCRIPTS["fence"], SCRIPTS["advance"]
DENIED = "ERR The user executing the script can't run this command or subcommand script: 4c41, on @user_script:1."
REFUSED, TAKEN = "Redis takes no writes, waiting until it does", "Redis takes writes again"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "BACKOFF_S_MAX", 0.01)
    monkeypatch.setattr(pump_module, "BACKOFF_S_MAX", 0.01)


class Rights:
    """What the user of a server may do, and how often it was told that it may not."""

    def __init__(self, error: Callable[[], object] = lambda: ResponseError(DENIED)) -> None:
        self.error = error
        self.lacks = True
        self.refusals = 0
        self.server = Server(self.answer)

    def answer(self, words: Words) -> object:
        if self.lacks and words[0] == "EVALSHA" and words[1] == RARE.sha:
            self.refusals += 1
            return self.error()
        return words[-1]

    @property
    def sent(self) -> list[object]:
        """The last words of the rare script's calls, as they were sent."""
        return [words[-1] for words in self.server.sent if words[0] == "EVALSHA" and words[1] == RARE.sha]


async def test_a_right_that_one_script_lacks_holds_up_no_other_call(runner: asyncio.Runner) -> None:
    rights = Rights()
    link = await linked(rights.server)
    with capture_logs() as logged:
        denied: list[asyncio.Future[object]] = []
        for number in range(1, 4):  # each in a batch of its own
            denied.append(link.call(RARE, "{t:0}", number))
            await until(lambda: rights.sent[-1:] == [len(denied)])
        async with asyncio.timeout(5):
            for number in range(20):
                assert await link.call(OFTEN, "{t:0}", number) == number
        await until(lambda: rights.refusals > 6)
        assert link.full
        rights.lacks = False
        assert await asyncio.gather(*denied) == [1, 2, 3]
        await until(lambda: not link.full)
    assert [line["event"] for line in logged] == [REFUSED, TAKEN]
    assert "fence" in logged[0]["why"]
    sent = len(rights.sent)
    assert await link.call(OFTEN, "{t:0}", "last") == "last"
    assert len(rights.sent) == sent
    await link.close()


async def test_who_gives_up_a_call_that_is_denied_has_it_sent_no_more(runner: asyncio.Runner) -> None:
    rights = Rights()
    link = await linked(rights.server)
    with capture_logs() as logged:
        given_up, kept = link.call(RARE, "{t:0}", "given up"), link.call(RARE, "{t:0}", "kept")
        await until(lambda: rights.refusals == 2)
        given_up.cancel()
        await until(lambda: rights.refusals == 5)
        assert rights.sent == ["given up", "kept", "kept", "kept", "kept"]
        kept.cancel()
        await until(lambda: not link.full)
    assert [line["event"] for line in logged] == [REFUSED], "nothing was taken"
    await link.close()


async def test_what_is_denied_asks_each_time_whether_it_may_still_be_sent(runner: asyncio.Runner) -> None:
    rights, holds = Rights(), [True]
    link = await linked(rights.server)
    call = link.call(RARE, "{t:0}", 1, holds=lambda: holds[0])
    await until(lambda: rights.refusals == 1)
    holds[0] = False
    with pytest.raises(LinkChanged):
        await call
    assert rights.sent == [1]
    await link.close()


async def test_what_is_denied_fails_when_its_link_is_closed(
    runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "BACKOFF_S_MAX", 60.0)
    rights = Rights()
    link = await linked(rights.server)
    call = link.call(RARE, "{t:0}", 1)
    await until(lambda: link.full)
    await link.close()
    async with asyncio.timeout(5):
        with pytest.raises(ServerUnreachable, match="the connection was closed"):
            await call


async def test_a_call_that_waits_apart_is_not_sent_a_second_time_with_the_batch_it_came_in(
    runner: asyncio.Runner,
) -> None:
    rights = Rights()
    odd = [ValueError("a reply that cannot be parsed"), NoScriptError("NOSCRIPT"), NoScriptError("NOSCRIPT")]

    def answer(words: Words) -> object:
        return odd.pop() if odd and words[1] == OFTEN.sha else rights.answer(words)

    rights.server.answer = answer
    link = await linked(rights.server)
    denied, *others = link.call(RARE, "{t:0}", 1), link.call(OFTEN, "{t:0}", 2), link.call(OFTEN, "{t:0}", 3)
    async with asyncio.timeout(5):
        assert await asyncio.gather(*others) == [2, 3]
        assert not odd
        assert rights.sent == [1]
        rights.lacks = False
        assert await denied == 1
    assert rights.sent == [1, 1]
    await link.close()


async def test_scripts_that_may_not_be_loaded_wait_as_those_that_may_not_be_run(runner: asyncio.Runner) -> None:
    rights = Rights(lambda: NoScriptError("NOSCRIPT"))

    def answer(words: Words) -> object:
        if words[0] == "SCRIPT" and rights.lacks:
            return NoPermissionError("this user has no permissions to run the 'script|load' command")
        return rights.answer(words)

    rights.server.answer = answer
    link = await linked(rights.server)
    denied: list[asyncio.Future[object]] = []
    for number in (1, 2):  # each in a batch of its own
        denied.append(link.call(RARE, "{t:0}", number))
        await until(lambda: rights.sent[-1:] == [len(denied)])
    async with asyncio.timeout(5):
        assert await link.call(OFTEN, "{t:0}", 3) == 3
        rights.lacks = False
        assert await asyncio.gather(*denied) == [1, 2]
    await link.close()


async def test_a_full_disk_holds_back_the_calls_behind_it_and_is_told_once(runner: asyncio.Runner) -> None:
    rights = Rights(lambda: ResponseError("MISCONF Errors writing to the AOF file: No space left on device"))
    link = await linked(rights.server)
    with capture_logs() as logged:
        calls = [link.call(RARE, "{t:0}", number) for number in range(100)]
        await until(lambda: rights.refusals > 200)
        # Two pumps, each with its batch: what lies behind them is not even tried.
        assert len(set(rights.sent)) == 2 * pump_module.BATCH_MAX
        rights.lacks = False
        assert await asyncio.gather(*calls) == list(range(100))
        await until(lambda: not link.full)
    assert [line["event"] for line in logged] == [REFUSED, TAKEN]
    await link.close()


class Nodes(Connector):
    """Two nodes; the one that served the slot first takes away the right to run scripts, and then the slot moves."""

    is_cluster = True
    is_memory = True

    def __init__(self) -> None:
        self.url = "redis+cluster://fake"
        self.first = Rights(lambda: NoPermissionError("this user has no permissions to run the 'evalsha' command"))
        self.second = Rights(lambda: MovedError("1 127.0.0.1:1"))
        self.serving = self.known = self.first

    async def refresh(self) -> None:
        self.known = self.serving

    def node(self, tag: str) -> str:
        return "first" if self.known is self.first else "second"

    async def open(self, tag: str) -> Lane:
        return FakeLane(self.known.server)

    def client(self, tag: str) -> Redis:
        raise AssertionError(tag)

    def blocking_client(self) -> BlockingRedis:
        raise AssertionError

    async def close(self) -> None:
        pass


async def test_what_a_node_of_a_cluster_denies_is_asked_of_who_serves_its_slot_by_then(runner: asyncio.Runner) -> None:
    nodes = Nodes()
    space = Space(nodes, namespace="t", partitions=1, patience_s=None)
    with capture_logs() as logged:
        call = space.call("fence", "{t:0}", 1)
        await until(lambda: nodes.first.refusals == 1)
        nodes.serving, nodes.second.lacks = nodes.second, False
        async with asyncio.timeout(5):
            assert await call == 1
        assert nodes.first.sent == [1]
        await until(lambda: not any(link.full for link in space.links))
    assert [line["event"] for line in logged] == [REFUSED, TAKEN]
    await space.close()


async def test_what_a_link_of_a_cluster_hands_on_while_all_are_closed_fails(runner: asyncio.Runner) -> None:
    nodes = Nodes()
    space = Space(nodes, namespace="t", partitions=1, patience_s=None)
    call = space.call("fence", "{t:0}", 1)
    await until(lambda: nodes.first.refusals == 1)
    closing = asyncio.ensure_future(space.close())
    link = space.link("{t:0}")
    await asyncio.sleep(0)
    assert link.on_moved is not None
    late = pump_module.Call("{t:0}", ("PING",), None, asyncio.get_running_loop().create_future())
    link.on_moved(late)
    await closing
    for future in (call, late.future):
        assert future.done()
        assert isinstance(future.exception(), ServerUnreachable)
    assert not [task for task in asyncio.all_tasks() if task.get_name() in {"pump", "topology"}]


async def test_a_link_that_is_closed_with_many_calls_begins_no_pump_anew(runner: asyncio.Runner) -> None:
    link = await linked(Server(lambda words: words[-1]))
    calls = [link.send("k", "ECHO", number) for number in range(10 * pump_module.BATCH_MAX)]
    await calls[0]
    await link.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "pump"]
    assert all(call.done() for call in calls)
    with pytest.raises(ServerUnreachable, match="the connection was closed"):
        await calls[-1]
    errors = [call.exception() for call in calls]
    assert not any(isinstance(error, RedisConnectionError) for error in errors)
