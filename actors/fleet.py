"""Fleet: the workers of a namespace as people see them, and whether they beat."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from actors.views import moment

if TYPE_CHECKING:
    from datetime import datetime

    from kernel import Store

WATCH_S_MAX: Final = 5.0
"""How long workers are watched for a heartbeat at most."""
BEAT_MS: Final = 1_000
"""Between two heartbeats, of workers that do not say it."""
LOOK_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """One worker that is registered."""

    id: str
    """Of this incarnation: a worker that was declared dead and lives goes on under another."""
    host: str = ""
    pid: int = 0
    python: str = ""
    queues: tuple[str, ...] = ()
    concurrency: int = 0
    """Steps that it may run at once."""
    workflows: tuple[tuple[str, str], ...] = ()
    """Name and version of each that it has the code of."""
    started: datetime | None = None
    running: int = 0
    """Steps that it has begun and not completed."""
    beats: bool = False
    """A heartbeat came while it was watched. Without one for its timeout others take over what it has."""
    gone: bool = False
    """It left, or was declared dead, while it was watched."""


async def read_workers(store: Store, *, watch_s: float | None = None) -> tuple[list[WorkerView], float]:
    """Return the workers, by host and process, and for how long they were watched, seconds.

    Redis does not have the times of heartbeats, so they are watched until each has come, ``watch_s`` seconds at most
    (None: one and a half times as long as the slowest says that it takes). One that is no longer registered is not
    waited for.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    first, described, running = await asyncio.gather(
        store.custody.living(), store.custody.about(), store.survey.running()
    )
    about: dict[str, dict[str, Any]] = {beat.worker: json.loads(described.get(beat.worker, "{}")) for beat in first}
    slowest_ms = max((said.get("beat_ms", BEAT_MS) for said in about.values()), default=0)
    until = began + (min(1.5 * slowest_ms / 1000, WATCH_S_MAX) if watch_s is None else watch_s)
    silent = {beat.worker: beat.value for beat in first}
    now = silent
    while any(now.get(worker) == value for worker, value in silent.items()) and loop.time() < until:
        await asyncio.sleep(LOOK_S)
        now = {beat.worker: beat.value for beat in await store.custody.living()}
        silent = {worker: value for worker, value in silent.items() if now.get(worker, value) == value}
    views = [replace(_view(worker, said), running=running.get(worker, 0)) for worker, said in about.items()]
    seen = [replace(view, beats=view.id not in silent and view.id in now, gone=view.id not in now) for view in views]
    return sorted(seen, key=lambda view: (view.host, view.pid, view.id)), loop.time() - began


def _view(worker: str, said: dict[str, Any]) -> WorkerView:
    started = said.get("started_ms")
    return WorkerView(
        id=worker,
        host=said.get("host", ""),
        pid=said.get("pid", 0),
        python=said.get("python", ""),
        queues=tuple(said.get("queues", ())),
        concurrency=said.get("concurrency", 0),
        workflows=tuple((name, version) for name, version in cast("list[list[str]]", said.get("workflows") or [])),
        started=None if started is None else moment(started),
    )
