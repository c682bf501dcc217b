"""A server whose disk or memory is full, or that is read-only for a while: workers wait, and lose no outcome."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from actors import Step, Transaction, WorkflowManager, Workpool, current_step
from kernel import ServerRefused
from kernel.store.exclusive import COMPARED_BYTES_MAX
from tests.engine.process import until
from tests.topology.single import Standalone

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from actors.definitions import Action
    from actors.servers import Worker
    from tests.topology.node import Node

pytestmark = pytest.mark.server

TIMEOUT_S = 0.5
LARGE_BYTES = 100_000
"""More than is kept in a journal."""


@pytest.fixture(scope="module")
def place() -> Iterator[Standalone]:
    with Standalone() as place:
        yield place


@pytest.fixture
def node(place: Standalone) -> Iterator[Node]:
    place.empty()
    yield place.server
    place.server.limit_files(None)
    place.server.ask("CONFIG", "SET", "maxmemory", "0")
    place.server.ask("REPLICAOF", "NO", "ONE")
    place.server.set(appendfsync="everysec")


class Shop:
    """A manager with an action that ends when it is told to, and a mutation that reads what it writes."""

    def __init__(self, node: Node) -> None:
        self.namespace = uuid4().hex
        self.manager = manager = WorkflowManager(
            node.url, namespace=self.namespace, partitions=1, worker_timeout=TIMEOUT_S
        )
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.starts = self.runs = self.notes = self.counting = 0
        self.on_run: Callable[[], object] = lambda: None
        """Called by the mutation when it has read, and before it writes."""

        @manager.action(name="once")
        async def once() -> str:
            self.starts += 1
            self.begun.set()
            await self.may_end.wait()
            return "done"

        @manager.mutation(name="add")
        async def add(tx: Transaction) -> int:
            total = int(await tx.get(tx.key("total")) or 0)
            self.runs += 1
            await self.may_commit.wait()
            await asyncio.to_thread(self.on_run)
            tx.set(tx.key("total"), total + 1)
            return total + 1

        @manager.workflow(name="buy")
        async def buy(step: Step) -> str:
            return f"{await step.run_action(once)} {await step.run_mutation(add)}"

        self.buy, self.add = buy, add
        self._define_more(once)

    def _define_more(self, once: Action[[], str]) -> None:
        manager, add = self.manager, self.add

        @manager.mutation(name="note")
        async def note(tx: Transaction, word: str) -> str:
            self.notes += 1
            tx.rpush(tx.key("noted"), word)
            return word

        @manager.action(name="wait")
        async def wait() -> None:
            self.counting += 1
            await self.may_end.wait()

        @manager.workflow(name="count")
        async def count(step: Step, times: int) -> list[int]:
            await step.run_action(wait)
            totals: list[int] = []
            for _ in range(times):
                total, _ = await asyncio.gather(step.run_mutation(add), step.run_mutation(note, "counted"))
                totals.append(total)
            return totals

        @manager.workflow(name="jot")
        async def jot(step: Step) -> str:
            await step.run_action(once)
            return await step.run_mutation(note, "noted")

        @manager.workflow(name="load")
        async def load(step: Step) -> list[int]:
            await step.run_action(once)
            large = await step.run_action(fetch)
            again = await step.run_mutation(note.with_options(inline=True), large)
            return [len(large), len(again), await step.run_mutation(add.with_options(inline=True))]

        @manager.action(name="fetch")
        async def fetch() -> str:
            return "x" * LARGE_BYTES

        self.count, self.load, self.jot = count, load, jot


@asynccontextmanager
async def working(node: Node, *, workers: int = 1) -> AsyncGenerator[tuple[Shop, list[Worker]], None]:
    """Run workers; a workflow of theirs can be held in its action."""
    shop = Shop(node)
    manager = shop.manager
    async with manager, AsyncExitStack() as stack:
        yield shop, [await stack.enter_async_context(manager.worker()) for _ in range(workers)]


@asynccontextmanager
async def unharmed() -> AsyncGenerator[None, None]:
    """See to it that nothing is reported as an error of the engine."""
    with capture_logs() as lines:
        yield
    assert not [line for line in lines if line["log_level"] == "error"]


def total_of(shop: Shop) -> str:
    """Return the key that the mutations count in."""
    return f"{{{shop.namespace}:0}}:app:total"


def noted_of(shop: Shop) -> str:
    """Return the key of the list that they add to."""
    return f"{{{shop.namespace}:0}}:app:noted"


def fill_disk(node: Node) -> None:
    """Let the server find its disk full."""
    node.limit_files(1)
    with suppress(ResponseError):
        node.ask("SET", "anything", "x")  # the last that is taken
    with pytest.raises(ResponseError, match="MISCONF"):
        node.ask("SET", "anything", "x")


async def waits(worker: Worker) -> None:
    """Wait until a worker has met the refusal."""
    space = worker.host.store.space

    async def met() -> bool:
        return space.link(space.keys.tags[0]).full

    await until(met)


async def test_an_outcome_waits_until_a_full_disk_has_room_again(node: Node) -> None:
    async with working(node) as (shop, (worker,)):
        handle = await shop.manager.start(shop.buy)
        await shop.begun.wait()
        fill_disk(node)
        shop.may_end.set()
        await waits(worker)
        node.limit_files(None)
        # Neither run again nor reported as unknown: the worker that has the outcome keeps it.
        assert await handle.result(timeout=10) == "done 1"
        assert shop.starts == 1


async def test_a_start_on_a_full_disk_is_refused_at_once_with_what_to_do(node: Node) -> None:
    async with working(node) as (shop, _):
        fill_disk(node)
        with pytest.raises(ServerRefused, match="free the disk"):
            await shop.manager.start(shop.buy)
        node.limit_files(None)


async def test_nobody_is_taken_for_dead_while_no_heartbeat_can_be_written(node: Node) -> None:
    async with working(node, workers=2) as (shop, workers):
        before = [worker.incarnation for worker in workers]
        handle = await shop.manager.start(shop.buy)
        await shop.begun.wait()
        fill_disk(node)
        await asyncio.sleep(4 * TIMEOUT_S)  # time itself is what is tested: heartbeats are missing for so long
        node.limit_files(None)
        shop.may_end.set()
        assert await handle.result(timeout=10) == "done 1"
        assert [worker.incarnation for worker in workers] == before
        assert shop.starts == 1


async def test_nobody_is_taken_for_dead_when_the_server_comes_back(node: Node) -> None:
    # Else what was written while the file was being synced, on a slow disk, would be lost with the server.
    node.set(appendfsync="always")
    async with working(node, workers=2) as (shop, workers):
        before = [worker.incarnation for worker in workers]
        handle = await shop.manager.start(shop.buy)
        await shop.begun.wait()
        await asyncio.to_thread(node.kill)
        await asyncio.sleep(4 * TIMEOUT_S)  # as above
        await asyncio.to_thread(node.start)
        shop.may_end.set()
        assert await handle.result(timeout=10) == "done 1"
        assert [worker.incarnation for worker in workers] == before
        assert shop.starts == 1


async def test_at_maxmemory_starts_are_refused_and_what_runs_loses_nothing(node: Node) -> None:
    async with unharmed(), working(node) as (shop, _):
        handle = await shop.manager.start(shop.buy)
        await shop.begun.wait()
        node.ask("CONFIG", "SET", "maxmemory", "1mb")
        with pytest.raises(ServerRefused, match="Raise maxmemory"):
            await shop.manager.start(shop.buy)
        shop.may_end.set()

        assert await handle.result(timeout=10) == "done 1"
        assert shop.starts == 1
        assert node.ask("GET", total_of(shop)) == "1"


async def test_at_maxmemory_a_mutation_runs_again_if_another_client_deletes_what_it_read(node: Node) -> None:
    async with unharmed(), working(node) as (shop, _):
        node.ask("SET", total_of(shop), "41")
        shop.may_end.set()
        shop.may_commit.clear()
        handle = await shop.manager.start(shop.buy)
        await until(lambda: has_run(shop, 1))
        node.ask("CONFIG", "SET", "maxmemory", "1mb")
        shop.may_commit.set()
        shop.on_run = lambda: node.ask("DEL", total_of(shop)) if shop.runs == 2 else None
        assert await handle.result(timeout=10) == "done 1"
        # Refused with its transaction; then in conflict; then compared.
        assert shop.runs == 3
        assert node.ask("GET", total_of(shop)) == "1"


async def test_at_maxmemory_workers_that_count_together_miss_nothing_and_count_nothing_twice(node: Node) -> None:
    async with unharmed(), working(node, workers=3) as (shop, _):
        handles = [await shop.manager.start(shop.count, 5) for _ in range(12)]

        async def all_wait() -> bool:
            return shop.counting == len(handles)

        await until(all_wait)
        node.ask("CONFIG", "SET", "maxmemory", "1mb")
        with pytest.raises(ServerRefused, match="Raise maxmemory"):
            await shop.manager.start(shop.count, 1)
        shop.may_end.set()
        totals = [total for handle in handles for total in await handle.result(timeout=20)]
        # Each saw what the one before had left.
        assert sorted(totals) == list(range(1, 12 * 5 + 1))
        assert node.ask("GET", total_of(shop)) == "60"
        assert node.ask("LLEN", noted_of(shop)) == 60


async def test_at_maxmemory_a_worker_that_starts_goes_on_with_what_runs(node: Node) -> None:
    shop = Shop(node)
    async with unharmed(), shop.manager as manager:
        shop.may_end.set()
        handle = await manager.start(shop.buy)
        node.ask("CONFIG", "SET", "maxmemory", "1mb")
        async with manager.worker():
            assert await handle.result(timeout=10) == "done 1"


async def test_at_maxmemory_heartbeats_are_taken_and_steps_of_a_pool_go_on(node: Node) -> None:
    manager = WorkflowManager(node.url, namespace=uuid4().hex, partitions=1, worker_timeout=TIMEOUT_S)
    Workpool(manager, "narrow", max_parallelism=1)
    begun, may_go_on = asyncio.Event(), asyncio.Event()

    @manager.action(name="copy", pool="narrow", heartbeat_timeout=60)
    async def copy() -> None:
        begun.set()
        await may_go_on.wait()
        for done in range(3):
            await current_step().heartbeat({"done": done})

    @manager.workflow(name="copies")
    async def copies(step: Step) -> str:
        await asyncio.gather(*(step.run_action(copy) for _ in range(3)))
        return "copied"

    async with unharmed(), manager, manager.worker():
        handle = await manager.start(copies)
        await begun.wait()
        node.ask("CONFIG", "SET", "maxmemory", "1mb")
        async with manager.worker():  # another one, which declares the pool too
            may_go_on.set()
            assert await handle.result(timeout=10) == "copied"


async def test_at_maxmemory_inline_mutations_and_large_results_are_completed(node: Node) -> None:
    async with unharmed(), working(node) as (shop, _):
        handle = await shop.manager.start(shop.load)
        await shop.begun.wait()
        node.ask("CONFIG", "SET", "maxmemory", "1mb")
        shop.may_end.set()
        assert await handle.result(timeout=10) == [LARGE_BYTES, LARGE_BYTES, 1]
        assert node.ask("GET", total_of(shop)) == "1"


async def test_at_maxmemory_a_mutation_on_keys_too_large_to_be_compared_waits_for_memory(node: Node) -> None:
    async with unharmed(), working(node) as (shop, _):
        node.ask("RPUSH", noted_of(shop), "x" * (COMPARED_BYTES_MAX + 1))
        handle = await shop.manager.start(shop.jot)
        await shop.begun.wait()
        node.ask("CONFIG", "SET", "maxmemory", "1mb")
        with capture_logs() as lines:
            shop.may_end.set()
            await until(lambda: has_noted(shop, 4))
        assert ["waits until it does" in line["event"] for line in lines] == [True], (
            "one line, however often it is tried"
        )
        assert node.ask("LLEN", noted_of(shop)) == 1
        node.ask("CONFIG", "SET", "maxmemory", "0")
        assert await handle.result(timeout=10) == "noted"
        assert node.ask("LLEN", noted_of(shop)) == 2


async def test_a_mutation_waits_while_its_server_is_read_only(node: Node) -> None:
    async with unharmed(), working(node) as (shop, _):
        shop.may_end.set()
        shop.may_commit.clear()
        handle = await shop.manager.start(shop.buy)
        await until(lambda: has_run(shop, 1))
        node.ask("REPLICAOF", "127.0.0.1", 1)
        shop.may_commit.set()
        await until(lambda: has_run(shop, 2))
        node.ask("REPLICAOF", "NO", "ONE")
        assert await handle.result(timeout=10) == "done 1"


async def has_noted(shop: Shop, times: int) -> bool:
    """Tell whether the other mutation's function has been called so often."""
    return shop.notes >= times


async def has_run(shop: Shop, times: int) -> bool:
    """Tell whether the mutation's function has been called so often."""
    return shop.runs >= times
