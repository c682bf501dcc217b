"""Runner: takes step commands from queues and runs them. How one is executed is in ``execution``."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random
from typing import TYPE_CHECKING, ClassVar, Final

import structlog

from actors.errors import Failure, OutcomeUnknown, StepTimedOut, UnknownDefinition
from actors.policy import RetryPolicy
from actors.servers.execution import Execution
from actors.servers.server import Server
from kernel import (
    Begun,
    Entry,
    Held,
    KernelError,
    Queued,
    Reader,
    Refused,
    ServerUnreachable,
    TimedOut,
    draw_nonce,
    read_queued,
)

if TYPE_CHECKING:
    from actors.servers.host import Host

log = structlog.get_logger(__name__)

ALONE_AT: Final = 2
"""A command during which so many workers died is run with nothing else beside it."""
DECLINE_MS: Final = 1_000
"""How long a step of unknown code is left to others."""


class Runner(Server):
    """Reads the queues that this worker serves, as far as it has slots."""

    name: ClassVar[str] = "runner"

    def __init__(self, host: Host) -> None:
        """Work for one worker."""
        super().__init__()
        self._host = host
        self._execution = Execution(host)
        self._random = Random()  # noqa: S311 - jitter only

    async def run(self) -> None:
        """Read and run until cancelled."""
        async with asyncio.TaskGroup() as group:
            for streams in self._host.stream_groups(*(f"q:{queue}" for queue in self._host.queue_names)):
                group.create_task(self._serve(streams))

    async def _serve(self, streams: tuple[str, ...]) -> None:
        host = self._host
        reader = Reader(
            host.store.space,
            group="workers",
            consumer=host.incarnation,
            streams=streams,
            on_restored=host.auditor.soon,
        )
        try:
            while True:
                await host.hands.room()
                # One entry a stream is all that is asked for while waiting; what waits behind it follows at once.
                entries = await reader.wait()
                while entries:
                    for entry in entries:
                        self.take(entry)
                    free = host.hands.free
                    entries = await reader.more(free) if free > 0 else []
        finally:
            await reader.close()

    def take(self, entry: Entry) -> None:
        """Look at a queue's entry: begin it, give it back, or drop it. Its slot is taken at once."""
        host = self._host
        key = (entry.stream, entry.id)
        if not entry.fields:
            return
        tag, _, queue = entry.stream.partition(":q:")
        queued = read_queued(tag, queue, entry.id, entry.fields)
        if key in host.hands.entries:
            return
        host.hands.entries.add(key)
        room = host.hands.reserve(1)
        host.spawn(self._begin(queued, room, key), name="begin")

    async def _begin(self, queued: Queued, room: int, key: tuple[str, bytes]) -> None:
        host, hands = self._host, self._host.hands
        try:
            if not room:
                await host.store.steps.decline(queued, delay_ms=0)
                return
            if not self._execution.knows(queued.target):
                await host.store.steps.decline(queued, delay_ms=DECLINE_MS)
                return
            if queued.crashes >= ALONE_AT and not await self._make_way(queued):
                return
            token = f"{draw_nonce():x}"
            hands.awaited.add(token)
            try:
                begun = await host.store.steps.begin(queued, worker=host.incarnation, token=token)
            except Refused:
                return
            finally:
                hands.awaited.discard(token)
            hands.unreserve(room)
            room = 0
            self.start_step(begun)
        finally:
            if room:
                hands.unreserve(room)
            hands.entries.discard(key)

    async def _make_way(self, queued: Queued) -> bool:
        """Wait until nothing else runs here; False: the command was given back instead."""
        hands = self._host.hands
        if hands.alone is not None or not await hands.quiet():
            await self._host.store.steps.decline(queued, delay_ms=DECLINE_MS)
            return False
        return True

    def start_step(self, begun: Begun) -> None:
        """Run a command that this worker holds, unless it is in hand already."""
        hands = self._host.hands
        if not hands.take(begun.held):
            return
        if begun.crashes >= ALONE_AT:
            hands.alone = begun.held
        task = asyncio.get_running_loop().create_task(self._run(begun))
        hands.held[begun.held] = task

    async def _run(self, begun: Begun) -> None:
        """Run one attempt and record what came of it; then the command is out of hand."""
        held = begun.held
        try:
            await self._attempt(begun)
        except (Refused, ServerUnreachable) as error:
            log.debug("an outcome was not wanted", step=begun.command.label, reason=str(error))
        except KernelError:
            log.exception("an outcome could not be recorded; it will be taken up again", step=begun.command.label)
        finally:
            self._execution.forget(held)
            self._host.hands.drop(held)

    async def _attempt(self, begun: Begun) -> None:
        held, hands = begun.held, self._host.hands
        if begun.command.at_most_once and not hands.started(held):
            await self._fail(begun, OutcomeUnknown("the server was rolled back while it ran", error_type="RolledBack"))
            return
        payload: bytes | None = None
        failure: BaseException | None = None
        try:
            payload = await self._execution.run(begun)
        except UnknownDefinition:
            await self._host.store.steps.release(held, nonce=draw_nonce(), delay_ms=DECLINE_MS, unknown=b"")
            return
        except KernelError:
            raise
        except asyncio.CancelledError as error:
            if self._execution.was_canceled(held) or _being_canceled():
                raise
            failure = error  # the step's own code raised it
        except Exception as error:  # noqa: BLE001 - whatever the author's code raises is the step's outcome
            failure = error
        hands.finishing(held)
        if failure is not None:
            await self._fail(begun, failure)
        elif payload is not None:
            await self._host.turner.finish(begun, "ok", payload)

    async def _fail(self, begun: Begun, error: BaseException) -> None:
        """Set the next attempt, or record the final failure."""
        held = begun.held
        policy = RetryPolicy.decode(begun.command.options)
        failure = Failure.from_exception(error, attempts=held.attempt)
        delay_ms = policy.decide(held.attempt, error, random=self._random) if policy is not None else None
        if delay_ms is None:
            await self._host.turner.finish(begun, "failed", failure.encode())
        else:
            await self._host.store.steps.retry(held, error=failure.encode(), delay_ms=delay_ms)

    async def time_out(self, timed_out: TimedOut) -> None:
        """Decide what follows an attempt that took too long and whose worker did not say so itself."""
        held, command = timed_out
        limit_s = command.timeout_ms / 1000
        error = StepTimedOut(f"the attempt took longer than {limit_s:g} s", error_type="TimeoutError")
        with contextlib.suppress(Refused):
            await self._fail(Begun(held, command, 0, 0, b""), error)
        task = self._host.hands.held.get(held)
        if task is not None:
            self.cancel(held)

    def cancel(self, held: Held) -> None:
        """Break off a command that is in hand and no longer wanted."""
        task = self._host.hands.held.get(held)
        self._execution.cancel(held)
        if task is not None:
            task.cancel()

    async def drain(self, grace_s: float) -> None:
        """Let running steps finish within the grace time, then hand the rest to other workers at once."""
        hands = self._host.hands
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await hands.empty()
        for held in list(hands.held):
            await self._give_back(held)

    async def _give_back(self, held: Held) -> None:
        task = self._host.hands.held.get(held)
        self._execution.cancel(held)
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=1.0)
        unknown = Failure(
            kind="OutcomeUnknown",
            error_type="WorkerStopped",
            message="its worker was stopped while it ran: find out whether it happened before doing it again",
        )
        with contextlib.suppress(KernelError):
            await self._host.store.steps.release(held, nonce=draw_nonce(), delay_ms=0, unknown=unknown.encode())


def _being_canceled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
