"""Bulk: the same call on all instances that fit a selection, some at a time. Each counts alone; the whole is no unit.

What is started after the call began is not meant. An instance that changes meanwhile, so that the call does not fit it
any more, is left alone and not counted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from actors.errors import WorkflowBusy, WorkflowNotFound, WorkflowRunning
from actors.handle import WorkflowHandle
from actors.listing import STATUS_NAMES, Query, Selection, StatusName, each_chunk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from actors.manager import WorkflowManager

CHUNK: Final = 100
"""Instances that are changed at once."""
LIVE: Final[tuple[StatusName, ...]] = ("in_progress", "scheduled", "stopped")
ENDED: Final[tuple[StatusName, ...]] = ("completed", "failed", "canceled")
WITHOUT_SUCCESS: Final[tuple[StatusName, ...]] = ("failed", "canceled")

assert {*LIVE, *ENDED} == {*STATUS_NAMES}


async def cancel_many(manager: WorkflowManager, selection: Selection, *, cleanup: bool) -> int:
    """Cancel; return how many were. Raises InvalidOption."""
    query = Query.of(selection, statuses=LIVE)
    return await _each(manager, query, lambda handle: handle.cancel(cleanup=cleanup))


async def restart_many(manager: WorkflowManager, selection: Selection) -> int:
    """Restart from the first failed or unfinished step; return how many were. Raises InvalidOption."""
    chosen = selection.get("status") is not None
    query = Query.of(selection, statuses=ENDED if chosen else WITHOUT_SUCCESS)

    async def restart(handle: WorkflowHandle[object]) -> bool:
        try:
            await handle.restart()
        except (WorkflowRunning, WorkflowBusy, WorkflowNotFound):
            return False
        return True

    return await _each(manager, query, restart)


async def cleanup_many(manager: WorkflowManager, selection: Selection) -> int:
    """Delete; return how many were. Raises InvalidOption."""
    return await _each(manager, Query.of(selection, statuses=ENDED), lambda handle: handle.cleanup())


async def _each(
    manager: WorkflowManager, query: Query, change: Callable[[WorkflowHandle[object]], Awaitable[bool]]
) -> int:
    store = await manager.store()
    until_ms = store.space.now_ms()

    async def changed(workflow_id: str) -> bool:
        try:
            return await change(WorkflowHandle(manager, workflow_id, None))
        except WorkflowNotFound:
            return False  # deleted meanwhile

    count = 0
    async for chunk in each_chunk(store, query, size=CHUNK):
        meant = [item.id for item in chunk if item.created.timestamp() * 1000 <= until_ms]
        count += sum(await asyncio.gather(*map(changed, meant)))
        if len(meant) < len(chunk):
            break
    return count
