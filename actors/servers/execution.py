"""Execution: runs one attempt of a step: arguments in, encoded value out. What follows from it is not decided here."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from actors.current import CurrentStep, set_current_step
from actors.definitions import AsyncAction, Mutation, Query, StepDefinition
from actors.errors import StepTimedOut
from actors.packing import packb, unpackb
from actors.servers.mutator import Mutator
from actors.transaction import Transaction
from kernel import Begun, Held

if TYPE_CHECKING:
    from actors.servers.host import Host


class Execution:
    """The attempts that run in this worker."""

    def __init__(self, host: Host) -> None:
        """Work for one worker."""
        self._host = host
        self._mutator = Mutator(host)
        self._steps: dict[Held, CurrentStep] = {}
        self._canceled: set[Held] = set()
        self._threads: ThreadPoolExecutor | None = None

    def knows(self, target: str) -> bool:
        """Tell whether this worker has the code of a step."""
        return self._host.registry.has_step(target)

    async def run(self, begun: Begun) -> bytes | None:
        """Run an attempt; return its encoded value, or None if its outcome is recorded already (a mutation's).

        Raises:
            UnknownDefinition: this worker does not have its code.
            StepTimedOut: it took longer than it may.
            Exception: whatever its code raises.
        """
        command = begun.command
        definition = self._host.registry.get_step(command.target)
        args, kwargs = definition.decode_arguments(command.arguments)
        self._steps[begun.held] = step = self._describe(begun)
        set_current_step(step)
        if not command.timeout_ms:
            return await self._call(definition, begun, args, kwargs)
        limit_s = command.timeout_ms / 1000
        try:
            async with asyncio.timeout(limit_s) as deadline:
                return await self._call(definition, begun, args, kwargs)
        except TimeoutError as error:
            step.cancel()
            if not deadline.expired():
                raise
            raise StepTimedOut(f"the attempt took longer than {limit_s:g} s", error_type="TimeoutError") from error

    async def _call(
        self, definition: StepDefinition[..., Any], begun: Begun, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes | None:
        if isinstance(definition, AsyncAction):
            return definition.encode_result(await definition.function(*args, **kwargs))
        if isinstance(definition, Mutation):
            return await self._mutator.run(definition, begun, args, kwargs)
        if isinstance(definition, Query):
            return await self._query(definition, begun, args, kwargs)
        context = contextvars.copy_context()
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._host.hands.concurrency, thread_name_prefix="step")
        loop = asyncio.get_running_loop()
        value = await loop.run_in_executor(
            self._threads, lambda: context.run(definition.function, *args, **kwargs)
        )
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
            return definition.encode_result(await definition.function(transaction, *args, **kwargs))
        finally:
            transaction.close()

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

    def _describe(self, begun: Begun) -> CurrentStep:
        held, command = begun.held, begun.command
        workflow_id = held.address[held.address.index("/") + 1 :]
        steps = self._host.store.steps

        async def beat(details: object) -> None:
            if not await steps.beat(held, packb(details)):
                raise asyncio.CancelledError

        return CurrentStep(
            workflow_id=workflow_id,
            seq=held.seq,
            attempt=held.attempt,
            idempotency_key=f"{workflow_id}:{held.generation}:{held.seq}",
            deadline=datetime.fromtimestamp((begun.begun_ms + command.timeout_ms) / 1000, UTC)
            if command.timeout_ms
            else None,
            details=unpackb(begun.details) if begun.details else None,
            beat=beat,
            log=lambda: structlog.get_logger(command.label).bind(
                workflow_id=workflow_id, seq=held.seq, attempt=held.attempt
            ),
        )
