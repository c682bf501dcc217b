"""A connection breaks before or after a write, any third one; the worker lives on, and nothing runs twice.

One point alone: ``BREAK_AT=37 pytest tests/engine/test_lost_replies.py -k after``.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, get_args
from uuid import uuid4

import pytest

from kernel.memory import drop_memory_server
from tests.engine.journey import RESULT, Ran, check, define
from tests.engine.mortal import Life, When
from tests.engine.process import MortalManager, Process

if TYPE_CHECKING:
    from collections.abc import Iterable

FIRST = 8
"""The writes before are those of the opening: a namespace that cannot be opened is an error, told to the caller."""
WRITES_MIN = 90
STRIDE = 3
COMPARING = 10
"""As in test_kill_anywhere."""


async def run_with_break(url: str, break_at: int, when: When, *, full: bool = False) -> bool:
    """Run the journey while a connection breaks once; False: it ended before."""
    ran, life = Ran(), Life(break_at, when, survives=True, full=full)
    process = Process(MortalManager(url, life))
    journey = define(process.manager, ran)
    await process.start()
    try:
        handle = await process.manager.start(journey.with_options(id="j"))
        assert await handle.result(timeout=15) == RESULT
        await check(await process.manager.store(), "j", ran, deaths=0)
    finally:
        await process.stop()
    return bool(life.last)


@pytest.mark.slow
@pytest.mark.parametrize("when", get_args(When))
def test_a_connection_that_breaks_at_a_write_changes_nothing(when: When) -> None:
    assert run_all(range(FIRST, 1000, STRIDE), when) >= (WRITES_MIN - FIRST) // STRIDE


@pytest.mark.parametrize("when", get_args(When))
def test_a_connection_that_breaks_at_maxmemory_while_a_mutation_is_completed_changes_nothing(when: When) -> None:
    assert run_all(range(1, 100), when, full=True) >= COMPARING


def run_all(points: Iterable[int], when: When, *, full: bool = False) -> int:
    """Run every point until one at which nothing breaks; return at how many it broke."""
    asked = os.environ.get("BREAK_AT")
    broken = 0
    for break_at in [int(asked)] if asked else points:
        url = f"memory://{uuid4().hex}"
        try:
            if not asyncio.run(run_with_break(url, break_at, when, full=full)):
                break
        except (AssertionError, TimeoutError) as error:
            pytest.fail(f"BREAK_AT={break_at} -k {when}: {type(error).__name__}: {error}")
        finally:
            drop_memory_server(url)
        broken += 1
    return WRITES_MIN if asked else broken
