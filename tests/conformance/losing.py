"""Connections that lose replies: what was sent took effect, and the sender does not hear of it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from redis.exceptions import ConnectionError as RedisConnectionError

from kernel.store.lanes import Connector
from kernel.store.link import Lane, Words

LOST_OF_TEN = 2


class LosingLane:
    """A lane that breaks after a pipeline that may have changed something, two times of ten."""

    def __init__(self, lane: Lane, source: LosingConnector) -> None:
        self._lane = lane
        self._source = source

    async def send(self, commands: Sequence[Words], *, reply_s: float = 5.0) -> list[object]:
        replies = await self._lane.send(commands, reply_s=reply_s)
        named = str(commands[-1][0])
        source = self._source
        if source.armed and named in {"EVALSHA", "EXEC"} and source.chance.randrange(10) < LOST_OF_TEN:
            source.lost.append(named)
            raise RedisConnectionError("the reply was lost")
        return replies

    async def close(self) -> None:
        await self._lane.close()


class LosingConnector:
    """Makes the lanes of a connector losing ones; ``lost`` tells what was lost."""

    def __init__(self, connector: Connector, seed: int) -> None:
        self._open = connector.open
        self.chance = Random(seed)
        self.lost: list[str] = []
        self.armed = False

    async def open(self, tag: str) -> Lane:
        return LosingLane(await self._open(tag), self)
