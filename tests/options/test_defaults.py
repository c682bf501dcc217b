"""Defaults of steps: who wins over whom, of the manager, the workflow, the definition, the step object and the call."""

from __future__ import annotations

from typing import Any

import pytest

from actors import InvalidOption, RetryPolicy, Step, StepFailed, Transaction, WorkflowManager
from actors.codecs import Compression
from tests.api.watching import Managers


def attempts(count: int) -> RetryPolicy:
    return RetryPolicy(count, initial_backoff=0)


@pytest.mark.parametrize("said", range(5), ids=["manager", "workflow", "definition", "step.with_options", "call"])
async def test_the_nearer_to_the_call_wins(managers: Managers, said: int) -> None:
    """They say how many attempts: the manager 2, the workflow 3, and so on; the last one to speak wins."""
    manager = managers(default_retry=attempts(2), retry_actions_by_default=True)

    async def fail() -> None:
        raise ValueError

    decorate = manager.action(name="fail", retry=attempts(4)) if said >= 2 else manager.action(name="fail")
    failing = decorate(fail)
    at_call = failing.with_options(retry=attempts(6)) if said >= 4 else failing

    @manager.workflow(name="flow", step_defaults={"retry": attempts(3)} if said >= 1 else None)
    async def flow(step: Step) -> int:
        through = step.with_options(retry=attempts(5)) if said >= 3 else step
        try:
            await through.run_action(at_call)
        except StepFailed as failed:
            return failed.attempts
        return 0

    async with manager.worker(cache_instances=0):
        assert await (await manager.start(flow)).result() == said + 2


async def test_a_workflow_s_defaults_hold_for_all_that_it_runs_but_its_children(manager: WorkflowManager) -> None:
    @manager.query(name="look")
    async def look(tx: Transaction) -> bool:
        return True

    @manager.mutation(name="write", priority=5)
    async def write(tx: Transaction) -> None: ...

    @manager.action(name="act")
    async def act() -> None: ...

    @manager.workflow(name="child")
    async def child(step: Step) -> None:
        await step.run_action(act)

    @manager.workflow(
        name="flow", step_defaults={"queue": "gpu", "priority": 3, "inline": True, "timeout": 7, "retry": True}
    )
    async def flow(step: Step) -> None:
        await step.run_query(look)
        await step.wait_for(look.bind(), interval=1)
        await step.run_mutation(write)
        await act()
        await step.with_options(queue="cpu").run_action(act)
        await child(step)
        async with step.saga() as saga:
            saga.undo(act.with_options(name="undone"))
        await step.run_workflow(child)

    async with manager.worker(queues=["default", "gpu", "cpu"]):
        handle = await manager.start(flow.with_options(id="f"))
        await handle.result()
    record = await (await manager.store()).turns.fetch("wf/f", generation="", fed="0-0")
    commands = (await (await manager.store()).turns.history("wf/f", record.record)).commands
    steps = [command for command in commands if command.kind == "step"]

    assert [(one.target, one.queue) for one in steps] == [
        ("look", "gpu"),
        ("look", "gpu"),
        ("write", "gpu"),
        ("act", "gpu"),
        ("act", "cpu"),
        ("act", "gpu"),
    ]
    assert [one.scheduling.priority for one in steps] == [3, 3, 5, 3, 3, 3]
    assert [one.scheduling.inline for one in steps] == [True, True, True, False, False, False]
    assert {one.timeout_ms for one in steps} == {7000}
    assert not any(one.at_most_once for one in steps)
    (started,) = (command for command in commands if command.kind == "child")
    (view,) = await manager.steps((await manager.list(workflow=child)).items[0].id)
    assert started.target == "child"
    assert view.name == "act"


@pytest.mark.parametrize(
    ("defaults", "word"),
    [
        (5, "give a mapping"),
        ({"retries": 3}, "'retries' is no option of a step"),
        ({"name": "x"}, "'name' is no option of a step"),
        ({"run_after": 3}, "'run_after' is no option of a step"),
        ({"queue": "a b"}, "queue='a b'"),
        ({"pool": "a b"}, "pool='a b'"),
        ({"pool": "p", "inline": True}, "exclude each other"),
    ],
)
def test_wrong_defaults_of_a_workflow_are_refused_where_it_is_defined(
    manager: WorkflowManager,
    defaults: Any,  # noqa: ANN401 - anything wrong
    word: str,
) -> None:
    with pytest.raises(InvalidOption, match=word):

        @manager.workflow(name="flow", step_defaults=defaults)
        async def flow(step: Step) -> None: ...


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"max_parallelism": -1}, "whole number"),
        ({"durability": "none"}, 'give "local"'),
        ({"default_retry": 3}, "give a RetryPolicy"),
        ({"codec": Compression}, "that is the class; give an object of it"),
        ({"retry_actions_by_default": 1}, "True or False"),
        ({"retention": "a week"}, "retention"),
        ({"worker_timeout": -1}, "worker_timeout"),
        ({"worker_timeout": 0}, "worker_timeout"),
        ({"value_bytes_max": 0}, "value_bytes_max"),
        ({"journal_bytes_max": 1.5}, "journal_bytes_max"),
        ({"codec": object()}, "codec"),
    ],
)
def test_what_a_manager_cannot_do_is_refused_with_what_to_do(options: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidOption, match=word):
        WorkflowManager("memory://x", **options)


def test_what_a_manager_does_anyway_may_be_said() -> None:
    manager = WorkflowManager("memory://x", max_parallelism=None, durability="local", retention=0, worker_timeout=0.5)

    assert (manager.retention_ms, manager.worker_timeout_s) == (0, 0.5)
