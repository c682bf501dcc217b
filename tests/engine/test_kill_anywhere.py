"""A process dies before or after every single write to Redis; the run ends as if it had not.

One point alone: ``KILL_AT=37 pytest tests/engine/test_kill_anywhere.py -k after``.
"""

from __future__ import annotations

import asyncio
import os
from random import Random
from typing import TYPE_CHECKING, get_args
from uuid import uuid4

import pytest

from kernel.memory import drop_memory_server
from tests.engine.journey import RESULT, Ran, check, define
from tests.engine.mortal import Life, When
from tests.engine.process import MortalManager, Process

if TYPE_CHECKING:
    from collections.abc import Iterable

RESULT_S_MAX = 15.0
WRITES_MIN = 90
"""The journey makes about 108 writes; fewer mean that it is no longer what this test needs."""
COMPARING = 10
"""What the journey's mutations send in place of transactions: the digests and the completion, of each of five."""
SAMPLE = 20
FAILURES_MAX = 5
"""After so many the rest would say the same."""


async def begin(process: Process, ran: Ran) -> None:
    """Start to work, start the journey, and wait for its end."""
    journey = define(process.manager, ran)
    await process.start()
    handle = await process.manager.start(journey.with_options(id="j"))
    await handle.result()


async def live_and_die(process: Process, ran: Ran) -> None:
    """Let a process work until it dies or the journey has ended; then nothing more of it reaches Redis."""
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(begin(process, ran)),
        asyncio.create_task(process.life.died.wait()),
    ]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=RESULT_S_MAX)
    assert done, f"stuck after {process.life.writes} writes"
    process.life.end()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await process.die()


async def run_with_death(url: str, die_at: int, when: When, *, together: bool = False, full: bool = False) -> Life:
    """Run the journey in a process that dies at a write, let another end it, check; return the first one's life."""
    namespace = uuid4().hex
    ran, life = Ran(), Life(die_at, when, full=full)
    first = Process(MortalManager(url, life, namespace=namespace))
    second = Process(MortalManager(url, Life(full=full), namespace=namespace))
    journey = define(second.manager, ran)
    if together:
        await second.start()
    try:
        await live_and_die(first, ran)
        if not together:
            await second.start()
        if first.incarnation:
            await second.take_over(first.incarnation)
        handle = await second.manager.start(journey.with_options(id="j"))
        assert await handle.result(timeout=RESULT_S_MAX) == RESULT
        await check(await second.manager.store(), "j", ran, deaths=1)
    finally:
        await second.stop()
    return life


def run_all(points: Iterable[int], when: When, *, url: str = "", together: bool = False, full: bool = False) -> int:
    """Run every point until one at which nobody dies; fail with all that went wrong; return how many died."""
    asked = os.environ.get("KILL_AT")
    failed: list[str] = []
    died = 0
    for die_at in [int(asked)] if asked else points:
        memory = f"memory://{uuid4().hex}"
        try:
            life = asyncio.run(run_with_death(url or memory, die_at, when, together=together, full=full))
        except (AssertionError, TimeoutError) as error:
            failed.append(f"KILL_AT={die_at} -k {when}: {type(error).__name__}: {error}")
            if len(failed) == FAILURES_MAX:
                break
            continue
        finally:
            drop_memory_server(memory)
        if not life.last:
            break
        died += 1
    assert not failed, "\n".join(failed)
    return WRITES_MIN if asked else died


@pytest.mark.slow
@pytest.mark.parametrize("when", get_args(When))
def test_a_death_at_any_write_changes_nothing(when: When) -> None:
    assert run_all(range(1, 1000), when) >= WRITES_MIN


@pytest.mark.parametrize("when", get_args(When))
def test_a_death_beside_a_worker_that_lives_changes_nothing(when: When) -> None:
    points = Random(f"beside {when}").sample(range(1, WRITES_MIN), SAMPLE)
    # Two share the work, so the later points may not be reached.
    assert run_all(sorted(points), when, together=True) >= SAMPLE // 4


@pytest.mark.parametrize("when", get_args(When))
def test_a_death_at_maxmemory_while_a_mutation_is_completed_changes_nothing(when: When) -> None:
    assert run_all(range(1, 100), when, full=True) >= COMPARING


@pytest.mark.server
@pytest.mark.parametrize("when", get_args(When))
def test_a_death_on_a_real_server_changes_nothing(when: When, server_url: str) -> None:
    # How many reads find something depends on the time that passes, so the last points may not be reached.
    points = Random(f"server {when}").sample(range(1, WRITES_MIN), SAMPLE // 2)
    assert run_all(sorted(points), when, url=server_url) >= SAMPLE // 4
