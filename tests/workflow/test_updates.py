"""Updates in the replay core: handlers run as tasks, replies are commands, and a replay gives the same ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from actors.errors import Failure
from actors.payload import pack, unpack
from actors.registry import Registry
from actors.workflow import JournalMismatch, Step
from kernel import read_reply
from tests.workflow.host import Host, observed, work

if TYPE_CHECKING:
    from actors.definitions import Workflow


def ask(host: Host, name: str, *args: object) -> None:
    """Somebody sends an update."""
    host.feed("update", name=name, payload=pack([list(args)]) if args else b"")


def replies(host: Host) -> dict[int, tuple[str, object]]:
    """Return what was said to each update, by the number of its event."""
    found: dict[int, tuple[str, object]] = {}
    for command in host.instance.commands:
        if command.kind == "reply":
            status, payload = read_reply(command.arguments)
            found[int(command.target)] = (
                status,
                unpack(payload) if status == "ok" else Failure.decode(payload).message,
            )
    return found


@pytest.fixture
def counter(registry: Registry) -> Workflow[[], int]:
    @registry.workflow
    async def flow(step: Step) -> int:
        total = 0
        done = asyncio.Event()

        @step.update_handler
        async def add(number: int) -> int:
            nonlocal total
            await step.run_action(work, f"add {number}")
            total += number
            if number < 0:
                raise ValueError("negative")
            return total

        @step.update_handler
        def stop() -> None:
            done.set()

        await done.wait()
        return total

    return flow


def test_a_handler_runs_as_a_task_and_its_reply_is_a_command(counter: Workflow[[], int]) -> None:
    host = Host(counter)
    assert host.open == ["@add", "@stop"]
    ask(host, "add", 2)
    ask(host, "add", 3)
    assert host.open == ["@add", "@stop", "add 2", "add 3"]
    host.answer("add 3")
    host.answer("add 2")
    assert replies(host) == {3: ("ok", 3), 2: ("ok", 5)}
    ask(host, "stop")
    assert host.result == 5
    assert replies(host)[6] == ("ok", None)


def test_a_replay_gives_the_same_commands(counter: Workflow[[], int]) -> None:
    host = Host(counter)
    ask(host, "add", "wrong")
    ask(host, "add", -1)
    host.answer("add -1")
    ask(host, "unknown")
    assert {number: said[0] for number, said in replies(host).items()} == {2: "rejected", 3: "failed"}
    assert [event.name for event in host.instance.untaken] == ["unknown"]
    rebuilt = host.rebuilt()
    assert observed(rebuilt) == observed(host.instance)
    rebuilt.dispose()
    host.instance.dispose()


def test_an_update_waits_until_its_handler_is_registered(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> list[str]:
        names: list[str] = []
        await step.await_event("open")
        step.update_handler(name="note")(names.append)
        await step.await_event("end")
        return names

    @registry.workflow(name="closures")
    async def closures(step: Step) -> list[str]:
        names: list[str] = []
        await step.await_event("open")

        @step.update_handler
        def note(name: str) -> None:
            names.append(name)

        await step.await_event("end")
        return names

    host = Host(closures)
    ask(host, "note", "a")
    ask(host, "note", "b")
    assert [event.number for event in host.instance.untaken] == [2, 3]
    host.send("open")
    assert replies(host) == {2: ("ok", None), 3: ("ok", None)}
    assert host.instance.untaken == []
    host.send("end")
    assert host.result == ["a", "b"]

    bound = Host(flow)
    bound.send("open")
    assert "cannot answer updates" in bound.failure.message


def test_a_handler_that_still_runs_at_the_end_is_answered_for(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        @step.update_handler
        async def slow() -> None:
            await step.run_action(work, "slow")

        await step.await_event("end")

    host = Host(flow)
    ask(host, "slow")
    host.send("end")
    assert host.instance.end is not None
    assert replies(host) == {2: ("failed", "the workflow ended, or began anew, before its handler had returned")}
    assert host.canceled == ["@slow", "slow"]


def test_code_that_answers_otherwise_does_not_fit_its_journal(registry: Registry) -> None:
    def flow_with(value: int) -> Workflow[[], None]:
        @Registry().workflow(name="flow")
        async def flow(step: Step) -> None:
            @step.update_handler
            def answer() -> int:
                return value

            await step.await_event("end")

        return flow

    host = Host(flow_with(1))
    ask(host, "answer")
    with pytest.raises(JournalMismatch, match=r"the reply to update 'answer' \(event 2\) 1") as raised:
        host.rebuilt(flow_with(2))
    assert "the reply to update 'answer' (event 2) 2" in str(raised.value)
    host.instance.dispose()


def test_code_whose_error_stands_in_another_line_still_fits(registry: Registry) -> None:
    def flow_with(message: str) -> Workflow[[], None]:
        @Registry().workflow(name="flow")
        async def flow(step: Step) -> None:
            @step.update_handler
            def answer() -> int:
                raise ValueError(message)

            await step.await_event("end")

        return flow

    host = Host(flow_with("one"))
    ask(host, "answer")
    host.rebuilt(flow_with("another")).dispose()
    host.instance.dispose()


def test_an_update_to_a_canceled_workflow_is_still_answered_while_it_cleans_up(registry: Registry) -> None:
    @registry.workflow
    async def flow(step: Step) -> None:
        @step.update_handler
        def answer() -> int:
            return 1

        try:
            await step.await_event("end")
        finally:
            await step.run_action(work, "clean up")

    host = Host(flow)
    host.cancel()
    ask(host, "answer")
    assert replies(host) == {3: ("ok", 1)}
    host.answer("clean up")
    assert host.instance.end is not None
    assert host.instance.end.status == "canceled"
