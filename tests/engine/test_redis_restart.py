"""The Redis server is killed and started again in the middle of everything; its append-only file has kept it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from kernel import EmbeddedServer
from tests.engine.app import count_recorded, make
from tests.engine.process import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.server

WORKFLOWS = 500
ROUNDS = 3


@pytest.mark.slow
async def test_a_restart_in_the_middle_of_500_workflows_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    with EmbeddedServer.open(tmp_path / "redis") as server:
        app = make(server.url, namespace="restart", worker_timeout=5, trace=tmp_path / "trace")
        manager = app.manager
        async with manager, manager.worker(), manager.worker():
            store = await manager.store()
            tag = store.space.keys.tags[0]
            named = [app.count.with_options(id=f"w{i}") for i in range(WORKFLOWS)]
            handles = await manager.start_many(one.bind(ROUNDS) for one in named)
            results = asyncio.gather(*(handle.result(timeout=60) for handle in handles))

            async def midway() -> bool:
                length = await store.space.send(tag, "LLEN", f"{tag}:app:recorded")
                return isinstance(length, int) and length > WORKFLOWS

            await until(midway)
            assert not results.done()
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.restart)
            assert await results == [ROUNDS] * WORKFLOWS
            counted = await count_recorded(store)
            assert counted == Counter(f"w{i} {j}" for i in range(WORKFLOWS) for j in range(ROUNDS))
            assert await store.space.send(tag, "GET", f"{tag}:app:total") == str(WORKFLOWS * ROUNDS).encode()
