"""What was set aside: listed in pages, shown, requeued with corrections, dropped, and not kept for ever."""

from __future__ import annotations

import pytest

from actors import DeadLetterNotFound, InvalidOption, Misuse, Step, WorkflowManager
from actors.definitions import Workflow
from actors.servers.pruner import Pruner
from kernel.store.dead import KEPT_MAX
from kernel.store.replies import listed
from tests.api.watching import Managers, in_state, seen
from tests.doctor.patients import of, until

STEP = {"g": "1-1", "s": "1", "t": "x", "worker": "w", "crashes": "3"}


def define(manager: WorkflowManager) -> Workflow[[str], str]:
    @manager.workflow(name="checkout")
    async def checkout(step: Step, cart: str) -> str:
        by: str = await step.await_event("approved")
        return f"{cart} {by}"

    return checkout


async def publish(manager: WorkflowManager, **fields: str | bytes) -> bytes:
    space = (await manager.store()).space
    words = [word for pair in fields.items() for word in pair]
    sent = await space.send(space.keys.gateway, "XADD", space.keys.gateway, "*", *words)
    assert isinstance(sent, bytes)
    return sent


async def set_aside(manager: WorkflowManager, count: int) -> list[str]:
    """Wait until so many letters are there; return their ids."""

    async def there() -> list[str]:
        found = (await manager.dead.list()).items
        return [letter.id for letter in found] if len(found) >= count else []

    return await until(there)


async def begun(manager: WorkflowManager) -> None:
    """Wait until an instance was started."""

    async def there() -> object:
        return (await manager.list(workflow="checkout")).items

    await until(there)


async def bury(manager: WorkflowManager, *, source: str, entry: str, **fields: str) -> None:
    """Put something into a stream of dead letters as it was at some time."""
    store = await manager.store()
    words = [word for pair in fields.items() for word in pair]
    stream = store.dead.stream(source)
    await store.space.send(stream, "XADD", stream, entry, *words)


async def test_a_message_with_wrong_arguments_is_requeued_with_corrected_ones(manager: WorkflowManager) -> None:
    define(manager)
    async with manager.worker():
        sent = await publish(manager, type="start", workflow="checkout", id="o-1", args='{"basket": "c-1"}')
        (letter_id,) = await set_aside(manager, 1)
        letter = await manager.dead.show(letter_id)
        assert (letter.kind, letter.workflow_id) == ("message", "o-1")
        assert "missing a required argument: 'cart'" in letter.reason
        assert letter.message == sent.decode(), "what the sender got"
        assert letter.fields["args"] == '{"basket": "c-1"}'
        assert "headrace dead list" in of(await manager.doctor(), "dead_letters").advice

        await manager.dead.requeue(letter_id, fields={"args": '{"cart": "c-1"}'})

        handle = manager.handle("o-1")
        await begun(manager)
        await handle.send_event("approved", "ann")
        assert await handle.result() == "c-1 ann"
        assert (await manager.dead.list()).items == ()
        assert (await manager.doctor()).healthy


async def test_a_message_that_is_requeued_twice_takes_effect_once(manager: WorkflowManager) -> None:
    @manager.workflow(name="counting")
    async def counting(step: Step) -> list[str]:
        return [await step.await_event("tick"), await step.await_event("tick")]

    async with manager.worker():
        await publish(manager, type="event", id="o-1", name="tick", value="wrong", dedupe="")
        (letter_id,) = await set_aside(manager, 1)
        handle = await manager.start(counting.with_options(id="o-1"))
        letter = await (await manager.store()).dead.get(letter_id)
        corrected = letter.fields | {"value": b'"once"'}
        del corrected["dedupe"]
        await (await manager.store()).dead.publish(letter, corrected)  # as a requeue that is broken off does
        await manager.dead.requeue(letter_id, fields={"value": '"once"', "dedupe": ""})
        await seen(handle, in_state("tick", "completed"))
        await handle.send_event("tick", "twice")
        assert await handle.result() == ["once", "twice"]


async def test_what_is_requeued_is_not_too_old_for_workers_that_do_not_know_its_workflow(
    managers: Managers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.servers.gateway.PASS_ON_S", 0.001)
    knows, other = managers(), managers()
    define(knows)
    message = {"type": "start", "workflow": "checkout", "id": "o-1", "args": '["c"]'}
    await bury(knows, source="g", entry="5-1", first="1-1", reason="old", **message)
    space = (await other.store()).space
    await other.dead.requeue("g.5-1")
    ((published, _),) = listed(await space.send(space.keys.gateway, "XRANGE", space.keys.gateway, "-", "+"))
    async with other.worker():

        async def passed_on() -> object:
            return await space.send(space.keys.gateway, "XRANGE", space.keys.gateway, f"({published.decode()}", "+")

        await until(passed_on)
        async with knows.worker():
            await begun(knows)
    assert (await knows.dead.list()).items == ()


async def test_bytes_that_are_no_text_are_requeued_as_they_are(manager: WorkflowManager) -> None:
    async with manager.worker():
        await publish(manager, type="start", workflow=b"\xff")
        (letter_id,) = await set_aside(manager, 1)
        await manager.dead.requeue(letter_id)
        again = letter_id
        while again == letter_id:
            (again,) = await set_aside(manager, 1)
        letter = await (await manager.store()).dead.get(again)
    assert letter.fields == {"type": b"start", "workflow": b"\xff"}


async def test_pages_go_through_messages_and_all_partitions_once(managers: Managers) -> None:
    manager = managers(partitions=3)
    await bury(manager, source="g", entry="1-1", entry_="1-1", reason="no", type="start")
    for n in range(5):
        await bury(
            manager, source=str(n % 3), entry=f"{n + 1}-1", a=f"wf/i{n}", g="1-1", s="1", t="x", worker="w", crashes="3"
        )
    found, cursor = list[str](), None
    while True:
        page = await manager.dead.list(limit=2, cursor=cursor)
        found += [letter.id for letter in page.items]
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page.items) == 2
    assert found == ["g.1-1", "0.1-1", "0.4-1", "1.2-1", "1.5-1", "2.3-1"]


async def test_old_letters_are_dropped_and_younger_ones_are_kept(manager: WorkflowManager) -> None:
    await bury(manager, source="g", entry="1-1", entry_="1-1", reason="no", type="start")
    await bury(manager, source="0", entry="2-1", a="wf/i", **STEP)
    await bury(manager, source="0", entry="*", a="wf/j", **STEP)

    assert await manager.dead.drop_all(older_than=3600) == 2
    assert [letter.workflow_id for letter in (await manager.dead.list()).items] == ["j"]


async def test_workers_delete_what_was_set_aside_too_long_ago(managers: Managers) -> None:
    manager = managers(dead_retention=60)
    define(manager)
    await bury(manager, source="g", entry="1-1", entry_="1-1", reason="no", type="start")
    await bury(manager, source="0", entry="2-1", a="wf/i", **STEP)
    await bury(manager, source="0", entry="*", a="wf/j", **STEP)
    async with manager.worker() as worker:
        pruner = next(server for server in worker._servers if isinstance(server, Pruner))
        await pruner.prune_dead()
    assert [letter.workflow_id for letter in (await manager.dead.list()).items] == ["j"]
    assert KEPT_MAX == 100_000


@pytest.mark.parametrize("letter_id", ["", "x", "g.1", "7.1-1", "g.1-1", "0.9-9", "1-1"])
async def test_an_id_of_nothing_is_refused_with_where_to_look(manager: WorkflowManager, letter_id: str) -> None:
    with pytest.raises(DeadLetterNotFound, match="headrace dead list"):
        await manager.dead.show(letter_id)


@pytest.mark.parametrize("cursor", ["x", "g", "9.1-1", "g.x"])
async def test_a_cursor_of_nothing_is_refused(manager: WorkflowManager, cursor: str) -> None:
    with pytest.raises(InvalidOption, match="give the cursor of a page"):
        await manager.dead.list(cursor=cursor)


async def test_fields_are_for_messages_alone(manager: WorkflowManager) -> None:
    await bury(manager, source="0", entry="2-1", a="wf/i", **STEP)
    with pytest.raises(Misuse, match="only messages have fields"):
        await manager.dead.requeue("0.2-1", fields={"args": "[]"})
