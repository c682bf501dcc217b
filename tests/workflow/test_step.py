"""What ``step`` offers: steps, sleeps, events, children, values, and what is the same on every replay."""

from __future__ import annotations

import asyncio
import contextvars
import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from pydantic import BaseModel

from actors.errors import (
    CallNotAllowed,
    Failure,
    InvalidArguments,
    InvalidOption,
    StepCanceled,
    StepFailed,
    WorkflowFailed,
)
from actors.payload import unpack
from actors.registry import Registry
from actors.workflow import Step, StepFuture
from tests.workflow.host import START_MS, Host, work

if TYPE_CHECKING:
    from actors.transaction import Transaction

steps = Registry()


class Approval(BaseModel):
    by: str
    cents: int


@steps.query
async def load(tx: Transaction, cart: str) -> int:
    raise NotImplementedError


@steps.mutation
async def reserve(tx: Transaction, cart: str, *, count: int = 1) -> str:
    raise NotImplementedError


@steps.action(retry=True, queue="slow", timeout=30)
async def charge(cart: str) -> str:
    raise NotImplementedError


@steps.action
def resize(picture: str) -> str:
    raise NotImplementedError


@steps.workflow
async def ship(step: Step, cart: str) -> Approval:
    raise NotImplementedError


def test_each_kind_of_step_becomes_its_definitions_command(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> tuple[object, ...]:
        return await asyncio.gather(
            step.run_query(load, "c"),
            step.run_mutation(reserve, "c", count=2),
            step.run_action(charge.with_options(name="pay", run_after=timedelta(seconds=5)), "c"),
            step.run_action(resize, "p"),
        )

    host = Host(flow)
    now_ms = START_MS + 1
    query, mutation, action, thread = host.instance.commands
    assert query == load.command(("c",), {}, at=1, now_ms=now_ms)
    assert mutation == reserve.command(("c",), {"count": 2}, at=1, now_ms=now_ms)
    assert thread.at_most_once
    assert (action.label, action.target, action.queue, action.timeout_ms) == ("pay", "charge", "slow", 30_000)
    assert action.due_ms == now_ms + 5000
    host.answer(1, 4)
    host.answer(2, "r")
    host.answer(3, "paid")
    host.answer(4, "small")
    assert host.result == (4, "r", "paid", "small")


def test_a_step_is_asked_for_at_the_call(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> int:
        first, second = step.run_query(load, "a"), step.run_query(load, "b")
        assert isinstance(first, asyncio.Future)
        assert isinstance(first, StepFuture)
        assert not hasattr(first, "send")
        return await first + await second

    host = Host(flow)
    assert len(host.instance.commands) == 2
    host.answer(2, 2)
    host.answer(1, 1)
    assert host.result == 3


def test_an_async_action_called_directly_is_a_step(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> list[str]:
        both = await asyncio.gather(charge("a"), asyncio.create_task(charge("b")))
        return [*both, await charge("c")]

    host = Host(flow)
    for seq in (1, 2, 3):
        host.answer(seq, f"{seq}")
    assert host.result == ["1", "2", "3"]
    assert host.asked == ["charge", "charge", "charge"]


def test_a_direct_call_is_a_step_in_a_task_with_a_context_of_its_own(registry: Registry) -> None:
    async def call() -> str:
        return await charge("a")

    @registry.workflow
    async def flow(step: Step) -> str:
        return await asyncio.create_task(call(), context=contextvars.Context())

    host = Host(flow)
    host.answer(1, "paid")
    assert host.result == "paid"


def test_wrong_arguments_are_refused_at_the_call_and_nothing_is_asked_for(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> str:
        try:
            await step.run_query(load, cast("Any", ["no", "text"]))
        except InvalidArguments as error:
            return str(error)
        return "accepted"

    host = Host(flow)
    assert "cart" in host.result
    assert not host.instance.commands


@pytest.mark.parametrize(
    ("kind", "definition", "advice"),
    [
        ("action", load, "it is a query: write step.run_query(load, …)"),
        ("query", ship, "it is a workflow: write step.run_workflow(ship, …)"),
        ("workflow", charge, "it is an action: write step.run_action(charge, …)"),
        ("action", len, "decorate it with @manager.action first"),
    ],
)
def test_a_step_of_another_kind_is_refused_with_the_call_to_write(
    registry: Registry, kind: str, definition: object, advice: str
) -> None:
    @registry.workflow
    async def flow(step: Step) -> str:
        with pytest.raises(CallNotAllowed) as raised:
            getattr(step, f"run_{kind}")(definition, "c")
        return str(raised.value)

    said = Host(flow).result
    assert advice in said
    assert __file__ in said


def test_options_of_the_step_are_those_of_what_is_run_through_it(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        fast = step.with_options(queue="fast").with_options(retry=False)
        await asyncio.gather(fast.run_action(charge, "a"), step.run_action(charge, "b"))

    host = Host(flow)
    through, beside = host.instance.commands
    assert (through.queue, through.at_most_once) == ("fast", True)
    assert (beside.queue, beside.at_most_once) == ("slow", False)
    host.instance.dispose()


def test_a_failed_step_raises_with_its_remote_type_and_message(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> str:
        try:
            await step.run_action(charge, "a")
        except StepFailed as error:
            return f"{error.error_type}: {error.message}"
        return "paid"

    host = Host(flow)
    host.fail(1, LookupError("no such card"))
    assert host.result == "LookupError: no such card"


def test_a_step_canceled_from_outside_raises(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> str:
        with pytest.raises(StepCanceled):
            await step.run_action(charge, "a")
        return "told"

    host = Host(flow)
    host.feed("outcome", seq=1, status="canceled")
    assert host.result == "told"


def test_a_result_that_no_longer_fits_raises_at_the_await(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> int:
        return await step.run_query(load, "a")

    host = Host(flow)
    host.answer(1, "no number")
    assert "InvalidReturn" in host.failure.error_type


def test_a_child_is_a_command_of_its_own_kind(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> str:
        approval = await step.run_workflow(ship, "c-1")
        with pytest.raises(WorkflowFailed, match="lost at sea"):
            await step.run_workflow(ship.with_options(run_after=60), "c-2")
        return approval.by

    host = Host(flow)
    child = host.instance.commands[0]
    assert (child.kind, child.target, unpack(child.arguments)) == ("child", "ship", [["c-1"]])
    host.answer(1, {"by": "ann", "cents": 1})
    assert host.instance.commands[1].due_ms == host.now_ms + 60_000
    failure = Failure("WorkflowFailed", "ValueError", "lost at sea")
    host.feed("outcome", seq=2, status="failed", payload=failure.encode())
    assert host.result == "ann"


def test_sleep_takes_timedeltas_and_seconds_and_sleep_until_a_time(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        await step.sleep(timedelta(minutes=1))
        await step.sleep(0.5)
        await step.sleep_until(step.now() + timedelta(hours=1))
        await step.sleep_until(step.now() - timedelta(hours=1))
        await step.sleep(timedelta(seconds=-1))

    host = Host(flow)
    for timer in ("60000 ms", "500 ms", "3600000 ms"):
        host.fire(timer)
    assert host.result is None
    assert len(host.instance.commands) == 3


@pytest.mark.parametrize(
    ("method", "length"),
    [
        ("sleep", math.nan),
        ("sleep", math.inf),
        ("sleep", "long"),
        ("sleep_until", datetime(2030, 1, 1)),  # noqa: DTZ001 - naive on purpose
        ("sleep_until", 5),
    ],
)
def test_a_length_or_time_that_is_none_is_refused(registry: Registry, method: str, length: object) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        with pytest.raises(InvalidOption, match="give"):
            getattr(step, method)(length)

    assert Host(flow).result is None


@pytest.mark.parametrize("seconds", [math.nan, math.inf, 10.0**12])
def test_a_timer_of_the_loop_without_a_length_is_refused(registry: Registry, seconds: float) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(ValueError, match="up to 100 years"):
            loop.call_later(seconds, print)
        with pytest.raises(ValueError, match="up to 100 years"):
            loop.call_at(seconds, print)

    assert Host(flow).result is None


def test_a_canceled_sleep_withdraws_its_timer(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        sleep = step.sleep(60)
        sleep.cancel()
        assert not sleep.cancel()
        await step.run_action(charge, "a")

    host = Host(flow)
    assert host.canceled == ["60000 ms"]
    assert host.open == ["charge"]
    host.fire(1)  # it was under way
    assert host.open == ["charge"]
    host.instance.dispose()


# --------------------------------------------------------------------------------------------- the same on every replay


def test_now_random_and_uuid4_are_the_same_on_replay_and_differ_between_instances(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> list[Any]:
        before = [step.now(), step.random.random(), str(step.uuid4()), asyncio.get_running_loop().time()]
        await step.run_action(work, "a")
        return [before, step.now(), step.random.randint(0, 10**9), str(step.uuid4()), step.workflow_id]

    def run(workflow_id: str) -> list[Any]:
        host = Host(flow, workflow_id=workflow_id)
        copy = host.rebuilt()
        host.answer("a")
        copy.feed(host.events[-1])
        assert copy.end == host.instance.end
        return cast("list[Any]", host.result)

    one, again, other = run("w-1"), run("w-1"), run("w-2")
    assert one == again
    assert one[0][0] == datetime.fromtimestamp((START_MS + 1) / 1000, UTC)
    assert one[1] - one[0][0] == timedelta(milliseconds=1)
    assert one[0][1] != other[0][1]
    assert one[3] != other[3]
    assert one[0][2] != one[3]


def test_the_log_is_structlogs_and_silent_on_replay(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        log = step.log.bind(cart="c-1")
        log.info("begun")
        await step.run_action(work, "a")
        log.warning("done", count=1)

    host = Host(flow)
    assert "begun" in (said := capsys.readouterr().out)
    assert "workflow_id" in said
    assert "c-1" in said
    copy = host.rebuilt()
    assert capsys.readouterr().out == ""
    host.answer("a")
    capsys.readouterr()
    copy.feed(host.events[-1])
    assert "done" in capsys.readouterr().out
