"""Worker: a process's share of the work: it hosts the servers under one incarnation, and drains when asked to stop."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import secrets
import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from actors.checks import check_definition
from actors.determinism import Installation, install
from actors.names import new_worker_name
from actors.registry import check_pools
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
from kernel import BEATS_A_TIMEOUT, KernelError, NamespaceRefounded, Pulse

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.registry import Registry
    from actors.servers.server import Server
    from actors.servers.settings import WorkerSettings
    from kernel import Store

log = structlog.get_logger(__name__)

REBIRTH_S: Final = 1.0
"""Pause before a worker that Redis refused tries again to begin a new life."""


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
        self._reaper: Reaper | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reborn: asyncio.Task[None] | None = None
        self._stopping = False
        self._is_preparing = self._died_early = False
        self.on_refounded: Callable[[int], object] | None = None
        """To be told that the server was emptied and the namespace founded anew by somebody else, with the new hash
        seed: this worker does nothing any more, and its process is to be started anew. None: it goes on if it can."""

    @property
    def incarnation(self) -> str:
        """The name of this life of the worker."""
        return self._host.incarnation if self._host else ""

    @property
    def threads_running(self) -> list[str]:
        """Steps that run in threads now, as ``<workflow's id>/<step>``; after ``stop`` those that others have."""
        return self._host.runner.threads_running if self._host else []

    @property
    def host(self) -> Host:
        """What its servers share, while it runs."""
        assert self._host is not None, "the worker is not running"
        return self._host

    async def start(self) -> None:
        """Register and begin all loops.

        Raises:
            DeterminismViolation: a workflow calls a helper that reads the wall clock, blocks or does I/O.
            InvalidOption: a definition names a pool that was not declared.
            InvalidDefinition: an annotation names what is not there, or no type of values.
        """
        check_pools(self._registry)
        for definition in (*self._registry.step_definitions, *self._registry.workflows):
            definition.check_annotations()
        for workflow in self._registry.workflows:
            # Once more: when it was defined, helpers further down in its module were not there yet.
            check_definition(workflow.function)
        await self._live(fallen=())

    async def _live(self, *, fallen: tuple[str, ...]) -> None:
        """Begin a life. ``fallen``: earlier lives of this worker, fenced, of which something may be left."""
        self._loop = asyncio.get_running_loop()
        self._is_preparing = True
        try:
            host = await self._prepare_life(fallen)
            while self._died_early:
                log.warning(
                    "this worker was declared dead while it began; it goes on under a new name", worker=host.incarnation
                )
                if not await self._found_again():
                    return  # its process begins anew
                await asyncio.sleep(REBIRTH_S)
                host = await self._prepare_life(fallen)
        finally:
            self._is_preparing = False
        self._store.space.on_restored.append(host.auditor.soon)
        self._guards = install()
        host.watch = self._guards.watch
        for server in self._servers:
            server.start()
        log.info("worker started", worker=host.incarnation, queues=list(self._settings.queues))

    async def _prepare_life(self, fallen: tuple[str, ...]) -> Host:
        """Register a new incarnation and prepare what it reads from. It may have died when this returns."""
        self._died_early = False
        incarnation = self._new_incarnation()
        self._host = host = Host(
            store=self._store, registry=self._registry, settings=self._settings, incarnation=incarnation
        )
        host.turner, host.delivery = Turner(host), Delivery(host)
        host.dispatcher, host.runner = Dispatcher(host), Runner(host)
        host.courier, host.auditor, host.gateway = Courier(host), Auditor(host), Gateway(host)
        host.on_fenced = partial(self._begin_rebirth, incarnation)
        self._reaper = Reaper(host, fallen=fallen)
        self._servers = [
            host.runner,
            host.dispatcher,
            Timekeeper(host),
            host.courier,
            host.gateway,
            host.auditor,
            self._reaper,
            Pruner(host),
        ]
        # Registered before the first read: whoever holds something and is not registered is taken for dead.
        await self._store.custody.register(incarnation, self._about())
        # And it beats from then on: what follows may have to wait for a server that is full.
        self._pulse = self._make_pulse(incarnation)
        self._pulse.start()
        try:
            await self._store.custody.found(host.streams())
            await host.learn_bands()
            await host.declare_pools()
        except BaseException:
            self._pulse.stop()  # a further attempt makes another life; this one must not be thought alive
            raise
        return host

    def _new_incarnation(self) -> str:
        return new_worker_name(host=socket.gethostname(), pid=os.getpid(), nonce=secrets.randbits(64))

    def _make_pulse(self, incarnation: str) -> Beating:
        return Pulse(
            self._store.space,
            worker=incarnation,
            timeout_s=self._settings.worker_timeout_s,
            fenced=partial(self._on_fenced, incarnation),
        )

    async def stop(self, *, grace_s: float | None = None) -> None:
        """Drain: take nothing new, let steps finish within the grace time, hand the rest to others at once.

        After ``kill`` it does nothing. Cancelled, it ends as ``kill`` does.
        """
        if self._stopping:
            return
        try:
            between_lives = await self._no_rebirth()
            host = self.host
            host.hands.close()
            if between_lives:
                # Nothing runs that could end well: of what is in hand nobody knows how far it was broken off.
                await self._break_off()
            else:
                await self._drain(self._settings.grace_s if grace_s is None else grace_s)
            await self._leave()
        except BaseException:
            await self.kill()
            raise
        if running := self.threads_running:
            log.warning("steps run on in threads, which cannot be ended; others run them as well", steps=running)
        log.info("worker stopped", worker=host.incarnation)

    async def _drain(self, grace_s: float) -> None:
        for server in self._servers[:2]:  # those that read what begins something
            await server.stop()
        await self.host.runner.drain(grace_s)

    async def kill(self) -> None:
        """End without handing anything over, as a crash would: for tests."""
        await self._no_rebirth()
        if self._host is not None:
            await self._break_off()

    async def _no_rebirth(self) -> bool:
        """Let nothing begin anew; True: it was about to."""
        self._stopping = True
        reborn, self._reborn = self._reborn, None
        if reborn is None:
            return False
        reborn.cancel()
        await asyncio.wait([reborn])
        return True

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
        restored = self._store.space.on_restored
        if host.auditor.soon in restored:
            restored.remove(host.auditor.soon)
        if self._guards is not None:
            self._guards.close()

    async def _leave(self) -> None:
        """Stop the rest, give back what is held and what was read, and leave the living."""
        host = self.host
        for server in self._servers:
            await server.stop()
        await host.cancel_tasks()
        try:
            # The calls wait for a server that is away; a worker that was told to stop does not.
            async with asyncio.timeout(LEAVE_S_MAX):
                if self._reaper is not None:
                    await self._reaper.inherit()
                await self._give_back_entries()
                # Last of all that has to be done: a step in a thread runs on here until the process ends.
                await host.runner.give_back()
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

    def _on_fenced(self, incarnation: str) -> None:
        """From the pulse's thread: an incarnation was declared dead."""
        assert self._loop is not None
        # A worker that leaves fences itself, and its loop may be closed before the thread has heard of it.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._begin_rebirth, incarnation)

    def _begin_rebirth(self, incarnation: str) -> None:
        if incarnation != self.incarnation:
            return  # of a life that is over
        if self._is_preparing:
            self._died_early = True  # nothing was read under its name
        elif not self._stopping and self._reborn is None:
            self._reborn = asyncio.get_running_loop().create_task(self._rebirth(), name="rebirth")

    async def _rebirth(self) -> None:
        """Stop every step, drop everything, go on under a new incarnation.

        It read on until it heard of its death, so the new life looks once more for what the old one was handed.
        """
        host = self.host
        fallen = (host.incarnation, *(self._reaper.fallen if self._reaper is not None else ()))
        log.warning("this worker was declared dead; it goes on under a new name", worker=host.incarnation)
        await self._break_off()
        while True:
            try:
                if not await self._found_again():
                    return  # its process ends, or begins anew
                await self._live(fallen=fallen)
                break
            except KernelError as error:
                log.warning("it could not begin its new life and tries again", error=str(error))
            await asyncio.sleep(REBIRTH_S)
        self._reborn = None

    async def _found_again(self) -> bool:
        """Found the namespace anew as it was, if it is gone; False: it was founded in another way, and this one ends.

        A worker that is not among the living any more may owe that to a server that was emptied.
        """
        space = self._store.space
        try:
            if await space.found_again():
                log.warning(
                    "Redis was emptied: all workflows are gone; this worker founded the namespace anew, as it was",
                    namespace=space.namespace,
                )
        except NamespaceRefounded as error:
            if self.on_refounded is not None:
                log.warning("Redis was emptied: all workflows are gone; this worker begins anew", error=str(error))
                self.on_refounded(error.seed)
                return False
            if not error.same_keys:
                raise
            log.warning("Redis was emptied: all workflows are gone; this worker goes on", error=str(error))
            space.seed = error.seed
        return True

    def _about(self) -> str:
        about = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "python": platform.python_version(),
            "queues": list(self._settings.queues),
            "concurrency": self._settings.concurrency,
            "started_ms": self._store.space.now_ms(),
            "beat_ms": round(self._settings.worker_timeout_s * 1000 / BEATS_A_TIMEOUT),
            "steps": [step.name for step in self._registry.step_definitions],
            "workflows": [[flow.name, flow.version] for flow in self._registry.workflows],
        }
        return json.dumps(about)
