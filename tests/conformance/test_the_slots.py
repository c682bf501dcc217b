"""What all the tests before have shown of the scripts' keys: a key of another slot on the same node is just written."""

from __future__ import annotations

import pytest

from actors import Step, WorkflowManager
from kernel.store.scripts import SCRIPTS
from tests.conformance.here import Here
from tests.conformance.monitoring import SlotWatch

pytestmark = [pytest.mark.only("cluster"), pytest.mark.parametrize("here", ["warm"], indirect=True)]

CALLS_MIN = 20
SESSION_MIN = 60
"""Tests in one place; fewer are a part of the suite."""
RARE = frozenset({"stop", "postpone", "heartbeat", "risk"})
"""Scripts that the suite need not come to each time: they depend on who is quicker, or are sent as text."""


async def test_every_script_touches_keys_of_its_own_slot_alone(
    here: Here, manager: WorkflowManager, slots: SlotWatch, request: pytest.FixtureRequest
) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.sleep(0.01)

    async with here.working(manager):
        await (await manager.start(flow)).result()
    assert slots.calls > CALLS_MIN
    assert not slots.wrong
    ran = [item for item in request.session.items if "[cluster-" in item.nodeid]
    if len(ran) >= SESSION_MIN:
        assert SCRIPTS.keys() - slots.seen - RARE == set()
