"""What ends a worker's process, and what does not."""

from __future__ import annotations

import asyncio
import sys
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from actors import Step, StepFailed, WorkflowManager
from actors.cli.exiting import run_to_the_end
from kernel.memory import drop_memory_server

RESULT_S_MAX = 5.0


async def _leave() -> None:
    sys.exit(3)


async def _exits_by(how: str) -> None:
    match how:
        case "a task":
            await asyncio.create_task(_leave())
        case "a group":
            async with asyncio.TaskGroup() as group:
                group.create_task(_leave())
                group.create_task(asyncio.sleep(60))
        case "a task left behind":
            asyncio.create_task(_leave()).add_done_callback(lambda task: task.exception())
            await asyncio.sleep(0.01)
        case _:
            asyncio.get_running_loop().call_soon(sys.exit, 3)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("how", "result"),
    [("a task", "SystemExit"), ("a group", "SystemExit"), ("a task left behind", "done"), ("a callback", "done")],
)
def test_an_exit_beside_a_step_does_not_end_its_worker(how: str, result: str) -> None:
    url = f"memory://{uuid4().hex}"
    manager = WorkflowManager(url)

    @manager.action(name="act")
    async def act() -> str:
        await _exits_by(how)
        return "done"

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            return await step.run_action(act)
        except StepFailed as error:
            return error.error_type

    said: list[str] = []

    async def work() -> int:
        async with manager.worker():
            said.append(await (await manager.start(flow)).result(timeout=RESULT_S_MAX))
        await manager.close()
        return 0

    with capture_logs() as lines:
        assert run_to_the_end(work()) == 0
    drop_memory_server(url)
    assert said == [result]
    told = [(line["code"], __file__ in line["at"]) for line in lines if "sys.exit()" in line["event"]]
    assert told == [(3, "task" in how or how == "a group")]


def test_an_exit_of_the_program_itself_ends_it() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        sys.exit(4)

    with pytest.raises(SystemExit) as ended:
        run_to_the_end(work())
    assert ended.value.code == 4


def test_what_still_runs_when_the_program_ends_is_cancelled() -> None:
    ended: list[str] = []

    async def beside() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def work() -> int:
        task = asyncio.create_task(beside())
        await asyncio.sleep(0)
        assert not task.done()
        return 7

    assert run_to_the_end(work()) == 7
    assert ended == ["cancelled"]
