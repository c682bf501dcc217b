"""Events from any service: by name and by id, before or after the wait, typed, idempotent, with errors and timeouts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import pytest
from pydantic import BaseModel

from actors import (
    EventFailed,
    IdInUse,
    InvalidArguments,
    InvalidOption,
    PayloadTooLarge,
    Step,
    WorkflowEnded,
    WorkflowManager,
    WorkflowNotFound,
)
from tests.api.watching import Managers, seen


class Approval(BaseModel):
    by: str
    cents: int = 0


@dataclass(frozen=True)
class Point:
    x: int
    y: int


async def test_an_event_sent_after_the_wait_is_taken_by_it(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> list[Any]:
        approval = await step.await_event("approved", Approval)
        return [approval.by, await step.await_event("rest")]

    async with manager.worker():
        handle = await manager.start(flow)
        await seen(handle, lambda snapshot: any(s.name == "approved" and s.state == "waiting" for s in snapshot.steps))
        await handle.send_event("approved", Approval(by="ann"))
        await handle.send_event("rest", {"any": ["thing", 1]})
        assert await handle.result() == ["ann", {"any": ["thing", 1]}]


async def test_under_an_id_the_first_event_stands_and_another_one_is_refused(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> list[str]:
        return [await step.await_event("approved", str), await step.await_event("go", str)]

    handle = await manager.start(flow)
    await handle.send_event("approved", "first", id="click-1")
    await handle.send_event("approved", "first", id="click-1")
    await handle.send_event("approved", "as sent again, a little later", id="click-1")
    with pytest.raises(
        IdInUse,
        match=r"id='click-1' is that of the event 'approved', sent to workflow '.*' before, so the event 'go' was not",
    ):
        await handle.send_event("go", "x", id="click-1")
    with pytest.raises(IdInUse, match=r"so an error as the event 'approved' was not sent: give another id"):
        await handle.send_event("approved", error="refused", id="click-1")
    await handle.send_event("other", error="refused", id="click-2")
    await handle.send_event("other", error="refused in other words", id="click-2")
    with pytest.raises(IdInUse, match=r"is that of an error as the event 'other', sent"):
        await handle.send_event("other", "x", id="click-2")

    await handle.send_event("go", "y")
    async with manager.worker():
        assert await handle.result(timeout=10) == ["first", "y"]
    await handle.send_event("approved", "first", id="click-1")  # it has ended; the event was told
    told = [(entry.name, entry.value) for entry in await handle.history() if entry.kind == "event"]
    assert told == [("approved", "first"), ("other", None), ("go", "y")]


async def test_events_sent_before_the_instance_runs_wait_in_order_and_each_is_taken_once(
    manager: WorkflowManager,
) -> None:
    @manager.workflow
    async def flow(step: Step) -> list[int]:
        return [await step.await_event("n", int) for _ in range(3)]

    handle = await manager.start(flow)
    for number in range(4):
        await handle.send_event("n", number)
    async with manager.worker():
        assert await handle.result() == [0, 1, 2]


async def test_events_reach_an_instance_that_is_parked_and_cached_nowhere(managers: Managers) -> None:
    manager = managers()

    @manager.workflow
    async def flow(step: Step) -> str:
        return await step.await_event("go", str)

    async with manager.worker():
        handle = await manager.start(flow)
        await seen(handle, lambda snapshot: any(s.state == "waiting" for s in snapshot.steps))
    await managers().handle(handle.id).send_event("go", "on")
    async with manager.worker(cache_instances=0):
        assert await handle.result() == "on"


async def test_a_typed_event_is_checked_where_it_is_sent(manager: WorkflowManager) -> None:
    approved = manager.event("approved", Approval)
    points = manager.event("points", list[Point])

    @manager.workflow
    async def flow(step: Step) -> list[Any]:
        approval = await step.await_event(approved)
        return [approval.by, *[point.x for point in await step.await_event(points)]]

    async with manager.worker():
        handle = await manager.start(flow)
        with pytest.raises(InvalidArguments, match="the value sent as event 'approved' does not fit"):
            await handle.send_event(approved, cast("Any", "yes"))
        await handle.send_event(approved, Approval(by="bob"))
        await handle.send_event(points, [Point(1, 2), Point(3, 4)])
        assert await handle.result() == ["bob", 1, 3]
        assert [entry.name for entry in await handle.history() if entry.kind == "event"] == ["approved", "points"]


async def test_a_value_that_does_not_fit_raises_at_the_wait_and_the_workflow_may_go_on(
    manager: WorkflowManager,
) -> None:
    @manager.workflow
    async def flow(step: Step) -> str:
        try:
            await step.await_event("approved", Approval)
        except InvalidArguments as error:
            return str(error)
        return ""

    async with manager.worker():
        handle = await manager.start(flow)
        await handle.send_event("approved", {"cents": 5})
        assert "the event 'approved' came with a value that does not fit: by: Field required" in await handle.result()


@pytest.mark.parametrize("error", ["the card was declined", LookupError("the card was declined")])
async def test_an_event_sent_with_an_error_raises_it(manager: WorkflowManager, error: str | Exception) -> None:
    @manager.workflow
    async def flow(step: Step) -> list[str]:
        try:
            await step.await_event("paid", int)
        except EventFailed as failed:
            return [failed.error_type, failed.message]
        return []

    async with manager.worker():
        handle = await manager.start(flow)
        await handle.send_event("paid", error=error)
        name = "EventFailed" if isinstance(error, str) else "LookupError"
        assert await handle.result() == [name, "the card was declined"]
        (wait,) = await handle.steps()
        assert (wait.kind, wait.state) == ("event", "failed")
        assert wait.error is not None


async def test_one_id_is_one_event(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> list[int]:
        return [await step.await_event("n", int), await step.await_event("n", int)]

    async with manager.worker():
        handle = await manager.start(flow)
        for _ in range(3):
            await handle.send_event("n", 1, id="first")
        await handle.send_event("n", 2, id="second")
        assert await handle.result() == [1, 2]
        await handle.send_event("n", 2, id="second")  # also when it has ended: it was told


async def test_an_event_id_that_was_handed_out_is_awaited_once(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step, ask: str) -> str:
        return await step.await_event(ask, str)

    ask = manager.create_event()
    assert ask != manager.create_event()
    async with manager.worker():
        handle = await manager.start(flow, ask)
        await handle.send_event(ask, "yes")
        assert await handle.result() == "yes"


async def test_a_timeout_raises_and_leaves_the_event_to_the_next_wait(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> list[str]:
        try:
            await step.await_event("go", timeout=timedelta(milliseconds=30))
        except TimeoutError as error:
            step.set_value("late", True)
            return [str(error), await step.await_event("go", str)]
        return []

    async with manager.worker():
        handle = await manager.start(flow)
        await seen(handle, lambda snapshot: snapshot.values.get("late"))
        await handle.send_event("go", "now")
        assert await handle.result() == ["no event 'go' came within 0.03 s", "now"]


async def test_an_event_races_a_timer_and_a_step_by_plain_asyncio(manager: WorkflowManager) -> None:
    @manager.action
    async def long() -> str:
        await asyncio.Event().wait()
        return "step"

    @manager.workflow
    async def flow(step: Step) -> list[str]:
        racers: list[asyncio.Future[Any]] = [step.await_event("go", str), step.sleep(3600), step.run_action(long)]
        done, late = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
        for loser in late:
            loser.cancel()
        async with asyncio.timeout(0.02):
            try:
                await step.await_event("never")
            except asyncio.CancelledError:
                step.set_value("canceled", True)
                raise
        return [await future for future in done]

    @manager.workflow
    async def patient(step: Step) -> str:
        racers = [asyncio.ensure_future(step.await_event("go")), asyncio.ensure_future(step.sleep(0.02))]
        done, _ = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
        return "slept" if racers[1] in done else "event"

    async with manager.worker():
        handle, second = await manager.start(flow), await manager.start(patient)
        await seen(handle, lambda snapshot: any(s.name == long.name and s.state == "running" for s in snapshot.steps))
        await handle.send_event("go", "event")
        with pytest.raises(Exception, match="TimeoutError"):
            await handle.result()
        assert await handle.value("canceled") is True
        assert await second.result() == "slept"


async def test_nobody_takes_what_is_sent_to_the_unknown_or_the_ended(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None: ...

    with pytest.raises(WorkflowNotFound, match="no workflow 'nobody'"):
        await manager.handle("nobody").send_event("go")
    async with manager.worker():
        handle = await manager.start(flow)
        await handle.result()
        with pytest.raises(WorkflowEnded, match=r"has ended \(completed\): the event 'go' was not sent"):
            await handle.send_event("go", 1)
        assert await handle.cleanup()
        with pytest.raises(WorkflowNotFound):
            await handle.send_event("go", 1)


async def test_what_cannot_be_sent_is_refused_at_the_call(manager: WorkflowManager) -> None:
    handle: Any = manager.handle("any")
    with pytest.raises(InvalidOption, match="give a value or an error, not both"):
        await handle.send_event("go", 1, error="no")
    with pytest.raises(InvalidOption, match=r"error='': give a text"):
        await handle.send_event("go", error="")
    with pytest.raises(InvalidOption, match=r"without '\|'"):
        await handle.send_event("a|b")
    with pytest.raises(InvalidOption, match="id="):
        await handle.send_event("go", id="")
    with pytest.raises(InvalidArguments, match="does not fit: cannot be encoded"):
        await handle.send_event("go", object())
    with pytest.raises(PayloadTooLarge, match="the value of the event 'go'"):
        await handle.send_event("go", b"x" * 2**21)


async def test_history_has_everything_in_order_and_marks_what_nobody_took(manager: WorkflowManager) -> None:
    @manager.action
    async def double(number: int) -> int:
        return 2 * number

    @manager.workflow
    async def flow(step: Step) -> int:
        step.set_value("seen", "yes")
        return await step.run_action(double, await step.await_event("n", int))

    handle = await manager.start(flow)
    await handle.send_event("else", "kept")
    await handle.send_event("n", 4)
    async with manager.worker():
        await handle.result()
    told = [(entry.kind, entry.name, entry.value, entry.taken) for entry in await handle.history()]
    assert told == [
        ("started", "", None, True),
        ("asked", "seen", "yes", True),
        ("asked", "n", None, True),
        ("event", "else", "kept", False),
        ("event", "n", 4, True),
        ("asked", double.name, None, True),
        ("completed", double.name, 8, True),
        ("ended", "completed", 8, True),
    ]
    taken = [(step.kind, step.state, step.result) for step in await handle.steps()]
    assert taken == [("value", "completed", None), ("event", "completed", 4), ("action", "completed", 8)]
