"""Two processes take the same instance forward at the same time: one decision counts, the other changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from kernel import Refused, StaleTurn, read_command
from tests.engine.journey import RESULT, Ran, check, define
from tests.engine.process import MortalManager, Process

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def force_both(processes: list[Process]) -> None:
    """Hand every ready entry that one dispatcher takes to the others as well."""
    for process in processes:
        others = [other for other in processes if other is not process]
        dispatcher = process.worker.host.dispatcher
        take = dispatcher.take

        def take_all(entry: Entry, take: Any = take, others: list[Process] = others) -> None:  # noqa: ANN401
            take(entry)
            for other in others:
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
