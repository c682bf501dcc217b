"""Execution: runs one attempt of a step: arguments in, encoded value out. What follows from it is not decided here."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from actors.current import CurrentStep, set_current_step
from actors.definitions import AsyncAction, Mutation, Query, StepDefinition
from actors.errors import StepTimedOut
from actors.policy import polling_ms
from actors.servers.mutator import Mutator, telling_apart
from actors.servers.threads import Threads
from actors.transaction import Transaction
from kernel import keys

if TYPE_CHECKING:
    from actors.servers.host import Host
    from kernel import Begun, Command, Held


class NotYet(Exception):
    """A polled query found nothing: it is to run again."""

    def __init__(self, interval_ms: int) -> None:
        """``interval_ms``: how much later."""
        super().__init__(f"again in {interval_ms} ms")
        self.interval_ms = interval_ms


class Execution:
    """The attempts that run in this worker."""

    def __init__(self, host: Host) -> None:
        """Work for one worker."""
        self._host = host
        self._mutator = Mutator(host)
        self._steps: dict[Held, CurrentStep] = {}
        self._canceled: set[Held] = set()
        self.threads: Final = Threads(host.hands.concurrency)

    def knows(self, target: str) -> bool:
        """Tell whether this worker has the code of a step."""
        return self._host.registry.has_step(target)

    async def run(self, begun: Begun) -> bytes | None:
        """Run an attempt; return its encoded value, or None if its outcome is recorded already (a mutation's).

        Raises:
            UnknownDefinition: this worker does not have its code.
            StepTimedOut: it took longer than it may.
            NotYet: a polled query found nothing.
            StepRaised: its own code raised what the engine raises too; the cause is the step's failure.
            BaseException: whatever its code raises.
            KeyboardInterrupt: somebody interrupts this process.
        """
        command = begun.command
        definition = self._host.registry.get_step(command.target)
        args, kwargs = definition.decode_arguments(command.arguments)
        self._steps[begun.held] = step = CurrentStep(begun, self)
        set_current_step(step)
        if not command.timeout_ms:
            return await self._call(definition, begun, args, kwargs)
        deadline = asyncio.timeout(command.timeout_ms / 1000)
        try:
            async with deadline:
                return await self._call(definition, begun, args, kwargs)
        except TimeoutError as error:
            step.cancel()
            if not deadline.expired():
                raise
            raise late(command, "timeout") from error

    async def _call(
        self, definition: StepDefinition[..., Any], begun: Begun, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes | None:
        if isinstance(definition, AsyncAction):
            with telling_apart():
                value = await definition.function(*args, **kwargs)
            return definition.encode_result(value)
        if isinstance(definition, Mutation):
            return await self._mutator.run(definition, begun, args, kwargs)
        if isinstance(definition, Query):
            return await self._query(definition, begun, args, kwargs)
        with telling_apart():
            call = partial(definition.function, *args, **kwargs)
            value = await self.threads.run(_named(begun), call)
        return definition.encode_result(value)

    async def _query(
        self, definition: StepDefinition[..., Any], begun: Begun, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes:
        space = self._host.store.space
        tag = space.keys.tag_of(begun.held.address)

        async def read(words: tuple[bytes, ...]) -> object:
            return await space.send(tag, *words)

        async def watch(_keys: object) -> None: ...

        transaction = Transaction(
            read=read,
            watch=watch,
            tag=tag,
            namespace=space.namespace,
            read_only=True,
            same_slot=space.connector.is_cluster,
        )
        try:
            with telling_apart():
                value = await definition.function(transaction, *args, **kwargs)
        finally:
            transaction.close()
        payload = definition.encode_result(value)
        if not value and (interval_ms := polling_ms(begun.command.options)):
            raise NotYet(interval_ms)
        return payload

    def cancel(self, held: Held) -> None:
        """Tell a running attempt that it is no longer wanted; its task is cancelled by the caller."""
        self._canceled.add(held)
        step = self._steps.get(held)
        if step is not None:
            step.cancel()

    def was_canceled(self, held: Held) -> bool:
        """Tell whether an attempt was canceled from here."""
        return held in self._canceled

    def forget(self, held: Held) -> None:
        """An attempt is over."""
        self._steps.pop(held, None)
        self._canceled.discard(held)

    async def beat(self, held: Held, details: bytes) -> None:
        """Leave details for the next attempt of a step.

        Raises:
            asyncio.CancelledError: the step is no longer wanted.
        """
        if not await self._host.store.steps.beat(held, details):
            self.cancel(held)
            raise asyncio.CancelledError

    def close(self) -> None:
        """Let the threads end with what they run."""
        self.threads.close()


def late(command: Command, why: str) -> StepTimedOut:
    """Return the error of a step that took longer than one of its limits."""
    limits = command.scheduling
    match why:
        case "waiting":
            text = (
                f"no worker began it within {limits.wait_ms / 1000:g} s of being due: start workers that serve the "
                f"queue {command.queue!r} and have its code, or raise schedule_timeout"
            )
            return StepTimedOut(text, error_type="ScheduleTimeout", attempts=0)
        case "silent":
            text = f"the attempt sent no heartbeat for {limits.silence_ms / 1000:g} s"
            return StepTimedOut(text, error_type="HeartbeatTimeout")
        case _:
            text = f"the attempt took longer than {command.timeout_ms / 1000:g} s"
            return StepTimedOut(text, error_type="TimeoutError")


def _named(begun: Begun) -> str:
    """Return what people call an attempt."""
    return f"{keys.id_of(begun.held.address)}/{begun.command.label}"
