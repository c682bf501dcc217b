"""Stage: everything that one run has started: servers, workers, load. It ends all of it, however the run ends."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TypeVar

from tests.chaos.app import TOTAL, make_app
from tests.chaos.crew import Crew
from tests.chaos.load import Load
from tests.chaos.trace import Mark, read_marks
from tests.topology.place import OfNodes
from tests.topology.places import make

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tests.topology.node import Node
    from tests.topology.place import Place

T = TypeVar("T")


class Injected(NamedTuple):
    """What was done to whom."""

    kind: str
    at_s: float
    """Seconds since the epoch, as all times here."""
    until_s: float
    """When the cause was gone: the server answered again, the disk had room, the process went on."""
    hit: tuple[str, ...] = ()
    """Workflows with a step in the hands of the worker that was hit; empty: everybody was."""
    pid: int = 0
    """Of that worker."""
    note: str = ""
    mutations: int | None = None
    """How many were committed meanwhile; None: nobody counted."""


class Settings(NamedTuple):
    """What a run is asked to be."""

    place: str
    seed: int
    seconds: float
    workers: int = 3
    rate: float = 15.0
    """Starts a second."""
    worker_timeout_s: float = 5.0
    only: tuple[str, ...] = ()
    haste: float = 1.0
    """2 for twice as many injections in the time."""
    logs: Path | None = None
    """Folder that gets the workers' logs and the trace."""
    drain_s: float = 120.0
    """How long what was acknowledged may take to end, once nothing is injected any more."""
    quiet_s: float = 20.0
    """How long the audit, and then the cleanup, may take to find nothing."""


class Stage:
    """One run's processes and connections; use it in an ``async with`` block."""

    def __init__(self, settings: Settings, say: Callable[[str], None], *, beside: Stage | None = None) -> None:
        """``say`` is told what happens, a line at a time. ``beside``: another stage whose servers are used."""
        self.settings: Final = settings
        self.say: Final = say
        standalone = settings.place in {"everysec", "always"}
        self.place: Place = beside.place if beside else make("standalone" if standalone else settings.place)
        self._owns_place = beside is None
        self.injected: list[Injected] = []
        self.began_s = 0.0
        self.spawned: list[asyncio.Task[None]] = []
        """Injections that end later than they begin: a paused worker, for instance."""

    async def __aenter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="headrace-chaos-"))
        self.trace = self._folder / "trace"
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        return self

    async def _start(self) -> None:
        settings = self.settings
        if self._owns_place:
            await asyncio.to_thread(self.place.__enter__)
            if settings.place == "always":
                await self.ask(lambda: self.node.set(appendfsync="always"))
        namespace = f"chaos-{secrets.token_hex(4)}"
        timeout_s = settings.worker_timeout_s
        self.app = make_app(self.place.url, namespace=namespace, worker_timeout_s=timeout_s, trace=self.trace)
        await self.app.manager.store()
        self.crew = Crew(
            self._folder, url=self.place.url, namespace=namespace, worker_timeout_s=timeout_s, trace=self.trace
        )
        self.load = Load(self.app, seed=settings.seed)
        for _ in range(settings.workers):
            await self.crew.start()
        await self.all_there()
        self.began_s = time.time()

    async def all_there(self) -> None:
        """Wait until every worker is registered."""
        custody = (await self.app.manager.store()).custody
        async with asyncio.timeout(30):
            while len(await custody.living()) < self.settings.workers:  # noqa: ASYNC110 - others write it
                await asyncio.sleep(0.05)

    @property
    def node(self) -> Node:
        """The only server, of a place that has one."""
        assert isinstance(self.place, OfNodes)
        return self.place.nodes[0]

    async def ask(self, call: Callable[[], T]) -> T:
        """Call what blocks, such as the methods of nodes."""
        return await asyncio.to_thread(call)

    def marks(self) -> list[Mark]:
        """Return what steps have left so far."""
        return read_marks(self.trace)

    async def committed(self) -> int:
        """Return how many mutations were committed so far."""
        space = (await self.app.manager.store()).space
        found = [await space.send(tag, "GET", f"{tag}:app:{TOTAL}") for tag in space.keys.tags]
        return sum(int(total) for total in found if isinstance(total, bytes))

    def in_hand(self, pid: int) -> tuple[str, ...]:
        """Return the workflows of which a process has begun a step and not ended it."""
        begun: dict[tuple[str, int], None] = {}
        for mark in self.marks():
            if mark.pid == pid:
                key = (mark.workflow_id, mark.seq)
                if mark.what == "begun":
                    begun[key] = None
                else:
                    begun.pop(key, None)
        return tuple(workflow_id for workflow_id, _ in begun)

    async def close(self) -> None:
        """End everything, by process id; nothing is left."""
        for task in self.spawned:
            task.cancel()
        try:
            if hasattr(self, "load"):
                await self.load.close()
            if hasattr(self, "crew"):
                await self.crew.close()
            if hasattr(self, "app"):
                await self.app.manager.close()
        finally:
            if hasattr(self, "crew"):
                self.crew.kill_all()
            if self._owns_place:
                self.place.close()
            if self.settings.logs is not None:
                shutil.copytree(self._folder, self.settings.logs, dirs_exist_ok=True)
            shutil.rmtree(self._folder, ignore_errors=True)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
