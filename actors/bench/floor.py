"""Floor: the same number of script calls by bare redis-py, without an engine. What no engine on redis-py gets below.

One call a start and one a step, the fewest with which each step is durable before the next one begins; whatever more
the engine calls is its own cost. Calls that do not depend on one another leave as one pipeline, as the engine's do.
"""

from __future__ import annotations

import secrets
from importlib import resources
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel import Space

PIPELINE: Final = 100
"""Calls of one pipeline: the steps that a worker runs at once by default."""
PAYLOAD: Final = b"\xc0"
"""An encoded None, as a no-op step returns it."""
_SCRIPT: Final = (resources.files("actors.bench") / "floor.lua").read_text(encoding="utf-8")


class Floor:
    """Bare calls of one small script, on the slot of the namespace's first partition."""

    def __init__(self, space: Space) -> None:
        """Use redis-py's own client for the server of an open namespace."""
        self._tag = space.keys.tags[0]
        self._client = space.connector.client(self._tag)
        self._sha = ""

    @staticmethod
    def records(count: int) -> list[str]:
        """Name new records."""
        prefix = secrets.token_hex(6)
        return [f"{prefix}{i:06d}" for i in range(count)]

    async def load(self) -> None:
        """Make the script known to the server."""
        self._sha = await self._client.script_load(_SCRIPT)

    async def tick(self, records: Sequence[str]) -> None:
        """Call the script once for each record, as one pipeline."""
        pipeline = self._client.pipeline(transaction=False)
        for record in records:
            # Not awaited: it only joins the pipeline, which is what it returns.
            _ = pipeline.evalsha(self._sha, 1, self._tag, record, PAYLOAD)  # pyright: ignore[reportArgumentType]
        await pipeline.execute()

    async def one(self, record: str) -> None:
        """Call the script and wait for its answer."""
        await self._client.evalsha(self._sha, 1, self._tag, record, PAYLOAD)  # pyright: ignore[reportArgumentType]

    async def chains(self, count: int, *, calls: int) -> None:
        """Call the script ``calls`` times for each of ``count`` records, each call after the answer to the last."""
        records = self.records(count)
        for at in range(0, count, PIPELINE):
            for _ in range(calls):
                await self.tick(records[at : at + PIPELINE])
