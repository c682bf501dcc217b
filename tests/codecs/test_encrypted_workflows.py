"""A manager with a codec: every payload passes through it, and nothing in clear reaches Redis."""

from __future__ import annotations

import asyncio
import os
from copy import copy

import pytest

from actors import (
    InvalidOption,
    RetryPolicy,
    Step,
    StepFailed,
    Transaction,
    WorkflowFailed,
    WorkflowManager,
    current_step,
)
from actors.codecs import Chain, Compression, Encryption
from actors.payload import pack
from actors.servers.delivery import Delivery
from actors.servers.host import Host
from kernel import Message, PayloadUnusable, Store
from tests.api.watching import Managers, in_state, seen
from tests.codecs.keyspace import everything, holding

MARKER = "0xCAFEBABE-marker"
KEY, OTHER = os.urandom(32), os.urandom(32)
SEALED = Encryption({"k": KEY}, current="k")
QUICK = RetryPolicy(max_attempts=2, initial_backoff=0.01, jitter=False)


class Everything:
    """A workflow whose marker is in payloads of every kind, small and large."""

    def __init__(self, manager: WorkflowManager) -> None:  # noqa: C901 - one step of each kind
        self.wait, self.waiting = asyncio.Event(), asyncio.Event()

        @manager.action(name="fail", retry=QUICK)
        async def fail(text: str) -> None:
            await current_step().heartbeat({"so far": text})
            raise ValueError(text)

        @manager.action(name="repeat")
        async def repeat(text: str, times: int) -> str:
            return text * times

        @manager.action(name="pause", retry=QUICK)
        async def pause(text: str) -> str:
            self.waiting.set()
            await self.wait.wait()
            return text

        @manager.mutation(name="keep")
        async def keep(tx: Transaction, text: str) -> str:
            tx.incrby(tx.key("count"), 1)
            return text

        @manager.query(name="look", inline=True)
        async def look(tx: Transaction, text: str) -> str:
            return text

        @manager.workflow(name="child")
        async def child(step: Step, text: str, times: int) -> str:
            return (await step.run_action(repeat, text, times))[: len(text) * times]

        @manager.workflow(name="broken child")
        async def broken(step: Step, text: str) -> str:
            raise RuntimeError(text)

        @manager.workflow(name="flow")
        async def flow(step: Step, text: str) -> list[object]:
            found: list[object] = []
            try:
                await step.run_action(fail, text)
            except StepFailed as error:
                found.append(error.message == text)
            try:
                await step.run_workflow(broken, text)
            except WorkflowFailed as error:
                found.append(error.message == text)
            step.set_value("small", text)
            step.set_value("large", text * 10_000)
            for times in (1, 10_000):
                found.append(await step.run_action(repeat, text, times) == text * times)
                found.append(await step.run_workflow(child, text, times) == text * times)
                found.append(await step.run_mutation(keep, text * times) == text * times)
                found.append(await step.run_query(look, text * times) == text * times)
            found.append(await step.await_event("go"))
            await step.run_action(pause, text)
            return found

        self.flow = flow


@pytest.mark.parametrize("replaying", [False, True])
async def test_nothing_in_clear_reaches_redis(managers: Managers, *, replaying: bool) -> None:
    manager = managers(codec=SEALED, worker_timeout=5)
    work = Everything(manager)
    async with manager.worker(cache_instances=0 if replaying else 100):
        handle = await manager.start(work.flow.with_options(id="f"), MARKER)
        instances = (await manager.store()).instances
        await instances.append("wf/f", kind="event", name="go", payload=pack(MARKER))
        await work.waiting.wait()
        keys = await everything(manager)
        assert holding(keys, MARKER.encode()) == []
        assert any(".large:" in key for key in keys)
        work.wait.set()
        assert await handle.result(timeout=10) == [True] * 10 + [MARKER]
        keys = await everything(manager)
    assert holding(keys, MARKER.encode()) == []
    assert holding(keys, b"flow"), "names are not payloads"
    assert len(keys) > 10


async def test_what_is_read_back_is_in_clear_again(managers: Managers) -> None:
    manager = managers(codec=Chain(Compression(), SEALED))
    work = Everything(manager)
    work.wait.set()
    async with manager.worker():
        handle = await manager.start(work.flow.with_options(id="f"), MARKER)
        await (await manager.store()).instances.append("wf/f", kind="event", name="go", payload=pack(MARKER))
        await handle.result(timeout=10)
        steps = await handle.steps()
        assert steps[0].arguments == ((MARKER,), {})
        assert steps[0].attempts[0].error.message == MARKER
        assert await handle.value("small") == MARKER
        assert await handle.value("large") == MARKER * 10_000
        assert [step.result for step in steps if step.name == "keep"] == [MARKER, MARKER * 10_000]


async def test_the_reason_of_a_stop_shows_arguments_to_nobody_without_the_key(managers: Managers) -> None:
    manager = managers(codec=SEALED)
    texts = iter([MARKER, MARKER + "2", MARKER + "3"])

    @manager.action(name="echo")
    async def echo(text: str) -> str:
        return text

    @manager.workflow(name="flow")
    async def flow(step: Step) -> None:
        await step.run_action(echo, next(texts))
        await step.run_action(echo, "second")

    async with manager.worker(cache_instances=0):
        handle = await manager.start(flow)
        snapshot = await seen(handle, lambda snapshot: snapshot.status.type == "stopped")
        assert snapshot.status.type == "stopped"
        assert MARKER in snapshot.status.error.message
        assert holding(await everything(manager), MARKER.encode()) == []


async def test_replay_compares_what_was_encrypted_by_what_it_says(managers: Managers) -> None:
    manager = managers(codec=SEALED)
    work = Everything(manager)
    work.wait.set()
    async with manager.worker(cache_instances=0):
        handle = await manager.start(work.flow.with_options(id="f"), MARKER)
        await (await manager.store()).instances.append("wf/f", kind="event", name="go", payload=pack("x"))
        assert await handle.result(timeout=10) == [True] * 10 + ["x"]


async def test_a_worker_without_the_key_leaves_the_work_to_one_that_has_it(managers: Managers) -> None:
    locked = managers(codec=Encryption({"k": OTHER}, current="k"))
    manager = managers(codec=SEALED)
    Everything(locked)

    @manager.action(name="repeat")
    async def repeat(text: str, times: int) -> str:
        return text * times

    @manager.workflow(name="flow")
    async def flow(step: Step, text: str) -> str:
        return await step.run_action(repeat, text, 2)

    async with locked.worker():
        handle = await manager.start(flow, MARKER)
        async with manager.worker():
            assert await handle.result(timeout=15) == MARKER * 2
            with pytest.raises(PayloadUnusable, match="the key given as 'k' does not open it"):
                await locked.handle(handle.id).result()


async def test_whoever_carries_a_child_s_result_to_its_parent_needs_no_key(managers: Managers) -> None:
    locked, manager = managers(codec=Encryption({"other": OTHER}, current="other")), managers(codec=SEALED)

    @manager.workflow(name="child")
    async def child(step: Step, text: str) -> str:
        return text

    @manager.workflow(name="flow")
    async def flow(step: Step, times: int) -> int:
        return len(await step.run_workflow(child, MARKER * times))

    handles = [await manager.start(flow, times) for times in (1, 10_000)]
    store, keyless = await manager.store(), await locked.store()
    async with manager.worker() as worker:
        delivery = Delivery(_with_store(worker.host, keyless))

        async def deliver(message: Message, *, since: int) -> bool:
            return await delivery.deliver(message, since=keyless.space.stamp)

        worker.host.delivery.deliver = deliver  # type: ignore[method-assign]
        found = [await handle.result(timeout=10) for handle in handles]
    assert found == [len(MARKER), len(MARKER) * 10_000]
    assert store is not keyless


def _with_store(host: Host, store: Store) -> Host:
    """Return a host that is the other one, but for its connections."""
    other = copy(host)
    other.store = store
    return other


async def test_a_step_that_was_begun_without_the_key_is_given_back(managers: Managers) -> None:
    locked = managers(codec=Encryption({"other": OTHER}, current="other"))
    manager = managers(codec=SEALED)
    done: list[str] = []

    @manager.action(name="echo", queue="elsewhere")
    async def echo(text: str) -> str:
        done.append(text)
        return text

    @locked.action(name="echo", queue="elsewhere")
    async def never(text: str) -> str:
        raise AssertionError

    @manager.workflow(name="flow")
    async def flow(step: Step, text: str) -> str:
        return await step.run_action(echo, text)

    async with manager.worker():
        handle = await manager.start(flow, MARKER)
        await seen(handle, in_state("echo", "queued"))
        async with locked.worker(queues=("elsewhere",)):
            await seen(handle, in_state("echo", "waiting"))
        async with manager.worker(queues=("elsewhere",)):
            assert await handle.result(timeout=15) == MARKER
    assert done == [MARKER]


async def test_without_a_codec_the_error_says_that_one_is_missing(managers: Managers) -> None:
    manager, plain = managers(codec=SEALED), managers()
    work = Everything(manager)
    work.wait.set()
    async with manager.worker():
        handle = await manager.start(work.flow, MARKER)
        await seen(handle, lambda snapshot: len(snapshot.steps) > 1)
        with pytest.raises(PayloadUnusable, match="give WorkflowManager the same codec"):
            await plain.handle(handle.id).steps()
        await handle.cancel()


async def test_what_was_written_before_there_was_a_codec_is_read_as_it_is(managers: Managers) -> None:
    before, after = managers(), managers(codec=SEALED)
    old, new = Everything(before), Everything(after)
    new.wait.set()
    async with before.worker(grace=0.1):
        handle = await before.start(old.flow.with_options(id="f"), MARKER)
        await (await before.store()).instances.append("wf/f", kind="event", name="go", payload=pack("x"))
        await old.waiting.wait()
    async with after.worker():
        assert await after.handle(handle.id, new.flow).result(timeout=10) == [True] * 10 + ["x"]


def test_what_is_no_codec_is_refused(managers: Managers) -> None:
    with pytest.raises(InvalidOption, match="give an object with encode"):
        managers(codec="rot13")
