from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from actors import Misuse, RetryPolicy, Step, StepTimedOut, WorkflowFailed, WorkflowManager
from actors.testing import NothingHappens, WorkflowTester
from actors.testing.clock import VirtualClock, housekeeping

START = datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_year_of_sleep_takes_a_moment(manager: WorkflowManager) -> None:
    @manager.workflow
    async def rest(step: Step) -> datetime:
        for _ in range(12):
            await step.sleep(timedelta(days=30))
        return step.now()

    began = time.monotonic()
    async with WorkflowTester(manager) as tester:
        handle = await tester.start(rest)
        assert await handle.result() == START + timedelta(days=360)
        assert tester.now == START + timedelta(days=360)
    assert time.monotonic() - began < 10  # busy machines included


async def test_advance_lets_just_so_much_time_pass(manager: WorkflowManager) -> None:
    woken: list[datetime] = []

    @manager.action
    async def note() -> None:
        woken.append(tester.now)

    @manager.workflow
    async def rest(step: Step) -> None:
        for _ in range(3):
            await step.sleep(timedelta(days=1))
            await step.run_action(note)

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(rest)
        await tester.advance(timedelta(hours=47))
        assert woken == [START + timedelta(days=1)]
        assert (await handle.status()).type == "in_progress"
        await tester.advance(timedelta(hours=1))
        assert woken == [START + timedelta(days=1), START + timedelta(days=2)]
        await handle.result()
    assert len(woken) == 3


async def test_backoff_takes_virtual_time(manager: WorkflowManager) -> None:
    attempts: list[timedelta] = []

    @manager.action(retry=RetryPolicy(max_attempts=4, initial_backoff=60, base=10, max_backoff=9_000, jitter=False))
    async def flaky() -> str:
        attempts.append(tester.now - START)
        if len(attempts) < 4:
            raise ConnectionError("down")
        return "up"

    @manager.workflow
    async def persist(step: Step) -> str:
        return await step.run_action(flaky)

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(persist)
        assert await handle.result() == "up"
    assert [attempt.total_seconds() for attempt in attempts] == [0, 60, 660, 6660]


async def test_attempts_and_workflows_time_out_on_virtual_time(manager: WorkflowManager) -> None:
    @manager.action(timeout=timedelta(hours=1))
    async def endless() -> None:
        await asyncio.Event().wait()

    @manager.workflow
    async def wait(step: Step) -> str:
        try:
            await step.run_action(endless)
        except StepTimedOut:
            return "timed out"
        return "ended"

    @manager.workflow(timeout=timedelta(days=2))
    async def limited(step: Step) -> None:
        await step.sleep(timedelta(days=3))

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(wait)
        assert await handle.result() == "timed out"
        assert tester.now == START + timedelta(hours=1)
        with pytest.raises(WorkflowFailed, match="did not end within its timeout"):
            await (await tester.start(limited)).result()
        assert tester.now == START + timedelta(days=2, hours=1)


async def test_sleep_inside_a_step_takes_virtual_time(manager: WorkflowManager) -> None:
    @manager.action
    async def slow(seconds: float) -> float:
        async with asyncio.timeout(seconds * 2):
            await asyncio.sleep(seconds)
        return seconds

    @manager.workflow
    async def race(step: Step) -> float:
        for first in asyncio.as_completed([step.run_action(slow, seconds) for seconds in (90, 60, 120)]):
            return await first
        raise AssertionError

    async with WorkflowTester(manager) as tester:
        assert await (await tester.start(race)).result() == 60
        assert tester.now == START + timedelta(seconds=60)


async def test_time_stands_still_while_a_thread_works(manager: WorkflowManager) -> None:
    @manager.action
    def work() -> int:
        time.sleep(0.05)
        return 5

    @manager.workflow
    async def threaded(step: Step) -> int:
        return await step.run_action(work)

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(threaded)
        async with asyncio.timeout(0.001):
            assert await handle.result() == 5
        assert tester.now == START


async def test_results_of_threads_come_in_the_order_in_which_they_were_asked_for(manager: WorkflowManager) -> None:
    @manager.action
    def work(number: int) -> int:
        time.sleep(0.03 - number / 100)
        return number

    @manager.workflow
    async def parallel(step: Step) -> list[int]:
        return [await one for one in asyncio.as_completed([step.run_action(work, number) for number in range(3)])]

    async with WorkflowTester(manager) as tester:
        assert await (await tester.start(parallel)).result() == [0, 1, 2]


async def test_a_thread_that_sleeps_too_long_is_timed_out_after_a_second(manager: WorkflowManager) -> None:
    @manager.action(timeout=0.1)
    def work() -> None:
        woken.wait(10)

    @manager.workflow
    async def impatient(step: Step) -> str:
        try:
            await step.run_action(work)
        except StepTimedOut:
            return "timed out"
        return "ended"

    woken = threading.Event()
    async with WorkflowTester(manager) as tester:
        assert await (await tester.start(impatient)).result() == "timed out"
        woken.set()


async def test_a_child_that_sleeps_a_year_costs_its_parent_nothing(manager: WorkflowManager) -> None:
    @manager.workflow
    async def child(step: Step) -> str:
        await step.sleep(timedelta(days=365))
        return "old"

    @manager.workflow
    async def parent(step: Step) -> str:
        return await step.run_workflow(child)

    began = time.monotonic()
    async with WorkflowTester(manager) as tester:
        assert await (await tester.start(parent)).result() == "old"
        assert tester.now == START + timedelta(days=365)
    assert time.monotonic() - began < 10  # busy machines included


async def test_what_waits_for_ever_is_said_instead_of_waited_for(manager: WorkflowManager) -> None:
    @manager.workflow
    async def asks(step: Step) -> str:
        return await step.await_event("answer", str)

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(asks)
        with pytest.raises(NothingHappens, match=r"event 'answer' \(number 1, waiting\).*send_event"):
            await handle.result()
        with pytest.raises(TimeoutError):
            await handle.result(timeout=timedelta(days=1))
        await tester.send_event(handle, "answer", "42")
        assert await handle.result() == "42"


async def test_a_start_of_what_nobody_knows_is_set_aside_after_a_minute_of_virtual_time(
    manager: WorkflowManager,
) -> None:
    async with WorkflowTester(manager) as tester:
        space = (await tester.manager.store()).space
        await space.send("default:gateway", "XADD", "default:gateway", "*", "type", "start", "workflow", "unknown")
        await tester.advance(50)
        assert await space.send("default:dead", "XLEN", "default:dead") == 0
        await tester.advance(20)
        assert await space.send("default:dead", "XLEN", "default:dead") == 1
        assert await space.send("default:gateway", "XLEN", "default:gateway") == 0


async def test_an_event_sent_before_the_wait_is_taken(manager: WorkflowManager) -> None:
    @manager.workflow
    async def later(step: Step) -> list[int]:
        await step.sleep(60)
        return [await step.await_event("n", int), await step.await_event("n", int)]

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(later)
        await tester.send_event(handle.id, "n", 1)
        await tester.send_event(handle, "n", 2)
        assert await handle.result() == [1, 2]


async def test_two_runs_give_the_same_journal(manager: WorkflowManager) -> None:
    @manager.action(retry=RetryPolicy(max_attempts=5, initial_backoff=10))
    async def flaky(number: int) -> int:
        await asyncio.sleep(number)
        if failures.pop(number, None):
            raise ConnectionError
        return number

    @manager.workflow
    async def mixed(step: Step) -> list[object]:
        found: list[object] = list(await asyncio.gather(*(step.run_action(flaky, number) for number in range(5))))
        await step.sleep(step.random.uniform(1, 1_000))
        return [*found, step.uuid4(), step.now()]

    journals: list[str] = []
    for seed in (1, 1, 2):
        failures = {1: True, 3: True}
        async with WorkflowTester(manager, seed=seed) as tester:
            handle = await tester.start(mixed)
            await handle.result()
            journals.append((await tester.history(handle)).to_json())
    assert journals[0] == journals[1]
    assert journals[0] != journals[2]


def test_without_a_loop_run_and_play_take_workflows_to_their_end(manager: WorkflowManager) -> None:
    @manager.workflow
    async def rest(step: Step, days: int) -> str:
        await step.sleep(timedelta(days=days))
        return step.now().isoformat()

    async def scenario(tester: WorkflowTester) -> datetime:
        await tester.advance(3600)
        return tester.now

    with WorkflowTester(manager, now=datetime(2030, 5, 1, tzinfo=UTC)) as tester:
        assert tester.run(rest, 1) == "2030-05-02T00:00:00+00:00"
        assert tester.run(rest, 2) == "2030-05-04T00:00:00+00:00"
        assert tester.play(scenario) == datetime(2030, 5, 4, 1, tzinfo=UTC)
    assert WorkflowTester(manager).run(rest, 1) == "2026-01-02T00:00:00+00:00"


async def test_what_steps_do_with_the_manager_happens_in_the_tester(manager: WorkflowManager) -> None:
    @manager.workflow
    async def other(step: Step) -> str:
        return step.workflow_id

    @manager.action
    async def starts() -> str:
        return await (await manager.start(other.with_options(id="o-1"))).result()

    @manager.workflow
    async def starter(step: Step) -> str:
        return await step.run_action(starts)

    async with WorkflowTester(manager) as tester:
        assert await (await tester.start(starter)).result() == "o-1"
        assert (await tester.manager.handle("o-1").status()).type == "completed"
    assert "store" not in vars(manager)


async def test_the_loop_gets_its_own_time_back(manager: WorkflowManager) -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    async with asyncio.timeout(20), WorkflowTester(manager) as tester:
        await tester.advance(timedelta(days=30))
    assert 0 <= loop.time() - before < 10
    await asyncio.sleep(0.001)
    assert not [name for name in vars(loop) if name in {"time", "call_at", "run_in_executor"}]


async def test_housekeeping_does_not_move_the_time_for_longer_than_its_patience() -> None:
    rounds = 0

    async def look() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(1)

    clock = VirtualClock(START)
    clock.install()
    try:
        with housekeeping():
            task = asyncio.create_task(look())
        await asyncio.sleep(86_400)
        assert rounds <= 2
        found = asyncio.get_running_loop().create_future()
        clock.on_stuck = lambda: found.cancel() or False
        with pytest.raises(asyncio.CancelledError):
            await found
        assert 55 < rounds < 65
        task.cancel()
    finally:
        clock.uninstall()


async def test_one_manager_has_one_tester_at_a_time(manager: WorkflowManager) -> None:
    async with WorkflowTester(manager) as tester:
        with pytest.raises(Misuse, match="virtual clock already"):
            await WorkflowTester(manager).__aenter__()
        with pytest.raises(Misuse, match=r"await tester\.start"):
            tester.play(lambda _: asyncio.sleep(0))
    with pytest.raises(Misuse, match="make another one"):
        await tester.__aenter__()
    with pytest.raises(Misuse, match="aware"):
        WorkflowTester(manager, now=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the mistake
