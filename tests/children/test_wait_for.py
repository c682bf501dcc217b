"""``step.wait_for``: a query, run again and again until its value is truthy, as one step."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from actors import CallNotAllowed, InvalidOption, RetryPolicy, Step, StepFailed, Transaction, WorkflowManager
from actors.testing import WorkflowTester
from tests.api.watching import Managers


async def test_it_asks_at_the_interval_until_the_value_is_truthy_and_returns_it(manager: WorkflowManager) -> None:
    asked: list[datetime] = []

    @manager.query(name="stock")
    async def stock(tx: Transaction, item: str, *, least: int) -> list[str]:
        asked.append(tester.now)
        return [item] * least if len(asked) == 4 else []

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[str]:
        return await step.wait_for(stock.bind("pen", least=2), interval=timedelta(minutes=10))

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow)
        assert await handle.result() == ["pen", "pen"]
        assert [(at - asked[0]).total_seconds() for at in asked] == [0, 600, 1200, 1800]
        (view,) = await handle.steps()
        assert (view.name, view.kind, view.state, view.arguments) == (
            "stock",
            "query",
            "completed",
            (("pen",), {"least": 2}),
        )


async def test_a_month_of_polling_leaves_a_journal_of_one_step(manager: WorkflowManager) -> None:
    times = 0

    @manager.query(name="ready")
    async def ready(tx: Transaction) -> int:
        nonlocal times
        times += 1
        return times if times == 720 else 0

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.wait_for(ready.bind(), interval=3600)

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(flow)
        assert await handle.result() == 720
        store = await tester.manager.store()
        journal = await store.instances.read(f"wf/{handle.id}", "journal")
        assert sorted(journal) == ["c1", "e1", "r1", "result"]


async def test_after_its_timeout_it_raises_and_asks_no_more(manager: WorkflowManager) -> None:
    asked = 0

    @manager.query(name="never")
    async def never(tx: Transaction) -> bool:
        nonlocal asked
        asked += 1
        return False

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.wait_for(never.bind(), interval=60, timeout=timedelta(minutes=5, seconds=30))
        except TimeoutError as error:
            await step.sleep(3600)
            return str(error)
        return ""

    async with WorkflowTester(manager) as tester:
        assert await (await tester.start(flow)).result() == "'never' found nothing within 330 s"
    assert asked == 6


async def test_two_at_once_and_a_race_work_as_with_any_step(manager: WorkflowManager) -> None:
    @manager.query(name="at")
    async def at(tx: Transaction, minutes: int) -> int:
        return minutes if tester.now >= began + timedelta(minutes=minutes) else 0

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[int]:
        first, second = (step.wait_for(at.bind(minutes), interval=30) for minutes in (5, 3))
        both = list(await asyncio.gather(first, second))
        racing = [step.wait_for(at.bind(minutes), interval=30) for minutes in (90, 60)]
        done, late = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
        for one in late:
            one.cancel()
        async with asyncio.timeout(60):
            task = await step.wait_for(at.bind(7))
        return [*both, *(one.result() for one in done), task]

    async with WorkflowTester(manager, replay="always") as tester:
        began = tester.now
        handle = await tester.start(flow)
        assert await handle.result() == [5, 3, 60, 7]
        assert [view.state for view in await handle.steps()][:4] == ["completed", "completed", "canceled", "completed"]


async def test_a_query_that_raises_is_retried_by_its_policy_or_fails_the_step(manager: WorkflowManager) -> None:
    runs: list[str] = []

    @manager.query(name="flaky", retry=RetryPolicy(max_attempts=3, initial_backoff=1, jitter=False))
    async def flaky(tx: Transaction) -> bool:
        runs.append("flaky")
        if len(runs) in {1, 3}:
            raise ConnectionError("away")
        return len(runs) == 4

    @manager.query(name="broken")
    async def broken(tx: Transaction) -> bool:
        raise LookupError("no table")

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        assert await step.wait_for(flaky.bind(), interval=10)
        try:
            await step.wait_for(broken.bind(), interval=10)
        except StepFailed as error:
            return error.error_type
        return ""

    async with WorkflowTester(manager) as tester:
        assert await (await tester.start(flow)).result() == "LookupError"
    assert len(runs) == 4


async def test_it_goes_on_after_the_death_of_its_worker(manager: WorkflowManager) -> None:
    @manager.query(name="later")
    async def later(tx: Transaction) -> bool:
        return tester.now >= began + timedelta(hours=1)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> bool:
        return await step.wait_for(later.bind(), interval=60)

    async with WorkflowTester(manager, crash_seed=3) as tester:
        began = tester.now
        assert await (await tester.start(flow)).result()
        assert tester.crashes


async def test_what_is_no_call_of_a_query_is_refused(manager: WorkflowManager) -> None:
    @manager.action(name="act")
    async def act() -> int:
        return 1

    @manager.query(name="look")
    async def look(tx: Transaction) -> int:
        return 1

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[str]:
        said: list[str] = []
        wait_for: Any = step.wait_for
        for wrong, options in (
            (act.bind(), {}),
            (look, {}),
            (look.bind(), {"interval": 0}),
            (look.bind(), {"interval": "x"}),
        ):
            try:
                await wait_for(wrong, **options)
            except (CallNotAllowed, InvalidOption) as error:
                said.append(type(error).__name__)
        return said

    async with manager.worker():
        assert await (await manager.start(flow)).result() == [
            "CallNotAllowed", "CallNotAllowed", "InvalidOption", "InvalidOption",
        ]  # fmt: skip


@pytest.mark.server
async def test_it_polls_a_real_server(managers: Managers, server_url: str) -> None:
    manager = managers(server_url, partitions=12)

    @manager.query(name="flag")
    async def flag(tx: Transaction) -> str:
        return ((await tx.get("flag")) or b"").decode()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        return await step.wait_for(flag.bind(), interval=0.02)

    async with manager.worker():
        handle = await manager.start(flow)
        space = (await manager.store()).space
        await space.send(space.keys.tags[0], "SET", "flag", "up")
        assert await handle.result() == "up"
