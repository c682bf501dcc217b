"""Pools: at most so many of their steps are under way at once, over all workers and partitions, and nothing is left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import actors
from actors import (
    InvalidOption,
    RetryPolicy,
    Step,
    StepTimedOut,
    Transaction,
    WorkflowHandle,
    WorkflowManager,
    Workpool,
)
from actors.packing import unpackb
from actors.retrier.retrier import read_call, write_call
from actors.servers.timekeeper import LOOK_AFTER_S
from actors.testing import WorkflowTester
from kernel import Scheduling
from kernel.store.audit import audit
from tests.api.watching import Managers, in_state, running, seen
from tests.engine.process import MortalManager, Process, until

if TYPE_CHECKING:
    from actors.definitions import Workflow

pytestmark = pytest.mark.usefixtures("runner")
PARTITIONS = 4


class Press:
    """One worker's code: a pool, steps that count how many run on the ``Floor`` that all share, and their workflow."""

    def __init__(self, manager: WorkflowManager, floor: Floor, *, limit: int = 2) -> None:
        self.manager, self.floor = manager, floor
        self.pool = Workpool(manager, "press", max_parallelism=limit)

        @manager.action(name="print", pool="press", retry=RetryPolicy(max_attempts=3, initial_backoff=0, jitter=False))
        async def print_it(what: str) -> str:
            async with floor.entered(what):
                if floor.failures.pop(what, 0):
                    raise ConnectionError(what)
            return what

        @manager.workflow(name="edition")
        async def edition(step: Step, pages: int, name: str = "") -> list[str]:
            return await asyncio.gather(*(step.run_action(print_it, f"{name}{n}") for n in range(pages)))

        @manager.workflow(name="ranked")
        async def ranked(step: Step, priorities: list[int]) -> None:
            chosen = [print_it.with_options(priority=priority) for priority in priorities]
            await asyncio.gather(
                *(step.run_action(action, str(p)) for action, p in zip(chosen, priorities, strict=True))
            )

        self.print_it, self.edition, self.ranked = print_it, edition, ranked

    async def is_empty(self) -> bool:
        return tuple(await self.pool.status())[1:] == (0, 0)

    async def check_empty(self) -> None:
        """Wait until the pool holds and awaits nothing, and all is as it must be."""
        await until(self.is_empty)
        space = (await self.manager.store()).space

        async def is_well() -> bool:  # what is read while workers work is of no one moment
            return await audit(space) == []

        await until(is_well)


class Floor:
    """What runs at this moment; steps stay as long as ``gate`` is closed."""

    def __init__(self) -> None:
        self.inside: list[str] = []
        self.most = 0
        self.order: list[str] = []
        self.failures: dict[str, int] = {}
        self.gate = asyncio.Event()
        self.changed = asyncio.Condition()

    def entered(self, what: str) -> Inside:
        return Inside(self, what)

    async def holds(self, count: int) -> None:
        """Wait until so many run."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.inside) == count)


class Inside:
    """A step that runs."""

    def __init__(self, floor: Floor, what: str) -> None:
        self.floor, self.what = floor, what

    async def __aenter__(self) -> None:
        floor = self.floor
        floor.inside.append(self.what)
        floor.order.append(self.what)
        floor.most = max(floor.most, len(floor.inside))
        try:
            async with floor.changed:
                floor.changed.notify_all()
            await floor.gate.wait()
            await asyncio.sleep(0)
        except BaseException:
            self.leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self.leave()
        async with self.floor.changed:
            self.floor.changed.notify_all()

    def leave(self) -> None:
        self.floor.inside.remove(self.what)


async def all_asked(press: Press, *, waiting: int) -> None:
    """Wait until so many wait for a permit."""

    async def do() -> bool:
        return (await press.pool.status()).waiting == waiting

    await until(do)


async def test_no_more_run_than_the_limit_says_over_workers_and_partitions(managers: Managers) -> None:
    floor = Floor()
    first, second = (Press(managers(partitions=PARTITIONS), floor, limit=3) for _ in range(2))
    async with first.manager.worker(), second.manager.worker():
        started = (first.edition.with_options(id=f"e{n}").bind(5, f"{n}.") for n in range(6))
        handles = await first.manager.start_many(started)
        await floor.holds(3)
        floor.gate.set()
        assert [len(await handle.result(timeout=10)) for handle in handles] == [5] * 6
        space = (await first.manager.store()).space
        assert len({space.keys.partition(handle.address) for handle in handles}) >= 2
        assert (floor.most, len(floor.order)) == (3, 30)
        await first.check_empty()


async def test_what_has_the_higher_priority_gets_its_permit_first_and_else_who_asked_first(
    manager: WorkflowManager,
) -> None:
    press = Press(manager, Floor(), limit=0)
    press.floor.gate.set()
    async with manager.worker():
        handle = await manager.start(press.ranked, [0, 5, 9, 5, 0, 9])
        await all_asked(press, waiting=6)
        await press.pool.set_max_parallelism(1)
        await handle.result(timeout=5)
    assert press.floor.order == ["9", "9", "5", "5", "0", "0"]


async def test_the_next_begins_at_once_when_one_ends_and_nobody_looks_for_it() -> None:
    manager = WorkflowManager("memory://unused")
    press = Press(manager, Floor(), limit=1)
    press.floor.gate.set()

    async with WorkflowTester(manager) as tester:
        before = tester.now
        await (await tester.start(press.edition, 20)).result()
        # Whatever looks now and then waits for time to pass; here it passes only if nothing else goes on.
        assert (tester.now - before).total_seconds() < 1


async def test_a_step_that_fails_gives_its_permit_back_for_the_time_between_its_attempts(
    manager: WorkflowManager,
) -> None:
    press = Press(manager, Floor(), limit=1)
    press.floor.gate.set()
    press.floor.failures["0"] = 1
    async with manager.worker():
        assert await (await manager.start(press.edition, 3)).result(timeout=5) == ["0", "1", "2"]
        assert press.floor.order == ["0", "1", "2", "0"]
        assert press.floor.most == 1
        await press.check_empty()


async def test_canceling_one_that_runs_and_one_that_waits_frees_their_permits(manager: WorkflowManager) -> None:
    press = Press(manager, Floor(), limit=1)
    async with manager.worker():
        runs = await manager.start(press.edition, 1, "a")
        await press.floor.holds(1)
        waits, last = await manager.start(press.edition, 1, "b"), await manager.start(press.edition, 1, "c")
        await all_asked(press, waiting=2)
        await waits.cancel()
        await all_asked(press, waiting=1)
        await runs.cancel()
        await seen(last, running("print"))
        press.floor.gate.set()
        assert await last.result(timeout=5) == ["c0"]
        assert press.floor.order == ["a0", "c0"]
        await press.check_empty()


async def test_zero_pauses_and_a_higher_limit_lets_go_while_it_runs(manager: WorkflowManager) -> None:
    press = Press(manager, Floor(), limit=1)
    async with manager.worker():
        handle = await manager.start(press.edition, 5)
        await press.floor.holds(1)
        await press.pool.set_max_parallelism(0)
        press.floor.gate.set()
        await seen(handle, in_state("print", "completed"))
        await all_asked(press, waiting=4)
        assert await press.pool.status() == (0, 0, 4)
        press.floor.gate.clear()
        await press.pool.set_max_parallelism(3)
        await press.floor.holds(3)
        assert await press.pool.status() == (3, 3, 1)
        press.floor.gate.set()
        await handle.result(timeout=5)


async def test_what_was_set_outlives_a_worker_that_starts_until_the_code_says_another_number(
    managers: Managers,
) -> None:
    press = Press(managers(), Floor(), limit=4)
    async with press.manager.worker():
        await press.pool.set_max_parallelism(0)
    async with press.manager.worker():
        assert (await press.pool.status()).max_parallelism == 0
    changed = Press(managers(), Floor(), limit=5)
    async with changed.manager.worker():
        assert (await changed.pool.status()).max_parallelism == 5


async def test_a_worker_s_death_keeps_the_count_right(url: str) -> None:
    floor = Floor()
    first, second = (Process(MortalManager(url)) for _ in range(2))
    presses = [Press(process.manager, floor) for process in (first, second)]
    await first.start()
    handle = await first.manager.start(presses[0].edition, 5)
    await floor.holds(2)
    dead = first.incarnation
    await first.die()
    await second.start()
    assert (await presses[1].pool.status()).under_way == 2
    await second.take_over(dead)
    await floor.holds(2)
    floor.gate.set()
    again: WorkflowHandle[Any] = second.manager.handle(handle.id, presses[1].edition)
    assert len(await again.result(timeout=5)) == 5
    assert floor.most == 2
    await presses[1].check_empty()
    await second.stop()


async def test_a_limit_for_all_steps_is_kept_by_those_that_name_no_pool(managers: Managers) -> None:
    manager, floor = managers(max_parallelism=1), Floor()
    floor.gate.set()

    @manager.action(name="any")
    async def any_step(n: int) -> None:
        async with floor.entered(str(n)):
            pass

    @manager.query(name="look", inline=True)
    async def look(tx: Transaction) -> bool:
        return len(floor.inside) <= 1

    @manager.workflow(name="flow")
    async def flow(step: Step) -> bool:
        await asyncio.gather(*(step.run_action(any_step, n) for n in range(5)))
        return await step.run_query(look)

    async with manager.worker():
        assert await (await manager.start(flow)).result(timeout=5)
    assert (floor.most, len(floor.order)) == (1, 5)


async def test_a_query_that_is_polled_leaves_its_permit_to_others_between_two_looks(managers: Managers) -> None:
    manager = managers(max_parallelism=1)

    @manager.query(name="done")
    async def done(tx: Transaction) -> bool:
        return await tx.get(tx.key("done")) is not None

    @manager.mutation(name="do")
    async def do(tx: Transaction) -> None:
        tx.set(tx.key("done"), 1)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> bool:
        waiting = step.wait_for(done.bind(), interval=0.05)
        await step.run_mutation(do)
        return await waiting

    async with manager.worker():
        assert await (await manager.start(flow)).result(timeout=5)


async def test_a_limit_of_waiting_counts_the_wait_for_a_permit() -> None:
    manager = WorkflowManager("memory://unused")
    Workpool(manager, "closed", max_parallelism=0)

    @manager.action(name="act", pool="closed", schedule_timeout=60)
    async def act() -> None: ...

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_action(act)
        except StepTimedOut as error:
            return error.error_type
        return "ran"

    async with WorkflowTester(manager) as tester:
        assert await (await tester.start(flow)).result() == "ScheduleTimeout"
        assert (await (await tester.manager.store()).pools.status("closed"))[1:] == (0, 0)


async def test_a_permit_that_nobody_wants_is_found_within_two_minutes() -> None:
    manager = WorkflowManager("memory://unused")
    Workpool(manager, "one", max_parallelism=1)

    @manager.action(name="act", pool="one")
    async def act() -> str:
        return "ran"

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        return await step.run_action(act)

    async with WorkflowTester(manager) as tester:
        space = (await tester.manager.store()).space
        tag = space.keys.tag_of("pool/one")
        # As a failover leaves it that lost what a step's actor had written.
        await space.send(tag, "ZADD", f"{tag}:pool.held:one", space.now_ms(), "permit|1-1|000001|1|1-1|wf/lost")
        handle = await tester.start(flow)
        await tester.advance(1)
        assert (await handle.status()).type == "in_progress"
        await tester.advance(2 * LOOK_AFTER_S)
        assert await handle.result() == "ran"


async def test_steps_say_which_pool_they_wait_for(manager: WorkflowManager) -> None:
    press = Press(manager, Floor(), limit=1)
    async with manager.worker():
        handle = await manager.start(press.edition, 2)
        await press.floor.holds(1)
        await all_asked(press, waiting=1)
        steps = await handle.steps()
        assert sorted((step.state, step.pool) for step in steps) == [("running", "press"), ("waiting", "press")]
        await handle.cancel()


async def test_a_step_called_on_completion_may_need_a_permit(manager: WorkflowManager) -> None:
    Workpool(manager, "one", max_parallelism=1)
    done = asyncio.Event()

    @manager.action(name="report", pool="one")
    async def report(workflow_id: str, result: Any, context: None) -> None:  # noqa: ANN401 - any result
        done.set()

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None: ...

    async with manager.worker():
        await manager.start(flow.with_options(on_complete=report, context=None))
        await done.wait()


# --------------------------------------------------------------------------------------------- what is refused


def with_unknown_definition(manager: WorkflowManager) -> None:
    @manager.action(name="act", pool="nowhere")
    async def act() -> None: ...


def with_unknown_defaults(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow", step_defaults={"pool": "nowhere"})
    async def flow(step: Step) -> None: ...


@pytest.mark.parametrize("define", [with_unknown_definition, with_unknown_defaults])
async def test_a_pool_that_the_manager_does_not_know_is_refused_when_a_worker_starts(
    manager: WorkflowManager,
    define: Any,  # noqa: ANN401 - one of the two above
) -> None:
    define(manager)
    with pytest.raises(InvalidOption, match=r"Workpool\(manager, 'nowhere', max_parallelism=…\)"):
        async with manager.worker():
            pass


async def test_and_else_where_the_step_is_asked_for(manager: WorkflowManager) -> None:
    @manager.action(name="act")
    async def act() -> None: ...

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        try:
            await step.run_action(act.with_options(pool="nowhere"))
        except InvalidOption as error:
            return str(error)
        return "ran"

    async with manager.worker():
        text = await (await manager.start(flow)).result(timeout=5)
    assert "Workpool(manager, 'nowhere', max_parallelism=…)" in text


def test_inline_and_a_pool_exclude_each_other(manager: WorkflowManager) -> None:
    with pytest.raises(InvalidOption, match="exclude each other"):

        @manager.query(name="look", inline=True, pool="press")
        async def look(tx: Transaction) -> None: ...


@pytest.mark.parametrize("name", ["", "a b", "a@b", "a:b", "x" * 65, 5])
def test_a_pool_s_name_is_checked(manager: WorkflowManager, name: Any) -> None:  # noqa: ANN401 - anything wrong
    with pytest.raises(InvalidOption, match="64 letters"):
        Workpool(manager, name, max_parallelism=1)
    with pytest.raises(InvalidOption, match="64 letters"):
        manager.action(name="act", pool=name)(lambda: None)


@pytest.mark.parametrize("limit", [-1, 1.5, True, None, 10**7])
async def test_a_limit_is_checked(manager: WorkflowManager, limit: Any) -> None:  # noqa: ANN401 - anything wrong
    with pytest.raises(InvalidOption, match="whole number"):
        Workpool(manager, "press", max_parallelism=limit)
    pool = Workpool(manager, "press", max_parallelism=1)
    with pytest.raises(InvalidOption, match="whole number"):
        await pool.set_max_parallelism(limit)


def test_a_pool_is_declared_once(managers: Managers) -> None:
    manager = managers(max_parallelism=5)
    Workpool(manager, "press", max_parallelism=1)
    with pytest.raises(InvalidOption, match="'press' is declared already: declare it once"):
        Workpool(manager, "press", max_parallelism=2)
    with pytest.raises(InvalidOption, match="by the manager's max_parallelism"):
        Workpool(manager, "default", max_parallelism=2)


def test_it_is_on_the_author_s_face() -> None:
    assert actors.Workpool is Workpool


def test_the_workflow_of_these_tests_is_typed(manager: WorkflowManager) -> None:
    edition: Workflow[[int, str], list[str]] = Press(manager, Floor()).edition
    assert edition.name == "edition"


async def test_a_pool_s_damaged_key_keeps_no_worker_from_starting(manager: WorkflowManager) -> None:
    press = Press(manager, Floor())
    space = (await manager.store()).space
    tag = space.keys.tag_of("pool/press")
    await space.send(tag, "SET", f"{tag}:pool:press", "x")

    @manager.workflow(name="other")
    async def other(step: Step) -> str:
        await step.sleep(0.01)
        return "done"

    async with manager.worker():
        assert await (await manager.start(other)).result(timeout=5) == "done"
    assert press.floor.order == []


def test_a_call_without_a_pool_is_written_as_versions_read_it_that_know_of_none(manager: WorkflowManager) -> None:
    press = Press(manager, Floor())
    pooled = press.print_it.command(("a",), {}, at=0, now_ms=0)
    without = pooled._replace(scheduling=Scheduling(priority=3))
    assert [read_call(write_call(command)) for command in (pooled, without)] == [pooled, without]
    fields: Any = unpackb(write_call(without))
    assert fields[-1] == [0, 0, 3, False]
