"""Waiting for what nothing announces, and what is left of actors in a namespace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from actors import WorkflowManager
from kernel.store.audit import audit


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Look again and again; the test's own limit ends it if it never comes true."""
    while not await condition():  # noqa: ASYNC110 - another server's work; nothing announces it
        await asyncio.sleep(0.005)


async def statuses(manager: WorkflowManager, kind: str = "wf") -> dict[str, str]:
    """Return the status of every actor of a kind, by id; also of tombstones."""
    space = (await manager.store()).space
    found: dict[str, str] = {}
    for tag in space.keys.tags:
        for key in cast("list[bytes]", await space.send(tag, "KEYS", f"{tag}:{kind}:*")):
            status = await space.send(tag, "HGET", key, "status")
            found[key.decode().removeprefix(f"{tag}:{kind}:")] = status.decode() if isinstance(status, bytes) else ""
    return found


async def check_invariants(manager: WorkflowManager) -> None:
    """Fail on anything that two audits in a row agree about."""
    space = (await manager.store()).space
    first = set(await audit(space))
    assert first & set(await audit(space)) == set()
