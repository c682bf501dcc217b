"""Reaper: notices workers that have died and takes over what they held. It compares no clocks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

import structlog

from actors.errors import Failure
from actors.names import worker_name
from actors.servers.server import Server

if TYPE_CHECKING:
    from actors.servers.host import Host
    from kernel import Heartbeat

log = structlog.get_logger(__name__)

LOOKS_A_TIMEOUT: Final = 10
SILENT_PART: Final = 0.5
"""Of the timeout, in which it beats five times: if its own beats do not arrive for longer, others' may not either."""
LEFTOVERS_S: Final = 30.0
"""How often consumers and holders that nobody knows are looked for."""

_UNKNOWN: Final = Failure(
    kind="OutcomeUnknown",
    error_type="WorkerDied",
    message="its worker died while it ran, and it may run at most once: find out whether it happened before doing it "
    "again",
).encode()


def _died(deaths: int, last: str) -> bytes:
    failure = Failure(
        kind="WorkerDied",
        error_type="WorkerDied",
        message=f"its worker died {deaths} times, the last was {worker_name(last)}: look for what kills the "
        "process (memory, os._exit, a native library), mend it, then restart the workflow from this step",
        attempts=deaths,
    )
    return failure.encode()


class Reaper(Server):
    """Watches heartbeats over an unbroken link of its own."""

    name: ClassVar[str] = "reaper"

    def __init__(self, host: Host, *, fallen: tuple[str, ...] = ()) -> None:
        """Work for one worker. ``fallen``: its own earlier lives, fenced; it takes over from them first."""
        super().__init__()
        self._host = host
        self.fallen = fallen
        self._seen: dict[str, tuple[str, float]] = {}
        self._unknown: dict[str, float] = {}
        self._epoch = -1
        self._own = ("", 0.0)
        self._search_at = self._doubt_until = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        loop, timeout_s = asyncio.get_running_loop(), self._host.worker_timeout_s
        await self.inherit()
        self._doubt()
        while True:
            await self.look()
            if loop.time() >= self._search_at:
                await self._leftovers()
                # Who is found must be looked at once more.
                soon = self._unknown or loop.time() < self._doubt_until
                self._search_at = loop.time() + (timeout_s if soon else LEFTOVERS_S)
            await asyncio.sleep(timeout_s / LOOKS_A_TIMEOUT)

    async def inherit(self) -> None:
        """Take over what this worker's own earlier lives were handed until they heard of their deaths."""
        while self.fallen:
            await self.take_over(self.fallen[0], was_crash=False)
            self.fallen = self.fallen[1:]

    def _doubt(self) -> None:
        """Search at once, and again when whoever is found has had the time to be taken for dead.

        A reaper may have died between fencing and taking over, and a worker that was paused goes on reading until it
        hears that it is dead; if it dies then, nobody else knows of it.
        """
        self._search_at = asyncio.get_running_loop().time()
        self._doubt_until = self._search_at + 2 * self._host.worker_timeout_s

    async def look(self) -> None:
        """Compare each heartbeat with the last look; declare dead what has not changed for the timeout."""
        host, loop = self._host, asyncio.get_running_loop()
        epoch, asked = host.epoch_of(host.store.space.keys.workers), loop.time()
        beats = await host.store.custody.living()
        # The answer may have taken as long as the server was away: it says what is now, nothing of the time before.
        now = loop.time()
        unbroken = epoch == self._epoch == host.epoch_of(host.store.space.keys.workers)
        if self._is_silent(beats, now) or not unbroken:
            # The link broke, or the server took no writes: nobody could beat, so nothing seen before counts.
            self._epoch = host.epoch_of(host.store.space.keys.workers)
            self._seen = {beat.worker: (beat.value, now) for beat in beats}
            return
        seen, self._seen = self._seen, {}
        living = {beat.worker for beat in beats}
        if host.incarnation not in living:
            host.on_fenced()
            return
        if seen.keys() - living:
            self._doubt()
        dead: list[tuple[str, str]] = []
        for worker, value in beats:
            last = seen.get(worker)
            if last is None or last[0] != value or worker == host.incarnation:
                self._seen[worker] = (value, now)
                continue
            self._seen[worker] = last
            if asked - last[1] >= host.worker_timeout_s:
                dead.append((worker, value))
        await asyncio.gather(*(self._bury(worker, value) for worker, value in dead))

    def _is_silent(self, beats: list[Heartbeat], now: float) -> bool:
        """Tell whether this worker's own heartbeat has not arrived for long, and so perhaps nobody's."""
        value = next((beat.value for beat in beats if beat.worker == self._host.incarnation), "")
        if value != self._own[0]:
            self._own = (value, now)
        return bool(value) and now - self._own[1] > self._host.worker_timeout_s * SILENT_PART

    async def _bury(self, worker: str, value: str) -> None:
        if await self._host.store.custody.fence(worker, value):
            self._seen.pop(worker, None)
            log.warning("a worker died; taking over what it held", worker=worker)
            await self.take_over(worker)

    async def take_over(self, dead: str, *, was_crash: bool = True) -> None:
        """Take commands, entries and messages out of a fenced worker's hands.

        ``was_crash``: it may have died of what it was running, which counts against that.
        """
        host, custody = self._host, self._host.store.custody
        died = _died(host.deaths_max, dead)
        taken = await custody.take_all(
            dead, convict_at=host.deaths_max, unknown=_UNKNOWN, died=died, was_crash=was_crash
        )
        # All at once: where each write waits for the disk, one after another would take a second.
        await asyncio.gather(*(self._inherit_entries(stream, group, dead) for stream, group in host.streams()))
        log.info("took over from a dead worker", worker=dead, steps=taken)
        host.auditor.soon()

    async def _inherit_entries(self, stream: str, group: str, dead: str) -> None:
        custody, me = self._host.store.custody, self._host.incarnation
        while await custody.claim(stream, group, dead=dead, me=me):
            pass
        await custody.forget(stream, group, dead)

    async def _leftovers(self) -> None:
        """Look for consumers and holders that are not among the living; unchanged for the timeout, they are dead."""
        host, custody = self._host, self._host.store.custody
        known: set[str] = set()
        for tag in host.store.space.keys.tags:
            known |= await custody.holders(tag)
        for stream, group in host.streams():
            known |= set(await custody.consumers(stream, group))
        living = {beat.worker for beat in await custody.living()} | {host.incarnation}
        now = asyncio.get_running_loop().time()
        unknown = {worker: self._unknown.get(worker, now) for worker in sorted(known - living)}
        for worker, since in unknown.items():
            if now - since >= host.worker_timeout_s:
                await self.take_over(worker)
        self._unknown = unknown
