"""Two processes take the same instance forward at the same time: one decision counts, the other changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from actors import Step
from kernel import (
    CHUNK,
    NOT_EAGER,
    ZERO,
    Command,
    StaleGeneration,
    StaleTurn,
    Turned,
    read_command,
    write_command,
)
from tests.engine.app import count_recorded
from tests.engine.journey import RESULT, Ran, check, define, read_outcomes
from tests.engine.process import MortalManager, Process
from tests.engine.team import team

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from actors import WorkflowManager
    from actors.definitions import Workflow
    from kernel import Entry, Store


class Referee:
    """Notes, over all processes, which turns were accepted and which refused."""

    def __init__(self) -> None:
        self.accepted: list[tuple[str, str, str]] = []
        """(address, generation, the event id that the turn started from)."""
        self.stale = 0

    def watch(self, store: Store) -> None:
        """Note what this store's commits come to."""
        commit = store.turns.commit

        async def noted(address: str, **arguments: Any) -> object:  # noqa: ANN401 - handed on
            try:
                turned = await commit(address, **arguments)
            except StaleTurn:
                self.stale += 1
                raise
            self.accepted.append((address, arguments["generation"], arguments["base"]))
            return turned

        store.turns.commit = noted  # type: ignore[method-assign, assignment]


def force_both(processes: list[Process], *, times: int = 1_000_000) -> None:
    """Hand every ready entry that one dispatcher takes to the others as well, up to ``times``."""
    left = itertools.count(times, -1)
    for process in processes:
        others = [other for other in processes if other is not process]
        dispatcher = process.worker.host.dispatcher
        take = dispatcher.take

        def take_all(entry: Entry, take: Any = take, others: list[Process] = others) -> None:  # noqa: ANN401
            take(entry)
            for other in others if next(left) > 0 else ():
                host = other.worker.host
                host.spawn(host.turner.take(entry.fields[1].decode(), entry.id.decode()), name="turn")

        dispatcher.take = take_all  # type: ignore[method-assign]


def check_turns(journal: Mapping[str, bytes]) -> None:
    """Fail if commands of one turn were committed by two: what one event led to has one token."""
    tokens: defaultdict[int, set[bytes]] = defaultdict(set)
    for name, field in journal.items():
        if name[0] == "c":
            tokens[read_command(field).at].add(field.split(b"|", 3)[2])
    assert all(len(found) == 1 for found in tokens.values()), tokens


@pytest.mark.parametrize("cache_instances", [10_000, 0])
async def test_of_two_workers_that_turn_the_same_instance_one_counts(memory_url: str, cache_instances: int) -> None:
    ran, referee = Ran(), Referee()
    processes = [Process(MortalManager(memory_url), cache_instances=cache_instances) for _ in range(2)]
    journeys = [define(process.manager, ran) for process in processes]
    async with contextlib.AsyncExitStack() as stack:
        for process in processes:
            await process.start()
            stack.push_async_callback(process.stop)
            referee.watch(process.worker.host.store)
        force_both(processes)
        handle = await processes[0].manager.start(journeys[0].with_options(id="j"))
        assert await handle.result(timeout=20) == RESULT
        store = await processes[0].manager.store()
        check_turns(await store.instances.read(handle.address, "journal"))
        await check(store, "j", ran, deaths=0)
    assert max(Counter(referee.accepted).values()) == 1
    assert referee.stale > 0, "no race took place"


async def test_two_workers_that_stage_large_decisions_of_one_instance_do_not_keep_each_other_from_it(
    memory_url: str,
) -> None:
    """Each part that one of them writes takes the other's away; in step with each other, neither gets to its end."""
    steps = 5 * CHUNK
    processes = [Process(MortalManager(memory_url)) for _ in range(2)]

    def define_wide(manager: WorkflowManager) -> Workflow[[], int]:
        @manager.workflow(name="wide")
        async def wide(step: Step) -> int:
            for number in range(steps):
                step.set_value(f"v{number}", number)
            await step.sleep(0.001)
            return steps

        return wide

    wide, _ = [define_wide(process.manager) for process in processes]
    referee = Referee()
    async with contextlib.AsyncExitStack() as stack:
        for process in processes:
            await process.start()
            stack.push_async_callback(process.stop)
            referee.watch(process.worker.host.store)
        force_both(processes, times=1)
        handle = await processes[0].manager.start(wide.with_options(id="w"))
        assert await handle.result(timeout=20) == steps
    assert referee.stale > 0, "no race took place"


@pytest.mark.server
async def test_the_script_takes_one_of_two_turns_and_refuses_what_is_stale(server_url: str) -> None:
    manager = MortalManager(server_url, namespace=uuid4().hex)
    journey = define(manager, Ran())
    async with manager:
        store = await manager.store()
        handle = await manager.start(journey)
        record = (await store.turns.fetch(handle.address, generation="", fed=ZERO)).record

        async def commit(token: str, *, base: str = record.consumed, generation: str = record.generation) -> Turned:
            timer = Command("timer", "sleep", "sleep", b"", b"", at=1, due_ms=store.space.now_ms() + 3_600_000)
            return await store.turns.commit(
                handle.address,
                generation=generation,
                base=base,
                reached=record.appended,
                token=token,
                commands=[write_command(timer, token=token, void=False)],
                canceled=(),
                end=None,
                park=True,
                eager=NOT_EAGER,
                number_of_first=1,
            )

        turns = await asyncio.gather(*(commit(f"token{i}") for i in range(8)), return_exceptions=True)
        (winner,) = [i for i, turned in enumerate(turns) if isinstance(turned, Turned)]
        assert [type(turned) for turned in turns].count(StaleTurn) == 7
        journal = await store.instances.read(handle.address, "journal")
        assert journal["c1"].split(b"|", 3)[2] == f"token{winner}".encode()
        assert "c2" not in journal
        with pytest.raises(StaleTurn):
            await commit("late")
        with pytest.raises(StaleGeneration):
            await commit("other life", base=record.appended, generation="1-12345")
        assert await store.instances.read(handle.address, "journal") == journal


@pytest.mark.server
async def test_worker_processes_that_race_for_every_turn_do_each_once(server_url: str, tmp_path: Path) -> None:
    count, rounds = 20, 8
    async with team(server_url, tmp_path, workers=2, worker_timeout=5) as crew:
        manager = crew.app.manager
        store = await manager.store()
        tag = store.space.keys.tags[0]
        handles = await manager.start_many(crew.app.count.with_options(id=f"w{i}").bind(rounds) for i in range(count))
        results = asyncio.gather(*(handle.result(timeout=30) for handle in handles))
        while not results.done():
            # More wake-ups than there is work: both processes turn the same instances all the time.
            more = [store.space.send(tag, "XADD", f"{tag}:ready", "*", "a", handle.address) for handle in handles]
            await asyncio.gather(*more)
            await asyncio.wait([results], timeout=0.002)
        assert await results == [rounds] * count
        counted = await count_recorded(store)
        assert counted == Counter(f"w{i} {j}" for i in range(count) for j in range(rounds))
        workers = set[str]()
        for handle in handles:
            journal = await store.instances.read(handle.address, "journal")
            check_turns(journal)
            workers |= {outcome.worker for outcome in read_outcomes(journal).values()}
        assert len(workers - {""}) == 2, "only one of the processes worked"
