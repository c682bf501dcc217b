"""Parents and children: what goes down with whom, what is left to itself, and what a restart does."""

from __future__ import annotations

import asyncio

import pytest

from actors import Step, Transaction, WorkflowCanceled, WorkflowFailed, WorkflowManager
from actors.testing import WorkflowTester
from kernel import Busy
from kernel.store import Store
from kernel.store.audit import audit
from tests.api.watching import Managers
from tests.children.waiting import check_invariants, statuses, until


async def restart(store: Store, address: str, from_seq: int) -> None:
    """Restart an ended instance as soon as its messages have left."""
    while True:
        try:
            await store.turns.restart(address, from_seq=from_seq)
        except Busy:
            await asyncio.sleep(0.005)
        else:
            return


async def test_a_cancellation_reaches_children_of_children(managers: Managers) -> None:
    manager = managers(partitions=12)

    @manager.workflow(name="leaf")
    async def leaf(step: Step) -> None:
        await step.sleep(3600)

    @manager.workflow(name="middle")
    async def middle(step: Step) -> None:
        await asyncio.gather(*(step.run_workflow(leaf.with_options(id=f"leaf{n}")) for n in range(3)))

    @manager.workflow(name="root")
    async def root(step: Step) -> None:
        await step.run_workflow(middle.with_options(id="middle"))

    async with manager.worker():
        handle = await manager.start(root.with_options(id="root"))

        async def all_there() -> bool:
            return len(await statuses(manager)) == 5

        await until(all_there)
        await handle.cancel()

        async def all_canceled() -> bool:
            return set((await statuses(manager)).values()) == {"canceled"}

        await until(all_canceled)
        await check_invariants(manager)


@pytest.mark.parametrize("how", ["returns", "raises", "is canceled", "takes it back"])
async def test_a_child_that_is_still_running_ends_when_its_parent(how: str, manager: WorkflowManager) -> None:
    @manager.workflow(name="child")
    async def child(step: Step) -> None:
        await step.sleep(3600)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> None:
        future = step.run_workflow(child.with_options(id="kid"))
        await step.await_event("it runs")
        if how == "raises":
            raise ValueError
        if how == "takes it back":
            future.cancel()
        if how != "returns":
            await step.sleep(3600)

    async with manager.worker():
        handle = await manager.start(parent)

        async def started() -> bool:
            return (await statuses(manager)).get("kid") == "running"

        await until(started)
        if how == "is canceled":
            await handle.cancel()
        else:
            await handle.send_event("it runs")
        with pytest.raises(WorkflowCanceled):
            await manager.handle("kid").result()


@pytest.mark.parametrize("how", ["returns at once", "returns", "is canceled", "is cleaned up"])
async def test_a_detached_child_lives_on_when_its_parent(how: str, manager: WorkflowManager) -> None:
    go = asyncio.Event()

    @manager.action(name="work")
    async def work() -> int:
        await go.wait()
        return 7

    @manager.workflow(name="child")
    async def child(step: Step, text: str) -> tuple[str, int]:
        return text, await step.run_action(work)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> None:
        _ = step.run_workflow(child.with_options(id="kid", detached=True), "x" * 1000)
        if how != "returns at once":
            await step.sleep(3600 if how == "is canceled" else 0.01)

    async with manager.worker():
        handle = await manager.start(parent.with_options(id="p"))
        if how == "is canceled":

            async def started() -> bool:
                return "kid" in await statuses(manager)

            await until(started)
            await handle.cancel()
        else:
            await handle.result()
        assert "detached" in {view.state for view in await handle.steps()}
        if how == "is cleaned up":
            await handle.cleanup()

            async def parent_gone() -> bool:
                return (await statuses(manager))["p"] == "gone"

            await until(parent_gone)

        async def there() -> bool:
            return "kid" in await statuses(manager)

        await until(there)
        go.set()
        assert await manager.handle("kid", child).result() == ("x" * 1000, 7)
        await check_invariants(manager)


async def test_a_detached_child_that_was_taken_back_in_the_turn_that_asked_for_it_never_starts(
    manager: WorkflowManager,
) -> None:
    @manager.workflow(name="child")
    async def child(step: Step) -> None: ...

    @manager.workflow(name="parent")
    async def parent(step: Step) -> None:
        step.run_workflow(child.with_options(id="kid", detached=True)).cancel()

    async with manager.worker():
        await (await manager.start(parent.with_options(id="p"))).result()
        assert await statuses(manager) == {"p": "completed"}


async def test_the_result_of_a_detached_child_can_be_awaited(manager: WorkflowManager) -> None:
    @manager.workflow(name="child")
    async def child(step: Step) -> int:
        return 3

    @manager.workflow(name="parent")
    async def parent(step: Step) -> int:
        return await step.run_workflow(child.with_options(detached=True))

    async with manager.worker():
        assert await (await manager.start(parent)).result() == 3


async def test_a_cleanup_goes_down_the_whole_tree(managers: Managers) -> None:
    manager = managers(partitions=12)

    @manager.workflow(name="tree")
    async def tree(step: Step, depth: int) -> int:
        if not depth:
            return 1
        chosen = tree.with_options(id=f"at-{depth}")
        parts = await asyncio.gather(step.run_workflow(chosen, depth - 1), step.run_workflow(tree, 0))
        return sum(parts)

    async with manager.worker():
        handle = await manager.start(tree.with_options(id="root"), 4)
        assert await handle.result() == 5
        assert len(await statuses(manager)) == 9
        await handle.cleanup()

        async def all_gone() -> bool:
            return set((await statuses(manager)).values()) == {"gone"}

        await until(all_gone)
        assert await audit((await manager.store()).space) == []


async def test_a_restarted_parent_starts_the_children_of_the_redone_part_again_and_cleans_up_all(
    managers: Managers,
) -> None:
    manager = managers(partitions=12)
    runs: list[str] = []

    @manager.action(name="work")
    async def work(name: str) -> int:
        runs.append(name)
        return len(runs)

    @manager.workflow(name="child")
    async def child(step: Step, name: str) -> int:
        return await step.run_action(work, name)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> list[int]:
        first = await step.run_workflow(child, "kept")
        second = await step.run_workflow(child.with_options(id="chosen"), "chosen")
        third = await step.run_workflow(child, "last")
        return [first, second, third]

    async with manager.worker():
        handle = await manager.start(parent.with_options(id="p"))
        assert await handle.result() == [1, 2, 3]
        store = await manager.store()
        for round_ in (1, 2):
            await restart(store, "wf/p", 2)
            assert await handle.result() == [1, 2 + 2 * round_, 3 + 2 * round_]
        assert runs == ["kept", *["chosen", "last"] * 3]
        await restart(store, "wf/p", 1)
        assert await handle.result() == [8, 9, 10]
        await handle.cleanup()

        async def all_gone() -> bool:
            return set((await statuses(manager)).values()) == {"gone"}

        await until(all_gone)
        assert await audit(store.space) == []


async def test_a_parent_restarted_while_its_kept_child_had_no_outcome_gets_another_child(
    managers: Managers,
) -> None:
    manager = managers(partitions=12)
    runs = 0

    @manager.action(name="work")
    async def work() -> int:
        nonlocal runs
        runs += 1
        if runs == 1:
            await asyncio.Event().wait()
        return runs

    @manager.workflow(name="child")
    async def child(step: Step) -> int:
        return await step.run_action(work)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> int:
        future = step.run_workflow(child)
        await step.sleep(0.05)
        return await future

    async with manager.worker():
        handle = await manager.start(parent.with_options(id="p"))

        async def began() -> bool:
            return runs == 1

        await until(began)
        await handle.cancel()
        store = await manager.store()
        await restart(store, "wf/p", 2)
        assert await handle.result() == 2
        await handle.cleanup()

        async def all_gone() -> bool:
            return set((await statuses(manager)).values()) == {"gone"}

        await until(all_gone)


async def test_results_that_arrive_after_the_parent_s_end_or_restart_change_nothing(
    manager: WorkflowManager,
) -> None:
    @manager.workflow(name="child")
    async def child(step: Step, seconds: float) -> float:
        await step.sleep(seconds)
        return seconds

    @manager.workflow(name="parent")
    async def parent(step: Step) -> float:
        _ = step.run_workflow(child.with_options(detached=True, id="slow"), 60)
        quick = await step.run_workflow(child.with_options(id="quick"), 1)
        await step.sleep(5)
        return quick

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(parent)
        assert await handle.result() == 1
        store = await tester.manager.store()
        before = await store.instances.read(f"wf/{handle.id}", "journal")
        await tester.advance(70)
        assert await tester.handle("slow", child).result() == 60
        assert await store.instances.read(f"wf/{handle.id}", "journal") == before
        await restart(store, f"wf/{handle.id}", 3)
        assert await handle.result() == 1
        await tester.advance(70)
        assert await audit(store.space) == []


@pytest.mark.server
async def test_five_hundred_children_at_once(managers: Managers, server_url: str) -> None:
    manager = managers(server_url, partitions=12)

    @manager.workflow(name="child")
    async def child(step: Step, x: int) -> int:
        return x

    @manager.workflow(name="parent")
    async def parent(step: Step) -> int:
        named = (step.run_workflow(child.with_options(id=f"kid-{x}"), x) for x in range(0, 500, 2))
        plain = (step.run_workflow(child, x) for x in range(1, 500, 2))
        return sum(await asyncio.gather(*named, *plain))

    async with manager.worker(), manager.worker():
        handle = await manager.start(parent)
        assert await handle.result() == sum(range(500))
        await handle.cleanup()

        async def all_gone() -> bool:
            return set((await statuses(manager)).values()) == {"gone"}

        await until(all_gone)


async def test_children_nest_deeply(managers: Managers) -> None:
    manager = managers(partitions=3)

    @manager.workflow(name="nest")
    async def nest(step: Step, depth: int) -> int:
        return 1 + await step.run_workflow(nest, depth - 1) if depth else 0

    async with manager.worker():
        handle = await manager.start(nest, 40)
        assert await handle.result() == 40
        assert max(len(name.encode()) for name in await statuses(manager)) <= 200


@pytest.mark.parametrize("seed", range(12))
def test_crashes_at_any_moment_lose_no_child_and_run_none_twice(seed: int) -> None:
    manager = WorkflowManager("memory://nowhere")

    @manager.query(name="ready", retry=True)
    async def ready(tx: Transaction) -> bool:
        return True

    @manager.mutation(name="count")
    async def count(tx: Transaction, who: str) -> None:
        tx.incr(f"runs:{who}")

    @manager.workflow(name="leaf")
    async def leaf(step: Step, x: int) -> int:
        await step.sleep(x)
        await step.run_mutation(count, step.workflow_id)
        return x

    @manager.workflow(name="branch")
    async def branch(step: Step, x: int) -> int:
        await step.wait_for(ready.bind(), interval=1)
        return sum(await asyncio.gather(*(step.run_workflow(leaf, x + n) for n in range(3))))

    @manager.workflow(name="root")
    async def root(step: Step) -> int:
        _ = step.run_workflow(leaf.with_options(id="free", detached=True), 500)
        named = step.run_workflow(branch.with_options(id="chosen"), 10)
        again = step.run_workflow(branch.with_options(id="chosen"), 10)
        loser = step.run_workflow(leaf.with_options(id="loser"), 1000)
        total = await named + await again + await step.run_workflow(branch, 1)
        loser.cancel()
        return total

    async def play(tester: WorkflowTester) -> None:
        handle = await tester.start(root.with_options(id="r"))
        assert await handle.result() == 2 * 33 + 6
        assert await tester.handle("free", leaf).result() == 500
        await tester.advance(120)
        found = await statuses(tester.manager)
        assert found["loser"] in {"canceled", "gone"}
        assert len(found) == 11
        space = (await tester.manager.store()).space
        leaves = (
            set(found) - {"r", "chosen", "loser"} - {name for name in found if name.count("/") == 1 and "r/" in name}
        )
        for name in leaves:
            assert await space.send(space.keys.tags[0], "GET", f"runs:{name}") == b"1", name
        await handle.cleanup()
        await tester.advance(120)
        left = {name for name, status in (await statuses(tester.manager)).items() if status != "gone"}
        assert left == {"free"}
        assert await audit((await tester.manager.store()).space) == []

    with WorkflowTester(manager, crash_seed=seed) as tester:
        tester.play(play)
        assert tester.crashes


async def test_a_failed_child_fails_its_parent_with_the_original_error(manager: WorkflowManager) -> None:
    @manager.workflow(name="child")
    async def child(step: Step) -> None:
        raise LookupError("no such cart")

    @manager.workflow(name="parent")
    async def parent(step: Step) -> None:
        await step.run_workflow(child)

    async with manager.worker():
        with pytest.raises(WorkflowFailed) as caught:
            await (await manager.start(parent)).result()
    assert (caught.value.error_type, caught.value.message) == ("LookupError", "no such cart")
    assert "await step.run_workflow(child)" in caught.value.traceback
    assert 'raise LookupError("no such cart")' in caught.value.traceback
