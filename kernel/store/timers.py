"""Timers: moving what is due, and sending again what was sent long ago without news."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kernel.store import keys
from kernel.store.custody import nonce_base
from kernel.store.journal import read_command
from kernel.store.pools import Asking
from kernel.store.replies import listed
from kernel.store.steps import Held

if TYPE_CHECKING:
    from redis import Redis

    from kernel.decision import Command
    from kernel.store.space import Space

PROMOTE_MAX: Final = 100
LEASE_MS: Final = 5_000
"""A timed-out attempt comes again after this, until somebody has decided what follows."""


SILENT_MS: Final = 60_000
"""A message without an answer for so long is sent again."""


WAITING_MAX: Final = 1_000
"""Members that ``next_due`` looks at."""


class TimedOut(NamedTuple):
    """An attempt that took too long; retry or complete it under its owner's token (none, if it waits for a worker)."""

    held: Held
    command: Command
    why: str
    """``timeout`` (of the attempt), ``silent`` (no heartbeat), or ``waiting`` (no worker has begun it)."""


class Promoted(NamedTuple):
    """Answer to ``promote``."""

    moved: int
    due_ms: int | None
    """When the next member is due; None: nothing waits."""
    now_ms: int
    timed_out: list[TimedOut]
    to_reconcile: list[str]
    """Addresses of actors that await children; whether their messages arrived is to be looked after."""


class Reconciled(NamedTuple):
    """Answer to ``reconcile``."""

    again: int
    """Messages sent again."""
    healed: int
    """Commands that had lost their place."""
    asking: list[Asking]
    """Steps that wait for a permit; the pools are to be asked again."""


class Timers:
    """Transitions that time makes."""

    def __init__(self, space: Space) -> None:
        """Work in one namespace."""
        self._space = space

    async def promote(self, tag: str, *, timeout_payload: bytes) -> Promoted:
        """Move up to 100 due members of each of a partition's sets. ``timeout_payload``: an overdue actor's failure."""
        reply = listed(
            await self._space.call(
                "promote", tag, self._space.clock, nonce_base(), PROMOTE_MAX, timeout_payload, LEASE_MS
            )
        )
        moved, due, now = int(reply[0]), reply[1], int(reply[2])
        triples = [reply[i : i + 3] for i in range(3, len(reply), 3)]
        return Promoted(
            moved,
            int(float(due)) if due else None,
            now,
            [_timed_out(triple) for triple in triples if triple[2]],
            [triple[0].decode().split("|", 5)[5] for triple in triples if not triple[2]],
        )

    async def reconcile(self, address: str) -> Reconciled:
        """Send an actor's unanswered messages again."""
        again, healed, cursor, asking = 0, 0, "0", list[Asking]()
        while True:
            reply = listed(
                await self._space.actor_call("reconcile", address, self._space.clock, address, cursor, SILENT_MS)
            )
            again, healed, cursor = again + int(reply[0]), healed + int(reply[1]), reply[2].decode()
            asking += [Asking.of(*(word.decode() for word in reply[i : i + 3])) for i in range(3, len(reply), 3)]
            if cursor == "0":
                return Reconciled(again, healed, asking)


def next_due(space: Space, client: Redis) -> int | None:
    """Return when something falls due, ms since the epoch; None: nothing waits. For the virtual time of tests.

    It asks at once, outside the loop, by a ``blocking_client`` of the space's connector. What only looks after things
    from time to time (``reconcile``) is not counted: it comes again for ever.
    """
    found: list[int] = []
    for tag in space.keys.tags:
        for name in ("delayed", "retries"):
            waiting: Any = client.zrange(keys.shared(tag, name), 0, WAITING_MAX - 1, withscores=True)
            found += [int(due) for member, due in waiting if not member.startswith(b"reconcile|")][:1]
    return min(found, default=None)


def _timed_out(words: list[bytes]) -> TimedOut:
    member, worker, command = words
    why, generation, seq, attempt, token, address = member.decode().split("|", 5)
    held = Held(address, generation, int(seq), int(attempt), worker.decode(), token)
    return TimedOut(held, read_command(command), why)
