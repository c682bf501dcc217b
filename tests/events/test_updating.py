"""Updates: requests that run inside the workflow and answer, whatever the workflow is doing and whoever dies."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from actors import (
    InProgress,
    InvalidArguments,
    InvalidOption,
    InvalidReturn,
    PayloadTooLarge,
    Step,
    UpdateFailed,
    WorkflowEnded,
    WorkflowFailed,
    WorkflowManager,
    WorkflowNotFound,
)
from actors.definitions import Workflow
from tests.api.watching import Managers, seen


class Item(BaseModel):
    name: str
    cents: int = 1


def define(manager: WorkflowManager) -> Workflow[[], list[str]]:
    """Register a cart that is filled by updates; ``price`` runs as a step."""

    @manager.action(name="price")
    async def price(name: str) -> int:
        return len(name)

    @manager.workflow(name="cart")
    async def cart(step: Step) -> list[str]:
        items: list[str] = []
        closed = asyncio.Event()

        @step.update_handler
        async def add(item: Item, times: int = 1) -> int:
            if item.name == "bomb":
                raise LookupError("we do not sell bombs")
            cents = await step.run_action(price, item.name)
            items.extend([item.name] * times)
            return cents

        @step.update_handler(name="close")
        def close_it() -> list[str]:
            closed.set()
            return items

        await closed.wait()
        return items

    return cart


async def test_an_update_runs_inside_the_workflow_and_answers(manager: WorkflowManager) -> None:
    cart = define(manager)
    async with manager.worker():
        handle = await manager.start(cart)
        assert await handle.update("add", Item(name="pen"), type=int) == 3
        assert await asyncio.gather(*(handle.update("add", {"name": n}, 2) for n in ("ink", "paper"))) == [3, 5]
        closed = await handle.update("close", type=list[str])
        assert sorted(closed) == ["ink", "ink", "paper", "paper", "pen"]
        assert sorted(await handle.result()) == sorted(closed)
        told = [(e.name, e.value) for e in await handle.history() if e.kind == "update"]
        assert told == [("add", 3), ("add", 3), ("add", 5), ("close", closed)]


async def test_an_update_reaches_an_instance_that_is_cached_nowhere_and_replays_the_same(managers: Managers) -> None:
    manager = managers()
    cart = define(manager)
    async with manager.worker(cache_instances=0):
        handle = await manager.start(cart)
        assert await handle.update("add", Item(name="pen")) == 3
        with pytest.raises(UpdateFailed):
            await handle.update("add", Item(name="bomb"))
    # Nobody runs it now; what is asked waits for the next worker.
    asked = asyncio.ensure_future(managers().handle(handle.id).update("close", type=list[str]))
    async with manager.worker(cache_instances=0):
        assert await asked == ["pen"]


async def test_a_rejected_update_reaches_no_code_of_the_workflow(manager: WorkflowManager) -> None:
    cart = define(manager)
    async with manager.worker():
        handle = await manager.start(cart)
        with pytest.raises(InvalidArguments, match=r"the update 'add' was rejected: .*cents: Input should be a valid"):
            await handle.update("add", {"name": "pen", "cents": "many"})
        with pytest.raises(InvalidArguments, match="missing a required argument: 'item'"):
            await handle.update("add")
        with pytest.raises(InvalidArguments, match="too many positional arguments"):
            await handle.update("close", 1)
        assert await handle.update("close") == []
        assert not [step for step in await handle.steps() if step.kind == "action"]
        rejected = [e for e in await handle.history() if e.kind == "update" and e.error is not None]
        assert [entry.error.error_type for entry in rejected if entry.error] == ["InvalidArguments"] * 3


async def test_the_error_of_a_handler_is_raised_and_the_workflow_goes_on(manager: WorkflowManager) -> None:
    cart = define(manager)
    async with manager.worker():
        handle = await manager.start(cart)
        with pytest.raises(UpdateFailed, match="LookupError: we do not sell bombs") as raised:
            await handle.update("add", Item(name="bomb"))
        assert "raise LookupError" in raised.value.traceback
        assert await handle.update("close") == []


@pytest.mark.parametrize("error", ["Stop", "SystemExit"])
async def test_what_is_no_exception_is_raised_at_the_caller_too(manager: WorkflowManager, error: str) -> None:
    class Stop(BaseException):
        pass

    @manager.workflow
    async def flow(step: Step) -> str:
        @step.update_handler
        async def leave() -> None:
            raise Stop if error == "Stop" else SystemExit(3)

        return await step.await_event("end", str)

    async with manager.worker():
        handle = await manager.start(flow)
        with pytest.raises(UpdateFailed, match=error):
            await handle.update("leave", timeout=5)
        await handle.send_event("end", "done")
        assert await handle.result() == "done"


async def test_what_is_sent_before_the_handler_is_registered_waits(manager: WorkflowManager) -> None:
    @manager.workflow
    async def late(step: Step) -> None:
        await step.await_event("open")
        done = asyncio.Event()

        @step.update_handler
        async def finish(word: str) -> str:
            done.set()
            return word.upper()

        await done.wait()

    handle = await manager.start(late)
    asked = asyncio.ensure_future(handle.update("finish", "now"))
    async with manager.worker():
        await seen(handle, lambda snapshot: any(s.state == "waiting" for s in snapshot.steps))
        with pytest.raises(TimeoutError, match=r"has not answered the update 'finish' within 0\.05 s; it stays sent"):
            await handle.update("finish", "again", timeout=0.05, id="again")
        await handle.send_event("open")
        assert await asked == "NOW"
        assert await handle.update("finish", "again", id="again") == "AGAIN"


async def test_one_id_is_carried_out_once_and_answers_the_same(manager: WorkflowManager) -> None:
    cart = define(manager)
    async with manager.worker():
        handle = await manager.start(cart)
        answers = await asyncio.gather(*(handle.update("add", Item(name="pen"), id="7") for _ in range(5)))
        assert answers == [3] * 5
        assert await handle.update("close") == ["pen"]
        await handle.result()
        assert await handle.update("add", Item(name="pen"), id="7") == 3  # also when it has ended


async def test_ids_of_events_and_of_updates_are_apart(manager: WorkflowManager) -> None:
    cart = define(manager)
    async with manager.worker():
        handle = await manager.start(cart)
        await handle.send_event("noise", id="7")
        assert await handle.update("add", Item(name="pen"), id="7") == 3
        await handle.cancel()


async def test_nobody_answers_for_the_unknown_or_the_ended(manager: WorkflowManager) -> None:
    cart = define(manager)
    with pytest.raises(WorkflowNotFound, match="no workflow 'nobody'"):
        await manager.handle("nobody").update("add")
    async with manager.worker():
        handle = await manager.start(cart)
        waiting = asyncio.ensure_future(handle.update("no such handler"))
        await seen(handle, lambda snapshot: any(s.state == "waiting" for s in snapshot.steps))
        await handle.update("close")
        with pytest.raises(WorkflowEnded, match=r"has ended \(completed\): the update 'no such handler' was not"):
            await waiting
        with pytest.raises(WorkflowEnded):
            await handle.update("add", Item(name="pen"))


async def test_a_handler_that_still_runs_at_the_end_is_told_of(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        @step.update_handler
        async def slow() -> None:
            step.set_value("slow", True)
            await step.sleep(3600)

        await step.await_event("end")

    async with manager.worker():
        handle = await manager.start(flow)
        asked = asyncio.ensure_future(handle.update("slow"))
        await seen(handle, lambda snapshot: snapshot.values.get("slow"))
        await handle.send_event("end")
        with pytest.raises(UpdateFailed, match="WorkflowEnded: the workflow ended, or began anew, before its handler"):
            await asked


async def test_a_canceled_workflow_answers_nobody(manager: WorkflowManager) -> None:
    cart = define(manager)
    async with manager.worker():
        handle = await manager.start(cart)
        asked = asyncio.ensure_future(handle.update("nothing"))
        await seen(handle, lambda snapshot: any(s.state == "waiting" for s in snapshot.steps))
        await handle.cancel()
        with pytest.raises(WorkflowEnded, match="canceled"):
            await asked


async def test_a_workflow_with_handlers_alone_is_no_deadlock(manager: WorkflowManager) -> None:
    cart = define(manager)
    async with manager.worker():
        handle = await manager.start(cart)
        snapshot = await seen(handle, lambda snapshot: len(snapshot.steps) == 2)
        assert [(s.name, s.kind, s.state) for s in snapshot.steps] == [
            ("add", "update_handler", "waiting"),
            ("close", "update_handler", "waiting"),
        ]
        await handle.update("close")
        await handle.result()
        assert [s.state for s in (await handle.steps())[:2]] == ["completed"] * 2


async def test_another_handler_of_the_name_takes_the_place_of_the_first(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        @step.update_handler(name="answer")
        def first() -> int:
            return 1

        await step.await_event("switch")

        @step.update_handler(name="answer")
        def second() -> int:
            return 2

        await step.await_event("end")

    async with manager.worker():
        handle = await manager.start(flow)
        assert await handle.update("answer") == 1
        await handle.send_event("switch")
        assert await handle.update("answer") == 2
        await handle.send_event("end")
        await handle.result()


async def test_two_handlers_of_one_name_at_once_are_refused_and_the_same_one_again_is_not(
    manager: WorkflowManager,
) -> None:
    @manager.workflow(name="mistaken")
    async def mistaken(step: Step) -> None:
        @step.update_handler
        def answer() -> int:
            return 1

        @step.update_handler(name="answer")
        def other() -> int:
            return 2

    @manager.workflow(name="inner")
    async def inner(step: Step, number: int) -> None:
        @step.update_handler
        def answer() -> int:
            return number

    @manager.workflow(name="again")
    async def again(step: Step) -> None:
        for number in range(3):
            await inner(step, number)
        await step.await_event("end")

    async with manager.worker(cache_instances=0):
        with pytest.raises(WorkflowFailed, match=r"'answer' has just been registered for .*answer\(\) at line \d+"):
            await (await manager.start(mistaken)).result()
        handle = await manager.start(again)
        assert await handle.update("answer") == 2
        await handle.cancel()


async def test_arguments_may_go_by_name_and_are_validated_as_by_position(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        @step.update_handler
        def add(item: Item, times: int = 1, *, note: str = "none") -> str:
            return f"{times} {item.name} {note}"

        await step.await_event("end")

    async with manager.worker():
        handle = await manager.start(flow)
        assert await handle.update("add", Item(name="pen"), times=2, type=str) == "2 pen none"
        assert await manager.update(handle.id, "add", item=Item(name="cup"), note="gift") == "1 cup gift"
        with pytest.raises(InvalidArguments, match="times"):
            await handle.update("add", Item(name="pen"), times="many")
        with pytest.raises(InvalidArguments, match="timse"):
            await handle.update("add", Item(name="pen"), timse=2)
        with pytest.raises(InvalidArguments, match="an argument of the update 'add' cannot be encoded"):
            await handle.update("add", item=object())
        await handle.cancel()


async def test_a_published_value_is_read_as_of_a_type(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        step.set_value("progress", [Item(name="pen")])

    async with manager.worker():
        handle = await manager.start(flow)
        await handle.result()
        assert await handle.value("progress") == [{"name": "pen", "cents": 1}]
        assert await handle.value("progress", type=list[Item]) == [Item(name="pen")]
        assert await manager.value(handle.id, "progress", type=list[Item]) == [Item(name="pen")]
        assert await handle.value("nothing", type=int) is None
        with pytest.raises(InvalidReturn, match="the value 'progress' does not fit type="):
            await handle.value("progress", type=int)
        with pytest.raises(InvalidOption, match="is no type of values"):
            await handle.value("progress", type=asyncio.Event)


async def test_answers_are_validated_at_both_ends(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        @step.update_handler
        def broken() -> int:
            return "many"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

        @step.update_handler
        def fine() -> str:
            return "many"

        await step.await_event("end")

    async with manager.worker():
        handle = await manager.start(flow)
        with pytest.raises(UpdateFailed, match="InvalidReturn"):
            await handle.update("broken")
        with pytest.raises(InvalidReturn, match="answered with a value that does not fit type="):
            await handle.update("fine", type=int)
        with pytest.raises(InvalidOption, match="name="):
            await handle.update("a|b")
        with pytest.raises(InvalidArguments, match="an argument of the update 'fine' cannot be encoded"):
            await handle.update("fine", object())
        with pytest.raises(PayloadTooLarge, match="what is passed to the update 'fine'"):
            await handle.update("fine", b"x" * 2**21)
        await handle.cancel()


async def test_what_cannot_answer_is_refused_where_it_is_registered(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> None:
        step.update_handler(len)

    async with manager.worker():
        handle = await manager.start(flow)
        with pytest.raises(WorkflowFailed, match=r"InvalidDefinition: .*cannot answer updates: decorate a def"):
            await handle.result()


async def test_updates_are_answered_in_the_order_sent(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> list[int]:
        seen: list[int] = []

        @step.update_handler
        def note(number: int) -> int:
            seen.append(number)
            return len(seen)

        await step.await_event("end")
        return seen

    handle = await manager.start(flow)
    asked = [asyncio.ensure_future(handle.update("note", number)) for number in range(250)]
    async with manager.worker():
        await asyncio.gather(*asked)
        await handle.send_event("end")
        numbers = await handle.result()
    assert [number + 1 for number in range(250)] == sorted(task.result() for task in asked)
    assert [asked[number].result() for number in numbers] == list(range(1, 251))


async def test_a_handler_that_only_listens_is_no_running_step(manager: WorkflowManager) -> None:
    cart = define(manager)

    async with manager.worker():
        handle = await manager.start(cart)
        assert await handle.update("add", {"name": "tea"}) == 3
        status = await handle.status()
        seen_by_watchers = (await anext(handle.watch())).status
        assert [step.kind for step in await handle.steps()][:2] == ["update_handler"] * 2
        await handle.cancel()

    assert isinstance(status, InProgress)
    assert isinstance(seen_by_watchers, InProgress)
    assert (status.running, seen_by_watchers.running) == ((), ())
