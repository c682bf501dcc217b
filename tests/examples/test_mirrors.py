from __future__ import annotations

import asyncio
from datetime import timedelta

from actors.testing.plugin import MakeTester
from examples.mirrors import collect, fetch, manager

DELAYS = {"north": 3.0, "south": 1.0, "west": 2.0}


async def slow(mirror: str, page: str) -> str:
    await asyncio.sleep(DELAYS[mirror])
    return f"{page} from {mirror}"


async def test_the_first_mirror_to_answer_wins_and_the_others_are_canceled(workflow_tester: MakeTester) -> None:
    async with workflow_tester(manager) as tester:
        tester.fake(fetch, slow)
        began = tester.now
        handle = await tester.start(collect, ["index", "news"])
        assert await handle.result() == {"index": "index from south", "news": "news from south"}
        assert tester.now - began == timedelta(seconds=1)
        states = [step.state for step in await handle.steps() if step.kind == "action"]
        assert sorted(states) == ["canceled"] * 4 + ["completed"] * 2


async def test_a_mirror_that_fails_leaves_the_race_to_the_others(workflow_tester: MakeTester) -> None:
    async def ask(mirror: str, page: str) -> str:
        if mirror != "north":
            raise ConnectionError(mirror)
        return await slow(mirror, page)

    async with workflow_tester(manager) as tester:
        tester.fake(fetch, ask)
        assert await (await tester.start(collect, ["index"])).result() == {"index": "index from north"}


async def test_what_is_not_there_in_time_is_left_out(workflow_tester: MakeTester) -> None:
    async def ask(mirror: str, page: str) -> str:
        if page == "news":
            await asyncio.sleep(60)  # broken off after 5 s, and tried again
        return await slow(mirror, page)

    async with workflow_tester(manager) as tester:
        began = tester.now
        asked = tester.fake(fetch, ask)
        handle = await tester.start(collect, ["index", "news"])
        assert await handle.result() == {"index": "index from south", "news": None}
        assert tester.now - began == timedelta(seconds=10)
        assert len([call for call in asked.calls if call.args[1] == "news"]) == 6


async def test_a_page_that_nobody_has_is_none(workflow_tester: MakeTester) -> None:
    async with workflow_tester(manager) as tester:
        tester.fake(fetch, FileNotFoundError("gone"))
        handle = await tester.start(collect, ["index"], timedelta(minutes=5))
        assert await handle.result() == {"index": None}
