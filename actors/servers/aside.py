"""Aside: what is done with an actor that cannot be turned here now: left to other workers, or stopped until mended."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from actors.definitions import DEFAULT_VERSION
from actors.errors import Failure, NondeterminismError, UnknownDefinition
from actors.servers.refusals import QUICK_MS, REMEMBERED_MAX, Refusals
from actors.workflow import TurnTooLong
from kernel import ZERO, ActorDamaged, Refused, journal_damage, keys, some_of

if TYPE_CHECKING:
    from actors.definitions import Workflow
    from actors.servers.host import Host
    from kernel import Record

log = structlog.get_logger(__name__)

PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
"""What runs the code here, as an instance's first turn records it."""

_POISON: Final = Failure(
    kind="WorkflowFailed",
    error_type="PoisonTurn",
    message="its turn took down several workers: look for an endless loop or unbounded memory in the workflow's code, "
    "mend it, then resume the instance",
)


def _other_python(python: str) -> str:
    return (
        f"It began under Python {python}, and this worker runs {PYTHON}: if the code was not changed, the difference "
        f"may come from there; then let workers with Python {python} finish such instances."
    )


def _damaged(workflow_id: str, error: ActorDamaged) -> Failure:
    return Failure(
        kind="WorkflowFailed",
        error_type="JournalDamaged",
        message=f"damaged journal: {error.what}; no change of code helps: see headrace doctor, then restore the server "
        f"from a copy and headrace resume {workflow_id}, or end it by headrace cancel {workflow_id}",
    )


class Aside:
    """Sets actors aside for one worker."""

    def __init__(self, host: Host) -> None:
        """Work for one worker."""
        self._host = host
        self._refusals = Refusals()
        self._left_at: dict[str, str] = {}

    def workflow(self, record: Record) -> Workflow[..., object]:
        """Return the code of an actor.

        Raises:
            UnknownDefinition: this worker does not have it.
        """
        return self._host.registry.get_workflow(record.name, record.version or DEFAULT_VERSION)

    async def postpone(self, address: str, ready: str, *, why: str = "") -> bool:
        """Leave an actor to others, for a time; True: for the first time at the point where it stands.

        ``why``: its journal cannot be read here; empty: its code is unknown.
        """
        if not ready:
            return False
        if len(self._left_at) > REMEMBERED_MAX:
            self._left_at.clear()
        before = self._left_at.get(address, "")
        delay_ms = self._refusals.delay_ms(address)
        at = await self._host.store.turns.postpone(
            address, ready, delay_ms=delay_ms, at=before, else_ms=QUICK_MS, why=why
        )
        if at in {"", before}:
            return False
        # It has gone on since, by others: refusals count for what it stands at now.
        self._left_at[address] = at
        if before:
            self._refusals.begin_anew(address)
        return True

    async def stop(self, address: str, record: Record, error: NondeterminismError | TurnTooLong | ActorDamaged) -> None:
        """Stop an actor until its code, or its journal, is mended. Raises StaleTurn and the like if it has moved on."""
        replica = self._host.cache.get(address)
        if replica is not None:
            self._host.cache.drop(replica)
        if isinstance(error, NondeterminismError):
            error = await self.damage(address) or error  # then no code could fit it
        if isinstance(error, ActorDamaged):
            reason = _damaged(keys.id_of(address), error)
            await self._stop(address, record, reason)
            log.error("workflow stopped: its journal is damaged", workflow_id=keys.id_of(address), error=error.what)
            return
        if isinstance(error, TurnTooLong):
            log.error(
                "workflow stopped: its turn blocked the worker", workflow_id=keys.id_of(address), error=str(error)
            )
        else:
            log.error(
                "workflow stopped: its code does not fit its journal", workflow_id=keys.id_of(address), error=str(error)
            )
        reason = Failure.from_exception(error, kind="WorkflowFailed")
        if record.python not in {"", PYTHON}:
            reason = replace(reason, message=f"{reason.message}\n{_other_python(record.python)}")
        await self._stop(address, record, reason)

    async def damage(self, address: str) -> ActorDamaged | None:
        """Return what is wrong with an actor's journal; None: nothing, as far as can be seen."""
        what = await journal_damage(self._host.store.space, address)
        return ActorDamaged(address, some_of(what)) if what else None

    async def condemn(self, address: str, entry: str) -> None:
        """Stop an actor whose turns have killed workers."""
        try:
            record = (await self._host.store.turns.fetch(address, generation="", fed=ZERO)).record
            await self._stop(address, record, _POISON)
        except Refused:
            pass
        await self._host.store.turns.settle(address, entry)

    async def _stop(self, address: str, record: Record, reason: Failure) -> None:
        try:
            fingerprint = self.workflow(record).fingerprint
        except UnknownDefinition:
            fingerprint = ""
        await self._host.store.turns.stop(
            address,
            generation=record.generation,
            base=record.consumed,
            reason=reason.encode(),
            fingerprint=fingerprint,
        )
