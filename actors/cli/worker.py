"""``headrace worker``: run steps and workflows of a manager until told to stop.

A worker runs under its namespace's own hash seed, so that sets of strings are iterated in one order in every worker:
it executes itself anew if it was started under another. Several processes are children of one that supervises them.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, NoReturn

import structlog

from actors.cli.connecting import WAIT_S, connect
from actors.cli.errors import CommandError
from actors.cli.exiting import exit_now, exit_soon
from actors.cli.hash_seed import HASH_SEED, run_anew
from actors.cli.lifeline import SUPERVISED, Lifeline, on_signals, until_stopped
from actors.cli.loading import load_manager
from actors.cli.options import add_common, positive, refuse_memory, seconds
from actors.cli.supervisor import Supervisor
from actors.servers import WorkerSettings
from actors.servers.heap import freeze_loaded
from actors.servers.settings import LEAVE_S_MAX

if TYPE_CHECKING:
    import argparse

    from actors.cli.options import Subparsers
    from actors.manager import WorkflowManager

log = structlog.get_logger(__name__)

PROCESSES_MAX: Final = 256
STOP_S_MAX: Final = 10.0
"""How long a worker that was told to stop may take beside its grace time and what it hands over."""


def register(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("worker", help="run steps and workflows")
    parser.add_argument("path", help="module:manager, such as shop.flows:manager")
    parser.add_argument("--concurrency", type=positive, default=100, help="steps at once, a process (default: 100)")
    parser.add_argument("--processes", type=positive, default=1, help="worker processes (default: 1)")
    parser.add_argument("--queues", default="default", help="queues to serve, with commas between (default: default)")
    parser.add_argument(
        "--grace", type=seconds, default=30.0, help="seconds that running steps get when it stops (default: 30)"
    )
    parser.add_argument(
        "--wait",
        type=seconds,
        default=WAIT_S,
        help=f"seconds to wait for a Redis server that is away when it starts (default: {WAIT_S:g})",
    )
    add_common(parser)
    parser.set_defaults(func=worker)


def worker(said: argparse.Namespace) -> int:
    """Work until SIGTERM or SIGINT, then drain; a second one ends it at once."""
    if said.processes > PROCESSES_MAX:
        raise CommandError(f"--processes {said.processes}: give {PROCESSES_MAX} at most, and start it on more machines")
    settings = WorkerSettings(
        concurrency=said.concurrency,
        queues=tuple(queue.strip() for queue in said.queues.split(",")),
        grace_s=said.grace,
    )
    manager = load_manager(said.path)
    refuse_memory(manager)
    if not manager.workflows and not manager.step_definitions:
        raise CommandError(f"{said.path!r} has no workflows and no steps: import the modules that define them there")
    if said.processes > 1:
        return asyncio.run(_supervise(manager, said))
    freeze_loaded()
    return asyncio.run(_work(manager, settings, wait_s=said.wait))


async def _work(manager: WorkflowManager, settings: WorkerSettings, *, wait_s: float) -> int:
    async with AsyncExitStack() as stack:
        stop = asyncio.Event()
        stack.enter_context(on_signals(lambda: _stop_for_certain(stop, settings), again=_end_at_once))
        if os.environ.get(SUPERVISED):
            stack.enter_context(Lifeline(lambda: _orphaned(stop, settings)))
        stack.push_async_callback(manager.close)
        if not await connect(manager, wait_s=wait_s, stop=stop):
            return 0
        await _reseed(manager)
        working = manager.worker(concurrency=settings.concurrency, queues=settings.queues, grace=settings.grace_s)
        worker = await stack.enter_async_context(until_stopped(working, stop))
        refounded: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if worker is not None:
            seed = (await manager.store()).space.seed
            if str(seed) == os.environ.get(HASH_SEED):
                worker.on_refounded = refounded.set_result
            else:
                refounded.set_result(seed)  # the server was emptied while the worker began
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(stop.wait()), refounded]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        waits[0].cancel()
        log.info("draining", grace_s=settings.grace_s)
    if refounded.done() and not stop.is_set():
        run_anew(refounded.result())
    if worker is not None and worker.threads_running:
        exit_now(0)  # what runs there was handed over: it may not run beside its successor for longer than it must
    exit_soon(0)
    return 0


async def _reseed(manager: WorkflowManager) -> None:
    """Execute this program anew under the namespace's hash seed, unless it runs under that already."""
    seed = str((await manager.store()).space.seed)
    if os.environ.get(HASH_SEED) == seed:
        return
    await manager.close()
    run_anew(seed)


async def _supervise(manager: WorkflowManager, said: argparse.Namespace) -> int:
    """Run several processes. The server stays open here, so that an embedded one outlives their restarts."""
    async with AsyncExitStack() as stack:
        stop = asyncio.Event()
        stack.push_async_callback(manager.close)
        with on_signals(stop.set, again=_end_at_once):
            if not await connect(manager, wait_s=said.wait, stop=stop):
                return 0
        seed = str((await manager.store()).space.seed)
        supervisor = Supervisor(
            command=_child_command(said),
            environment={**os.environ, HASH_SEED: seed, SUPERVISED: "1"},
            count=said.processes,
        )
        with on_signals(supervisor.stop, again=supervisor.kill):
            return await supervisor.run()


def _child_command(said: argparse.Namespace) -> list[str]:
    options: dict[str, Any] = {
        "--concurrency": said.concurrency,
        "--queues": said.queues,
        "--grace": said.grace,
        "--wait": said.wait,
    }
    words = [str(word) for pair in options.items() for word in pair]
    return [sys.executable, "-m", "actors.cli", "worker", said.path, *words, *(["--verbose"] if said.verbose else [])]


def _stop_for_certain(stop: asyncio.Event, settings: WorkerSettings) -> None:
    """Drain; end when that takes longer than all that it waits for together."""
    stop.set()
    asyncio.get_running_loop().call_later(settings.grace_s + LEAVE_S_MAX + STOP_S_MAX, _end_at_once)


def _orphaned(stop: asyncio.Event, settings: WorkerSettings) -> None:
    """Drain, since the supervisor is gone; end for certain, since the server may be gone with it."""
    stop.set()
    asyncio.get_running_loop().call_later(settings.grace_s + LEAVE_S_MAX, _end_at_once)


def _end_at_once() -> NoReturn:
    """End now: what this worker holds, others take over after the timeout."""
    log.warning("ended before it was drained; others take over what it held")
    exit_now(1)
