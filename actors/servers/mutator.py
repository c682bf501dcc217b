"""Mutator: runs a mutation so that its writes are there exactly when its success is recorded.

What it reads is watched on a connection of the mutation's own; its buffered writes go with the completion, which checks
the owner first. If something that was read has changed meanwhile, the function runs again. At maxmemory, where Redis
takes no transaction, it runs again too, and the completion compares what was read in place of the transaction.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import structlog

from actors.errors import Failure, HeadraceError
from actors.servers.lines import Lines
from actors.transaction import Transaction
from kernel import (
    Appended,
    Begun,
    Conflict,
    ConnectionLost,
    Exclusive,
    Forbidden,
    KernelError,
    NoRoom,
    NotQueued,
    draw_nonce,
    keys,
)

if TYPE_CHECKING:
    from actors.definitions import StepDefinition
    from actors.servers.host import Host

log = structlog.get_logger(__name__)

PAUSE_S_MIN: Final = 0.02
PAUSE_S_MAX: Final = 0.5
"""Between runs of a mutation while its server is away, changes its place, or takes no writes, and after a comparison
that failed; doubled each time."""
CONFLICTS_MAX: Final = 1_000
"""Runs of one attempt that may lose against other writers before the attempt counts as failed."""


class TooManyConflicts(HeadraceError):
    """Other writers changed what the mutation reads each time before it could commit."""


class StepRaised(Exception):
    """A step's own code raised an error of the kernel, or what is no Exception: its cause is the step's failure."""


class telling_apart:  # noqa: N801 - used as a block, as contextlib's own
    """Run the author's code: errors of the kernel that come out of it are the step's, not the engine's.

    Written as a class, which costs a third of a generator: every step is run in one.

    Raises:
        StepRaised: in place of an error of the kernel, which is its cause; those of ``passing`` stay what they are.
    """

    __slots__ = ("_passing",)

    def __init__(self, *passing: type[KernelError]) -> None:
        self._passing = passing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, KernelError) and not isinstance(error, self._passing):
            raise StepRaised(str(error)) from error


class Mutator:
    """Runs mutations for one worker."""

    def __init__(self, host: Host) -> None:
        """Work for one worker."""
        self._host = host
        self._lines = Lines()

    async def run(
        self, definition: StepDefinition[..., Any], begun: Begun, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes | None:
        """Run a mutation; None: its outcome is recorded. A value: it touched nothing and is yet to be recorded.

        Raises:
            Obsolete, NotOwner, Ended …: somebody else decided; nothing was written.
            Exception: whatever its code raises, or why its writes cannot succeed.
        """
        store = self._host.store
        tag = store.space.keys.tag_of(begun.held.address)
        touched: set[bytes] = set()
        conflicts, pause_s, compare = 0, PAUSE_S_MIN, False
        while conflicts < CONFLICTS_MAX:
            try:
                async with self._lines.stand(touched), store.exclusives.one(tag) as exclusive:
                    once = self._attempt(exclusive, definition, begun, args, kwargs, touched=touched, compare=compare)
                    return await once
            except NotQueued:
                compare = True
                continue
            except Conflict:
                conflicts += 1
                if not compare:
                    continue
                # Without a pause it could lose a thousand times while Redis rebuilds the table of a large hash.
            except (ConnectionLost, NoRoom) as error:
                self._tell_of_waiting(begun, error)
                compare = False
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)
            # It may have been recorded: ask before running again. Obsolete says that it was, or is unwanted.
            await store.steps.adopt(begun.held)
        raise TooManyConflicts(
            f"what the mutation reads was changed by others {CONFLICTS_MAX} times before it could commit: read fewer "
            "keys, or spread the writes over more of them"
        )

    def _tell_of_waiting(self, begun: Begun, error: ConnectionLost | NoRoom) -> None:
        """Say in one line for all, once in a while, that mutations wait; they go on by themselves."""
        throttle = self._host.store.space.throttle
        if isinstance(error, Forbidden):
            if throttle.due("forbidden"):
                log.warning("mutations wait: the Redis user needs the rights of deploy/README.md", error=str(error))
        elif isinstance(error, NoRoom) and throttle.due("no room"):
            log.warning(
                "Redis takes no writes of a mutation now, which waits until it does: free memory or disk, or raise "
                "maxmemory",
                workflow_id=keys.id_of(begun.held.address),
                step=begun.held.seq,
                reason=str(error),
            )

    async def _attempt(
        self,
        exclusive: Exclusive,
        definition: StepDefinition[..., Any],
        begun: Begun,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        touched: set[bytes],
        compare: bool,
    ) -> bytes | None:
        """Run it once; ``touched`` gets the keys that another run would have to wait for.

        ``compare``: do without a transaction.
        """
        host = self._host
        space = host.store.space
        transaction = Transaction(
            read=exclusive.read,
            watch=exclusive.watch,
            tag=space.keys.tag_of(begun.held.address),
            namespace=space.namespace,
            read_only=False,
            same_slot=space.connector.is_cluster,
        )
        try:
            with telling_apart(Conflict, ConnectionLost):
                value = await definition.function(transaction, *args, **kwargs)
        finally:
            transaction.close()
        payload = definition.encode_result(value)
        if not transaction.writes and not transaction.keys_read:
            return payload
        touched.update(transaction.keys_read, transaction.keys_written)
        with telling_apart(Conflict, ConnectionLost):
            # What Redis refuses here it refuses each time: a key that the worker's user may not touch.
            await transaction.verify(exclusive.read_many)
        at_ms = host.now_ms()
        appended: Appended = await exclusive.complete(
            begun.held,
            nonce=draw_nonce(),
            at_ms=at_ms,
            payload=payload,
            broken=_broken(len(transaction.writes), begun.held.attempt),
            writes=transaction.writes,
            compare=compare,
        )
        host.hands.finishing(begun.held)
        if appended.status == "ok":
            host.turner.appended(begun.held, appended, at_ms=at_ms, status="ok", payload=payload)
        return None


def _broken(count: int, attempts: int) -> bytes:
    failure = Failure(
        kind="MutationBroken",
        error_type="MutationBroken",
        message=f"Redis refused one of its writes after @APPLIED@ of {count} were applied: what the key holds changed "
        "its type without being watched, or a number overflowed; repair the keys by hand",
        attempts=attempts,
    )
    return failure.encode()
