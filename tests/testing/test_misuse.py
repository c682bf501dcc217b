"""What can be got wrong with a tester, or a simulation, and what is said about it: nothing hangs, nothing warns."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest

from actors import InvalidOption, Misuse, Step, WorkflowManager
from actors.testing import WorkflowTester
from actors.testing.simulation import Simulation

if TYPE_CHECKING:
    from actors.definitions import Workflow

TESTERS = [WorkflowTester, Simulation]


@pytest.fixture
def flow(manager: WorkflowManager) -> Workflow[[int], int]:
    @manager.workflow(name="flow")
    async def flow(step: Step, number: int) -> int:
        await step.sleep(100)
        return number

    return flow


@pytest.mark.parametrize("kind", TESTERS)
async def test_after_its_block_a_tester_is_used_up(
    manager: WorkflowManager, flow: Workflow[[int], int], kind: type[WorkflowTester]
) -> None:
    async with kind(manager) as tester:
        handle = await tester.start(flow, 1)
        assert await handle.result() == 1

    for late in (
        lambda: tester.start(flow, 2),
        handle.result,
        handle.ended,
        lambda: tester.send_event(handle, "go"),
        lambda: tester.history(handle),
        lambda: tester.advance(5),
        tester.settle,
        tester.__aenter__,
    ):
        with pytest.raises(Misuse, match=f"this {kind.__name__} has been used: make another one"):
            await late()


async def test_before_its_block_a_tester_runs_nothing(manager: WorkflowManager, flow: Workflow[[int], int]) -> None:
    with pytest.raises(Misuse, match=r"use it within `async with WorkflowTester\(manager\) as tester`"):
        await WorkflowTester(manager).start(flow, 1)
    with pytest.raises(Misuse, match=r"within `async with Simulation\(manager\)"):
        await Simulation(manager).finish()


@pytest.mark.parametrize("kind", TESTERS)
def test_run_is_for_once(manager: WorkflowManager, flow: Workflow[[int], int], kind: type[WorkflowTester]) -> None:
    tester = kind(manager)
    assert tester.run(flow, 1) == 1

    with pytest.raises(Misuse, match=f"this {kind.__name__} has been used: make another one"):
        tester.run(flow, 2)


@pytest.mark.parametrize("kind", TESTERS)
async def test_in_a_coroutine_run_shows_what_to_write_instead(
    manager: WorkflowManager, flow: Workflow[[int], int], kind: type[WorkflowTester]
) -> None:
    shown = rf"write: async with {kind.__name__}\(manager\) as tester: handle = await tester.start\(flow, …\); result"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Misuse, match=shown):
            kind(manager).run(flow, 1)
        with pytest.raises(Misuse, match=shown), kind(manager):
            pass
        async with kind(manager) as tester:
            with pytest.raises(Misuse, match=shown):
                tester.run(flow, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"crash_seed": "x"}, "crash_seed='x': give a whole number, or None"),
        ({"seed": None}, "seed=None: give a whole number"),
        ({"seed": True}, "seed=True: give a whole number"),
        ({"strict": 5}, "strict=5: give True or False"),
        ({"replay": "never"}, 'give "cached" or "always"'),
        ({"now": "2026"}, "now='2026': give an aware datetime"),
        ({"queues": "gpu"}, "queues='gpu': give a sequence of names"),
        ({"queues": 5}, "queues=5: give a sequence of names"),
        ({"concurrency": "x"}, "concurrency='x': give a whole number from 1"),
    ],
)
def test_a_wrong_option_of_a_tester_is_named(manager: WorkflowManager, options: dict[str, Any], said: str) -> None:
    with pytest.raises((Misuse, InvalidOption)) as raised:
        WorkflowTester(manager, **options)

    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": "x"}, "seed='x': give a whole number"),
        ({"workers": "x"}, "workers='x': give a whole number"),
        ({"workers": 0}, "workers=0: give 1 or more"),
        ({"trace": 1}, "trace=1: give True or False"),
        ({"schedule": 5}, "schedule=5: give a Schedule"),
        ({"faults": 5}, "faults=5: give Faults"),
        ({"old": 5}, "give the WorkflowManager"),
        ({"crash_seed": 5}, "'crash_seed' is no option of Simulation; further ones are concurrency, queues, replay"),
    ],
)
def test_a_wrong_option_of_a_simulation_is_named(manager: WorkflowManager, options: dict[str, Any], said: str) -> None:
    with pytest.raises((Misuse, InvalidOption)) as raised:
        Simulation(manager, **options)

    assert said in str(raised.value)


@pytest.mark.parametrize("kind", TESTERS)
def test_what_is_no_manager_is_named(kind: Any) -> None:  # noqa: ANN401 - given what it does not take
    with pytest.raises(Misuse, match=rf"{kind.__name__}\(None\): give the WorkflowManager"):
        kind(None)


async def test_what_is_no_instance_is_named(manager: WorkflowManager) -> None:
    nothing: Any = None
    async with WorkflowTester(manager) as tester:
        for work in (tester.send_event(nothing, "go"), tester.history(nothing)):
            with pytest.raises(Misuse, match="None is no instance: give a handle"):
                await work
        with pytest.raises(InvalidOption, match="None cannot be a workflow's id"):
            tester.manager.handle(nothing)
