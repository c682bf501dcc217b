"""What a link says of its connections: lost once, back once, whatever became of the calls that met the loss."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError
from structlog.testing import capture_logs

from kernel.errors import LinkChanged
from kernel.store.scripts import SCRIPTS
from tests.store.fake_lane import Server, linked, until

if TYPE_CHECKING:
    from kernel.store.link import Link
    from kernel.store.pump import Words

LOST, BACK = "connection to Redis lost, trying again", "connection to Redis is back"


async def is_told_of_a_break(link: Link) -> bool:
    """Break a link, and tell whether that ends a block that waits on another connection to its server."""

    async def wait() -> None:
        async with link.unbroken():
            link.broke(RedisConnectionError("gone"))
            await asyncio.get_running_loop().create_future()

    waiting = asyncio.ensure_future(wait())
    await asyncio.wait([waiting], timeout=5)
    return not waiting.cancel() and isinstance(waiting.exception(), TimeoutError)


async def test_calls_that_are_given_up_while_the_server_is_away_keep_no_link_from_being_back(
    runner: asyncio.Runner,
) -> None:
    writes: list[asyncio.Future[object]] = []
    given_up: list[bool] = []

    def reads_only(words: Words) -> object:
        if words[0] != "SET":
            return words[-1]
        if given_up:
            writes[int(words[-1])].cancel()  # under way
        return ReadOnlyError("You can't write against a read only replica.")

    server = Server(reads_only)
    link = await linked(server)
    with capture_logs() as logged:
        for number in range(2):  # each with a pump of its own
            writes.append(link.send("k", "SET", "k", number))
            await until(lambda: ("SET", "k", len(writes) - 1) in server.sent)
        await until(lambda: len(link.failing) == 2)
        given_up.append(True)
        await until(lambda: not link.failing)
        assert await link.send("k", "GET", "k") == "k"
        assert not link.broken
    assert [line["event"] for line in logged] == [LOST, BACK]
    await link.close()


async def test_a_call_that_fails_for_a_bug_after_a_loss_keeps_no_link_from_being_back(runner: asyncio.Runner) -> None:
    replies: list[object] = [ValueError("a reply that cannot be parsed"), RedisConnectionError("gone")]
    server = Server(lambda words: replies.pop() if replies and words[-1] == "odd" else words[-1])
    link = await linked(server)
    with capture_logs() as logged:
        with pytest.raises(ValueError, match="cannot be parsed"):
            await link.send("k", "ECHO", "odd")
        assert not link.failing
        assert await link.send("k", "ECHO", 1) == 1
    assert [line["event"] for line in logged] == [LOST, BACK]
    await link.close()


async def test_a_link_is_back_when_its_server_answers_though_that_has_no_room(runner: asyncio.Runner) -> None:
    full, replies = [True], [RedisConnectionError("gone")]

    def answer(words: Words) -> object:
        if words[0] != "SET":
            return words[-1]
        if replies:
            return replies.pop()
        return ResponseError("MISCONF Errors writing to the AOF file: No space left on device") if full else b"OK"

    link = await linked(Server(answer))
    with capture_logs() as logged:
        write = link.send("k", "SET", "k", 1)
        await until(lambda: link.full)
        await until(lambda: not link.broken)
        assert [line["event"] for line in logged][::2] == [LOST, BACK]
        assert not write.done()
        assert await is_told_of_a_break(link)
    full.clear()
    assert await write == b"OK"
    await link.close()


async def test_a_link_is_not_back_before_something_was_answered(runner: asyncio.Runner) -> None:
    replies: list[object] = [RedisConnectionError("gone")]
    server = Server(lambda words: replies.pop() if replies and words[0] == "EVALSHA" else words[-1])
    link = await linked(server)
    epoch = link.epoch
    with capture_logs() as logged:
        with pytest.raises(LinkChanged):
            await link.call(SCRIPTS["answer"], "{t:0}", 1, holds=lambda: link.epoch == epoch)
        assert link.broken
        assert not link.failing
        assert [line["event"] for line in logged] == [LOST]
        assert await link.send("k", "ECHO", 1) == 1
    assert [line["event"] for line in logged] == [LOST, BACK]
    await link.close()


async def test_who_waits_is_told_of_each_break_also_if_nothing_was_asked_between_two(runner: asyncio.Runner) -> None:
    link = await linked(Server(lambda words: words[-1]))
    with capture_logs() as logged:
        assert await is_told_of_a_break(link)
        assert await is_told_of_a_break(link)
    assert [line["event"] for line in logged] == [LOST]
    await link.close()
