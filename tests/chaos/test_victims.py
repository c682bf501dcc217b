"""Which worker is hit: none that holds a step which the next death convicts, whatever steps have told of themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from kernel import OpenCommand, keys
from tests.chaos.stage import Settings, Stage
from tests.chaos.victims import InHand, in_hand, take_victim
from tests.topology.places import NotHere, make

if TYPE_CHECKING:
    from kernel import Store

LONG: Final = 100
"""Of naps of 0.3 s: it does not end before the test does."""


@pytest.mark.parametrize(
    ("workflow_id", "crashes", "spared"),
    [
        ("napper-1", 0, False),
        ("napper-1", 1, False),
        ("napper-1", 2, True),
        ("family-1/0", 2, True),
        ("exit-1", 0, True),
        ("swell-1", 1, True),
        ("overdo-1", 1, False),
    ],
)
def test_a_worker_is_spared_for_a_step_that_the_next_death_convicts_or_that_kills_it_anyway(
    workflow_id: str, crashes: int, *, spared: bool
) -> None:
    assert InHand(workflow_id, 1, crashes).is_spared is spared


@pytest.mark.server
async def test_a_worker_with_a_step_that_lost_two_is_spared_though_the_trace_knows_of_no_death() -> None:
    try:
        make("standalone")
    except NotHere as error:
        pytest.skip(str(error))
    said: list[str] = []
    settings = Settings(place="everysec", seed=1, seconds=0.0, workers=1)
    async with Stage(settings, said.append) as stage, asyncio.timeout(30):
        orders = [stage.load.submit("napper", LONG) for _ in range(2)]
        hand, store = stage.crew.hands[0], await stage.app.manager.store()
        while len(stage.in_hand(hand.pid)) < len(orders):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)

        assert {(step.workflow_id, step.crashes) for step in await in_hand(store, hand.pid)} == {
            (order.id, 0) for order in orders
        }
        assert await in_hand(store, hand.pid // 10) == []

        await _let_die(store, orders[0].id, 2)
        assert await take_victim(stage) is None
        assert not hand.paused
        assert "no worker may be hit now" in said[-1]

        await _let_die(store, orders[0].id, 1)
        assert await take_victim(stage) is hand
        assert hand.paused
        assert await take_victim(stage) is None, "it was hit already"


async def _let_die(store: Store, workflow_id: str, crashes: int) -> None:
    """Have Redis say that so many workers died with the step that an instance runs now."""
    address = f"wf/{workflow_id}"
    tag = store.space.keys.tag_of(address)
    table = keys.actor(tag, address, "open")
    for seq, value in (await store.instances.read(address, "open")).items():
        one = OpenCommand.of(value.decode())
        assert one.worker, "it is held"
        await store.space.send(tag, "HSET", table, seq, value.decode().rpartition("|")[0] + f"|{crashes}")
