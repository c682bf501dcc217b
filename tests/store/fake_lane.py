"""A server that answers what a test says, and the connections to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from kernel.store.link import Link
from kernel.store.pump import Words

if TYPE_CHECKING:
    from collections.abc import Sequence

Answer = Callable[[Words], object]


class Server:
    """Answers what its test says; keeps what it was sent."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.sent: list[Words] = []
        self.connections = 0

    async def connect(self) -> FakeLane:
        self.connections += 1
        return FakeLane(self)


class FakeLane:
    """A connection on which an exchange that breaks off leaves its replies behind, as on a real one."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._owed: list[object] = []

    async def send(self, commands: Sequence[Words], *, reply_s: float = 5.0) -> list[object]:
        await asyncio.sleep(0)
        for words in commands:
            if words[0] == "UNSENDABLE":
                raise TypeError("a word that cannot be sent")
        self._server.sent += commands
        self._owed += [self._server.answer(words) for words in commands]
        replies: list[object] = []
        for _ in commands:
            reply = self._owed.pop(0)
            if isinstance(reply, Exception) and not isinstance(reply, ResponseError):
                raise reply
            replies.append(reply)
        return replies

    async def close(self) -> None:
        self._owed.clear()


def echo(words: Words) -> object:
    return words[-1]


async def linked(server: Server) -> Link:
    return Link(server.connect, url="fake://", patience_s=None)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the server of these tests, and what it was asked, know no events
            await asyncio.sleep(0)
