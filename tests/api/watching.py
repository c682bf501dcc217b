"""What the tests share: waiting by watching instead of sleeping, steps that hang, and acting behind a worker's back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, cast

from actors import WorkflowHandle, WorkflowManager
from actors.views import Snapshot
from kernel import Begun, Store, read_queued

Managers = Callable[..., WorkflowManager]
"""Makes managers of one server and namespace."""


class Stage:
    """Lets a step hang the first so many times it runs."""

    def __init__(self, hangs: int) -> None:
        self.hangs = hangs
        self.runs = 0
        self.hanging = asyncio.Event()

    async def run(self) -> int:
        self.runs += 1
        if self.runs <= self.hangs:
            self.hanging.set()
            await asyncio.Event().wait()
        return self.runs


async def seen(handle: WorkflowHandle[Any], condition: Callable[[Snapshot], object]) -> Snapshot:
    """Return the first snapshot for which ``condition`` holds."""
    snapshots = handle.watch()
    async with aclosing(snapshots):
        async for snapshot in snapshots:
            if condition(snapshot):
                return snapshot
    raise AssertionError("the workflow ended and the condition never held")


def running(name: str) -> Callable[[Snapshot], bool]:
    """Tell whether a step of that name runs."""
    return in_state(name, "running")


def in_state(name: str, state: str) -> Callable[[Snapshot], bool]:
    """Tell whether a step of that name is in a state."""
    return lambda snapshot: any(step.name == name and step.state == state for step in snapshot.steps)


async def begin_for(store: Store, queue: str, *, worker: str) -> Begun:
    """Begin the one command of a queue for a worker behind its back."""
    (tag,) = store.space.keys.tags
    stream = f"{tag}:q:{queue}"
    ((entry, fields),) = cast(
        "list[tuple[bytes, list[bytes]]]", await store.space.send(stream, "XRANGE", stream, "-", "+")
    )
    return await store.steps.begin(read_queued(tag, queue, entry, fields), worker=worker, token="t")
