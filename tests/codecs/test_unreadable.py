"""A payload that nobody at work can read: the instance says so, the rest is shown, and healthy work is not held up."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack

import pytest

from actors import InProgress, Step, WorkflowManager
from actors.codecs import Chain, Compression, Encryption, Reading
from kernel import Codec, PayloadUnusable
from tests.api.watching import Managers, seen

KEY, OTHER = os.urandom(32), os.urandom(32)


def sealed(key: bytes) -> Encryption:
    return Encryption({"k": key}, current="k")


def define(manager: WorkflowManager) -> None:
    """The same code, as every process of a deployment has it."""

    @manager.action(name="double")
    async def double(number: int) -> int:
        return 2 * number

    @manager.workflow(name="flow")
    async def flow(step: Step, number: int) -> int:
        doubled = await step.run_action(double, number)
        step.set_value("doubled", doubled)
        return doubled + await step.await_event("go", int)


async def waiting(manager: WorkflowManager, workflow_id: str) -> str:
    """Return why an instance does not go on, as soon as it says so."""
    while True:
        status = await manager.handle(workflow_id).status()
        assert isinstance(status, InProgress)
        if status.waiting:
            return status.waiting
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("told", ["event", "update"])
async def test_an_instance_that_was_told_something_with_the_wrong_key_says_so_and_can_be_canceled(
    managers: Managers, told: str
) -> None:
    manager, wrong = managers(codec=sealed(KEY)), managers(codec=sealed(OTHER))
    define(manager)
    async with manager.worker():
        handle = await manager.start(manager.get_workflow("flow").with_options(id="f"), 21)
        await seen(handle, lambda snapshot: "doubled" in snapshot.values)
        if told == "event":
            await wrong.handle("f").send_event("go", 1)
        else:
            with pytest.raises(TimeoutError):
                await wrong.handle("f").update("ask", 1, timeout=0.01)
        why = await waiting(manager, "f")
        assert "no worker that tried could read its journal" in why
        assert f"({told} {'go' if told == 'event' else 'ask'}) of wf/f cannot be decoded" in why
        assert "the key given as 'k' does not open it" in why
        assert "cancel it" in why

        first = (await handle.steps())[0]
        assert (first.name, first.arguments, first.result) == ("double", ((21,), {}), 42)
        history = await handle.history()
        assert any(entry.kind == "completed" and entry.value == 42 for entry in history)
        if told == "event":
            (event,) = (entry for entry in history if entry.kind == "event")
            assert str(event.value).startswith("<unreadable: event ")

        (finding,) = (one for one in (await manager.doctor()).findings if one.code == "unreadable_payload")
        assert (finding.subject, finding.kind, finding.severity) == ("f", "stuck", "problem")
        assert "cannot be read" in finding.text
        assert "headrace cancel f" in finding.advice

        assert await handle.cancel(cleanup=True)
        assert "could read its journal" in await waiting(manager, "f")
        assert await handle.cancel()
        assert (await handle.status()).type == "canceled"


async def test_what_all_failed_to_read_goes_on_with_a_worker_that_can(managers: Managers) -> None:
    manager, wrong = managers(codec=sealed(KEY)), managers(codec=sealed(OTHER))
    define(manager)
    define(wrong)
    async with wrong.worker():
        handle = await manager.start(manager.get_workflow("flow").with_options(id="f"), 21)
        await handle.send_event("go", 1)
        assert "event 1 (started)" in await waiting(manager, "f")
        async with manager.worker():
            assert await handle.result(timeout=10) == 43
    record = await (await manager.store()).instances.record(handle.address)
    assert not record["ready"]


@pytest.mark.parametrize("lacking", ["key", "code"])
async def test_workers_that_cannot_do_the_work_do_not_hold_it_up(managers: Managers, lacking: str) -> None:
    manager = managers(codec=sealed(KEY))
    define(manager)
    others = [managers(codec=sealed(OTHER if lacking == "key" else KEY)) for _ in range(2)]
    async with AsyncExitStack() as stack:
        for other in others:
            if lacking == "key":
                define(other)
            await stack.enter_async_context(other.worker())
        await stack.enter_async_context(manager.worker())
        started = asyncio.get_running_loop().time()
        handles = await manager.start_many(manager.get_workflow("flow").bind(n) for n in range(6))
        for handle in handles:
            await handle.send_event("go", 1)
        assert [await handle.result(timeout=10) for handle in handles] == [1, 3, 5, 7, 9, 11]
        assert asyncio.get_running_loop().time() - started < 2


COMPRESSED = Chain(Compression(bytes_min=0), sealed(KEY))
TEXT = "many words, " * 100


def define_texts(manager: WorkflowManager) -> None:
    @manager.action(name="echo")
    async def echo(text: str) -> str:
        return text

    @manager.workflow(name="say")
    async def say(step: Step, text: str) -> str:
        said = await step.run_action(echo, text)
        step.set_value("said", said)
        return said + await step.await_event("go", str)


@pytest.mark.parametrize(
    ("written", "lacking"), [(COMPRESSED, sealed(KEY)), (Compression(bytes_min=0), None)], ids=["encrypted", "alone"]
)
async def test_what_was_compressed_is_left_to_workers_that_compress(
    managers: Managers, written: Codec, lacking: Codec | None
) -> None:
    new, old = managers(codec=written), managers(codec=lacking)
    define_texts(new)
    define_texts(old)
    handle = await new.start(new.get_workflow("say").with_options(id="s"), TEXT)
    async with old.worker():
        assert "of wf/s " in await waiting(old, "s")
    async with new.worker():
        await seen(handle, lambda snapshot: snapshot.values.get("said") == TEXT)
    await handle.send_event("go", TEXT)
    async with old.worker():
        assert "of wf/s " in await waiting(old, "s")
        with pytest.raises(PayloadUnusable):
            await old.handle("s").value("said")
    async with new.worker():
        assert await handle.result(timeout=10) == 2 * TEXT
    with pytest.raises(PayloadUnusable):
        await old.handle("s").result(timeout=1)


async def test_a_codec_that_gives_back_something_else_is_found_out_before_it_is_a_value(managers: Managers) -> None:
    class Backwards:
        def encode(self, data: bytes) -> bytes:
            return data[::-1]

        def decode(self, data: bytes) -> bytes:
            return data

    manager = managers(codec=Backwards())
    define_texts(manager)
    handle = await manager.start(manager.get_workflow("say"), TEXT)
    async with manager.worker():
        assert "written through other codecs" in await waiting(manager, handle.id)


@pytest.mark.parametrize(("before", "codec"), [(sealed(KEY), COMPRESSED), (None, sealed(KEY))], ids=["second", "first"])
async def test_a_codec_is_added_by_reading_it_first(managers: Managers, before: Codec | None, codec: Codec) -> None:
    stages = [
        managers(codec=before),
        managers(codec=Reading(codec) if before is None else Chain(Reading(Compression()), before)),
        managers(codec=codec),
    ]
    for manager in stages:
        define_texts(manager)
    for one, other in [(stages[0], stages[1]), (stages[1], stages[0]), (stages[1], stages[2]), (stages[2], stages[1])]:
        handle = await one.start(one.get_workflow("say"), TEXT)
        async with other.worker():
            await seen(other.handle(handle.id), lambda snapshot: snapshot.values.get("said") == TEXT)
        await other.send_event(handle.id, "go", TEXT)
        async with one.worker():
            assert await handle.result(timeout=10) == 2 * TEXT
