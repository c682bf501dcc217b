"""``step.saga()``: undos run in reverse, each durable, on errors and cancellations that let code run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import (
    CallNotAllowed,
    InvalidArguments,
    Misuse,
    OutcomeUnknown,
    RetryPolicy,
    Step,
    StepFailed,
    Transaction,
    WorkflowCanceled,
    WorkflowFailed,
    WorkflowManager,
)
from actors.definitions import AsyncAction, Mutation
from actors.testing import WorkflowTester
from tests.api.watching import running, seen


class Steps:
    """What the sagas of these tests do, and a log of it."""

    def __init__(self, manager: WorkflowManager) -> None:
        self.log: list[str] = []
        self.went = asyncio.Event()

        @manager.action(name="book")
        async def book(what: str) -> str:
            self.log.append(f"book {what}")
            if what == "car":
                raise LookupError("no car left")
            if what == "yacht":
                self.went.set()
                await asyncio.Event().wait()
            return what

        @manager.action(name="cancel_booking", retry=RetryPolicy(max_attempts=2, initial_backoff=0.001))
        async def cancel_booking(what: str, *, hurried: bool = False) -> None:
            self.log.append(f"cancel {what}{' hurriedly' if hurried else ''}")
            if what == "stubborn":
                raise ConnectionError("nobody answers")

        @manager.mutation(name="release")
        async def release(tx: Transaction, what: str) -> None:
            tx.incr(tx.key(f"released:{what}"))
            self.log.append(f"release {what}")

        self.book: AsyncAction[[str], str] = book
        self.cancel: AsyncAction[..., None] = cancel_booking
        self.release: Mutation[[str], None] = release


@pytest.fixture
def do(manager: WorkflowManager) -> Steps:
    return Steps(manager)


async def test_undos_run_in_reverse_when_the_block_raises(manager: WorkflowManager, do: Steps) -> None:
    @manager.workflow(name="trip")
    async def trip(step: Step) -> None:
        async with step.saga() as saga:
            for what in ("flight", "hotel"):
                saga.undo(do.cancel, what, hurried=what == "hotel")
                await step.run_action(do.book, what)
            saga.undo(do.release, "seat")
            await step.run_action(do.book, "car")

    async with manager.worker():
        handle = await manager.start(trip)
        with pytest.raises(WorkflowFailed, match="no car left"):
            await handle.result()
        assert do.log == [
            *["book flight", "book hotel", "book car"],
            *["release seat", "cancel hotel hurriedly", "cancel flight"],
        ]
        assert [view.name for view in await handle.steps()][-3:] == ["release", "cancel_booking", "cancel_booking"]


async def test_nothing_is_undone_when_the_block_ends_well(manager: WorkflowManager, do: Steps) -> None:
    @manager.workflow(name="trip")
    async def trip(step: Step) -> str:
        async with step.saga() as saga:
            saga.undo(do.cancel, "flight")
            return await step.run_action(do.book, "flight")

    async with manager.worker():
        assert await (await manager.start(trip)).result() == "flight"
        assert do.log == ["book flight"]


async def test_a_cancellation_with_cleanup_undoes(manager: WorkflowManager, do: Steps) -> None:
    @manager.workflow(name="trip")
    async def trip(step: Step) -> None:
        async with step.saga() as saga:
            saga.undo(do.cancel, "flight")
            await step.run_action(do.book, "flight")
            saga.undo(do.cancel, "yacht")
            await step.run_action(do.book, "yacht")

    async with manager.worker():
        handle = await manager.start(trip)
        await do.went.wait()
        await handle.cancel(cleanup=True)
        with pytest.raises(WorkflowCanceled):
            await handle.result()
        assert do.log == ["book flight", "book yacht", "cancel yacht", "cancel flight"]


async def test_a_cancellation_without_cleanup_undoes_nothing(manager: WorkflowManager, do: Steps) -> None:
    @manager.workflow(name="trip")
    async def trip(step: Step) -> None:
        async with step.saga() as saga:
            saga.undo(do.cancel, "yacht")
            await step.run_action(do.book, "yacht")

    async with manager.worker():
        handle = await manager.start(trip)
        await seen(handle, running("book"))
        await handle.cancel()
    assert do.log == ["book yacht"]


async def test_an_undo_that_fails_is_told_and_keeps_no_other_from_running(manager: WorkflowManager, do: Steps) -> None:
    @manager.workflow(name="trip")
    async def trip(step: Step) -> list[str]:
        saga = step.saga()
        try:
            async with saga:
                saga.undo(do.cancel, "flight")
                saga.undo(do.cancel, "stubborn")
                saga.undo(do.cancel, "hotel")
                await step.run_action(do.book, "car")
        except StepFailed as error:
            return [*getattr(error, "__notes__", []), *(str(failure) for failure in saga.failures)]
        return []

    async with manager.worker():
        handle = await manager.start(trip)
        note, failure = await handle.result()
        assert note == f"the undo 'cancel_booking' failed: {failure}"
        assert failure == "ConnectionError: nobody answers (after 2 attempts)"
        assert do.log == ["book car", "cancel hotel", "cancel stubborn", "cancel stubborn", "cancel flight"]
        assert [view.state for view in await handle.steps()] == ["failed", "completed", "failed", "completed"]


async def test_what_an_undo_failed_of_is_in_the_workflow_s_own_error(manager: WorkflowManager, do: Steps) -> None:
    @manager.workflow(name="trip")
    async def trip(step: Step) -> None:
        async with step.saga() as saga:
            saga.undo(do.cancel, "stubborn")
            await step.run_action(do.book, "car")

    async with manager.worker():
        with pytest.raises(WorkflowFailed) as caught:
            await (await manager.start(trip)).result()
        assert "the undo 'cancel_booking' failed: ConnectionError: nobody answers" in caught.value.traceback


async def test_registered_before_its_step_an_undo_covers_an_unknown_outcome(do: Steps) -> None:
    manager = WorkflowManager("memory://nowhere")
    do = Steps(manager)

    @manager.workflow(name="trip")
    async def trip(step: Step) -> str:
        try:
            async with step.saga() as saga:
                saga.undo(do.cancel, "flight")
                await step.run_action(do.book, "flight")
        except OutcomeUnknown as error:
            return error.error_type
        return ""

    async with WorkflowTester(manager) as tester:
        tester.fake(do.book, OutcomeUnknown("its worker died", error_type="WorkerLost"))
        assert await (await tester.start(trip)).result() == "WorkerLost"
    assert do.log == ["cancel flight"]


async def test_a_child_workflow_can_undo(manager: WorkflowManager, do: Steps) -> None:
    @manager.workflow(name="compensate")
    async def compensate(step: Step, what: str) -> None:
        await step.run_mutation(do.release, what)

    @manager.workflow(name="trip")
    async def trip(step: Step) -> None:
        async with step.saga() as saga:
            saga.undo(compensate, "seat")
            await step.run_action(do.book, "car")

    async with manager.worker():
        with pytest.raises(WorkflowFailed):
            await (await manager.start(trip)).result()
        assert do.log == ["book car", "release seat"]


async def test_a_timeout_around_a_saga_does_not_break_its_undos_off(manager: WorkflowManager) -> None:
    log: list[str] = []

    @manager.action(name="undo")
    async def undo(what: str) -> None:
        log.append(what)

    @manager.workflow(name="trip")
    async def trip(step: Step) -> str:
        async def inner() -> None:
            async with step.saga() as saga:
                saga.undo(undo.with_options(run_after=60), "first")
                saga.undo(undo.with_options(run_after=60), "second")
                await step.sleep(1000)

        task = asyncio.ensure_future(inner())
        await step.sleep(10)
        task.cancel()
        await step.sleep(30)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return "canceled"
        return ""

    async with WorkflowTester(manager, replay="always") as tester:
        assert await (await tester.start(trip)).result() == "canceled"
    assert log == ["second", "first"]


@pytest.mark.parametrize("seed", range(8))
def test_crashes_at_any_moment_undo_all_once(seed: int) -> None:
    manager = WorkflowManager("memory://nowhere")

    @manager.mutation(name="take")
    async def take(tx: Transaction, what: str) -> None:
        tx.incr(f"taken:{what}")

    @manager.mutation(name="give")
    async def give(tx: Transaction, what: str) -> None:
        tx.decr(f"taken:{what}")

    @manager.workflow(name="trip")
    async def trip(step: Step) -> None:
        async with step.saga() as saga:
            for what in "abc":
                await step.run_mutation(take, what)
                saga.undo(give, what)
            await step.sleep(5)
            raise LookupError

    async def play(tester: WorkflowTester) -> None:
        handle = await tester.start(trip)
        with pytest.raises(WorkflowFailed):
            await handle.result()
        space = (await tester.manager.store()).space
        for what in "abc":
            assert await space.send(space.keys.tags[0], "GET", f"taken:{what}") == b"0"

    with WorkflowTester(manager, crash_seed=seed) as tester:
        tester.play(play)


async def test_wrong_undos_are_refused_where_they_are_registered(manager: WorkflowManager, do: Steps) -> None:
    @manager.query(name="look")
    async def look(tx: Transaction) -> int:
        return 1

    @manager.workflow(name="trip")
    async def trip(step: Step) -> list[str]:
        said: list[str] = []
        async with step.saga() as saga:
            undo: Any = saga.undo
            for wrong, args in ((look, ()), (print, ()), (do.cancel, (1, 2, 3))):
                try:
                    undo(wrong, *args)
                except (CallNotAllowed, InvalidArguments) as error:
                    said.append(type(error).__name__)
        try:
            saga.undo(do.cancel, "late")
        except Misuse as error:
            said.append(str(error).partition(":")[0].partition("(")[0])
        return said

    async with manager.worker():
        assert await (await manager.start(trip)).result() == [
            "CallNotAllowed", "CallNotAllowed", "InvalidArguments", "saga.undo",
        ]  # fmt: skip
