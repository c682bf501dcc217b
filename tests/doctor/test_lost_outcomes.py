"""Outcomes that were recorded and are lost: what was done is not done again, and what is damaged is called so."""

from __future__ import annotations

from typing import cast

import pytest

from actors import InstanceDamaged, Step, Stopped, Transaction, WorkflowManager
from tests.api.watching import Managers, in_state, seen
from tests.doctor.patients import Patient, codes, of


class Bank:
    """Counts how often money was moved."""

    def __init__(self, manager: WorkflowManager) -> None:
        @manager.mutation(name="move")
        async def move(tx: Transaction) -> int:
            self.moved += 1
            tx.incr(tx.key("moved"))
            return self.moved

        @manager.workflow(name="flow")
        async def flow(step: Step) -> int:
            await step.run_mutation(move)
            await step.await_event("go")
            return 2

        self.moved = 0
        self.flow = flow


async def moved(manager: WorkflowManager) -> tuple[Bank, Patient]:
    """Its mutation, number 1, was carried out; it waits for an event, and no worker is at work."""
    bank = Bank(manager)
    async with manager.worker():
        handle = await manager.start(bank.flow.with_options(id="a"))
        await seen(handle, in_state("go", "waiting"))
    assert bank.moved == 1
    store = await manager.store()
    return bank, Patient(manager, handle, store, store.space.keys.tag_of(handle.address))


async def test_a_mutation_whose_outcome_was_lost_is_not_done_again_by_a_repair(manager: WorkflowManager) -> None:
    bank, patient = await moved(manager)
    await patient.redis("HDEL", patient.part("journal"), "r1")

    report = await manager.doctor(repair=True)

    finding = of(report, "lost_outcome")
    assert (finding.subject, finding.repaired) == ("a", "")
    assert "headrace restart" in finding.advice
    assert "lost_open" not in codes(report)
    async with manager.worker():
        await patient.handle.send_event("go")
        await seen(patient.handle, lambda snapshot: isinstance(snapshot.status, Stopped))
    assert bank.moved == 1


async def test_an_instance_that_is_stopped_over_a_damaged_journal_is_not_told_to_put_its_code_back(
    manager: WorkflowManager,
) -> None:
    _, patient = await moved(manager)
    await patient.redis("HDEL", patient.part("journal"), "r1")
    await patient.handle.send_event("go")
    async with manager.worker():
        await seen(patient.handle, lambda snapshot: isinstance(snapshot.status, Stopped))

    status = await patient.handle.status()

    assert isinstance(status, Stopped)
    assert "damaged journal" in str(status.error.message)
    assert "headrace doctor" in status.error.message
    assert "back" not in status.error.message
    finding = of(await manager.doctor(), "stopped")
    assert "mend the code" not in finding.advice


async def test_a_restart_that_would_do_again_what_may_have_been_done_says_so(manager: WorkflowManager) -> None:
    bank, patient = await moved(manager)
    await patient.redis("HDEL", patient.part("journal"), "r1")
    await patient.handle.cancel()

    with pytest.raises(InstanceDamaged, match="restart from step 1 or earlier"):
        await patient.handle.restart(from_step=2)
    await patient.handle.restart(from_step=1)

    async with manager.worker():
        await seen(patient.handle, in_state("go", "waiting"))
        await patient.handle.send_event("go")
        assert await patient.handle.result(timeout=10) == 2
    assert bank.moved == 2, "by somebody's own decision"


async def test_a_place_that_a_restarted_instance_lost_is_given_to_its_step_again(managers: Managers) -> None:
    manager = managers()
    bank, patient = await moved(manager)
    await patient.handle.cancel()
    await patient.handle.restart(from_step=1)
    async with manager.worker():
        await seen(patient.handle, in_state("go", "waiting"))
    opened = cast("list[bytes]", await patient.redis("HKEYS", patient.part("open")))
    await patient.redis("HDEL", patient.part("open"), *(seq.decode() for seq in opened))

    assert of(await manager.doctor(repair=True), "lost_open").repaired
    async with manager.worker():
        await patient.handle.send_event("go")
        assert await patient.handle.result(timeout=10) == 2
    assert bank.moved == 2
