"""Runner: takes step commands from queues and runs them. How one is executed is in ``execution``."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Final

import structlog

from actors.errors import Failure, OutcomeUnknown
from actors.policy import RetryPolicy
from actors.servers.bands import Ladder
from actors.servers.execution import Execution, NotYet, late
from actors.servers.mutator import StepRaised
from actors.servers.refusals import Refusals
from actors.servers.server import Server
from kernel import (
    Begun,
    Entry,
    Held,
    KernelError,
    PayloadUnusable,
    Queued,
    Reader,
    Refused,
    ServerRefused,
    ServerUnreachable,
    TimedOut,
    draw_nonce,
    is_damage,
    keys,
    read_queued,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from actors.servers.host import Host

log = structlog.get_logger(__name__)

ALONE_AT: Final = 2
"""A command during which so many workers died is run with nothing else beside it."""
DECLINE_MS: Final = 1_000
"""How long a step that cannot be run here is left to others, after a round of quick refusals."""
END_S_MAX: Final = 1.0
"""How long a step that was cancelled because its worker leaves may take to end; then it is handed over all the same."""


class Runner(Server):
    """Reads the queues that this worker serves, as far as it has slots."""

    name: ClassVar[str] = "runner"

    def __init__(self, host: Host) -> None:
        """Work for one worker."""
        super().__init__()
        self._host = host
        self._execution = Execution(host)
        self._refusals = Refusals(long_ms=(DECLINE_MS,))
        self._context = contextvars.copy_context()
        self._random = Random(host.jitter_seed)  # noqa: S311 - jitter only

    async def run(self) -> None:
        """Read and run until cancelled."""
        async with asyncio.TaskGroup() as group:
            serving = self._serve_all(group)
            async for _ in self._host.listen(*(f"{tag}:band" for tag in self._host.store.space.keys.tags)):
                if await self._host.learn_bands():
                    for task in serving:
                        task.cancel()
                    serving = self._serve_all(group)
                    self._host.auditor.soon()  # a read that was broken off may have been answered

    def _serve_all(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        groups = self._host.stream_groups(*self._host.queue_streams)
        return [group.create_task(self._serve(streams)) for streams in groups]

    async def _serve(self, streams: tuple[str, ...]) -> None:
        host = self._host
        reader = Reader(
            host.store.space,
            group="workers",
            consumer=host.incarnation,
            streams=streams,
            on_restored=host.auditor.soon,
        )
        ladder = Ladder(host, reader, streams)
        try:
            while True:
                await host.hands.room()
                await ladder.take(self.take)
                if host.hands.free <= 0:
                    continue
                entries = await self._next(reader, streams)
                while entries:
                    for entry in entries:
                        self.take(entry)
                    free = host.hands.free
                    entries = await reader.more(free) if free > 0 else []
        finally:
            await reader.close()

    async def _next(self, reader: Reader, streams: tuple[str, ...]) -> list[Entry]:
        """Return what waits, as far as there are slots for it; if nothing does, wait for news.

        One entry a stream is all that is asked for while waiting; what waits behind it follows at once. Where there are
        fewer slots than streams even that may be too much, and what has no slot would go to the end of its queue.
        """
        hands = self._host.hands
        if hands.free < len(streams):
            waiting = tuple(await reader.waiting())
            if waiting and hands.free > 0 and (entries := await reader.more(hands.free, waiting)):
                return entries
            if hands.free <= 0:
                return []
        return await reader.wait()

    def take(self, entry: Entry) -> None:
        """Look at a queue's entry: begin it, give it back, or drop it. Its slot is taken at once."""
        host = self._host
        key = (entry.stream, entry.id)
        if not entry.fields:
            return
        tag, _, queue = entry.stream.partition(":q:")
        queued = read_queued(tag, queue, entry.id, entry.fields)
        if key in host.hands.entries or queued.address in host.left:
            return
        host.hands.entries.add(key)
        room = host.hands.reserve(1)
        host.spawn(self._begin(queued, room, key), name="begin")

    async def _begin(self, queued: Queued, room: int, key: tuple[str, bytes]) -> None:
        host, hands = self._host, self._host.hands
        token = f"{draw_nonce():x}"
        held = Held(queued.address, queued.generation, queued.seq, queued.attempt, host.incarnation, token)
        begun: Begun | None = None
        try:
            if not room:
                await host.store.steps.decline(queued, delay_ms=0)
            elif not await self._may_begin(queued, held, room):
                await host.store.steps.decline(queued, delay_ms=self._refusals.delay_ms(_key(held)))
            else:
                hands.awaited.add(token)
                begun = await host.store.steps.begin(queued, worker=host.incarnation, token=token)
        except PayloadUnusable as error:
            await self.give_up(held, error)
        except KernelError as error:
            if not is_damage(error):
                raise
            await host.turner.damaged(queued.address, error)
        finally:
            hands.awaited.discard(token)
            hands.unreserve(room)
            hands.entries.discard(key)
            if begun is not None:
                self.start_step(begun)
            elif hands.alone == held:
                hands.drop(held)

    async def _may_begin(self, queued: Queued, held: Held, room: int) -> bool:
        """Tell whether a command's code is here; for one that has killed workers, wait until nothing runs beside it."""
        if not self._execution.knows(queued.target):
            return False
        return queued.crashes < ALONE_AT or await self._host.hands.make_way(held, reserved=room)

    async def give_up(self, held: Held, error: PayloadUnusable) -> None:
        """Leave a command that was begun and cannot be read here to other workers."""
        log.warning("a step's arguments cannot be read here; it is left to other workers", error=str(error))
        await self._leave(held)

    async def _leave(self, held: Held) -> None:
        delay_ms = self._refusals.delay_ms(_key(held))
        await self._host.store.steps.release(held, nonce=draw_nonce(), delay_ms=delay_ms, unknown=b"")

    def start_step(self, begun: Begun) -> None:
        """Run a command that this worker holds, unless it is in hand already or was taken back on its way here."""
        hands = self._host.hands
        if hands.was_revoked(begun.held) or not hands.take(begun.held):
            return
        if begun.crashes >= ALONE_AT:
            hands.alone = begun.held
        # In a context of its own: what the step before set in its own is none of this one's business.
        task = asyncio.get_running_loop().create_task(self._run(begun), context=self._context.copy())
        hands.held[begun.held] = task

    async def _run(self, begun: Begun) -> None:
        """Run one attempt and record what came of it; then the command is out of hand."""
        held = begun.held
        try:
            await self._attempt(begun)
        except (Refused, ServerUnreachable) as error:
            log.debug("an outcome was not wanted", step=begun.command.label, reason=str(error))
        except KernelError as error:
            if is_damage(error):
                self._host.left.add(held.address, error)
            elif not isinstance(error, ServerRefused):
                log.exception("an outcome could not be recorded; it will be taken up again", step=begun.command.label)
            elif self._host.store.space.throttle.due("an outcome"):
                log.warning("outcomes cannot be recorded; they will be taken up again", error=str(error))
        finally:
            self._let_go(held)

    async def _attempt(self, begun: Begun) -> None:
        held, hands = begun.held, self._host.hands
        if not self._execution.knows(begun.command.target):
            await self._leave(held)
            return
        if begun.command.at_most_once and not hands.started(begun):
            await self._fail(begun, OutcomeUnknown("the server was rolled back while it ran", error_type="RolledBack"))
            return
        payload: bytes | None = None
        failure: BaseException | None = None
        try:
            payload = await self._execution.run(begun)
        except StepRaised as error:
            failure = error.__cause__
        except BaseException as error:
            if self._broken_off(held, error):
                raise
            failure = error  # whatever the author's code raises is the step's outcome
        hands.finishing(held)
        try:
            if failure is not None:
                await self._fail(begun, failure)
            elif payload is not None:
                await self._host.turner.finish(begun, "ok", payload)
        except asyncio.CancelledError as error:
            if self._broken_off(held, error):
                raise
            await self._record_apart(begun, payload, failure)

    def _broken_off(self, held: Held, error: BaseException) -> bool:
        """Tell whether ``error`` came from outside into a step's task, or from the engine: not from the step's code.

        Whoever cancels all there is, as the end of ``asyncio.run`` does, cancels the auditor before any task runs on.
        And without it nothing that was not recorded is taken up again here: so no step can run again for ever, since
        what cancels its task while the auditor lives is the step's own, and is recorded.
        """
        task, known = _running_task(), self._host.hands.held.get(held)
        if task is None or (known is not None and known is not task):
            return True  # its loop does not run it: it is being closed, or collected
        if not isinstance(error, asyncio.CancelledError):
            return isinstance(error, KernelError | KeyboardInterrupt)
        if self._execution.was_canceled(held) or (task.cancelling() and self._host.auditor.is_ending):
            return True
        while task.uncancel():
            pass
        return False

    async def _record_apart(self, begun: Begun, payload: bytes | None, failure: BaseException | None) -> None:
        """Record an outcome in a task that the step's code does not know: what it left behind cancels this one.

        The first try may have reached Redis; then this one is refused.
        """
        if failure is not None:
            recording = self._fail(begun, failure)
        else:
            assert payload is not None, "there was nothing to record"
            recording = self._host.turner.finish(begun, "ok", payload)
        task = asyncio.get_running_loop().create_task(recording)
        self._host.auditor.soon()  # steps may have been granted to the first try, whose answer nobody has read
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                if self._broken_off(begun.held, error):
                    task.cancel()
                    raise
        task.result()

    async def _fail(self, begun: Begun, error: BaseException) -> None:
        """Set the next attempt, or record the final failure; a polled query is asked again."""
        held = begun.held
        if isinstance(error, NotYet):
            steps = self._host.store.steps
            await steps.release(held, nonce=draw_nonce(), delay_ms=error.interval_ms, unknown=b"")
            return
        policy = RetryPolicy.decode(begun.command.options)
        failure = Failure.from_exception(error, attempts=held.attempt)
        delay_ms = policy.decide(held.attempt, error, random=self._random) if policy is not None else None
        told: dict[str, object] = {
            "workflow_id": keys.id_of(held.address),
            "step": begun.command.label,
            "attempt": held.attempt,
        }
        told["error"] = f"{failure.error_type}: {failure.message}"
        if delay_ms is None:
            log.info("a step failed", **told)
            await self._host.turner.finish(begun, "failed", failure.encode())
        else:
            log.info("a step failed and is tried again", **told, after_s=delay_ms / 1000)
            await self._host.store.steps.retry(held, error=failure.encode(), delay_ms=delay_ms)

    async def time_out(self, timed_out: TimedOut) -> None:
        """Decide what follows an attempt that took too long and whose worker did not say so itself."""
        held, command, why = timed_out
        begun = Begun(held, command, 0, 0, b"")
        with contextlib.suppress(Refused):
            if why == "waiting":
                # Final whatever the policy: nothing of it has failed, and another attempt would wait in the same queue.
                failure = Failure.from_exception(late(command, why), attempts=held.attempt - 1)
                await self._host.turner.finish(begun, "failed", failure.encode())
            else:
                await self._fail(begun, late(command, why))
        self.cancel(held)

    def cancel(self, held: Held) -> None:
        """Break off a command that is in hand and no longer wanted, unless it has run and is being recorded."""
        task = self._host.hands.held.get(held)
        if task is not None and not self._host.hands.is_finishing(held):
            self._break(held, task)

    def break_off(self) -> None:
        """Cancel everything in hand, recorded or not."""
        for held, task in list(self._host.hands.held.items()):
            if task is not None:
                self._break(held, task)
        self._execution.close()

    def _break(self, held: Held, task: asyncio.Task[None]) -> None:
        self._execution.cancel(held)
        task.cancel()
        coroutine = task.get_coro()
        if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
            # No code of a task runs that is cancelled before it first ran, so nothing else would let go of it.
            self._let_go(held)

    def _let_go(self, held: Held) -> None:
        self._execution.forget(held)
        self._host.hands.drop(held)

    async def drain(self, grace_s: float) -> None:
        """Let running steps finish within the grace time, then hand the rest to other workers at once."""
        hands = self._host.hands
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await hands.empty()
        tasks = [task for task in hands.held.values() if task is not None]
        for held in list(hands.held):
            self.cancel(held)
        ending = self._execution.threads.ended(END_S_MAX)  # they were told, and some may look
        if tasks:
            await asyncio.gather(asyncio.wait(tasks, timeout=END_S_MAX), ending)
        else:
            await ending
        self._execution.close()

    @property
    def threads_running(self) -> list[str]:
        """What runs in a thread now, also of steps that are in other hands: ``<workflow's id>/<step>``."""
        return self._execution.threads.running

    async def give_back(self) -> None:
        """Hand what Redis says is held here to other workers; also what was granted by a reply that never came."""
        steps, hands = self._host.store.steps, self._host.hands
        calls: list[Coroutine[Any, Any, None]] = []
        for held in await steps.held_by(self._host.incarnation):
            # What never began may begin elsewhere, even if it may run once only.
            unknown = _STOPPED if hands.was_started(held) else b""
            calls.append(steps.release(held, nonce=draw_nonce(), delay_ms=0, unknown=unknown))
        for error in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(error, BaseException) and not is_damage(error):
                raise error


def _key(held: Held) -> str:
    return f"{held.address}|{held.generation}|{held.seq}|{held.attempt}"


_STOPPED: Final = Failure(
    kind="OutcomeUnknown",
    error_type="WorkerStopped",
    message="its worker was stopped while it ran: find out whether it happened before doing it again",
).encode()


def _running_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs
        return None
