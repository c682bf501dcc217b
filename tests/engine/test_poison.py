"""A turn that kills its worker is found out, and whoever was beside it is not blamed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors import Step
from actors.results import Stopped
from tests.engine.process import MortalManager, Process, until

if TYPE_CHECKING:
    from actors import WorkflowHandle
    from tests.engine.mortal import Life

INNOCENT = 8
DEATHS_MAX = 3


def define(manager: MortalManager) -> None:
    """Define a workflow that kills its process, and one that does not."""
    life: Life = manager.life

    @manager.workflow(name="poison")
    async def poison(_step: Step) -> None:
        life.end()

    @manager.workflow(name="harmless")
    async def harmless(_step: Step, n: int) -> int:
        return n


async def test_only_the_turn_that_kills_workers_is_stopped(memory_url: str) -> None:
    client = MortalManager(memory_url)
    define(client)
    poison, harmless = client.get_workflow("poison"), client.get_workflow("harmless")
    # In one stream with the poison in the middle: every worker that reads it has all of them in hand when it dies.
    before = await client.start_many(harmless.bind(n) for n in range(INNOCENT // 2))
    guilty = await client.start(poison)
    after = await client.start_many(harmless.bind(n) for n in range(INNOCENT // 2, INNOCENT))
    dead, deaths = "", 0
    while not await is_stopped(guilty):
        process = Process(MortalManager(memory_url))
        define(process.manager)
        await process.start()
        if dead:
            await process.take_over(dead)

        async def over(process: Process = process) -> bool:
            return process.life.over or await is_stopped(guilty)

        await until(over)
        if process.life.over:
            deaths += 1
            dead = process.incarnation
            await process.die()
        else:
            results = [await handle.result(timeout=10) for handle in [*before, *after]]
            assert results == list(range(INNOCENT))
            await process.stop()
    assert deaths == DEATHS_MAX
    status = await guilty.status()
    assert isinstance(status, Stopped)
    assert "took down several workers" in status.error.message
    await resume_mended(memory_url, guilty)
    await client.close()


async def resume_mended(url: str, handle: WorkflowHandle[None]) -> None:
    """Let it go on, as a person does, where its code is mended."""
    process = Process(MortalManager(url))

    @process.manager.workflow(name="poison")
    async def mended(_step: Step) -> None: ...

    await process.start()
    assert mended.name == "poison"
    await handle.resume()
    await handle.result(timeout=10)
    await process.stop()


async def is_stopped(handle: WorkflowHandle[None]) -> bool:
    """Tell whether an instance was set aside for a person."""
    return isinstance(await handle.status(), Stopped)
