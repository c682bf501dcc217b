"""Updates: told as facts, answered by a decision, and found by whoever asked, whatever became of the actor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel.decision import Command, End
from kernel.event import event_number
from kernel.store import keys
from kernel.store.journal import Reply, write_reply
from kernel.store.reader import Reader
from kernel.store.replies import listed
from tests.store.bench import A, Bench, value, wait

if TYPE_CHECKING:
    from kernel.store.reader import Entry

ANEW = End("continued", b"new")


def reply(update: str, status: str = "ok", payload: bytes = b"5") -> Command:
    return Command("reply", str(event_number(update)), "add", write_reply(Reply(status, payload)), b"", 1)


def handler(name: str = "add") -> Command:
    return Command("handler", name, name, b"", b"", 1)


async def asked(bench: Bench, dedupe: str) -> str:
    return await bench.told("add", kind="update", payload=b"args", dedupe=dedupe)


async def test_a_reply_is_found_by_the_id_of_who_asked(bench: Bench) -> None:
    await bench.started(handler())
    update = await asked(bench, "x")
    assert await bench.store.instances.reply(A, "x") == ("running", None)
    await bench.commit([reply(update)])
    assert await bench.store.instances.reply(A, "x") == ("running", Reply("ok", b"5"))
    assert (await bench.journal())[f"u{event_number(update)}"] == b"ok\n5"


async def test_an_actor_that_only_answers_updates_has_something_pending(bench: Bench) -> None:
    await bench.started(handler())
    assert await bench.open_places() == {1: "wait"}


async def test_a_decision_that_ends_the_actor_still_replies(bench: Bench) -> None:
    await bench.started(handler())
    update = await asked(bench, "x")
    await bench.commit([value("seen", b"1"), reply(update, "failed", b"why")], end=End("completed", b"out"))
    assert await bench.store.instances.reply(A, "x") == ("completed", Reply("failed", b"why"))


async def test_who_asked_finds_the_reply_after_the_actor_began_anew(bench: Bench) -> None:
    await bench.started(handler())
    update = await asked(bench, "x")
    await bench.commit([reply(update)], end=ANEW)
    assert await bench.store.instances.reply(A, "x") == ("running", Reply("ok", b"5"))
    await bench.commit(end=ANEW)
    assert await bench.store.instances.reply(A, "x") == ("running", None)


async def test_an_update_that_came_along_is_answered_under_its_new_number(bench: Bench) -> None:
    await bench.started(wait())
    await asked(bench, "x")
    await bench.commit(end=ANEW, untaken=[2])
    assert await bench.store.instances.reply(A, "x") == ("running", None)
    await bench.commit([handler(), reply("4-1")])
    assert await bench.store.instances.reply(A, "x") == ("running", Reply("ok", b"5"))


async def test_nobody_is_there(bench: Bench) -> None:
    assert await bench.store.instances.reply(A, "x") == ("", None)


# ------------------------------------------------------------------------------------------------------- the gateway


async def published(bench: Bench, *fields: str) -> Entry:
    """Publish a message and have ``w1`` read it."""
    stream = bench.space.keys.gateway
    await bench.store.custody.found([(stream, keys.GATEWAYS)])
    await bench.space.send(stream, "XADD", stream, "*", *fields)
    reader = Reader(bench.space, group=keys.GATEWAYS, consumer="w1", streams=(stream,))
    (entry,) = await reader.more(1)
    await reader.close()
    return entry


async def contents(bench: Bench, key: str) -> list[dict[str, str]]:
    rows = listed(await bench.space.send(key, "XRANGE", key, "-", "+"))
    found: list[list[bytes]] = [row[1] for row in rows]
    return [{f[i].decode(): f[i + 1].decode() for i in range(0, len(f), 2)} for f in found]


async def test_a_message_is_taken_out_once(bench: Bench) -> None:
    entry = await published(bench, "type", "cancel", "id", "a")
    assert await bench.store.gateway.done(entry)
    assert not await bench.store.gateway.done(entry)
    assert await contents(bench, bench.space.keys.gateway) == []


async def test_a_message_that_is_passed_on_keeps_the_entry_that_it_came_as(bench: Bench) -> None:
    entry = await published(bench, "type", "cancel", "id", "a")
    await bench.store.gateway.give_back("w1")
    assert not await bench.store.gateway.pass_on(entry)
    expected = [{"first": entry.id.decode(), "type": "cancel", "id": "a"}]
    assert await contents(bench, bench.space.keys.gateway) == expected


async def test_what_is_set_aside_says_why(bench: Bench) -> None:
    entry = await published(bench, "type", "what", "first", "7-0")
    await bench.store.gateway.bury(entry, "because")
    assert await contents(bench, bench.space.keys.gateway) == []
    assert await contents(bench, bench.space.keys.dead) == [{"entry": "7-0", "reason": "because", "type": "what"}]


@pytest.mark.parametrize("count", [1, 3])
async def test_messages_of_a_dead_worker_are_claimed(bench: Bench, count: int) -> None:
    entries = [await published(bench, "type", "cancel", "id", str(n)) for n in range(count)]
    stream = bench.space.keys.gateway
    claimed = await bench.store.custody.claim(stream, keys.GATEWAYS, dead="w1", me="w2")
    assert [(entry.id, entry.deliveries) for entry in claimed] == [(entry.id, 2) for entry in entries]
    assert not await bench.store.custody.forget(stream, keys.GATEWAYS, "w2")
    assert await bench.store.custody.forget(stream, keys.GATEWAYS, "w1")
