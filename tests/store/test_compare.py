"""A mutation's completion without a transaction, as at maxmemory: the script that writes compares what was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pytest
from redis.exceptions import ResponseError

from kernel.refusals import Conflict, NotOwner, Obsolete
from kernel.store import keys
from kernel.store.exclusive import Exclusive, NoRoom
from kernel.store.journal import read_outcome
from tests.store.bench import A, Bench, step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.store.link import Lane, Words
    from kernel.store.steps import Appended, Held

Command: TypeAlias = tuple[str | int, ...]
"""A command without its key, which comes second."""

HELD: dict[str, Sequence[Command]] = {
    "nothing": [],
    "a text": [("SET", "one")],
    "a number": [("INCR",)],
    "a hash": [("HSET", "f", 1, "g", 2)],
    "a list": [("RPUSH", "a", "b")],
    "a set": [("SADD", "a", "b")],
    "numbers": [("SADD", 1, 2, 3)],
    "a sorted set": [("ZADD", 1, "a", 2, "b")],
    "a stream": [("XADD", "1-1", "f", "v")],
    "a text for a while": [("SET", "one"), ("PEXPIRE", 60_000)],
}
"""What a key may hold, and how it comes to."""
CHANGES: Sequence[tuple[str, Command]] = (
    ("nothing", ("SET", "")),
    ("a text", ("SET", "two")),
    ("a text", ("DEL",)),
    ("a text", ("PEXPIRE", 60_000)),
    ("a text for a while", ("PERSIST",)),
    ("a text for a while", ("PEXPIRE", 61_000)),
    ("a text for a while", ("PEXPIRE", 0)),
    ("a number", ("INCR",)),
    ("a hash", ("HSET", "g", 3)),
    ("a hash", ("HDEL", "g")),
    ("a list", ("LPOP",)),
    ("a set", ("SREM", "a")),
    ("a sorted set", ("ZINCRBY", 1, "a")),
    ("a stream", ("XADD", "1-2", "f", "v")),
)


class Between:
    """A lane on which another client does something before the completion is sent. ``forbidden``: to use DUMP."""

    def __init__(self, lane: Lane, bench: Bench, commands: Sequence[tuple[str | int, ...]], *, forbidden: bool) -> None:
        self._lane = lane
        self._forbidden = forbidden
        self._bench = bench
        self._commands = commands

    async def send(self, commands: Sequence[Words], *, reply_s: float = 5.0) -> list[object]:
        if len(commands) == 1 and commands[0][0] == "EVAL":
            for words in self._commands:
                await self._bench.space.send(self._bench.tag, *words)
        replies = await self._lane.send(commands, reply_s=reply_s)
        if self._forbidden and commands[0][0] == "EVAL":
            replies[0] = ResponseError("The user executing the script can't run this command or subcommand")
        return replies

    async def close(self) -> None:
        await self._lane.close()


class Case:
    """A step that is held, and a key that its function has read."""

    def __init__(self, bench: Bench, held: Held) -> None:
        self.bench = bench
        self.held = held
        self.read = keys.shared(bench.tag, "app:read")
        self.written = keys.shared(bench.tag, "app:written")
        self.writes: Sequence[Command] = [("INCR",), ("INCR",)]

    async def ask(self, command: Command) -> object:
        """Run a command on the key that is read."""
        return await self.bench.space.send(self.bench.tag, command[0], self.read, *command[1:])

    async def complete(
        self, *, meanwhile: Sequence[Command] = (), watched: Sequence[Command] = (), forbidden: bool = False
    ) -> Appended:
        """Complete it. ``meanwhile``: what another client does right before; ``watched``: before the digests."""
        bench = self.bench
        others = [(words[0], self.read, *words[1:]) for words in meanwhile]
        lane = Between(await bench.space.open_lane(bench.tag), bench, others, forbidden=forbidden)
        exclusive = Exclusive(bench.space, bench.tag, lane)
        try:
            await exclusive.watch([self.read.encode()])
            await exclusive.watch([self.written.encode()])
            for command in watched:
                await self.ask(command)
            writes = [
                tuple(str(word).encode() for word in (words[0], self.written, *words[1:])) for words in self.writes
            ]
            return await exclusive.complete(
                self.held,
                nonce=1,
                at_ms=bench.now,
                payload=b"ok",
                broken=b"@APPLIED@ were",
                writes=writes,
                compare=True,
            )
        finally:
            await exclusive.close()

    async def count(self) -> object:
        """Return what was written."""
        return await self.bench.space.send(self.bench.tag, "GET", self.written)


async def begun(bench: Bench, what: str = "nothing") -> Case:
    """Begin a step; the key holds something of ``HELD``."""
    await bench.started(step())
    case = Case(bench, (await bench.begun()).held)
    for command in HELD[what]:
        await case.ask(command)
    return case


@pytest.mark.parametrize("what", HELD)
async def test_what_has_not_changed_is_completed_with_its_writes(bench: Bench, what: str) -> None:
    case = await begun(bench, what)
    appended = await case.complete()
    assert (appended.event, appended.status, await case.count()) == ("2-1", "ok", b"2")
    assert read_outcome((await bench.journal())["r1"]).payload == b"ok"
    assert await bench.ready() == [A]
    await bench.space.check("a completion that compares")


@pytest.mark.parametrize(("what", "change"), CHANGES)
async def test_what_another_has_changed_in_between_is_a_conflict_and_nothing_is_written(
    bench: Bench, what: str, change: Command
) -> None:
    case = await begun(bench, what)
    with pytest.raises(Conflict):
        await case.complete(meanwhile=[change])
    assert await case.count() is None
    assert "r1" not in await bench.journal()
    # Then it runs again: the step is still the caller's.
    assert (await case.complete()).status == "ok"


@pytest.mark.parametrize(("what", "change"), CHANGES)
async def test_what_has_changed_since_it_was_watched_is_a_conflict(bench: Bench, what: str, change: Command) -> None:
    case = await begun(bench, what)
    with pytest.raises(Conflict):
        await case.complete(watched=[change])
    assert await case.count() is None


async def test_what_came_back_to_what_was_read_is_no_conflict(bench: Bench) -> None:
    case = await begun(bench, "a text")
    assert (await case.complete(meanwhile=[("SET", "two"), ("SET", "one")])).status == "ok"


async def test_a_life_that_goes_on_is_no_conflict(bench: Bench) -> None:
    case = await begun(bench, "a text for a while")
    left_ms = await case.ask(("PTTL",))
    while await case.ask(("PTTL",)) == left_ms:
        pass  # a millisecond passes
    assert (await case.complete(meanwhile=[("PTTL",)])).status == "ok"


async def test_a_key_that_is_only_written_is_compared_too(bench: Bench) -> None:
    case = await begun(bench)
    case.read = case.written
    with pytest.raises(Conflict):
        await case.complete(meanwhile=[("SET", "no number")])
    assert "r1" not in await bench.journal()


async def test_a_write_that_breaks_is_recorded_as_a_failure_that_says_how_many_were_applied(bench: Bench) -> None:
    case = await begun(bench)
    case.writes = [("SET", "text"), ("INCR",), ("SET", "never")]
    assert (await case.complete()).status == "failed"
    outcome = read_outcome((await bench.journal())["r1"])
    assert (outcome.status, outcome.payload) == ("failed", b"000000001 were")
    assert await case.count() == b"text"


async def test_a_server_that_may_not_be_asked_for_digests_is_waited_for(bench: Bench) -> None:
    case = await begun(bench)
    with pytest.raises(NoRoom, match="can't run this command"):
        await case.complete(forbidden=True)
    assert await case.count() is None


async def test_it_is_recorded_once(bench: Bench) -> None:
    case = await begun(bench)
    await case.complete()
    with pytest.raises(Obsolete):
        await case.complete(meanwhile=[("SET", "changed as well")])
    assert await case.count() == b"2"


async def test_a_zombie_that_compares_writes_nothing(bench: Bench) -> None:
    case = await begun(bench)
    await bench.store.custody.take_all("w1", convict_at=3, unknown=b"", died=b"")
    await bench.begun("w2")
    with pytest.raises(NotOwner):
        await case.complete()
    assert await case.count() is None
