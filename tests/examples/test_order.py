from __future__ import annotations

import pytest

from actors import StepView, WorkflowFailed
from actors.testing import WorkflowTester
from actors.testing.plugin import MakeTester
from examples.order import charge, fill_stock, manager, refund, set_aside, ship, take_order


async def stock(tester: WorkflowTester) -> int:
    return await (await tester.start(fill_stock, "lamp", 0)).result()


async def test_an_order_is_charged_and_shipped(workflow_tester: MakeTester) -> None:
    async with workflow_tester(manager) as tester:
        await (await tester.start(fill_stock, "lamp", 3)).result()
        handle = await tester.start(take_order, "lamp", 2, "4242")
        assert await handle.result() == "parcel with 2 of lamp"
        assert await stock(tester) == 1
        steps: list[StepView] = await handle.steps()
        assert [step.name for step in steps] == [set_aside.name, charge.name, ship.name]
        assert steps[1].result.startswith(f"payment of 2000 from 4242 ({handle.id}:")


async def test_a_card_that_is_refused_frees_the_goods(workflow_tester: MakeTester) -> None:
    async with workflow_tester(manager) as tester:
        await (await tester.start(fill_stock, "lamp", 3)).result()
        tester.fake(charge, PermissionError("card refused"))
        refunded = tester.fake(refund, None)
        with pytest.raises(WorkflowFailed, match="card refused"):
            await (await tester.start(take_order, "lamp", 2, "4242")).result()
        assert await stock(tester) == 3
        assert refunded.calls == []


async def test_a_carrier_that_stays_away_frees_goods_and_money(workflow_tester: MakeTester) -> None:
    async with workflow_tester(manager) as tester:
        await (await tester.start(fill_stock, "lamp", 3)).result()
        shipped = tester.fake(ship, ConnectionError("no answer"))
        refunded = tester.fake(refund, ConnectionError("try later"), None)
        with pytest.raises(WorkflowFailed, match="no answer"):
            await (await tester.start(take_order, "lamp", 2, "4242")).result()
        assert len(shipped.calls) == 5
        assert len(refunded.calls) == 2
        assert await stock(tester) == 3


async def test_what_is_not_there_is_not_sold(workflow_tester: MakeTester) -> None:
    async with workflow_tester(manager) as tester:
        charged = tester.fake(charge, "never")
        await (await tester.start(fill_stock, "lamp", 7)).result()
        handle = await tester.start(take_order, "lamp", 8, "4242")
        with pytest.raises(WorkflowFailed, match="only 7 of 'lamp' left"):
            await handle.result()
        assert charged.calls == []


@pytest.mark.parametrize("seed", range(5))
def test_whoever_dies_the_stock_is_right(workflow_tester: MakeTester, seed: int) -> None:
    with workflow_tester(manager, crash_seed=seed, replay="always") as tester:
        assert tester.run(fill_stock, "lamp", 9) == 9
        for _ in range(3):
            assert tester.run(take_order, "lamp", 2, "4242") == "parcel with 2 of lamp"
        assert tester.run(fill_stock, "lamp", 0) == 3
        assert tester.crashes
