"""Worker: a process's share of the work: it hosts the servers under one incarnation, and drains when asked to stop."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import socket
import uuid
from typing import TYPE_CHECKING, Protocol

import structlog

from actors.checks import check_definition
from actors.determinism import Installation, install
from actors.servers.auditor import Auditor
from actors.servers.courier import Courier
from actors.servers.delivery import Delivery
from actors.servers.dispatcher import Dispatcher
from actors.servers.gateway import Gateway
from actors.servers.host import Host
from actors.servers.pruner import Pruner
from actors.servers.reaper import Reaper
from actors.servers.runner import Runner
from actors.servers.settings import LEAVE_S_MAX
from actors.servers.timekeeper import Timekeeper
from actors.servers.turner import Turner
from kernel import KernelError, Pulse

if TYPE_CHECKING:
    from actors.registry import Registry
    from actors.servers.server import Server
    from actors.servers.settings import WorkerSettings
    from kernel import Store

log = structlog.get_logger(__name__)


class Beating(Protocol):
    """What a worker needs of its heartbeat."""

    def start(self) -> None:
        """Begin to beat."""
        ...

    def stop(self) -> None:
        """Stop beating, without waiting."""
        ...


class Worker:
    """Runs steps and turns for one namespace. ``start`` and ``stop`` once each."""

    def __init__(self, *, store: Store, registry: Registry, settings: WorkerSettings) -> None:
        """``store`` is open and stays the caller's to close."""
        self._store = store
        self._registry = registry
        self._settings = settings
        self._host: Host | None = None
        self._pulse: Beating | None = None
        self._guards: Installation | None = None
        self._servers: list[Server] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reborn: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def incarnation(self) -> str:
        """The name of this life of the worker."""
        return self._host.incarnation if self._host else ""

    @property
    def host(self) -> Host:
        """What its servers share, while it runs."""
        assert self._host is not None, "the worker is not running"
        return self._host

    async def start(self) -> None:
        """Register and begin all loops.

        Raises:
            DeterminismViolation: a workflow calls a helper that reads the wall clock, blocks or does I/O.
        """
        for workflow in self._registry.workflows:
            # Once more: when it was defined, helpers further down in its module were not there yet.
            check_definition(workflow.function)
        self._loop = asyncio.get_running_loop()
        incarnation = uuid.uuid4().hex
        self._host = host = Host(
            store=self._store, registry=self._registry, settings=self._settings, incarnation=incarnation
        )
        host.turner, host.delivery = Turner(host), Delivery(host)
        host.dispatcher, host.runner = Dispatcher(host), Runner(host)
        host.courier, host.auditor, host.gateway = Courier(host), Auditor(host), Gateway(host)
        self._servers = [
            host.runner,
            host.dispatcher,
            Timekeeper(host),
            host.courier,
            host.gateway,
            host.auditor,
            Reaper(host),
            Pruner(host),
        ]
        # Registered before the first read: whoever holds something and is not registered is taken for dead.
        await self._store.custody.register(incarnation, self._about())
        await self._store.custody.found(host.streams())
        await host.learn_bands()
        self._pulse = self._make_pulse(incarnation)
        self._pulse.start()
        for link in self._store.space.links:
            link.on_restored.append(host.auditor.soon)
        self._guards = install()
        host.watch = self._guards.watch
        for server in self._servers:
            server.start()
        log.info("worker started", worker=incarnation, queues=list(self._settings.queues))

    def _make_pulse(self, incarnation: str) -> Beating:
        return Pulse(
            self._store.space, worker=incarnation, timeout_s=self._settings.worker_timeout_s, fenced=self._on_fenced
        )

    async def stop(self, *, grace_s: float | None = None) -> None:
        """Drain: take nothing new, let steps finish within the grace time, hand the rest to others at once.

        After ``kill`` it does nothing. Cancelled, it ends as ``kill`` does.
        """
        if self._stopping:
            return
        try:
            await self._no_rebirth()
            host = self.host
            host.hands.close()
            reading, rest = self._servers[:2], self._servers[2:]
            for server in reading:
                await server.stop()
            await host.runner.drain(self._settings.grace_s if grace_s is None else grace_s)
            await self._leave(rest)
        except BaseException:
            await self.kill()
            raise
        log.info("worker stopped", worker=host.incarnation)

    async def kill(self) -> None:
        """End without handing anything over, as a crash would: for tests."""
        await self._no_rebirth()
        if self._host is not None:
            await self._break_off()

    async def _no_rebirth(self) -> None:
        self._stopping = True
        reborn, self._reborn = self._reborn, None
        if reborn is not None:
            reborn.cancel()
            await asyncio.wait([reborn])

    async def _break_off(self) -> None:
        """End everything of this incarnation here; what Redis knows of it stays as it is."""
        host = self.host
        host.hands.close()
        if self._pulse is not None:
            self._pulse.stop()
        host.runner.break_off()
        for server in self._servers:
            await server.stop()
        await host.cancel_tasks()
        host.runner.break_off()
        host.cache.clear()
        for link in self._store.space.links:
            if host.auditor.soon in link.on_restored:
                link.on_restored.remove(host.auditor.soon)
        if self._guards is not None:
            self._guards.close()

    async def _leave(self, servers: list[Server]) -> None:
        """Stop the rest, give back what is held and what was read, and leave the living."""
        host = self.host
        for server in servers:
            await server.stop()
        await host.cancel_tasks()
        try:
            # The calls wait for a server that is away; a worker that was told to stop does not.
            async with asyncio.timeout(LEAVE_S_MAX):
                await host.runner.give_back()
                await self._give_back_entries()
                await self._store.custody.fence(host.incarnation, "")
        except (KernelError, TimeoutError) as error:
            reason = str(error) or f"Redis did not answer within {LEAVE_S_MAX:g} s"
            log.warning("could not leave cleanly; others take over after the timeout", error=reason)
        await self._break_off()

    async def _give_back_entries(self) -> None:
        """Entries that were read and not begun go to others at once, not after a timeout."""
        host = self.host
        for tag in self._store.space.keys.tags:
            await self._store.custody.give_back(tag, host.incarnation, (*host.queue_names, *host.bands))
        await self._store.gateway.give_back(host.incarnation)
        for stream, group in host.streams():
            await self._store.custody.forget(stream, group, host.incarnation)

    def _on_fenced(self) -> None:
        """From the pulse's thread: this incarnation was declared dead."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._begin_rebirth)

    def _begin_rebirth(self) -> None:
        if not self._stopping and self._reborn is None:
            self._reborn = asyncio.get_running_loop().create_task(self._rebirth(), name="rebirth")

    async def _rebirth(self) -> None:
        """Stop every step, drop everything, go on under a new incarnation."""
        host = self.host
        log.warning("this worker was declared dead; it goes on under a new name", worker=host.incarnation)
        await self._break_off()
        await self.start()
        self._reborn = None

    def _about(self) -> str:
        about = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "python": platform.python_version(),
            "queues": list(self._settings.queues),
            "concurrency": self._settings.concurrency,
            "workflows": [[flow.name, flow.version] for flow in self._registry.workflows],
        }
        return json.dumps(about)
