"""Tags, lists by any filter, and the same call on all that fit."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from actors import InvalidOption, Step, WorkflowHandle, WorkflowManager
from kernel import keys
from kernel.store.audit import audit
from tests.api.watching import Managers, in_state, seen


class Flows:
    """Workflows that end in different ways."""

    def __init__(self, manager: WorkflowManager) -> None:
        self.broken = True

        @manager.workflow(name="wait", tags={"kind": "waiting"})
        async def wait(step: Step) -> None:
            await step.sleep(3600)

        @manager.workflow(name="fail")
        async def fail(step: Step) -> str:
            await step.sleep(0.001)
            if self.broken:
                raise ValueError("broken")
            return "mended"

        self.wait, self.fail = wait, fail


@pytest.fixture
def flows(manager: WorkflowManager) -> Flows:
    return Flows(manager)


async def ids(manager: WorkflowManager, **filters: Any) -> list[str]:  # noqa: ANN401 - whatever list takes
    return sorted(item.id for item in (await manager.list(**filters)).items)


async def start(manager: WorkflowManager, workflow: Any, *names: str, **options: Any) -> list[WorkflowHandle[Any]]:  # noqa: ANN401
    return [await manager.start(workflow.with_options(id=name, **options)) for name in names]


async def test_tags_of_the_definition_and_of_the_start_are_listed_and_found(
    manager: WorkflowManager, flows: Flows
) -> None:
    await start(manager, flows.wait, "plain")
    await start(manager, flows.wait, "red", tags={"colour": "red", "of": "ann"})
    await start(manager, flows.fail, "blue", tags={"colour": "blue", "of": "ann"})
    assert await ids(manager, tags={"of": "ann"}) == ["blue", "red"]
    assert await ids(manager, tags={"of": "ann", "colour": "red"}) == ["red"]
    assert await ids(manager, tags={"kind": "waiting"}) == ["plain"]
    assert await ids(manager, tags={"of": "ann"}, workflow="fail") == ["blue"]
    assert await ids(manager, tags={"of": "ann"}, workflow=flows.wait, status="in_progress") == ["red"]
    assert await ids(manager, tags={"of": "bob"}) == []
    (item,) = (await manager.list(tags={"colour": "red"})).items
    assert item.tags == {"colour": "red", "of": "ann"}
    snapshot = await anext(manager.handle("red").watch())
    assert snapshot.tags == {"colour": "red", "of": "ann"}


async def test_a_child_has_the_tags_of_its_own_definition_and_options(manager: WorkflowManager, flows: Flows) -> None:
    @manager.workflow(name="parent", tags={"of": "parent"})
    async def parent(step: Step) -> None:
        await step.run_workflow(flows.wait.with_options(tags={"of": "child"}))

    async with manager.worker():
        handle = await manager.start(parent)
        await seen(handle, in_state("wait", "waiting"))
        while not (found := await ids(manager, tags={"of": "child"})):  # noqa: ASYNC110 - another server's work; nothing announces it
            await asyncio.sleep(0.01)
        assert found[0].startswith(handle.id)


async def test_tags_stay_over_ends_and_restarts_and_go_with_the_instance(
    manager: WorkflowManager, flows: Flows
) -> None:
    async with manager.worker():
        (handle,) = await start(manager, flows.fail, "x", tags={"a": "b"})
        with pytest.raises(Exception, match="broken"):
            await handle.result()
        assert await ids(manager, tags={"a": "b"}, status="failed") == ["x"]
        flows.broken = False
        await handle.restart()
        await handle.result()
        assert await ids(manager, tags={"a": "b"}, status="completed") == ["x"]
        await handle.cleanup()
    store = await manager.store()
    assert await ids(manager, tags={"a": "b"}) == []
    assert await store.instances.count(keys.tag_index("a", "b")) == 0
    assert await audit(store.space) == []


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"a=b": "c"}, "leave '=' out"),
        ({"a": "b|c"}, "without '|'"),
        ({"a": "b\nc"}, "printable"),
        ({"": "b"}, "1 to 200 bytes"),
        ({"a": 1}, "give a text"),
        ({str(i): "x" for i in range(17)}, "at most 16"),
        ("a=b", "give a mapping"),
    ],
)
def test_wrong_tags_are_refused(flows: Flows, tags: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(InvalidOption, match=message):
        flows.wait.with_options(tags=tags)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("tagged", [False, True])
async def test_what_is_there_all_the_time_is_on_one_page_whatever_happens_meanwhile(
    managers: Managers, order: Literal["asc", "desc"], *, tagged: bool
) -> None:
    manager = managers(partitions=3)
    flows = Flows(manager)
    tags = {"a": "b"}
    stay = await start(manager, flows.wait, *(f"stay-{n}" for n in range(30)), tags=tags)
    await start(manager, flows.fail, *(f"go-{n}" for n in range(10)), tags=tags)
    for handle in stay[:5]:
        await handle.cancel()
    found: list[str] = []
    cursor: str | None = None
    for turn in range(100):
        page = await manager.list(order=order, limit=3, cursor=cursor, tags=tags if tagged else None)
        found += [item.id for item in page.items]
        await stay[turn % 30].cancel()
        if turn < 5:
            await stay[turn].restart()
        if turn < 10:
            await manager.handle(f"go-{turn}").cancel()
            await manager.handle(f"go-{turn}").cleanup()
            await start(manager, flows.wait, f"new-{turn}", tags=tags)
        if (cursor := page.cursor) is None:
            break
    names = [name for name in found if name.startswith("stay")]
    assert sorted(names) == sorted(handle.id for handle in stay)
    assert len(set(found)) == len(found)


async def test_instances_of_one_millisecond_are_paged_by_their_address(manager: WorkflowManager, flows: Flows) -> None:
    store = await manager.store()
    store.space.now_ms = lambda: 1_000_000  # type: ignore[method-assign]
    for number in range(25):
        name = "wait" if number % 2 else "fail"
        await store.space.actor_call(
            "create", f"wf/i-{number}", 1_000_000, f"wf/i-{number}", number, name, b"", "", 0, 0, "", 0
        )
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await manager.list(limit=2, cursor=cursor)
        found += [item.id for item in page.items]
        if (cursor := page.cursor) is None:
            break
    assert found == sorted((f"i-{number}" for number in range(25)), reverse=True)


async def test_cancel_many_cancels_what_fits_and_counts_it(manager: WorkflowManager, flows: Flows) -> None:
    await start(manager, flows.wait, *(f"a{n}" for n in range(130)), tags={"of": "ann"})
    await start(manager, flows.wait, "b", tags={"of": "bob"})
    await start(manager, flows.wait, "late", tags={"of": "ann"}, run_after=timedelta(hours=1))
    assert await manager.cancel_many(workflow="wait", tags={"of": "ann"}, status="in_progress") == 130
    assert await ids(manager, status="in_progress") == ["b"]
    assert await manager.cancel_many(tags={"of": "ann"}) == 1
    assert await manager.cancel_many(started_before=datetime.now(UTC) - timedelta(hours=1)) == 0
    assert await manager.cancel_many() == 1
    assert await manager.cancel_many() == 0


async def test_restart_many_takes_those_without_success_unless_a_status_is_given(
    manager: WorkflowManager, flows: Flows
) -> None:
    async with manager.worker():
        handles = await start(manager, flows.fail, "a", "b", "c")
        for handle in handles:
            with pytest.raises(Exception, match="broken"):
                await handle.result()
        flows.broken = False
        (fine,) = await start(manager, flows.fail, "fine")
        await fine.result()
        assert await manager.restart_many(workflow=flows.fail) == 3
        assert [await handle.result() for handle in handles] == ["mended"] * 3
        assert await manager.restart_many(workflow=flows.fail) == 0
        assert await manager.restart_many(workflow=flows.fail, status="completed") == 4
        assert [await handle.result() for handle in [*handles, fine]] == ["mended"] * 4


async def test_cleanup_many_deletes_what_has_ended_and_fits(manager: WorkflowManager, flows: Flows) -> None:
    await start(manager, flows.wait, "a", "b", tags={"of": "ann"})
    await start(manager, flows.wait, "c")
    await manager.cancel_many(tags={"of": "ann"})
    assert await manager.cleanup_many() == 2
    assert await ids(manager) == ["c"]


@pytest.mark.parametrize("call", ["list", "cancel_many", "restart_many", "cleanup_many"])
async def test_a_misspelt_filter_is_refused_with_the_nearest_one_and_nothing_is_done(
    manager: WorkflowManager, flows: Flows, call: str
) -> None:
    await start(manager, flows.wait, "ended", "live", tags={"of": "ann"})
    await manager.handle("ended").cancel()
    with pytest.raises(InvalidOption, match=r"'tag' is no filter of workflows \(did you mean 'tags'\?\); .* workflow$"):
        await getattr(manager, call)(tag={"of": "bob"})
    with pytest.raises(InvalidOption, match="'bogus' is no filter of workflows; the filters are"):
        await getattr(manager, call)(bogus=None)
    assert await ids(manager, status="in_progress") == ["live"]
    assert await ids(manager, status="canceled") == ["ended"]


@pytest.mark.parametrize("call", ["restart_many", "cleanup_many"])
async def test_a_status_that_the_call_cannot_be_about_is_refused(manager: WorkflowManager, call: str) -> None:
    with pytest.raises(InvalidOption, match="give one of completed, failed, canceled"):
        await getattr(manager, call)(status="in_progress")
    with pytest.raises(InvalidOption, match="give one of in_progress, scheduled, stopped"):
        await manager.cancel_many(status="failed")
    with pytest.raises(InvalidOption, match="give a workflow, its registered name"):
        await manager.list(workflow=len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidOption, match="give a mapping of texts"):
        await manager.list(tags={"a": 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]


async def test_retention_is_that_of_the_start_of_the_definition_or_of_the_manager(managers: Managers) -> None:
    manager = managers(retention=100)

    @manager.workflow(name="short", retention=5)
    async def short(step: Step) -> None: ...

    @manager.workflow(name="usual")
    async def usual(step: Step) -> None: ...

    @manager.workflow(name="parent")
    async def parent(step: Step) -> None:
        await step.run_workflow(short)
        await step.run_workflow(usual)
        await step.run_workflow(usual.with_options(retention=7))

    async with manager.worker():
        for flow in (short, short.with_options(retention=timedelta(seconds=6)), usual, parent):
            await (await manager.start(flow)).result()
        store = await manager.store()
        items = (await manager.list(order="asc")).items
        kept = [(await store.instances.record(f"wf/{item.id}"))["retention"] for item in items]
    assert [int(ms) for ms in kept] == [5000, 6000, 100_000, 100_000, 5000, 100_000, 7000]


async def test_the_pruner_deletes_what_is_past_its_retention_and_nothing_else(manager: WorkflowManager) -> None:
    @manager.workflow(name="short", retention=0)
    async def short(step: Step) -> None: ...

    @manager.workflow(name="long", retention=3600)
    async def long(step: Step) -> None: ...

    async with manager.worker():
        for flow in (short, long):
            await (await manager.start(flow)).result()
    async with manager.worker():  # a pruner begins with looking
        while len(found := (await manager.list()).items) > 1:  # noqa: ASYNC110 - another server's work; nothing announces it
            await asyncio.sleep(0.01)
    assert [item.workflow for item in found] == ["long"]
