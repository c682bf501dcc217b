"""Changed code stops its instance with an error that names the step, both sides and the line; put right, it goes on."""

from __future__ import annotations

import asyncio
import inspect
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from actors.errors import NondeterminismError
from actors.registry import Registry
from actors.workflow import JournalMismatch, Step
from tests.workflow.host import Host, observed, replay, work

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from actors.definitions import Workflow

steps = Registry()


@steps.action
async def charge(cart: str, *, cents: int) -> str:
    raise NotImplementedError


@steps.action
async def refund(cart: str, *, cents: int) -> str:
    raise NotImplementedError


async def original(step: Step) -> None:
    await step.run_action(charge, "c-1", cents=5)
    await step.sleep(timedelta(days=30))
    await asyncio.gather(step.run_action(work, "a"), step.run_action(work, "b"))


async def renamed(step: Step) -> None:
    await step.run_action(refund, "c-1", cents=5)


async def relabeled(step: Step) -> None:
    await step.run_action(charge.with_options(name="pay"), "c-1", cents=5)


async def raises_in_place_of_the_rest(step: Step) -> None:
    await step.run_action(charge, "c-1", cents=5)
    raise LookupError("no such cart")


async def removed_at_the_end(step: Step) -> None:
    await step.run_action(charge, "c-1", cents=5)
    await step.sleep(timedelta(days=30))
    await step.run_action(work, "a")


async def removed_where_it_ends(step: Step) -> None:
    await step.run_action(charge, "c-1", cents=5)


async def added_at_the_end(step: Step) -> None:
    await step.run_action(charge, "c-1", cents=5)
    await step.sleep(timedelta(days=30))
    await asyncio.gather(step.run_action(work, "a"), step.run_action(work, "b"), step.run_action(work, "c"))


async def added_in_front(step: Step) -> None:
    await step.run_action(work, "new")
    await original(step)


async def reordered(step: Step) -> None:
    await step.run_action(charge, "c-1", cents=5)
    await step.sleep(timedelta(days=30))
    await asyncio.gather(step.run_action(work, "b"), step.run_action(work, "a"))


async def other_arguments(step: Step) -> None:
    await step.run_action(charge, "c-1", cents=6)


async def other_sleep(step: Step) -> None:
    await step.run_action(charge, "c-1", cents=5)
    await asyncio.sleep(3)


async def another_kind(step: Step) -> None:
    await step.run_action(charge, "c-1", cents=5)
    await step.await_event("approved")


async def swallows_everything(step: Step) -> str:
    while True:
        try:
            await step.run_action(refund, "c-1", cents=5)
        except BaseException:  # noqa: BLE001 - what an author may write
            return "swallowed"


def workflow(code: Callable[[Step], Coroutine[Any, Any, Any]]) -> Workflow[[], Any]:
    """Return ``code`` as the workflow of one name."""
    return Registry().workflow(name="checkout")(code)


@pytest.fixture
def host() -> Host:
    """An instance with four commands asked for, two of them answered."""
    host = Host(workflow(original), workflow_id="order-7")
    host.answer(1, "paid")
    host.fire(2)
    assert host.open == ["a", "b"]
    return host


ALL = ["order-7", "its code no longer fits its journal"]
DAYS = 30 * 86_400_000


@pytest.mark.parametrize(
    ("code", "seq", "line", "texts"),
    [
        (renamed, 1, 1, ["step 1 ('refund')", "step charge('c-1', cents=5)", "step refund('c-1', cents=5)"]),
        (relabeled, 1, 1, ["step 1 ('pay')", "step charge('c-1', cents=5)", "(named 'pay')"]),
        (removed_at_the_end, 4, None, ["step 4 ('work')", "asks for: nothing: it waits for something else"]),
        (
            raises_in_place_of_the_rest,
            2,
            None,
            ["asks for: nothing: the workflow raises LookupError: no such cart before"],
        ),
        (removed_where_it_ends, 2, None, [f"timer of {DAYS} ms", "asks for: nothing: the workflow ends before it"]),
        (added_at_the_end, 5, 3, ["step 5 ('work')", "has: nothing: it was not asked for then", "step work('c')"]),
        (added_in_front, 1, 1, ["step 1 ('work')", "step charge(", "step work('new')"]),
        (reordered, 3, 3, ["step 3 ('work')", "step work('a')", "step work('b')"]),
        (other_arguments, 1, 1, ["step 1 ('charge')", "charge('c-1', cents=5)", "charge('c-1', cents=6)"]),
        (other_sleep, 2, 2, ["step 2 ('timer')", f"timer of {DAYS} ms", "timer of 3000 ms"]),
        (another_kind, 2, 2, [f"timer of {DAYS} ms", "a wait for the event 'approved'"]),
        (swallows_everything, 1, 3, ["step charge(", "step refund("]),
    ],
    ids=lambda value: value.__name__ if inspect.isfunction(value) else "",
)
def test_a_difference_is_an_error_with_both_sides_and_the_line(
    host: Host, code: Callable[[Step], Coroutine[Any, Any, Any]], seq: int, line: int | None, texts: list[str]
) -> None:
    with pytest.raises(JournalMismatch) as raised:
        host.rebuilt(workflow(code))
    error = raised.value
    assert isinstance(error, NondeterminismError)
    assert error.seq == seq
    for text in [*ALL, *texts]:
        assert text in str(error)
    first = inspect.getsourcelines(code)[1]
    assert f"{__file__}:{first + (line or 0)}" in str(error)
    if line is not None:
        assert error.site == f"{__file__}:{first + line} in {code.__name__}"


def test_the_code_put_right_goes_on(host: Host) -> None:
    with pytest.raises(JournalMismatch):
        host.rebuilt(workflow(reordered))
    mended = host.rebuilt(workflow(original))
    assert observed(mended) == observed(host.instance)
    host.answer("a")
    host.answer("b")
    for event in host.events[-2:]:
        mended.feed(event)
    assert mended.end == host.instance.end
    assert host.result is None


def test_what_the_runner_alone_reads_may_change(host: Host) -> None:
    async def other_options(step: Step) -> None:
        await step.run_action(charge.with_options(queue="slow", timeout=3, retry=True), "c-1", cents=5)
        await asyncio.sleep(30 * 86_400)
        await asyncio.gather(step.run_action(work, "a"), step.run_action(work, "b"))

    host.rebuilt(workflow(other_options)).dispose()


def test_arguments_that_do_not_decode_any_more_are_shown_as_recorded(host: Host) -> None:
    changed = Registry()

    @changed.action(name="charge")
    async def charge_more(cart: str) -> str:
        raise NotImplementedError

    async def other_signature(step: Step) -> None:
        await step.run_action(charge_more, "c-1")

    with pytest.raises(JournalMismatch, match=r"has: step charge\('c-1', cents=5\)\n.*asks for: step charge\('c-1'\)"):
        host.rebuilt(workflow(other_signature))


def test_nothing_is_asked_for_after_a_difference(host: Host) -> None:
    asked: list[str] = []

    async def goes_on(step: Step) -> None:
        different = step.run_action(work, "different")
        asked.append("and on")
        await step.run_action(work, "next")
        await different
        asked.append("too far")

    recorded = host.instance.commands
    with pytest.raises(JournalMismatch, match="work"):
        replay(workflow(goes_on), "order-7", host.events, recorded)
    assert asked == ["and on"]


def test_set_value_and_waits_are_compared_too() -> None:
    async def publishes(step: Step) -> None:
        step.set_value("state", "begun")
        await step.await_event("approved", str)

    async def publishes_otherwise(step: Step) -> None:
        step.set_value("state", "started")
        await step.await_event("approved", str)

    async def waits_otherwise(step: Step) -> None:
        step.set_value("state", "begun")
        await step.await_event("accepted", str)

    host = Host(workflow(publishes))
    with pytest.raises(JournalMismatch, match="the value 'state' set to 'begun'"):
        host.rebuilt(workflow(publishes_otherwise))
    with pytest.raises(JournalMismatch, match="a wait for the event 'accepted'"):
        host.rebuilt(workflow(waits_otherwise))
    host.instance.dispose()
