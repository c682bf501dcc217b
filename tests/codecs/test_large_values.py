"""Payloads over 64 KiB are kept apart from the journal and come back as if they were not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import get_args

import pytest

from actors import PayloadTooLarge, Step, Transaction, WorkflowFailed, WorkflowManager
from actors.definitions import Workflow
from actors.payload import pack
from kernel.store.payloads import LARGE_BYTES
from tests.api.watching import Managers
from tests.codecs.keyspace import everything
from tests.engine.mortal import When
from tests.engine.process import until
from tests.options.dying import die_at_every_write

TEXT = "x" * (LARGE_BYTES + 1)
POINTS_MIN = 12


def define(manager: WorkflowManager) -> Workflow[[], list[int]]:
    """Define a workflow that carries large arguments, results, values and children's results."""

    @manager.action(name="grow", retry=True)
    async def grow(text: str) -> str:
        return text + "y"

    @manager.mutation(name="count")
    async def count(tx: Transaction, text: str) -> str:
        tx.incrby(tx.key("n"), 1)
        return text + str(int(await tx.get(tx.key("m")) or 0))

    @manager.workflow(name="child")
    async def child(step: Step, text: str) -> str:
        return await step.run_action(grow, text)

    @manager.workflow(name="flow")
    async def flow(step: Step) -> list[int]:
        one = await step.run_action(grow, TEXT)
        two, three = await asyncio.gather(step.run_mutation(count, one), step.run_workflow(child, one))
        step.set_value("two", two)
        return [len(one), len(two), len(three)]

    return flow


RESULT = [len(TEXT) + 1, len(TEXT) + 2, len(TEXT) + 2]


@pytest.mark.parametrize("kept", [0, 100])
async def test_large_arguments_results_and_values_come_back_whole(manager: WorkflowManager, kept: int) -> None:
    flow = define(manager)
    async with manager.worker(cache_instances=kept):
        handle = await manager.start(flow)
        assert await handle.result(timeout=10) == RESULT
        assert len(await handle.value("two")) == RESULT[1]
        (first, *_) = await handle.steps()
        assert (first.arguments, first.result) == (((TEXT,), {}), TEXT + "y")


async def test_the_journal_itself_stays_small_and_small_payloads_have_no_place_apart(
    manager: WorkflowManager,
) -> None:
    flow = define(manager)

    @manager.workflow(name="small")
    async def small(step: Step) -> str:
        return "y" * 1000

    async with manager.worker():
        await (await manager.start(flow.with_options(id="f"))).result(timeout=10)
        await (await manager.start(small.with_options(id="s"))).result(timeout=10)
    keys = await everything(manager)
    tag = next(key for key in keys if key.endswith("wf.large:f")).partition("}")[0] + "}"
    assert len(keys[f"{tag}:wf.journal:f"]) < 5000
    assert f"{tag}:wf.large:s" not in keys


async def test_a_payload_that_is_written_twice_is_kept_once(manager: WorkflowManager) -> None:
    @manager.action(name="same")
    async def same(text: str) -> str:
        return text

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return sum([len(await step.run_action(same, TEXT)) for _ in range(3)])

    async with manager.worker():
        handle = await manager.start(flow.with_options(id="f"))
        assert await handle.result(timeout=10) == 3 * len(TEXT)
    space = (await manager.store()).space
    tag = space.keys.tag_of("wf/f")
    # Arguments and result differ by the list around the arguments.
    assert await space.send(tag, "HLEN", f"{tag}:wf.large:f") == 2


async def test_a_start_with_large_arguments_and_a_large_event_arrive(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step, text: str) -> str:
        return text + await step.await_event("more", type=str)

    handle = await manager.start(flow.with_options(id="f", run_after=0.05), TEXT)
    instances = (await manager.store()).instances
    await instances.append("wf/f", kind="event", name="more", payload=pack(TEXT), dedupe="once")
    await instances.append("wf/f", kind="event", name="more", payload=pack(TEXT), dedupe="once")
    async with manager.worker():
        assert await handle.result(timeout=10) == TEXT * 2


async def test_large_payloads_survive_a_restart_from_the_middle(manager: WorkflowManager) -> None:
    flow = define(manager)
    async with manager.worker():
        handle = await manager.start(flow.with_options(id="f"))
        assert await handle.result(timeout=10) == RESULT
        await (await manager.store()).turns.restart("wf/f", from_seq=2)
        assert await handle.result(timeout=10) == RESULT


async def test_after_cleanup_nothing_large_is_left(manager: WorkflowManager) -> None:
    flow = define(manager)
    async with manager.worker():
        handle = await manager.start(flow)
        await handle.result(timeout=10)
        assert any(".large:" in key for key in await everything(manager))
        await handle.cleanup()
        await until(_nothing_large(manager))


def _nothing_large(manager: WorkflowManager) -> Callable[[], Awaitable[bool]]:
    async def found() -> bool:
        return not any(".large:" in key for key in await everything(manager))

    return found


async def test_limits_count_what_was_given_not_what_is_stored(managers: Managers) -> None:
    manager = managers(value_bytes_max=2 * LARGE_BYTES, journal_bytes_max=6 * LARGE_BYTES)

    @manager.action(name="same")
    async def same(text: str) -> str:
        return text

    @manager.workflow(name="flow")
    async def flow(step: Step, times: int) -> int:
        return sum([len(await step.run_action(same, TEXT)) for _ in range(times)])

    async with manager.worker():
        assert await (await manager.start(flow, 2)).result(timeout=10) == 2 * len(TEXT)
        with pytest.raises(WorkflowFailed, match="JournalTooLarge"):
            await (await manager.start(flow, 10)).result(timeout=10)

    @manager.workflow(name="one")
    async def one(step: Step, text: str) -> None: ...

    with pytest.raises(PayloadTooLarge):
        await manager.start(one, TEXT * 2)


@pytest.mark.parametrize("when", get_args(When))
def test_a_death_at_any_write_changes_nothing(when: When) -> None:
    assert die_at_every_write(when, define=define, result=RESULT) >= POINTS_MIN
