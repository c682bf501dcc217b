"""Verdicts: findings in words, where they are not made beside what judges them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.doctor.finding import Finding, advice
from actors.errors import Failure
from kernel import ActorDamaged, PayloadUnusable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernel import Store, Violation


def workflow_id(address: str) -> str:
    """Return what people call an actor: a workflow by its id, anything else by its address."""
    return address.removeprefix("wf/")


def of_violation(address: str, violation: Violation, *, orphan: bool = False) -> Finding:
    """Return what to say about something that does not hold of an actor."""
    return Finding(
        kind="orphan" if orphan else "invariant",
        code=violation.code,
        subject=workflow_id(address),
        text=violation.text,
        advice=advice(violation.code, workflow_id(address)),
    )


def unreadable(address: str, error: Exception) -> Finding:
    """Return what to say about an actor whose keys make no sense."""
    return Finding(
        kind="invariant",
        code="unreadable",
        subject=workflow_id(address),
        text=error.what
        if isinstance(error, ActorDamaged)
        else f"its keys cannot be read ({type(error).__name__}: {error})",
        advice=advice("unreadable", workflow_id(address)),
    )


def leftover(address: str, parts: Iterable[str]) -> Finding:
    """Return what to say about keys of an actor that has no record."""
    return Finding(
        kind="orphan",
        code="leftover_keys",
        subject=workflow_id(address),
        text=f"I5: deleted, but these are left: {sorted(parts)}",
        advice=advice("leftover_keys", workflow_id(address)),
    )


_WITHOUT: Final = {
    "": "nothing can be known of it",
    "journal": "nothing of what it did can be read",
    "open": "what it has under way cannot be known",
    "staged": "a large decision of it cannot be written",
    "events": "it cannot take events",
    "values": "it can publish no values",
    "large": "its large payloads are lost",
}


def wrong_type(address: str, key: str, part: str, *, found: str) -> Finding:
    """Return what to say about an actor of which a key is of another type. Its mailbox can be dropped, the rest not."""
    code = "wrong_mailbox" if part == "events" else "wrong_type"
    return Finding(
        kind="invariant",
        code=code,
        subject=workflow_id(address),
        text=f"its key {key} was overwritten with a {found}: {_WITHOUT[part]}",
        advice=advice(code, workflow_id(address)),
    )


def foreign(key: str) -> Finding:
    """Return what to say about a key that is not Headrace's."""
    return Finding(
        kind="orphan",
        code="foreign_key",
        subject=key,
        text="is not Headrace's, though it begins like its keys",
        advice="find out what wrote it; an application's own keys are named by tx.key(…)",
    )


def misplaced(key: str) -> Finding:
    """Return what to say about an actor's key in a partition that is not its own."""
    return Finding(
        kind="orphan",
        code="wrong_partition",
        subject=key,
        text="lies in another partition than its id belongs to, so nobody will ever read it",
        advice="it was copied here from a namespace of another number of partitions: delete it by headrace redis DEL",
    )


async def stopped(store: Store, address: str, *, damaged: bool) -> Finding:
    """Return why an actor was set aside. ``damaged``: its journal is, so that no code fits it."""
    reason = (await _reason(store, address)).rstrip(".")
    return Finding(
        kind="stuck",
        code="stopped",
        subject=workflow_id(address),
        text=f"is stopped: {reason}",
        advice=advice("stopped_damaged", workflow_id(address))
        if damaged
        else f"mend the code and start workers with it; or headrace resume {workflow_id(address)}",
    )


async def _reason(store: Store, address: str) -> str:
    try:
        reason = (await store.instances.record(address)).get("reason")
        return str(Failure.decode(reason).to_exception()) if reason else "nothing says why"
    except (PayloadUnusable, ValueError):
        return "the reason cannot be read here: give the manager's --codec"
