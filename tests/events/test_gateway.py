"""The gateway: starts, events and cancellations that any service publishes by one XADD, each taking effect once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from actors import Canceled, Step, WorkflowHandle, WorkflowManager
from actors.definitions import Workflow
from actors.servers import gateway
from kernel import Reader, first_entry
from kernel.store.audit import audit
from kernel.store.replies import listed
from tests.api.watching import Managers, seen

T = TypeVar("T")


def define(manager: WorkflowManager) -> Workflow[[str], str]:
    """Register a workflow that waits for an approval."""

    @manager.workflow(name="checkout")
    async def checkout(step: Step, cart_id: str) -> str:
        try:
            by = await step.await_event("approved")
        except Exception as error:  # noqa: BLE001
            return f"{cart_id}: {error}"
        except asyncio.CancelledError:
            step.set_value("cleaned", True)
            raise
        return f"{cart_id} {by}"

    return checkout


async def publish(manager: WorkflowManager, **fields: str | bytes) -> str:
    """Publish a message as any Redis client does; return the entry's id."""
    space = (await manager.store()).space
    words = [word for pair in fields.items() for word in pair]
    entry = await space.send(space.keys.gateway, "XADD", space.keys.gateway, "*", *words)
    assert isinstance(entry, bytes)
    return entry.decode()


async def entries(manager: WorkflowManager, key: str) -> list[dict[str, str]]:
    space = (await manager.store()).space
    rows = listed(await space.send(key, "XRANGE", key, "-", "+"))
    return [{n.decode(): v.decode(errors="replace") for n, v in zip(f[::2], f[1::2], strict=True)} for _, f in rows]


async def until(condition: Callable[[], Awaitable[T]]) -> T:
    """Return what the condition gives, once that is something; each time it asks the server."""
    while True:
        found = await condition()
        if found:
            return found


async def emptied(manager: WorkflowManager) -> None:
    """Wait until nothing is left in the gateway's stream."""
    keys = (await manager.store()).space.keys

    async def empty() -> bool:
        return not await entries(manager, keys.gateway)

    await until(empty)


async def set_aside(manager: WorkflowManager) -> list[dict[str, str]]:
    """Return what was set aside, once there is something, and nothing is left in the stream."""
    keys = (await manager.store()).space.keys
    found = await until(lambda: entries(manager, keys.dead))
    await emptied(manager)
    return found


async def started(manager: WorkflowManager, workflow_id: str) -> WorkflowHandle[str]:
    """Return the handle of an instance, once it is there."""
    instances = (await manager.store()).instances
    await until(lambda: instances.record(f"wf/{workflow_id}"))
    return manager.handle(workflow_id)


@pytest.mark.parametrize("args", ['{"cart_id": "c-7"}', '["c-7"]'])
async def test_a_start_and_an_event_are_one_xadd_each(manager: WorkflowManager, args: str) -> None:
    define(manager)
    async with manager.worker():
        await publish(manager, type="start", workflow="checkout", id="order-7", args=args)
        await publish(manager, type="event", id="order-7", name="approved", value='{"by": "ann"}')
        handle = await started(manager, "order-7")
        assert await handle.result() == "c-7 {'by': 'ann'}"
        await emptied(manager)
        record = await (await manager.store()).instances.record("wf/order-7")
        assert int(record["retention"]) == manager.retention_ms
        assert await audit((await manager.store()).space) == []
    assert await entries(manager, "default:dead") == []


@pytest.mark.server
async def test_it_works_on_a_server_too(server_url: str, managers: Managers) -> None:
    manager = managers(server_url)
    define(manager)
    async with manager.worker():
        await publish(manager, type="event", id="order-7", name="approved", value='"ann"')
        await publish(manager, type="start", workflow="checkout", id="order-7", args='{"cart_id": "c-7"}')
        assert await (await started(manager, "order-7")).result() == "c-7 ann"
        await publish(manager, type="nonsense")
        assert len(await set_aside(manager)) == 1
        assert await audit((await manager.store()).space) == []


async def test_without_an_id_the_entry_is_the_id(manager: WorkflowManager) -> None:
    define(manager)
    async with manager.worker():
        entry = await publish(manager, type="start", workflow="checkout", args='["c-1"]')
        handle = await started(manager, entry)
        await publish(manager, type="event", id=entry, name="approved", error="declined")
        assert await handle.result() == "c-1: declined"


async def test_a_cancellation_ends_it_at_once_or_lets_it_clean_up(manager: WorkflowManager) -> None:
    checkout = define(manager)
    async with manager.worker():
        for cleanup in ("false", "true"):
            handle = await manager.start(checkout, "c-1")
            await seen(handle, lambda snapshot: any(s.state == "waiting" for s in snapshot.steps))
            await publish(manager, type="cancel", id=handle.id, cleanup=cleanup)
            await seen(handle, lambda snapshot: isinstance(snapshot.status, Canceled))
            assert await handle.value("cleaned") is (True if cleanup == "true" else None)


async def test_a_further_cancellation_with_cleanup_lets_it_go_on_cleaning_up(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        try:
            await step.await_event("approved")
        finally:
            await step.await_event("go on")
            step.set_value("cleaned", True)

    handle = await manager.start(flow)
    space = (await manager.store()).space
    async with manager.worker():
        await seen(handle, lambda snapshot: len(snapshot.steps) == 1)
        for _ in range(2):
            await publish(manager, type="cancel", id=handle.id, cleanup="true")
            while await space.send(space.keys.gateway, "XLEN", space.keys.gateway):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        await handle.send_event("go on")
        await seen(handle, lambda snapshot: isinstance(snapshot.status, Canceled))
        assert await handle.value("cleaned") is True


async def test_a_message_delivered_twice_takes_effect_once(manager: WorkflowManager) -> None:
    checkout = define(manager)
    handle = await manager.start(checkout, "c-1")
    fields = {"type": "event", "id": handle.id, "name": "approved", "value": "1"}
    for _ in range(2):
        await publish(manager, **fields, dedupe="payment-9")
    async with manager.worker():
        # As when its worker died between the carrying out and the answer: the same message lies there again.
        first = await publish(manager, **fields, dedupe="payment-9")
        await publish(manager, first=first, **fields)
        await handle.result()
        for _ in range(2):
            await publish(manager, first="7-0", type="start", workflow="checkout", args='["c-2"]')
        await started(manager, "7-0")
        await emptied(manager)
        assert len([e for e in await handle.history() if e.kind == "event"]) == 1
        assert len((await manager.list()).items) == 2


async def test_two_messages_with_one_value_are_two_events(manager: WorkflowManager) -> None:
    checkout = define(manager)
    handle = await manager.start(checkout, "c-1")
    async with manager.worker():
        for _ in range(2):
            await publish(manager, type="event", id=handle.id, name="else", value="1")
        await emptied(manager)
        assert [e.taken for e in await handle.history() if e.kind == "event"] == [False, False]


WRONG: list[tuple[dict[str, str | bytes], str]] = [
    ({"type": "begin"}, "type='begin': give one of start, event, cancel"),
    ({"id": "x"}, "type='': give one of"),
    ({"type": "start", "args": "[]"}, "there is no field 'workflow'"),
    ({"type": "start", "workflow": "checkout", "arg": "[]"}, "unknown field 'arg': a message of type start has"),
    ({"type": "start", "workflow": "checkout", "args": "{"}, "args='{' is not JSON"),
    ({"type": "start", "workflow": "checkout", "args": "3"}, "args='3': give a JSON object (by name) or array"),
    ({"type": "start", "workflow": "checkout", "args": "[NaN]"}, "NaN is not JSON"),
    ({"type": "start", "workflow": "checkout", "args": "[]"}, "missing a required argument: 'cart_id'"),
    ({"type": "start", "workflow": "checkout", "args": "[5]"}, "cart_id: Input should be a valid string"),
    ({"type": "start", "workflow": "checkout", "id": "", "args": '["c"]'}, "id='': give a workflow's id"),
    ({"type": "event", "id": "x"}, "there is no field 'name'"),
    ({"type": "event", "id": "x", "name": "a|b"}, "without '|'"),
    ({"type": "event", "name": "a"}, "id='': give a workflow's id"),
    ({"type": "event", "id": "x", "name": "a", "value": "yes"}, "value='yes' is not JSON"),
    ({"type": "event", "id": "x", "name": "a", "value": "1", "error": "no"}, "there are both 'value' and 'error'"),
    ({"type": "event", "id": "x", "name": "a", "value": f'"{"x" * 2**20}"'}, "the value of the event 'a' takes"),
    ({"type": "cancel", "id": "x", "cleanup": "yes"}, "cleanup='yes': give true or false"),
    ({"type": "cancel", "id": b"\xff"}, "a field is no UTF-8 text"),
]


@pytest.mark.parametrize(("fields", "reason"), WRONG)
async def test_what_cannot_be_understood_is_set_aside_with_the_reason(
    manager: WorkflowManager, fields: dict[str, str | bytes], reason: str
) -> None:
    define(manager)
    async with manager.worker():
        entry = await publish(manager, **fields)
        (found,) = await set_aside(manager)
    assert found["entry"] == entry
    assert reason in found["reason"]
    assert fields.keys() <= found.keys()


async def test_an_event_to_an_ended_workflow_is_set_aside_and_a_cancellation_is_done_with(
    manager: WorkflowManager,
) -> None:
    checkout = define(manager)
    async with manager.worker():
        handle = await manager.start(checkout, "c-1")
        await handle.cancel()
        await publish(manager, type="cancel", id=handle.id)
        await publish(manager, type="event", id=handle.id, name="approved")
        (found,) = await set_aside(manager)
    assert found["reason"] == f"workflow {handle.id!r} has ended: it takes no more events"


async def test_what_comes_too_early_is_tried_again_for_a_minute(
    manager: WorkflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = define(manager)
    async with manager.worker():
        await publish(manager, type="event", id="order-7", name="approved", value='"ann"')
        await publish(manager, type="cancel", id="order-8")
        handle = await manager.start(checkout.with_options(id="order-7"), "c-1")
        assert await handle.result() == "c-1 ann"
        monkeypatch.setattr(gateway, "PATIENCE_S", 0.2)
        (found,) = await set_aside(manager)
    assert found["reason"] == "there is no workflow 'order-8' (tried for 0.2 s)"


@pytest.mark.server
async def test_a_worker_without_the_code_leaves_a_start_to_others(
    managers: Managers, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "PASS_ON_S", 0.01)
    # A real server: it gives a message to who has waited longest, so it does not come back to the same worker.
    older, newer = managers(server_url), managers(server_url)
    define(newer)
    async with older.worker():
        entry = await publish(older, type="start", workflow="checkout", args='["c-1"]')
        stream = f"{older.namespace}:gateway"

        async def passed_on() -> bool:
            return any("first" in fields for fields in await entries(older, stream))

        await until(passed_on)
        async with newer.worker():
            handle = await started(newer, entry)
            await handle.send_event("approved", "bob")
            assert await handle.result() == "c-1 bob"


async def test_a_workflow_that_nobody_knows_is_set_aside_in_the_end(
    manager: WorkflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "PASS_ON_S", 0.01)
    monkeypatch.setattr(gateway, "PATIENCE_S", 0.1)
    async with manager.worker():
        entry = await publish(manager, type="start", workflow="chekout", args="[]")
        (found,) = await set_aside(manager)
    assert (found["entry"], "first" in found) == (entry, False)
    assert "no workflow is registered as 'chekout'" in found["reason"]


async def test_nothing_is_lost_when_the_worker_dies_in_between(
    managers: Managers, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = managers(), managers()
    define(first)
    define(second)
    answering = asyncio.Event()

    async def never(*_: object, **__: object) -> bool:
        answering.set()
        await asyncio.Event().wait()
        return True

    async with first.worker() as dying:
        monkeypatch.setattr(dying.host.store.gateway, "done", never)
        await publish(first, type="start", workflow="checkout", id="order-7", args='["c-1"]')
        await answering.wait()  # it has been carried out and not been answered
        await dying.kill()
        async with second.worker():
            await emptied(second)
            handle = await started(second, "order-7")
            await handle.send_event("approved", "bob")
            assert await handle.result() == "c-1 bob"
            assert len((await second.list()).items) == 1


async def test_a_worker_that_leaves_gives_back_what_it_had_read(managers: Managers) -> None:
    manager = managers()
    async with manager.worker() as worker:
        entry = await publish(manager, type="cancel", id="not yet")
        stream = f"{manager.namespace}:gateway"

        async def in_hand() -> bool:
            return bool(await entries(manager, stream)) and (stream, entry.encode()) in worker.host.hands.entries

        await until(in_hand)
    (left,) = await entries(manager, stream)
    assert left == {"first": entry, "type": "cancel", "id": "not yet"}
    store = await manager.store()
    assert await store.custody.consumers(f"{manager.namespace}:gateway", "gateways") == []
    assert await audit(store.space) == []


@pytest.mark.parametrize(("field", "value"), [("first", "rubbish"), ("since", "9" * 5_000), ("since", "soon")])
async def test_fields_of_our_own_that_a_service_publishes_do_not_stop_a_message(
    manager: WorkflowManager, monkeypatch: pytest.MonkeyPatch, field: str, value: str
) -> None:
    monkeypatch.setattr(gateway, "PATIENCE_S", 0.0)
    entry = await publish(manager, type="event", id="nobody", name="approved", **{field: value})

    async with manager.worker():
        (dead,) = await set_aside(manager)

    assert dead["entry"] == entry


async def test_a_message_that_is_passed_on_stays_the_entry_that_it_came_as(manager: WorkflowManager) -> None:
    entry = await publish(manager, type="start", workflow="unknown", first="rubbish")
    store = await manager.store()
    reader = Reader(store.space, group="gateways", consumer="w", streams=(store.space.keys.gateway,))
    for _ in range(2):
        (found,) = await until(reader.wait)
        assert first_entry(found) == entry
        assert await store.gateway.pass_on(found)
    await reader.close()

    (last,) = await entries(manager, store.space.keys.gateway)
    assert last == {"first": entry, "type": "start", "workflow": "unknown"}
