"""A short chaos run, the same code as ``scripts/chaos``; and an oracle that sees what is broken on purpose."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kernel import keys
from tests.chaos.app import COMMITTED
from tests.chaos.oracle import Oracle
from tests.chaos.run import run
from tests.chaos.schedule import KINDS
from tests.chaos.stage import Injected, Settings, Stage
from tests.topology.places import NotHere, make

if TYPE_CHECKING:
    from kernel import Space
    from tests.chaos.load import Order

pytestmark = pytest.mark.server

SHORT = Settings(
    place="everysec", seed=1, seconds=20.0, workers=2, rate=8.0, worker_timeout_s=1.0, haste=1.8, drain_s=60.0
)


@pytest.fixture(autouse=True)
def here() -> None:
    try:
        make("standalone")
    except NotHere as error:
        pytest.skip(str(error))


def quiet(_line: str) -> None:
    """Say nothing."""


@pytest.mark.slow
async def test_nothing_is_lost_and_nothing_done_twice_whatever_dies() -> None:
    report = await run(SHORT, quiet)
    assert report.faults == []
    assert set(report.injected) == set(KINDS["everysec"])
    assert report.counts["acknowledged"] == report.counts["ended"] > 50
    assert report.counts["refused"] > 0


@pytest.mark.slow
async def test_the_oracle_sees_what_is_broken_on_purpose() -> None:
    async with Stage(SHORT._replace(workers=1, quiet_s=1.5), quiet) as stage:
        flows = ("count", "saga", "once", "napper", "flaky", "family", "sleeper")
        orders = {flow: stage.load.submit(flow, 2) for flow in flows}
        await stage.load.finish()
        await asyncio.gather(*(stage.app.manager.handle(order.id).result(timeout=20) for order in orders.values()))
        space = (await stage.app.manager.store()).space
        await _break_everything(stage, space, orders)
        faults = "\n".join((await Oracle(stage).judge()).faults)
    for wanted in (
        f"the mutation {orders['count'].id} c0 was committed 2 times",
        "mutations, but the total says",
        f"the mutation {orders['saga'].id} undo 1 was never committed",
        f"{orders['napper'].id} was acknowledged and is not there",
        f"{orders['flaky'].id}(3) came to 2, not {{3}}",
        f"{orders['once'].id}: an action that may run once was started 2 times",
        f"{orders['family'].id} was refused and is there",
        f"{orders['family'].id} was refused without saying what to do",
        "I5: the index ghost:completed has wf/ghost, which is gone",
        "left over after the cleanup",
        "no mutation was committed in the 2.0 s of memory",
    ):
        assert wanted in faults


async def _break_everything(stage: Stage, space: Space, orders: dict[str, Order]) -> None:
    """Do what the engine must never do."""
    stage.injected.append(Injected("memory", 1.0, 3.0, mutations=0))

    def tag(flow: str) -> str:
        return space.keys.tag_of(f"wf/{orders[flow].id}")

    await space.send(tag("count"), "HINCRBY", f"{tag('count')}:app:{COMMITTED}", f"{orders['count'].id} c0", 1)
    await space.send(tag("saga"), "HDEL", f"{tag('saga')}:app:{COMMITTED}", f"{orders['saga'].id} undo 1")
    napper = tag("napper")
    for key in (keys.actor(napper, f"wf/{orders['napper'].id}", part) for part in ("", "journal")):
        await space.send(napper, "DEL", key)
    orders["flaky"].n = 3
    first = next(mark for mark in stage.marks() if mark.step == "once")
    with stage.trace.open("a") as file:
        file.write(f"begun once {first.workflow_id} 1 1 0 {first.at_s}\n")
    orders["family"].acknowledged_s, orders["family"].refused = None, "go away"
    index = keys.index(tag("sleeper"), keys.status_index("ghost", "completed"))
    await space.send(index, "ZADD", index, 0, "wf/ghost")
