"""Ending: canceling an instance, letting it run again, deleting it. What ``WorkflowHandle`` says of each holds here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from actors.damaged import naming_damage
from actors.errors import NoSuchStep, WorkflowBusy, WorkflowRunning
from actors.telling import missing, not_found
from actors.wording import shown
from kernel import Busy, Ended, Gone, NoSuchCommand, NotFound, NotStopped, Running, StaleGeneration, keys

if TYPE_CHECKING:
    from kernel import Store

RESTART_S_MAX: Final = 5.0
"""How long a restart waits until what the instance left is cleared up."""


async def cancel(store: Store, address: str, *, cleanup: bool) -> bool:
    """Cancel it, with ``cleanup`` by its own code where that can be; False: it had ended. Raises WorkflowNotFound."""
    try:
        with naming_damage(address):
            if cleanup and await store.instances.field(address, "", "status") != b"scheduled":
                await store.instances.append(address, kind="cancel_requested", name="", payload=b"")
            else:
                await store.instances.cancel(address, payload=b"")
    except Ended:
        return False
    except (NotFound, Gone):
        raise await missing(store, address) from None
    return True


async def restart(store: Store, address: str, *, from_step: int | str | None) -> None:
    """Let it run again from a step (None: the first without success).

    Raises:
        WorkflowRunning, WorkflowBusy, NoSuchStep, InstanceDamaged, WorkflowNotFound: as ``WorkflowHandle.restart``.
    """
    if isinstance(from_step, bool) or not isinstance(cast("object", from_step), int | str | None):
        raise NoSuchStep(f"from_step={shown(from_step)}: give a step's number, its name, or None")
    loop, workflow_id = asyncio.get_running_loop(), keys.id_of(address)
    until, delay_s = loop.time() + RESTART_S_MAX, 0.01
    while True:
        try:
            with naming_damage(address):
                await store.turns.restart(address, from_seq=from_step)
        except (Busy, StaleGeneration) as busy:
            if loop.time() + delay_s > until:
                raise _busy(workflow_id) from busy
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, 0.5)
        except Running:
            raise WorkflowRunning(
                f"workflow {workflow_id!r} has not ended: wait for it, or cancel it, then restart it"
            ) from None
        except NoSuchCommand as error:
            raise NoSuchStep(f"workflow {workflow_id!r}: {error}") from None
        except (NotFound, Gone):
            raise await missing(store, address) from None
        else:
            return


async def resume(store: Store, address: str) -> bool:
    """Let it try again if it is stopped; False: it is not. Raises WorkflowNotFound."""
    try:
        with naming_damage(address):
            await store.instances.resume(address)
    except NotStopped:
        return False
    except (NotFound, Gone):
        raise not_found(address, store.space.namespace) from None
    return True


async def clean_up(store: Store, address: str) -> bool:
    """Delete everything of it; False: it is unknown, or has not ended."""
    try:
        with naming_damage(address):
            await store.instances.cleanup(address)
    except (NotFound, Gone, Running):
        return False
    return True


def _busy(workflow_id: str) -> WorkflowBusy:
    return WorkflowBusy(
        f"workflow {workflow_id!r} has ended, but what it left is still being cleared up: restart it again soon; if no "
        "worker is running, start one, which delivers its last messages"
    )
