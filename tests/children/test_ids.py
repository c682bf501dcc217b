"""Children with an id of their own: the same id is the same instance, whoever asks and wherever it lives."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from actors import (
    InvalidOption,
    NondeterminismError,
    OutcomeUnknown,
    RemoteFailure,
    Step,
    StepCanceled,
    WorkflowCanceled,
    WorkflowFailed,
    WorkflowManager,
)
from actors.starting import ChildOptions, child_address, completion_address
from actors.testing import WorkflowTester
from actors.workflow.replay import describe_difference, differs
from kernel import Command, Gone, NotFound
from tests.api.watching import Managers
from tests.children.waiting import check_invariants, statuses, until


async def test_a_child_is_started_under_the_id_that_its_parent_gives(manager: WorkflowManager) -> None:
    @manager.workflow(name="child")
    async def child(step: Step, x: int) -> str:
        return f"{step.workflow_id} {x}"

    @manager.workflow(name="parent")
    async def parent(step: Step) -> str:
        return await step.run_workflow(child.with_options(id="kid"), 3)

    async with manager.worker():
        assert await (await manager.start(parent)).result() == "kid 3"
        assert await manager.handle("kid", child).result() == "kid 3"


@pytest.mark.parametrize("detached", [False, True])
async def test_an_instance_cannot_be_its_own_child(manager: WorkflowManager, *, detached: bool) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            return await step.run_workflow(flow.with_options(id=step.workflow_id, detached=detached))
        except InvalidOption as error:
            return str(error)

    async with manager.worker():
        said = await (await manager.start(flow.with_options(id="x"))).result(timeout=5)
    assert "step.run_workflow(flow.with_options(id='x'), …) at " in said
    assert "would wait for its own end: give the child another id" in said


async def test_an_instance_that_somebody_else_started_gives_its_result_to_all_who_ask(managers: Managers) -> None:
    manager = managers(partitions=12)
    go, runs = asyncio.Event(), 0

    @manager.action(name="work")
    async def work() -> int:
        nonlocal runs
        runs += 1
        await go.wait()
        return 7

    @manager.workflow(name="child")
    async def child(step: Step) -> int:
        return await step.run_action(work)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> int:
        return await step.run_workflow(child.with_options(id="shared"))

    async with manager.worker(), manager.worker():
        await manager.start(child.with_options(id="shared"))
        parents = await manager.start_many(parent.with_options(id=f"p{n}").bind() for n in range(6))
        store = await manager.store()

        async def all_wait() -> bool:
            waiters = (await store.instances.record("wf/shared")).get("waiters", b"")
            return len(waiters.splitlines()) == 6

        await until(all_wait)
        go.set()
        assert [await handle.result() for handle in parents] == [7] * 6
        late = await manager.start(parent.with_options(id="late"))
        assert await late.result() == 7
        assert runs == 1
        await check_invariants(manager)


async def test_a_parent_that_attached_neither_cancels_nor_deletes_what_it_did_not_start(
    manager: WorkflowManager,
) -> None:
    go = asyncio.Event()

    @manager.action(name="work")
    async def work() -> int:
        await go.wait()
        return 7

    @manager.workflow(name="child")
    async def child(step: Step) -> int:
        return await step.run_action(work)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> int:
        return await step.run_workflow(child.with_options(id="shared"))

    async with manager.worker():
        shared = await manager.start(child.with_options(id="shared"))
        handle = await manager.start(parent.with_options(id="p"))
        store = await manager.store()

        async def waits() -> bool:
            return "waiters" in await store.instances.record("wf/shared")

        await until(waits)
        await handle.cancel()
        await handle.cleanup()

        async def gone() -> bool:
            return (await statuses(manager))["p"] == "gone"

        await until(gone)
        go.set()
        assert await shared.result() == 7


async def test_the_same_id_asked_for_twice_at_once_is_one_child(manager: WorkflowManager) -> None:
    runs = 0

    @manager.action(name="work")
    async def work() -> int:
        nonlocal runs
        runs += 1
        return runs

    @manager.workflow(name="child")
    async def child(step: Step) -> int:
        return await step.run_action(work)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> list[int]:
        one = child.with_options(id="one")
        return list(await asyncio.gather(step.run_workflow(one), step.run_workflow(one), step.run_workflow(one)))

    async with manager.worker():
        assert await (await manager.start(parent)).result() == [1, 1, 1]


async def test_failures_and_cancellations_of_a_child_are_told_apart_and_have_one_base(
    manager: WorkflowManager,
) -> None:
    @manager.workflow(name="failing")
    async def failing(step: Step) -> None:
        raise LookupError("no such cart")

    @manager.workflow(name="sleeping")
    async def sleeping(step: Step) -> None:
        await step.sleep(3600)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> list[str]:
        said: list[str] = []
        for one in (failing, sleeping.with_options(id="sleeper"), sleeping.with_options(timeout=0.01)):
            try:
                await step.run_workflow(one)
            except RemoteFailure as error:
                said.append(f"{type(error).__name__} {error.error_type}: {error.message}")
        return said

    async with manager.worker():
        handle = await manager.start(parent)

        async def sleeps() -> bool:
            return "sleeper" in await statuses(manager)

        await until(sleeps)
        await manager.handle("sleeper").cancel()
        failed, canceled, late = await handle.result()
        assert failed == "WorkflowFailed LookupError: no such cart"
        assert canceled.startswith("StepCanceled StepCanceled: the workflow 'sleeping' (step 2) was canceled")
        assert late.startswith("WorkflowFailed WorkflowTimedOut: ")
    assert issubclass(WorkflowFailed, RemoteFailure)
    assert issubclass(StepCanceled, RemoteFailure)


async def test_a_child_starts_when_its_options_say(manager: WorkflowManager) -> None:
    @manager.workflow(name="child")
    async def child(step: Step) -> float:
        return step.now().timestamp()

    @manager.workflow(name="parent")
    async def parent(step: Step) -> list[float]:
        began = step.now()
        times = await asyncio.gather(
            step.run_workflow(child.with_options(run_after=timedelta(hours=2))),
            step.run_workflow(child.with_options(run_at=began + timedelta(days=1), id="tomorrow")),
            step.run_workflow(child),
        )
        return [round(time - began.timestamp()) for time in times]

    async with WorkflowTester(manager) as tester:
        assert await (await tester.start(parent)).result() == [7200, 86400, 0]


async def test_a_child_keeps_the_version_and_the_retention_that_are_said(manager: WorkflowManager) -> None:
    @manager.workflow(name="child", version="2")
    async def child(step: Step) -> str:
        return "two"

    @manager.workflow(name="parent")
    async def parent(step: Step) -> list[str]:
        return [
            await step.run_workflow(child.with_options(id="short", retention=5)),
            await step.run_workflow(child.with_options(id="inherits")),
        ]

    async with manager.worker():
        assert await (await manager.start(parent.with_options(retention=77))).result() == ["two", "two"]
        store = await manager.store()
        records = [await store.instances.record(f"wf/{name}") for name in ("short", "inherits")]
        assert [record["retention"] for record in records] == [b"5000", b"77000"]
        assert [record["version"] for record in records] == [b"2", b"2"]


async def test_another_id_on_replay_stops_the_parent(manager: WorkflowManager) -> None:
    @manager.workflow(name="child")
    async def child(step: Step) -> None: ...

    def command(id_: str) -> Command:
        return Command("child", "child", "child", b"", ChildOptions(id=id_).encode())

    assert not differs(command("a"), command("a"), child)
    assert differs(command("a"), command("b"), child)
    error = describe_difference("w", 1, command("a"), command("b"), child)
    assert isinstance(error, NondeterminismError)
    assert "with the id 'a'" in str(error)
    assert "with the id 'b'" in str(error)


def test_ids_stay_within_their_limit_however_deep_children_nest() -> None:
    for first in ("order-7", "x" * 200, "é" * 100):
        address = f"wf/{first}"
        seen = set[str]()
        for seq in range(30):
            address = child_address(address, seq=str(seq), token="t.12", options=b"")
            assert len(address.removeprefix("wf/").encode()) <= 200
            assert len(completion_address(address, "123-4611686018427387904").encode()) <= 200 + len("retrier/")
            seen.add(address)
        assert len(seen) == 30
        if first == "order-7":
            assert address.startswith("wf/order-7/")


async def test_a_child_that_is_gone_has_an_unknown_outcome(manager: WorkflowManager) -> None:
    """Its result was on its way when its record, and with it the message, were lost by hand."""

    @manager.workflow(name="child")
    async def child(step: Step) -> int:
        await step.sleep(10)
        return 1

    @manager.workflow(name="parent")
    async def parent(step: Step) -> str:
        try:
            return str(await step.run_workflow(child.with_options(id="kid")))
        except OutcomeUnknown as error:
            return error.error_type

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(parent)
        await tester.advance(1)
        store = await tester.manager.store()
        space, tag = store.space, store.space.keys.tags[0]
        message = (await store.instances.record("wf/kid"))["message"]
        for part in ("", ".journal", ".open", ".events"):
            await space.send(tag, "DEL", f"{tag}:wf{part}:kid")
        await space.send(tag, "HSET", f"{tag}:wf:kid", "status", "gone", "message", message)
        await tester.advance(70)
        assert await handle.result() == "ChildGone"


async def test_a_child_whose_record_was_lost_is_asked_for_again_after_a_minute(manager: WorkflowManager) -> None:
    """As by a failover that lost acknowledged writes: the parent's slot knows of the child, the child's does not."""
    runs = 0

    @manager.action(name="work")
    async def work() -> int:
        nonlocal runs
        runs += 1
        return runs

    @manager.workflow(name="child")
    async def child(step: Step) -> int:
        await step.sleep(600)
        return await step.run_action(work)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> int:
        return await step.run_workflow(child.with_options(id="kid"))

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(parent)
        await tester.advance(30)
        store = await tester.manager.store()
        space, tag = store.space, store.space.keys.tags[0]
        for part in ("", ".journal", ".open", ".events"):
            await space.send(tag, "DEL", f"{tag}:wf{part}:kid")
        await space.send(tag, "ZREM", f"{tag}:index:child:running", "wf/kid")
        began = tester.now
        await tester.advance(31)
        assert (await statuses(tester.manager))["kid"] == "running"
        assert await handle.result() == 1
        assert tester.now - began >= timedelta(seconds=600)


async def test_a_result_that_was_lost_is_sent_again(manager: WorkflowManager) -> None:
    """The child has ended, and its message was lost with the last writes of its slot's server."""

    @manager.workflow(name="child")
    async def child(step: Step) -> int:
        await step.await_event("go")
        return 5

    @manager.workflow(name="parent")
    async def parent(step: Step) -> int:
        return await step.run_workflow(child.with_options(id="kid"))

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(parent)
        await tester.settle()
        store = await tester.manager.store()
        space, tag = store.space, store.space.keys.tags[0]
        await space.send(tag, "HDEL", f"{tag}:wf:kid", "parent")
        await tester.send_event("kid", "go")
        await tester.settle()
        assert (await handle.status()).type == "in_progress"
        await tester.advance(61)
        assert await handle.result() == 5


async def test_a_cancel_that_overtakes_the_start_of_an_id_that_is_gone_leaves_no_orphan(
    manager: WorkflowManager,
) -> None:
    store = await manager.store()

    async def begin(message: str) -> bool:
        return (await store.instances.create("wf/kid", name="child", arguments=b"", message=message)).new

    for message in ("wf/p|1|a", "wf/q|1|b"):
        with pytest.raises((NotFound, Gone)):
            await store.instances.cancel("wf/kid", payload=b"", tombstone_for=message)
    for message in ("wf/p|1|a", "wf/q|1|b"):
        with pytest.raises((NotFound, Gone)):
            await begin(message)
    assert await begin("wf/r|1|c")


async def test_a_canceled_parent_says_so(manager: WorkflowManager) -> None:
    @manager.workflow(name="child")
    async def child(step: Step) -> None:
        await step.sleep(3600)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> None:
        await step.run_workflow(child.with_options(id="kid"))

    async with manager.worker():
        handle = await manager.start(parent)

        async def sleeps() -> bool:
            return "kid" in await statuses(manager)

        await until(sleeps)
        await handle.cancel()
        with pytest.raises(WorkflowCanceled):
            await handle.result()
        with pytest.raises(WorkflowCanceled):
            await manager.handle("kid").result()
