"""What all the tests before have shown of the scripts' keys: a key of another slot on the same node is just written."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from actors import Step, Transaction, WorkflowManager
from kernel import Appended, Exclusive, Held
from kernel.store import keys
from kernel.store.mending import Mendable
from kernel.store.rounds import Placed
from kernel.store.scripts import SCRIPTS
from tests.conformance.here import Here, until
from tests.conformance.monitoring import SlotWatch

pytestmark = [pytest.mark.only("cluster"), pytest.mark.parametrize("here", ["warm"], indirect=True)]

CALLS_MIN = 20
SESSION_MIN = 40
"""Tests in one place; fewer are a part of the suite."""


async def test_every_script_touches_keys_of_its_own_slot_alone(
    here: Here,
    manager: WorkflowManager,
    slots: SlotWatch,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @manager.workflow(name="child")
    async def child(step: Step) -> None:
        await step.await_event("go")

    @manager.mutation(name="note")
    async def note(tx: Transaction) -> None:
        await tx.get(tx.key("read"))
        tx.set(tx.key("written"), 1)

    @manager.workflow(name="parent")
    async def parent(step: Step) -> None:
        await step.run_mutation(note)
        await step.run_workflow(child.with_options(id="the child"))

    async def compares(self: Exclusive, held: Held, **what: Any) -> Appended:  # noqa: ANN401 - whatever it is given
        what["compare"] = True
        return await complete(self, held, **what)

    # As at maxmemory.
    complete = Exclusive.complete
    monkeypatch.setattr(Exclusive, "complete", compares)
    async with here.working(manager):
        handle, store = await manager.start(parent), await manager.store()

        async def there() -> bool:
            return bool((await manager.list(workflow=child)).items)

        await until(there)
        # What workers call after a minute without news, and for a turn that came back from a dead worker.
        await store.timers.reconcile(handle.address)
        await store.turns.risk(handle.address, "0-1", token="t")
        # What comes only when code is missing, or when the doctor puts things right.
        await store.turns.postpone(handle.address, "0-1", delay_ms=0)
        tag = store.space.keys.tag_of(handle.address)
        for what in get_args(Mendable):
            await store.mending.mend(handle.address, what, commands=[1])
        await store.mending.drop(Placed(tag, "delayed", "nobody's", ""))
        await store.mending.purge("wf/nobody")
        await store.space.call("group", keys.shared(tag, "q:default"), "workers")
        damaged = await manager.start(child.with_options(id="damaged"))
        await store.discarding.discard(damaged.address, unknown=b"", completes=False)
        await manager.handle("the child").send_event("go")
        await handle.result()
    assert slots.calls > CALLS_MIN
    assert not slots.wrong
    ran = [item for item in request.session.items if "[cluster-" in item.nodeid]
    if len(ran) >= SESSION_MIN:
        assert SCRIPTS.keys() - slots.seen == set()
