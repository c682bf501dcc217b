"""Outcomes that were recorded and are lost: what was done is not done again, and what is damaged is called so."""

from __future__ import annotations

from typing import cast

import pytest

from actors import InstanceDamaged, Step, Stopped, Transaction, WorkflowFailed, WorkflowHandle, WorkflowManager
from kernel import NOT_EAGER, ZERO, ActorDamaged
from kernel.store.journal import write_command
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


class Parallel:
    """Asks for two steps at once and then for a third; counts how often each was done, and fails until mended."""

    def __init__(self, manager: WorkflowManager) -> None:
        @manager.action(name="work")
        async def work(name: str) -> str:
            self.done.append(name)
            return name

        @manager.workflow(name="flow")
        async def flow(step: Step) -> str:
            first = await step.run_action(work, "first")
            both = step.run_action(work, "a"), step.run_action(work, "b")
            said = [await one for one in both]
            if self.broken:
                raise ValueError("not mended")
            return "".join((first, *said))

        self.broken = True
        self.done: list[str] = []
        self.flow = flow


async def restarted(manager: WorkflowManager) -> tuple[Parallel, Patient]:
    """All its steps were done; it is restarted behind the last and no worker has taken its first turn."""
    parallel = Parallel(manager)
    async with manager.worker():
        handle = await manager.start(parallel.flow.with_options(id="a"))
        with pytest.raises(WorkflowFailed, match="not mended"):
            await handle.result(timeout=10)
    await handle.restart(from_step=4)
    parallel.broken = False
    assert sorted(parallel.done) == ["a", "b", "first"]
    store = await manager.store()
    return parallel, Patient(
        manager, cast("WorkflowHandle[int]", handle), store, store.space.keys.tag_of(handle.address)
    )


@pytest.mark.parametrize(
    ("outcome", "said"),
    [("r1", "event 2"), ("r2", "the outcome of step 2")],
    ids=["of_a_command_that_stays", "of_one_that_is_asked_for_again"],
)
async def test_an_outcome_that_a_restart_has_kept_and_that_is_lost_is_reported_and_not_done_again(
    manager: WorkflowManager, outcome: str, said: str
) -> None:
    parallel, patient = await restarted(manager)
    await patient.redis("HDEL", patient.part("journal"), outcome)

    report = await manager.doctor(repair=True)
    assert "stale_kept" not in codes(report)
    assert codes(report) & {"lost_outcome", "lost_event"}
    async with manager.worker():
        await seen(patient.handle, lambda snapshot: isinstance(snapshot.status, Stopped))
    status = await patient.handle.status()

    assert isinstance(status, Stopped)
    assert status.error.error_type == "JournalDamaged"
    assert said in status.error.message
    assert sorted(parallel.done) == ["a", "b", "first"]


async def test_a_restart_does_not_do_again_by_itself_what_an_earlier_one_has_kept(manager: WorkflowManager) -> None:
    parallel, patient = await restarted(manager)
    await patient.redis("HDEL", patient.part("journal"), "r2")
    await patient.handle.cancel()

    with pytest.raises(InstanceDamaged, match="the outcome of step 2 is lost"):
        await patient.handle.restart()
    with pytest.raises(InstanceDamaged, match="restart from step 2 or earlier"):
        await patient.handle.restart(from_step=4)
    await patient.handle.restart(from_step=2)

    async with manager.worker():
        assert await patient.handle.result(timeout=10) == cast("int", "firstab")
    assert sorted(parallel.done) == ["a", "a", "b", "b", "first"], "by somebody's own decision"


async def test_an_outcome_that_is_lost_after_the_code_was_fed_with_it_is_not_done_again(
    manager: WorkflowManager,
) -> None:
    """The turn's decision is on its way when the outcome goes: the script itself has to see it."""
    _, patient = await restarted(manager)
    store, address = patient.store, patient.handle.address
    record = (await store.turns.fetch(address, generation="", fed=ZERO)).record
    history = await store.turns.history(address, record)
    await patient.redis("HDEL", patient.part("journal"), "r2")

    await store.turns.commit(
        address,
        generation=record.generation,
        base=record.consumed,
        reached=record.appended,
        token="token",
        commands=[write_command(history.kept[seq].command, token="token", void=False) for seq in (2, 3)],
        canceled=(),
        end=None,
        park=False,
        eager=NOT_EAGER,
        number_of_first=record.commands + 1,
    )

    assert await patient.redis("HKEYS", patient.part("open")) == []
    report = await manager.doctor(repair=True)
    assert [one.code for one in report.findings if one.code.startswith("lost")] == ["lost_outcome"]
    assert await patient.redis("HKEYS", patient.part("open")) == []
    record = (await store.turns.fetch(address, generation="", fed=ZERO)).record
    with pytest.raises(ActorDamaged, match="the outcome of step 2"):
        await store.turns.history(address, record)
