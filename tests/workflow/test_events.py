"""Events: sent before or after the wait, in order, with timeouts, and values that ``set_value`` publishes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from actors.errors import Failure, InvalidArguments, StepFailed
from actors.payload import unpack
from actors.registry import Registry
from actors.workflow import Step
from tests.workflow.host import Host, observed, work

if TYPE_CHECKING:
    from actors.definitions import Workflow


class Approval(BaseModel):
    by: str
    cents: int


@pytest.fixture
def waits_twice(registry: Registry) -> Workflow[[], list[Any]]:
    @registry.workflow
    async def flow(step: Step) -> list[Any]:
        first = await step.await_event("approved", Approval)
        second = await step.await_event("approved")
        return [first.by, first.cents, second]

    return flow


def test_an_event_answers_the_wait_for_its_name(waits_twice: Workflow[[], list[Any]]) -> None:
    host = Host(waits_twice)
    assert host.open == ["?approved"]
    host.send("declined", 1)
    assert host.open == ["?approved"]
    host.send("approved", {"by": "ann", "cents": 3})
    host.send("approved", "as it is")
    assert host.result == ["ann", 3, "as it is"]
    assert host.instance.answered == [1, 2]
    assert [event.name for event in host.instance.untaken] == ["declined"]


def test_events_sent_earlier_wait_in_order(waits_twice: Workflow[[], list[Any]]) -> None:
    @Registry().workflow
    async def flow(step: Step) -> list[Any]:
        await step.run_action(work, "first")
        return [await step.await_event("n", int) for _ in range(3)]

    host = Host(flow)
    host.send("n", 1)
    host.send("n", 2)
    assert len(host.instance.untaken) == 2
    host.answer("first")
    assert host.open == ["?n"]
    assert host.instance.answered == [2, 3]
    assert observed(host.rebuilt()) == observed(host.instance)
    host.send("n", 3)
    assert host.result == [1, 2, 3]


def test_the_oldest_wait_takes_an_event_and_a_canceled_one_takes_none(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> list[Any]:
        waits = [step.await_event("n", int) for _ in range(3)]
        waits[0].cancel()
        return [await waits[1], await waits[2]]

    host = Host(flow)
    host.send("n", 1)
    host.send("n", 2)
    assert host.result == [1, 2]
    assert host.canceled == ["?n"]


def test_a_wait_with_a_timeout_raises_and_leaves_the_event_to_the_next(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> list[Any]:
        with pytest.raises(TimeoutError, match="no event 'n' came within 60 s"):
            await step.await_event("n", int, timeout=timedelta(minutes=1))
        return [await step.await_event("n", int, timeout=5)]

    host = Host(flow)
    assert host.open == ["?n", "60000 ms"]
    host.fire("60000 ms")
    assert host.canceled == ["?n"]
    host.send("n", 7)
    assert host.result == [7]
    assert host.canceled == ["?n", "5000 ms"]


def test_a_wait_that_is_over_at_once_asks_for_no_timer(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> str:
        with pytest.raises(TimeoutError):
            await step.await_event("n", timeout=0)
        return "over"

    host = Host(flow)
    assert host.result == "over"
    assert host.asked == ["?n"]
    assert host.canceled == ["?n"]


def test_an_event_sent_with_an_error_raises_it(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> str:
        with pytest.raises(StepFailed, match="declined"):
            await step.await_event("approved", Approval)
        return "raised"

    host = Host(flow)
    host.feed("event", name="approved", status="failed", payload=Failure("StepFailed", "Error", "declined").encode())
    assert host.result == "raised"


def test_an_event_whose_value_does_not_fit_raises(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> str:
        with pytest.raises(InvalidArguments, match="'approved' came with a value that does not fit"):
            await step.await_event("approved", Approval)
        return "raised"

    host = Host(flow)
    host.send("approved", "yes")
    assert host.result == "raised"


def test_an_event_races_a_step(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> str:
        approved, expired = step.await_event("approved", str), step.run_action(work, "expire")
        done, _ = await asyncio.wait([approved, expired], return_when=asyncio.FIRST_COMPLETED)
        return "approved" if approved in done else "expired"

    host = Host(flow)
    host.send("approved", "yes")
    assert host.result == "approved"
    assert host.canceled == ["expire"]


def test_set_value_is_a_command_that_nothing_waits_for(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        step.set_value("progress", {"done": 3, "names": {"b", "a"}})
        await step.run_action(work, "a")

    host = Host(flow)
    value = host.instance.commands[0]
    assert (value.kind, value.target) == ("value", "progress")
    assert unpack(value.arguments) == {"done": 3, "names": {"a", "b"}}
    assert host.open == ["a"]
    host.instance.dispose()
