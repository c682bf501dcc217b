"""``headrace queues``, ``workers`` and ``key``, on a real server."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from actors import WorkflowManager
from kernel import Asking, Permit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.processes import Done, Program, Run

pytestmark = pytest.mark.server


async def found(url: str) -> None:
    async with WorkflowManager(url):
        pass


def objects(done: Done) -> list[dict[str, Any]]:
    assert (done.code, done.err) == (0, "")
    return [json.loads(line) for line in done.out.splitlines()]


def test_a_namespace_that_nobody_uses_has_none(run: Run, url: str) -> None:
    asyncio.run(found(url))
    queues, workers, key = run("queues"), run("workers"), run("key", "nobody")

    assert (queues.code, workers.code, key.code) == (0, 0, 1)
    assert queues.out.startswith("no queues in 'default'")
    assert workers.out.startswith("no workers in 'default': start one with headrace worker")
    assert "there is no key of a workflow 'nobody'" in key.error
    assert objects(run("queues", "--json")) == objects(run("workers", "--json")) == []


def test_they_show_what_runs_and_who_runs_it(
    run: Run, worker: Program, until: Callable[[Callable[[], object]], None]
) -> None:
    run("start", "shop.flows:manager", "slow", "[30]", "--id", "order-10")
    until(lambda: objects(run("queues", "--json"))[0]["running"] == 1)
    (queue,) = objects(run("queues", "--json"))
    (view,) = objects(run("workers", "--json"))
    shown = run("workers").out.splitlines()

    assert {name: queue[name] for name in ("queue", "waiting", "oldest", "delayed", "running", "workers")} == {
        "queue": "default",
        "waiting": 0,
        "oldest": None,
        "delayed": 0,
        "running": 1,
        "workers": 1,
    }
    assert (view["pid"], view["beats"], view["running"], view["concurrency"]) == (worker.process.pid, True, 1, 4)
    assert "beats" in shown[1]
    assert "1 of 4" in shown[1]
    assert len(shown) == 2


def test_a_queue_that_nobody_serves_is_told(run: Run, url: str, worker: Program) -> None:
    run("start", "shop.flows:manager", "drawn", "--id", "order-11", "--wait", "--timeout", "0.5")
    shown = run("queues").out.splitlines()

    assert shown[2].split()[:2] == ["gpu", "1"]
    assert shown[3] == "no worker serves 'gpu': start one with headrace worker module:manager --queues gpu"


def test_the_keys_of_a_workflow_can_be_read_by_redis_cli(run: Run, worker: Program) -> None:
    run("start", "shop.flows:manager", "checkout", '["c-1"]', "--id", "order-7", "--wait")
    keys = objects(run("key", "order-7", "--json"))
    shown = run("key", "order-7").out.splitlines()
    status = run("redis", "HGET", keys[0]["key"], "status").out

    assert [key["key"].partition("}:")[2] for key in keys] == ["wf:order-7", "wf.journal:order-7"]
    assert all(key["bytes"] > 0 and key["entries"] > 0 and key["of"] == "workflow" for key in keys)
    assert status == "completed\n"
    assert len(shown) == 4
    assert shown[-1].startswith("partition ")


async def declare(url: str) -> None:
    async with WorkflowManager(url) as manager:
        pools = (await manager.store()).pools
        await pools.declare("paused", 0)
        await pools.acquire([Asking(Permit("paused", "wf/a", "1-1", 1, 1, "1-0"), 0)])
        await pools.acquire([Asking(Permit("unknown", "wf/a", "1-1", 2, 1, "2-0"), 0)])
        await pools.declare("press", 3)
        await pools.acquire([Asking(Permit("press", "wf/a", "1-1", n, 1, f"3-{n}"), 0) for n in range(5)])


def test_pools_are_shown_with_their_limits_and_who_waits(run: Run, url: str) -> None:
    asyncio.run(declare(url))
    shown = run("queues").out.splitlines()
    said = {one["pool"]: one for one in objects(run("queues", "--json")) if "pool" in one}

    assert said["press"] == {"pool": "press", "max_parallelism": 3, "under_way": 3, "waiting": 2}
    assert ["press", "3", "3", "2"] in [line.split() for line in shown]
    assert "the pool 'paused' is paused: its limit is 0" in shown
    assert any(line.startswith("no worker has declared the pool 'unknown'") for line in shown)


def test_a_worker_that_does_not_beat_is_not_said_to_serve_a_queue(run: Run, url: str) -> None:
    async def leave_a_silent_worker_and_a_step() -> None:
        async with WorkflowManager(url) as manager:
            store = await manager.store()
            await store.custody.register("frozen", '{"queues": ["gpu"], "beat_ms": 10}')
            key = f"{store.space.keys.tags[0]}:q:gpu"
            await store.space.send(key, "XADD", key, "*", "a", "wf/i")

    asyncio.run(leave_a_silent_worker_and_a_step())

    shown = run("queues")
    (queue,) = objects(run("queues", "--json"))

    assert (queue["workers"], queue["silent_workers"]) == (1, 1)
    assert shown.out.splitlines()[1].endswith("1 (1 silent)")
    assert "no worker that beats serves 'gpu': start one" in shown.out
