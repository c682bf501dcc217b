"""A workflow's priority is that of its steps and its children, as far as they state none of their own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import InvalidOption, Step, WorkflowManager
from actors.definitions import Workflow
from tests.api.watching import Managers, in_state, seen


async def priorities(manager: WorkflowManager, workflow_id: str) -> list[int]:
    """Return those of an instance's steps, as its journal has them."""
    turns, address = (await manager.store()).turns, f"wf/{workflow_id}"
    found = await turns.fetch(address, generation="", fed="0-0")
    commands = (await turns.history(address, found.record)).commands
    return [command.scheduling.priority for command in commands if command.kind == "step"]


def twice(manager: WorkflowManager, **options: Any) -> Workflow[[], None]:  # noqa: ANN401 - of a definition
    """Register a workflow that runs a step, waits for an event and runs it again."""

    @manager.action(name="act")
    async def act() -> None: ...

    @manager.workflow(name="twice", **options)
    async def flow(step: Step) -> None:
        await step.run_action(act)
        await step.await_event("go")
        await step.run_action(act)

    return flow


async def test_with_one_slot_the_steps_of_the_more_urgent_instance_are_begun_first(manager: WorkflowManager) -> None:
    order: list[str] = []
    entered, leave = asyncio.Event(), asyncio.Event()

    @manager.action(name="block")
    async def block() -> None:
        entered.set()
        await leave.wait()

    @manager.action(name="print")
    async def print_it(name: str) -> None:
        order.append(name)

    @manager.workflow(name="full")
    async def full(step: Step) -> None:
        await step.run_action(block)

    @manager.workflow(name="flow", priority=2)
    async def flow(step: Step, name: str) -> None:
        await asyncio.gather(*(step.run_action(print_it, name) for _ in range(2)))

    async with manager.worker(concurrency=1):
        await manager.start(full)
        await entered.wait()
        handles = [
            await manager.start(flow.with_options(priority=0), "idle"),
            await manager.start(flow, "usual"),
            await manager.start(flow.with_options(priority=9), "urgent"),
        ]
        for handle in handles:
            await seen(handle, lambda snapshot: [step.state for step in snapshot.steps] == ["queued"] * 2)
        leave.set()
        await asyncio.gather(*(handle.result(timeout=5) for handle in handles))
    assert order == ["urgent", "urgent", "usual", "usual", "idle", "idle"]


async def test_what_a_step_states_itself_wins(manager: WorkflowManager) -> None:
    @manager.action(name="act")
    async def act() -> None: ...

    @manager.action(name="low", priority=0)
    async def low() -> None: ...

    async def steps(step: Step) -> None:
        await step.run_action(act)
        await act()
        await step.run_action(act.with_options(priority=7))
        await step.with_options(priority=6).run_action(act)
        await step.run_action(low)

    @manager.workflow(name="plain", priority=1)
    async def plain(step: Step) -> None:
        await steps(step)

    @manager.workflow(name="defaults", priority=1, step_defaults={"priority": 3})
    async def defaults(step: Step) -> None:
        await steps(step)

    async with manager.worker():
        await (await manager.start(plain.with_options(id="p", priority=4))).result(timeout=5)
        await (await manager.start(defaults.with_options(id="d", priority=4))).result(timeout=5)
    assert await priorities(manager, "p") == [4, 4, 7, 6, 0]
    assert await priorities(manager, "d") == [3, 3, 7, 6, 0]


async def test_children_inherit_it_unless_they_state_their_own(manager: WorkflowManager) -> None:
    @manager.action(name="act")
    async def act() -> None: ...

    @manager.workflow(name="leaf")
    async def leaf(step: Step) -> None:
        await step.run_action(act)

    @manager.workflow(name="stating", priority=2)
    async def stating(step: Step) -> None:
        await step.run_action(act)

    @manager.workflow(name="branch")
    async def branch(step: Step) -> None:
        await step.run_workflow(leaf.with_options(id="grandchild"))

    @manager.workflow(name="root")
    async def root(step: Step) -> None:
        await step.run_workflow(branch)
        await step.run_workflow(stating.with_options(id="stating"))
        await step.run_workflow(leaf.with_options(id="zero", priority=0))

    async with manager.worker():
        await (await manager.start(root.with_options(priority=5))).result(timeout=5)
    found = {name: await priorities(manager, name) for name in ("grandchild", "stating", "zero")}
    assert found == {"grandchild": [5], "stating": [2], "zero": [0]}


async def test_it_stays_what_it_was_at_the_start_whatever_the_code_says_later(managers: Managers) -> None:
    old, new = managers(), managers()
    flow, changed = twice(old, priority=4), twice(new, priority=8)
    async with old.worker():
        handle = await old.start(flow.with_options(id="x"))
        await seen(handle, in_state("go", "waiting"))
    async with new.worker(cache_instances=0):
        await new.send_event("x", "go", None)
        await new.result("x", timeout=5)
        assert await priorities(new, "x") == [4, 4]
        await new.restart("x", from_step=1)
        await new.send_event("x", "go", None, id="again")
        await new.result("x", timeout=5)
        assert await priorities(new, "x") == [4, 4]
        later = await new.start(changed.with_options(id="y"))
        await later.send_event("go", None)
        await later.result(timeout=5)
    assert await priorities(new, "y") == [8, 8]


async def test_continue_as_new_keeps_it(manager: WorkflowManager) -> None:
    @manager.action(name="act")
    async def act() -> None: ...

    @manager.workflow(name="flow")
    async def flow(step: Step, rounds: int) -> None:
        await step.run_action(act)
        if rounds:
            flow.continue_as_new(rounds - 1)

    async with manager.worker():
        await (await manager.start(flow.with_options(id="x", priority=3), 2)).result(timeout=5)
    assert await priorities(manager, "x") == [3]


@pytest.mark.parametrize("priority", [-1, 10, True, "high", None])
def test_what_is_no_priority_is_refused(manager: WorkflowManager, priority: Any) -> None:  # noqa: ANN401 - anything
    with pytest.raises(InvalidOption, match="give a whole number from 0 to 9"):
        manager.workflow(name="flow", priority=priority)(_never)


async def _never(step: Step) -> None: ...
