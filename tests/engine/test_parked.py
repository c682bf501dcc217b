"""What sleeps for a month costs Redis little and its worker nothing."""

from __future__ import annotations

import gc
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from actors import Step, WorkflowManager
from actors.workflow import Instance
from tests.engine.process import until

if TYPE_CHECKING:
    from kernel import Store

pytestmark = pytest.mark.server

INSTANCES = 2_000
BYTES_MAX = 1_200


async def used_bytes(store: Store) -> int:
    """Return what the server's data takes."""
    info = await store.space.send(store.space.keys.tags[0], "INFO", "memory")
    assert isinstance(info, bytes)
    return int(info.partition(b"used_memory:")[2].partition(b"\r\n")[0])


async def test_a_sleeping_workflow_is_small(server_url: str) -> None:
    manager = WorkflowManager(server_url, namespace=uuid4().hex, partitions=1)

    @manager.workflow
    async def month(step: Step) -> None:
        await step.sleep(timedelta(days=30))

    async with manager, manager.worker(cache_instances=0) as worker:
        store = await manager.store()
        tag = store.space.keys.tags[0]

        async def asleep() -> int:
            number = await store.space.send(tag, "ZCARD", f"{tag}:delayed")
            assert isinstance(number, int)
            return number

        async def start(count: int) -> None:
            before = await asleep()
            await manager.start_many(month.bind() for _ in range(count))

            async def all_asleep() -> bool:
                return await asleep() == before + count and await store.space.send(tag, "XLEN", f"{tag}:ready") == 0

            await until(all_asleep)

        # The first ones bring connections, scripts and the streams' own first blocks into being.
        await start(100)
        before = await used_bytes(store)
        await start(INSTANCES)
        each = (await used_bytes(store) - before) / INSTANCES
        assert each <= BYTES_MAX
        assert len(worker.host.cache) == 0

        async def none_is_in_memory() -> bool:
            gc.collect()
            alive = [one for one in gc.get_objects() if isinstance(one, Instance)]
            return not any(one._workflow.function is month.function for one in alive)

        # The worker drops the last one when it has read the answer that Redis has already acted upon.
        await until(none_is_in_memory)
