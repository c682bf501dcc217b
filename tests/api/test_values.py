"""Values that pass through steps and workflows: what is refused, and where; what each run has for itself."""

from __future__ import annotations

import asyncio
import sys
import typing
from contextlib import nullcontext

import pytest
from pydantic import BaseModel, Field

from actors import InvalidArguments, InvalidReturn, RetryPolicy, Step, WorkflowFailed, WorkflowManager
from actors.errors import InvalidDefinition


class Amount(BaseModel):
    cents: int = Field(gt=0)


def changed(cents: int) -> Amount:
    made = Amount(cents=1)
    made.cents = cents
    return made


async def test_what_fits_no_more_is_refused_where_it_is_passed_and_nothing_is_started(manager: WorkflowManager) -> None:
    @manager.action(name="pay")
    async def pay(amount: Amount) -> None: ...

    @manager.workflow(name="flow")
    async def flow(step: Step, amount: Amount) -> str:
        try:
            await step.run_action(pay, changed(0))
        except InvalidArguments as error:
            return str(error)
        return ""

    async with manager.worker():
        with pytest.raises(InvalidArguments, match=r"amount: cents: Input should be greater than 0 \(got -5\)"):
            await manager.start(flow.with_options(id="f"), changed(-5))
        assert (await manager.list()).items == ()
        handle = await manager.start(flow, Amount(cents=3))
        assert "amount: cents: Input should be greater than 0 (got 0)" in await handle.result()
        assert await handle.steps() == []


async def test_a_result_that_fits_no_more_fails_the_attempt_and_the_workflow_readably(
    manager: WorkflowManager,
) -> None:
    @manager.action(name="give", retry=RetryPolicy(max_attempts=3, initial_backoff=0.001))
    async def give(cents: int) -> Amount:
        return changed(cents)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> Amount:
        assert (await step.run_action(give, 3)).cents == 3
        with pytest.raises(InvalidReturn, match="cents: Input should be greater than 0"):
            await step.run_action(give, 0)
        return changed(-2)

    async with manager.worker():
        handle = await manager.start(flow)
        with pytest.raises(WorkflowFailed, match=r"flow\(\) returned what its annotation does not allow") as raised:
            await handle.result()
        assert raised.value.error_type == "InvalidReturn"
        assert (await handle.status()).type == "failed"
        assert [step.state for step in await handle.steps()] == ["completed", "failed"]


async def test_a_step_s_failure_in_a_task_group_is_the_workflow_s(manager: WorkflowManager) -> None:
    @manager.action(name="decline")
    async def decline() -> None:
        raise ValueError("no funds")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(step.run_action(decline))
            group.create_task(step.sleep(60))

    async with manager.worker():
        with pytest.raises(WorkflowFailed) as raised:
            await (await manager.start(flow)).result()
    assert (raised.value.error_type, raised.value.message) == ("ValueError", "no funds")


@pytest.mark.parametrize("cached", [0, 100])
async def test_a_default_that_is_changed_in_place_is_each_run_s_own(manager: WorkflowManager, cached: int) -> None:
    @manager.action(name="collect")
    async def collect(item: int, items: list[int] = [], /, *, more: dict[str, int] = {}) -> list[int]:  # noqa: B006
        items.append(item)
        more[str(item)] = item
        return [*items, *more.values()]

    @manager.workflow(name="inner")
    async def inner(step: Step, amounts: list[int] = [], amount: Amount = Amount(cents=1)) -> int:  # noqa: B006, B008
        amounts.append(amount.cents)
        amount.cents += 1
        return len(amounts) + amount.cents

    @manager.workflow(name="flow")
    async def flow(step: Step, items: list[int] = [], pair: tuple[int, list[int]] = (1, [])) -> list[object]:  # noqa: B006
        @step.update_handler
        def note(texts: list[str] = []) -> int:  # noqa: B006
            texts.append("x")
            return len(texts)

        items.append(await inner(step))
        pair[1].append(await step.run_workflow(inner))
        collected = await step.run_action(collect, len(items))
        await step.await_event("go")
        return [items, pair[1], collected]

    async with manager.worker(cache_instances=cached):
        for _ in range(2):
            handle = await manager.start(flow)
            assert [await handle.update("note", type=int) for _ in range(2)] == [1, 1]
            await handle.send_event("go")
            assert await handle.result(timeout=5) == [[3], [3], [1, 1]]


class Unfinished(BaseModel):
    rest: Missing  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]


class Untyped(typing.TypedDict):
    n: int


class Earlier(BaseModel):
    later: Later


class Later(BaseModel):
    n: int = 0


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        ("Missing[str]", "import the name outside `if TYPE_CHECKING:`"),
        (Unfinished, "name 'Missing' is not defined; import the name outside"),
        (list[Unfinished], "name 'Missing' is not defined; import the name outside"),
        pytest.param(
            Untyped,
            "use `typing_extensions.TypedDict`",
            marks=pytest.mark.skipif(sys.version_info >= (3, 12), reason=""),
        ),
        (Earlier, ""),
    ],
    ids=str,
)
async def test_a_worker_refuses_annotations_that_cannot_be_resolved_before_it_takes_any_work(
    manager: WorkflowManager, annotation: object, told: str
) -> None:
    async def take(value: object) -> None: ...

    take.__annotations__["value"] = annotation
    manager.action(name="take")(take)

    with pytest.raises(InvalidDefinition) if told else nullcontext() as raised:
        async with manager.worker():
            pass

    assert raised is None or ("the annotation of 'value' of" in str(raised.value) and told in str(raised.value))
