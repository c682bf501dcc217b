"""``on_complete``: called once for each end, as an actor of its own, with its own retries; seen in ``steps()``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from actors import (
    Canceled,
    Completed,
    Failed,
    InvalidArguments,
    InvalidOption,
    Result,
    RetryPolicy,
    Step,
    StepView,
    Transaction,
    WorkflowHandle,
    WorkflowManager,
)
from actors.testing import WorkflowTester
from kernel import Busy
from kernel.store.audit import audit
from tests.api.watching import Managers
from tests.children.waiting import check_invariants, statuses, until


class Receipt(BaseModel):
    cents: int
    at: datetime
    tags: set[str] = set()


@dataclass
class User:
    id: int
    names: tuple[str, ...]


async def called(handle: WorkflowHandle[Any], *, times: int = 1) -> list[StepView]:
    """Return what was called on completion, once all of it has ended."""
    while True:
        views = [view for view in await handle.steps() if view.kind == "on_complete"]
        if len(views) >= times and all(view.state in {"completed", "failed", "canceled"} for view in views):
            return views
        await asyncio.sleep(0.005)


async def test_it_is_called_with_the_id_the_result_and_the_context(managers: Managers) -> None:
    manager = managers(partitions=12)
    told: list[tuple[str, Result[Receipt], User]] = []

    @manager.action(name="report")
    async def report(workflow_id: str, result: Result[Receipt], context: User) -> str:
        told.append((workflow_id, result, context))
        return "told"

    @manager.workflow(name="pay")
    async def pay(step: Step, cents: int) -> Receipt:
        return Receipt(cents=cents, at=datetime(2026, 1, 2, tzinfo=UTC), tags={"b", "a"})

    async with manager.worker():
        user = User(3, ("Ann", "Lee"))
        handle = await manager.start(pay.with_options(id="order-7", on_complete=report, context=user), 12)
        receipt = await handle.result()
        (view,) = await called(handle)
        assert told == [("order-7", Completed(receipt), user)]
        assert (view.seq, view.name, view.state, view.result) == (1, "report", "completed", "told")
        await check_invariants(manager)


async def test_every_way_to_end_is_told(manager: WorkflowManager) -> None:
    told: dict[str, Result[int]] = {}

    @manager.action(name="report")
    def report(workflow_id: str, result: Result[int], context: None) -> None:
        told[workflow_id] = result

    @manager.workflow(name="flow")
    async def flow(step: Step, how: str) -> int:
        if how == "fails":
            raise LookupError("no such cart")
        if how == "waits":
            await step.sleep(3600)
        return 5

    async with manager.worker():
        told_at_end = flow.with_options(on_complete=report, context=None)
        handles = [
            await manager.start(told_at_end.with_options(id="done"), "returns"),
            await manager.start(told_at_end.with_options(id="failed"), "fails"),
            await manager.start(told_at_end.with_options(id="late", timeout=0.01), "waits"),
            await manager.start(told_at_end.with_options(id="canceled"), "waits"),
            await manager.start(told_at_end.with_options(id="never", run_after=3600), "waits"),
        ]
        await handles[3].cancel()
        await handles[4].cancel()
        for handle in handles:
            await called(handle)
    assert told["done"] == Completed(5)
    assert told["canceled"] == told["never"] == Canceled()
    failed, late = told["failed"], told["late"]
    assert isinstance(failed, Failed)
    assert isinstance(late, Failed)
    assert (failed.error.error_type, failed.error.message) == ("LookupError", "no such cart")
    assert "raise LookupError" in failed.error.traceback
    assert late.error.error_type == "WorkflowTimedOut"


async def test_a_mutation_writes_once_in_the_instance_s_own_partition(managers: Managers) -> None:
    manager = managers(partitions=12)

    @manager.mutation(name="count")
    async def count(tx: Transaction, workflow_id: str, result: Result[int], context: int) -> None:
        tx.incrby(tx.key("done"), context)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return 1

    async with manager.worker():
        handle = await manager.start(flow.with_options(id="same/1", on_complete=count, context=4))
        await called(handle)
        space = (await manager.store()).space
        tag = space.keys.tag_of("wf/same")
        assert await space.send(tag, "GET", f"{tag}:app:done") == b"4"


async def test_it_is_retried_by_its_own_policy_and_its_failure_is_seen(manager: WorkflowManager) -> None:
    attempts: list[datetime] = []

    @manager.action(name="report", retry=RetryPolicy(max_attempts=3, initial_backoff=60, jitter=False))
    async def report(workflow_id: str, result: Result[int], context: str) -> None:
        attempts.append(tester.now)
        raise ConnectionError(f"nobody at {context}")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return 1

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow.with_options(on_complete=report.with_options(name="mail"), context="home"))
        assert await handle.result() == 1
        await tester.advance(timedelta(minutes=10))
        (view,) = await called(handle)
        assert (view.name, view.state, view.attempt) == ("mail", "failed", 3)
        assert view.error is not None
        assert view.error.message == "nobody at home"
        assert [one.error.message for one in view.attempts] == ["nobody at home"] * 2
        assert [(later - attempts[0]).total_seconds() for later in attempts] == [0, 60, 180]
        assert (await handle.status()).type == "completed"


async def test_it_is_called_again_for_each_end_after_a_restart(manager: WorkflowManager) -> None:
    told: list[int] = []

    @manager.action(name="report")
    async def report(workflow_id: str, result: Result[int], context: None) -> None:
        assert isinstance(result, Completed)
        told.append(result.result)

    @manager.action(name="count")
    async def count() -> int:
        return len(told)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(count)

    async with manager.worker():
        handle = await manager.start(flow.with_options(id="f", on_complete=report, context=None))
        await called(handle)
        store = await manager.store()

        async def restarted() -> bool:
            try:
                await store.turns.restart("wf/f", from_seq=1)
            except Busy:
                return False
            return True

        await until(restarted)
        await handle.result()
        assert len(await called(handle, times=2)) == 2
        assert told == [0, 1]
        assert [view.seq for view in await handle.steps()] == [1, 2, 3]
        await handle.cleanup()

        async def all_gone() -> bool:
            found = {**await statuses(manager), **await statuses(manager, "retrier")}
            return len(found) == 3 and set(found.values()) == {"gone"}

        await until(all_gone)
        assert await audit(store.space) == []


async def test_a_cleanup_does_not_keep_it_from_being_called_and_takes_it_along(manager: WorkflowManager) -> None:
    told: list[str] = []

    @manager.action(name="report", retry=RetryPolicy(max_attempts=3, initial_backoff=60, jitter=False))
    async def report(workflow_id: str, result: Result[int], context: None) -> None:
        told.append(workflow_id)
        if len(told) == 1:
            raise ConnectionError

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return 1

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow.with_options(id="f", on_complete=report, context=None))
        await handle.result()
        assert await handle.cleanup()
        await tester.advance(10)
        assert await statuses(tester.manager) == {"f": "gone"}
        assert list((await statuses(tester.manager, "retrier")).values()) == ["running"]
        await tester.advance(120)
        assert told == ["f", "f"]
        assert list((await statuses(tester.manager, "retrier")).values()) == ["gone"]
        assert await audit((await tester.manager.store()).space) == []


async def test_a_child_may_have_one_too(manager: WorkflowManager) -> None:
    told: list[tuple[str, str]] = []

    @manager.action(name="report")
    async def report(workflow_id: str, result: Result[int], context: str) -> None:
        told.append((workflow_id, context))

    @manager.workflow(name="child")
    async def child(step: Step) -> int:
        return 1

    @manager.workflow(name="parent")
    async def parent(step: Step) -> int:
        return await step.run_workflow(child.with_options(id="kid", on_complete=report, context="c"))

    async with manager.worker():
        await (await manager.start(parent)).result()
        await called(manager.handle("kid"))
    assert told == [("kid", "c")]


async def test_it_waits_for_its_time_and_its_queue(manager: WorkflowManager) -> None:
    told: list[datetime] = []

    @manager.action(name="report", queue="reports")
    async def report(workflow_id: str, result: Result[int], context: None) -> None:
        told.append(tester.now)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return 1

    async with WorkflowTester(manager) as tester:
        began = tester.now
        hourly = report.with_options(run_after=timedelta(hours=1))
        handle = await tester.start(flow.with_options(on_complete=hourly, context=None))
        await handle.result()
        (view,) = [view for view in await handle.steps() if view.kind == "on_complete"]
        assert (view.name, view.state) == ("report", "queued")
        await tester.advance(timedelta(hours=2))
        assert told == [began + timedelta(hours=1)]


@pytest.mark.parametrize("seed", range(6))
def test_crashes_at_any_moment_neither_lose_nor_repeat_it(seed: int) -> None:
    manager = WorkflowManager("memory://nowhere")

    @manager.mutation(name="count")
    async def count(tx: Transaction, workflow_id: str, result: Result[int], context: int) -> None:
        tx.incrby("done", context)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        await step.sleep(1)
        return 1

    async def play(tester: WorkflowTester) -> None:
        flows = [flow.with_options(id=f"f{n}", on_complete=count, context=10**n) for n in range(4)]
        handles = [await tester.start(one) for one in flows]
        for handle in handles:
            await handle.result()
        await tester.advance(60)
        space = (await tester.manager.store()).space
        assert await space.send(space.keys.tags[0], "GET", "done") == b"1111"
        for handle in handles:
            assert await handle.cleanup()
        await tester.advance(120)
        found = {**await statuses(tester.manager), **await statuses(tester.manager, "retrier")}
        assert len(found) == 8
        assert set(found.values()) == {"gone"}
        assert await audit(space) == []

    with WorkflowTester(manager, crash_seed=seed) as tester:
        tester.play(play)
        assert tester.crashes


async def test_lists_show_workflows_alone(manager: WorkflowManager) -> None:
    @manager.action(name="report")
    async def report(workflow_id: str, result: Result[int], context: None) -> None: ...

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return 1

    async with manager.worker():
        handle = await manager.start(flow.with_options(id="f", on_complete=report, context=None))
        await called(handle)
        assert [one.id for one in (await manager.list()).items] == ["f"]


def test_what_does_not_fit_is_refused_where_it_is_said(manager: WorkflowManager) -> None:
    @manager.action(name="report")
    async def report(workflow_id: str, result: Result[int], context: int) -> None: ...

    @manager.action(name="short")
    async def short(workflow_id: str) -> None: ...

    @manager.query(name="look")
    async def look(tx: Transaction, workflow_id: str, result: Result[int], context: int) -> None: ...

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return 1

    options: Any = flow.with_options
    with pytest.raises(InvalidArguments, match="value 3"):
        options(on_complete=report, context="three")
    with pytest.raises(InvalidArguments, match="too many"):
        options(on_complete=short, context=3)
    with pytest.raises(InvalidOption, match="context=… is missing"):
        options(on_complete=report)
    with pytest.raises(InvalidOption, match="on_complete=… is missing"):
        options(context=3)
    with pytest.raises(InvalidOption, match="give a mutation or an action"):
        options(on_complete=look, context=3)
    with pytest.raises(InvalidOption, match="give a mutation or an action"):
        options(on_complete=print, context=3)
