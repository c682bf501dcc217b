"""Discarding: removes one damaged instance for good, on a person's word; never one that can be ended in another way."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final, cast

from actors.doctor.examination import Examination, Thoroughness
from actors.errors import Failure, Misuse, WorkflowNotFound
from actors.retrier import Completion
from actors.wording import shown
from kernel import CodecMissing, KernelError, PayloadUnusable, ServerRefused, StaleGeneration, is_damage, keys

if TYPE_CHECKING:
    from kernel import Discarded, Store

_UNKNOWN: Final = Failure(
    kind="OutcomeUnknown",
    error_type="InstanceDiscarded",
    message="what Redis had of the workflow was damaged, and it was discarded: find out what it has done",
).encode()
_RETRIER: Final = "retrier/"


async def discard(store: Store, workflow_id: str) -> Discarded:
    """Remove an instance that is damaged, by its id (what is called on a completion: by its address).

    What can be mended is mended first; if that is enough, the instance is left as it is then.
    Its children are canceled and deleted; whoever waits for it gets ``OutcomeUnknown``.

    Raises:
        Misuse: nothing is wrong with it any more; or it cannot be an id.
        WorkflowNotFound: there is nothing of it.
    """
    if not keys.valid_id(workflow_id):
        raise Misuse(f"{shown(workflow_id)} cannot be a workflow's id: it is 1 to 200 bytes of printable text")
    address = await _address(store, workflow_id)
    examination = Examination(store, Thoroughness(repair=True))
    if await _status(store, address) not in {"", "gone"} and not await examination.damage(address):
        quoted = shlex.quote(workflow_id)
        raise Misuse(
            f"the workflow {shown(workflow_id)} is not damaged, or was mended now: end it by headrace cancel {quoted}, "
            f"then delete it by headrace cleanup {quoted}"
        )
    try:
        found = await store.discarding.discard(address, unknown=_UNKNOWN, completes=await _completes(store, address))
    except StaleGeneration:
        raise Misuse(f"the workflow {shown(workflow_id)} began anew meanwhile: look again by headrace doctor") from None
    if not (found.parts or found.places):
        raise WorkflowNotFound(f"there is nothing of a workflow {shown(workflow_id)}: see headrace list")
    return found


async def _address(store: Store, workflow_id: str) -> str:
    """Return whose id it is: a workflow's; or, if there is none, that of what is called on a completion."""
    address = f"wf/{workflow_id}"
    if workflow_id.startswith(_RETRIER) and len(workflow_id) > len(_RETRIER):
        tag = store.space.keys.tag_of(address)
        if not await store.space.send(tag, "EXISTS", keys.actor(tag, address)):
            return workflow_id
    return address


async def _status(store: Store, address: str) -> str:
    """Return an actor's status, or some word if it has a record without one; empty: it has no record that is a hash."""
    tag = store.space.keys.tag_of(address)
    record = keys.actor(tag, address)
    try:
        found = await store.space.send(tag, "HMGET", record, "status", "generation")
    except ServerRefused as error:
        if not is_damage(error):
            raise
        return ""
    status, generation = cast("list[bytes | None]", found)
    if status is None:
        return "" if generation is None else "none"
    return status.decode(errors="replace")


async def _completes(store: Store, address: str) -> bool:
    """Tell whether what an actor asks to be called on its end can be read; False, too: it asks for nothing.

    Raises CodecMissing: with the codec it could.
    """
    try:
        asked = await store.instances.field(address, "", "on_complete")
        return asked is not None and bool(Completion.decode(asked))
    except CodecMissing:
        raise
    except PayloadUnusable:
        return False
    except KernelError as error:
        if not is_damage(error):
            raise
        return False
    except (ValueError, TypeError, KeyError, IndexError):
        return False
