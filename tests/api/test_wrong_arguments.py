"""Arguments that cannot be right, from untyped code: a named error that says what to give, and nothing is harmed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from actors import IdInUse, InvalidOption, Misuse, Step, WorkflowManager
from actors.codecs import Chain
from tests.api.watching import seen

WRONG = cast("Any", 5)


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: WorkflowManager(WRONG), "url=5: give a text"),
        (lambda: WorkflowManager("memory://x", namespace=WRONG), "namespace=5: use 1 to 64"),
        (lambda: WorkflowManager("memory://x").event("x", WRONG), "type=5 is no type of values"),
        (lambda: WorkflowManager("memory://x").handle(cast("Any", None)), "None cannot be a workflow's id"),
        (lambda: WorkflowManager("memory://x").handle("o-1", WRONG), "give the workflow"),
        (Chain, "give one or more"),
        (lambda: Chain(WRONG), "give objects with encode"),
    ],
)
def test_what_is_of_a_wrong_type_is_refused_by_name(make: Callable[[], object], advice: str) -> None:
    with pytest.raises(InvalidOption, match=advice):
        make()


async def test_lists_and_starts_refuse_what_is_of_a_wrong_type(manager: WorkflowManager) -> None:
    @manager.action(name="act")
    async def act() -> None: ...

    with pytest.raises(InvalidOption, match="tags=5: give a mapping"):
        await manager.list(tags=WRONG)
    with pytest.raises(InvalidOption, match="cursor=5: give the cursor"):
        await manager.list(cursor=WRONG)
    with pytest.raises(InvalidOption, match="give a workflow, its registered name"):
        await manager.list(workflow=cast("Any", act))
    with pytest.raises(Misuse, match="give an iterable of calls"):
        await manager.start_many(cast("Any", None))


@pytest.mark.parametrize("key", [None, 5, "", "a|b", "\ud800"])
async def test_a_key_that_cannot_be_one_is_refused_and_the_connection_stays(
    manager: WorkflowManager, key: object
) -> None:
    with pytest.raises(InvalidOption, match="key="):
        await manager.handle("o-1").value(cast("Any", key))


async def test_waiting_for_a_result_in_vain_says_what_to_do(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step) -> None: ...

    handle = await manager.start(flow.with_options(id="f"))
    with pytest.raises(TimeoutError, match=r"'f' has not ended within 0.01 s; it goes on: .* whether a worker runs"):
        await handle.result(timeout=0.01)


async def test_updates_and_waits_check_the_type_before_anything_is_done(manager: WorkflowManager) -> None:
    calls: list[int] = []

    @manager.workflow(name="flow")
    async def flow(step: Step) -> str:
        @step.update_handler
        def add(number: int) -> int:
            calls.append(number)
            return number

        @step.update_handler
        def total() -> int:
            return sum(calls)

        try:
            await step.await_event("go", WRONG)
        except InvalidOption as error:
            step.set_value("refused", str(error))
        return await step.await_event("go", str)

    async with manager.worker():
        handle = await manager.start(flow)
        snapshot = await seen(handle, lambda snapshot: "refused" in snapshot.values)
        assert "type=5 is no type of values" in snapshot.values["refused"]
        with pytest.raises(InvalidOption, match="type=5 is no type of values"):
            await handle.update("add", 1, type=WRONG)
        assert await handle.update("total", type=int) == 0

        assert await handle.update("add", 7, id="u-1") == 7
        assert await handle.update("add", 7, id="u-1") == 7
        with pytest.raises(
            IdInUse, match=r"'u-1' is that of the update 'add', .* 'total' was not sent: give another id"
        ):
            await handle.update("total", id="u-1")
        assert await handle.update("total", id="u-2") == 7
        await handle.send_event("go", "gone")
        assert await handle.result(timeout=5) == "gone"


async def test_one_id_in_use_among_many_is_named_and_how_many_stand(manager: WorkflowManager) -> None:
    @manager.workflow(name="flow")
    async def flow(step: Step, number: int) -> None: ...

    @manager.workflow(name="other")
    async def other(step: Step) -> None: ...

    await manager.start(other.with_options(id="f-2"))
    calls = [flow.with_options(id=f"f-{number}").bind(number) for number in range(5)]
    for _ in range(2):
        with pytest.raises(IdInUse, match=r"id='f-2' belongs to .* 4 of the 5 calls .* stand started and 1 could not"):
            await manager.start_many(calls)
        assert len((await manager.list(workflow=flow)).items) == 4
    with pytest.raises(IdInUse, match=r"clean the other instance up first$"):
        await manager.start(flow.with_options(id="f-2"), 2)


async def test_words_that_cannot_be_sent_fail_alone_and_break_no_connection(manager: WorkflowManager) -> None:
    space = (await manager.store()).space
    link = space.link("k")
    before = (link.epoch, link.opened)
    replies = await asyncio.gather(
        link.send("k", "SET", "k", "1"),
        link.send("k", "GET", cast("Any", None)),
        link.send("k", "GET", "\ud800"),
        link.send("k", "GET", "k"),
        return_exceptions=True,
    )
    assert (replies[0], replies[3]) in {(b"OK", b"1"), (True, b"1")}
    assert isinstance(replies[1], TypeError)
    assert isinstance(replies[2], UnicodeEncodeError)
    assert (link.epoch, link.opened) == before
