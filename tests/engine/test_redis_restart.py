"""The Redis server is killed and started again in the middle of everything; its append-only file holds what was said."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from kernel import EmbeddedServer
from tests.engine.app import make
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
            handles = await manager.start_many(app.count.with_options(id=f"w{i}").bind(ROUNDS) for i in range(WORKFLOWS))
            results = asyncio.gather(*(handle.result(timeout=60) for handle in handles))

            async def midway() -> bool:
                return int(await store.space.send(tag, "LLEN", f"{tag}:app:recorded")) > WORKFLOWS

            await until(midway)
            assert not results.done()
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.restart)
            assert await results == [ROUNDS] * WORKFLOWS
            recorded = await store.space.send(tag, "LRANGE", f"{tag}:app:recorded", 0, -1)
            assert isinstance(recorded, list)
            counted = Counter(line.decode() for line in recorded)
            assert counted == Counter(f"w{i} {j}" for i in range(WORKFLOWS) for j in range(ROUNDS))
            assert await store.space.send(tag, "GET", f"{tag}:app:total") == str(WORKFLOWS * ROUNDS).encode()
