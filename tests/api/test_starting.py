"""Starting workflows: what a start promises, and what is refused before anything is started."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from actors import (
    Completed,
    InvalidArguments,
    InvalidOption,
    PayloadTooLarge,
    Scheduled,
    Step,
    WorkflowFailed,
    WorkflowManager,
    WorkflowNotFound,
)
from actors.errors import IdInUse, Misuse
from tests.api.watching import Managers


async def test_a_started_workflow_returns_what_its_function_returns(manager: WorkflowManager) -> None:
    @manager.workflow(name="greet")
    async def greet(step: Step, name: str, *, loud: bool = False) -> str:
        return f"hello {name}{'!' if loud else ''}"

    async with manager.worker():
        handle = await manager.start(greet, "bob", loud=True)
        assert await handle.result() == "hello bob!"
        assert await handle.status() == Completed("hello bob!")


async def test_a_workflow_started_before_there_is_a_worker_runs_when_one_comes(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return 1

    handle = await manager.start(flow)
    async with manager.worker():
        assert await handle.result() == 1


async def test_the_same_id_is_the_same_instance_started_once(manager: WorkflowManager) -> None:
    calls: list[str] = []

    @manager.action(name="note")
    async def note(text: str) -> None:
        calls.append(text)

    @manager.workflow(name="flow")
    async def flow(step: Step, text: str) -> str:
        await step.run_action(note, text)
        return text

    async with manager.worker():
        first = await manager.start(flow.with_options(id="order-7"), "first")
        second = await manager.start(flow.with_options(id="order-7"), "second")
        assert (first.id, second.id) == ("order-7", "order-7")
        assert await second.result() == "first"
        third = await manager.start(flow.with_options(id="order-7"), "third")
        assert await third.result() == "first"
    assert calls == ["first"]


async def test_start_many_returns_handles_in_the_order_of_the_calls(manager: WorkflowManager) -> None:
    @manager.workflow(name="square")
    async def square(step: Step, x: int) -> int:
        return x * x

    async with manager.worker():
        handles = await manager.start_many(square.with_options(id=f"s{i}").bind(i) for i in range(20))
        assert [handle.id for handle in handles] == [f"s{i}" for i in range(20)]
        assert [await handle.result() for handle in handles] == [i * i for i in range(20)]


async def test_a_call_that_cannot_be_bound_starts_nothing_of_its_chunk(manager: WorkflowManager) -> None:
    @manager.workflow(name="square")
    async def square(step: Step, x: int) -> int:
        return x * x

    with pytest.raises(InvalidArguments, match="x"):
        await manager.start_many(square.with_options(id=f"s{i}").bind(i if i < 3 else "many") for i in range(9))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for i in range(4):
        with pytest.raises(WorkflowNotFound):
            await manager.handle(f"s{i}").status()


async def test_wrong_arguments_are_refused_at_the_start_and_nothing_is_started(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step, count: int) -> int:
        return count

    with pytest.raises(InvalidArguments, match="count"):
        await manager.start(flow.with_options(id="a"), "many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidArguments, match="count"):
        await manager.start(flow.with_options(id="a"))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(WorkflowNotFound):
        await manager.handle("a").status()


async def test_what_is_no_workflow_cannot_be_started_and_the_error_says_so(manager: WorkflowManager) -> None:
    @manager.action(name="act")
    async def act() -> None: ...

    async def plain(step: Step) -> None: ...

    with pytest.raises(Misuse, match="act"):
        await manager.start(act)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(Misuse, match="plain"):
        await manager.start(plain)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(Misuse, match="bind"):
        await manager.start_many([plain])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_a_value_over_the_limit_is_refused_at_the_start(managers: Managers) -> None:
    manager = managers(value_bytes_max=1_000)

    @manager.workflow(name="flow")
    async def flow(step: Step, text: str) -> int:
        return len(text)

    with pytest.raises(PayloadTooLarge, match="text"):
        await manager.start(flow.with_options(id="a"), "x" * 1_001)
    with pytest.raises(WorkflowNotFound):
        await manager.handle("a").status()
    async with manager.worker():
        assert await (await manager.start(flow, "x" * 900)).result() == 900


async def test_a_step_that_returns_more_than_the_limit_fails_the_workflow_that_does_not_catch_it(
    managers: Managers,
) -> None:
    manager = managers(value_bytes_max=1_000)

    @manager.action(name="large", retry=True)
    async def large() -> str:
        return "x" * 2_000

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return len(await step.run_action(large))

    async with manager.worker():
        handle = await manager.start(flow)
        with pytest.raises(WorkflowFailed, match="value_bytes_max"):
            await handle.result()
        assert [step.attempt for step in await handle.steps()] == [1], "another attempt would return as much"


async def test_a_journal_over_its_limit_fails_the_workflow(managers: Managers) -> None:
    manager = managers(journal_bytes_max=10_000)

    @manager.action(name="kilobyte")
    async def kilobyte() -> str:
        return "x" * 1_000

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        while True:
            await step.run_action(kilobyte)

    async with manager.worker():
        handle = await manager.start(flow)
        with pytest.raises(WorkflowFailed, match="journal_bytes_max"):
            await handle.result()
        assert 8 <= len(await handle.steps()) <= 11


async def test_a_workflow_with_run_after_is_scheduled_and_then_runs(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> datetime:
        return step.now()

    before = datetime.now(UTC)
    async with manager.worker():
        handle = await manager.start(flow.with_options(run_after=0.3))
        status = await handle.status()
        assert isinstance(status, Scheduled)
        assert timedelta(seconds=0.25) < status.at - before < timedelta(seconds=2)
        assert await handle.result() - before >= timedelta(seconds=0.29)


async def test_a_workflow_with_run_at_starts_no_earlier(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> datetime:
        return step.now()

    at = datetime.now(UTC) + timedelta(seconds=0.2)
    async with manager.worker():
        handle = await manager.start(flow.with_options(run_at=at))
        assert await handle.result() >= at - timedelta(milliseconds=1)


async def test_an_id_that_cannot_stand_in_keys_is_refused(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> None: ...

    for wrong in ("", "a\nb", "x" * 201, "a|b"):
        with pytest.raises(InvalidOption, match="id"):
            await manager.start(flow.with_options(id=wrong))


async def test_ids_of_any_script_and_with_slashes_work(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        await step.sleep(0.01)
        return step.workflow_id

    async with manager.worker():
        for workflow_id in ("acme/order/7", "Bestellung 7 für Zoë", "注文-7", "%s{x}*[a]?"):
            handle = await manager.start(flow.with_options(id=workflow_id))
            assert await handle.result() == workflow_id


async def test_an_id_that_belongs_to_another_workflow_is_refused(manager: WorkflowManager) -> None:
    @manager.workflow(name="first")
    async def first(step: Step) -> None:
        """Do nothing."""

    @manager.workflow(name="second")
    async def second(step: Step) -> None:
        """Do nothing."""

    await manager.start(first.with_options(id="one"))
    with pytest.raises(IdInUse, match="'one' belongs to an instance of the workflow 'first'"):
        await manager.start(second.with_options(id="one"))
