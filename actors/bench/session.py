"""Session: what a workload has at hand in the measuring process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from actors.bench.job import BenchError
from kernel import keys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from actors.bench.floor import Floor
    from actors.bench.flows import Flows
    from actors.bench.job import Job
    from actors.handle import WorkflowHandle
    from actors.manager import WorkflowManager
    from kernel import Space

STALLED_S: Final = 60.0
"""A workload that has not moved for so long has failed."""
LOOK_S: Final = 0.02
"""How often the end is looked for; two small commands each time, so that looking does not slow what is measured."""


class Session(NamedTuple):
    """One measuring process's connections and definitions."""

    job: Job
    manager: WorkflowManager
    space: Space
    flows: Flows
    floor: Floor

    async def total(self, *names: str) -> int:
        """Return how many members partitions' sorted sets of these names hold together."""
        tags = self.space.keys.tags
        replies = await asyncio.gather(
            *(self.space.send(tag, "ZCARD", keys.shared(tag, name)) for tag in tags for name in names)
        )
        return sum(reply for reply in replies if isinstance(reply, int))

    async def waiting(self) -> int:
        """Return how many ready entries and queued steps there are."""
        tags = self.space.keys.tags
        streams = [key for tag in tags for key in (keys.shared(tag, "ready"), keys.queue(tag, "default"))]
        replies = await asyncio.gather(*(self.space.send(stream, "XLEN", stream) for stream in streams))
        return sum(reply for reply in replies if isinstance(reply, int))

    async def until(self, wanted: int, progress: Callable[[], Awaitable[int]], *, what: str) -> None:
        """Wait until ``progress`` has come to ``wanted``.

        Raises:
            BenchError: it has not moved for a minute.
        """
        loop = asyncio.get_running_loop()
        last, since = -1, loop.time()
        while (now := await progress()) < wanted:
            if now != last:
                last, since = now, loop.time()
            elif loop.time() - since > STALLED_S:
                raise BenchError(
                    f"only {now:,} of {wanted:,} {what} after {STALLED_S:g} s without progress: look at what the "
                    "workers wrote above, and whether the machine is busy with something else"
                )
            await asyncio.sleep(LOOK_S)

    async def span_s(self, handles: Sequence[WorkflowHandle[None]]) -> float:
        """Return the time from the first start to the last end, s, by the server's clock, as their records have it."""
        pairs = await asyncio.gather(*(self._times(handle.address) for handle in handles))
        return max((max(end for _, end in pairs) - min(start for start, _ in pairs)) / 1000, 0.001)

    async def _times(self, address: str) -> tuple[int, int]:
        tag = self.space.keys.tag_of(address)
        reply = await self.space.send(tag, "HMGET", keys.actor(tag, address), "created", "ended", "status")
        created, ended, status = cast("list[bytes]", reply)
        if status != b"completed":
            raise BenchError(f"{address} is {status.decode()}, not completed: look at what the workers wrote above")
        return int(created), int(ended)
