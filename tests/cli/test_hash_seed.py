"""A worker's process and its namespace's hash seed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from actors import WorkflowManager
from actors.cli import worker as module
from actors.cli.hash_seed import HASH_SEED
from actors.servers import WorkerSettings
from kernel.memory import drop_memory_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def url() -> Iterator[str]:
    memory = f"memory://{uuid4().hex}"
    yield memory
    drop_memory_server(memory)


def test_a_worker_whose_namespace_was_founded_anew_while_it_began_begins_anew_too(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the seed that the process runs under had been that of the namespace until the worker started."""
    manager = WorkflowManager(url)
    seeds: list[int] = []
    begun: list[int] = []
    codes: list[int] = []

    async def looks(opened: WorkflowManager) -> None:
        seeds.append((await opened.store()).space.seed)

    monkeypatch.setattr(module, "_reseed", looks)
    monkeypatch.setattr(module, "run_anew", begun.append)
    monkeypatch.setattr(module, "exit_soon", codes.append)
    monkeypatch.setenv(HASH_SEED, "another")

    async def work() -> None:
        async with asyncio.timeout(10):
            await module._work(manager, WorkerSettings(grace_s=0), wait_s=1)

    asyncio.run(work())
    assert begun == seeds
