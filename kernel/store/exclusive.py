"""Exclusive: connections of one's own on which keys are watched, and a mutation's outcome and writes committed at once.

The completion script is sent whole, never by its hash: inside MULTI a script that the server does not know would be
skipped while the other commands are applied.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError, ResponseError

from kernel.errors import KernelError
from kernel.refusals import accepted
from kernel.store.link import LOST, Lane, Words
from kernel.store.pump import AWAY, ELSEWHERE, FULL, error_text, error_word, refused
from kernel.store.replies import listed
from kernel.store.scripts import SCRIPTS
from kernel.store.steps import Appended, Held, read_appended

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from kernel.store.space import Space

NO_ROOM: Final = (*FULL, "OOM")
"""Error words of a server that takes no writes. At maxmemory MULTI takes none, whatever a script begins with."""
IDLE_MAX: Final = 16
"""Connections kept for the next mutation."""


class Conflict(KernelError):
    """Something that was read has changed; nothing was written. Run again."""


class ConnectionLost(KernelError):
    """The connection broke, or its node cannot be asked now; whether the last call took effect is not known."""


class NoRoom(KernelError):
    """The server takes no writes now, since its disk or its memory is full; nothing was written. Run again later."""


class Exclusive:
    """One connection, used by one mutation at a time."""

    def __init__(self, space: Space, tag: str, lane: Lane) -> None:
        """Take a lane that nobody else uses."""
        self._space = space
        self._tag = tag
        self._lane = lane
        self.usable = True
        """False once it broke."""

    def serve(self, tag: str) -> None:
        """Work on the partition of ``tag`` from now on."""
        self._tag = tag

    async def read(self, words: tuple[bytes, ...]) -> object:
        """Run one reading command."""
        (reply,) = await self.read_many([words])
        if isinstance(reply, ResponseError):
            raise refused(words[0].decode(), reply)
        return reply

    async def read_many(self, commands: Sequence[tuple[bytes, ...]]) -> list[object]:
        """Run reading commands as one pipeline; error replies are values."""
        return await self._send(commands)

    async def watch(self, keys: Sequence[bytes]) -> None:
        """WATCH keys."""
        (reply,) = await self._send([("WATCH", *keys)])
        if isinstance(reply, ResponseError):
            raise refused("WATCH", reply)

    async def unwatch(self) -> None:
        """Forget what was watched."""
        await self._send([("UNWATCH",)])

    async def complete(
        self,
        held: Held,
        *,
        nonce: int,
        at_ms: int,
        payload: bytes,
        broken: bytes,
        writes: Sequence[tuple[bytes, ...]],
    ) -> Appended:
        """Record success and apply the writes, both or neither.

        ``broken``: payload in its place if a write fails at run time; ``@APPLIED@`` in it becomes the number applied.

        Raises:
            Conflict: something watched has changed.
            ConnectionLost: it may or may not have happened.
            NoRoom: the server takes no writes now.
            Obsolete, NotOwner, Ended …: nothing was written.
        """
        payload = await self._space.payloads.put(held.address, held.generation, payload)
        # `broken` stays as it is: the script fills in a number, and its words are the engine's own.
        words: list[str | bytes | int | float] = [
            *(self._space.clock, held.address, held.generation, held.seq, held.attempt, held.worker, held.token),
            *(nonce, at_ms, "ok", payload, broken, len(writes)),
        ]
        for write in writes:
            words += (len(write), *write)
        text = SCRIPTS["complete"].text
        replies = await self._send([("MULTI",), ("EVAL", text, 1, self._tag, *words), ("EXEC",)])
        done = replies[-1]
        if done is None:
            raise Conflict("what the mutation read has changed")
        reply: object = done if isinstance(done, ResponseError) else listed(done)[0]
        error = next((one for one in (*replies, reply) if isinstance(one, ResponseError)), None)
        if error is None:
            return read_appended(accepted(reply))
        if error_word(error) in NO_ROOM:
            raise NoRoom(error_text(error))
        self._check_node([error])
        raise refused("complete", error)

    def _check_node(self, replies: Sequence[object]) -> None:
        """Raise ConnectionLost if this node cannot be asked now, or is not the one to ask."""
        for reply in replies:
            if isinstance(reply, ResponseError) and error_word(reply) in {*AWAY, *ELSEWHERE}:
                self.usable = False
                raise ConnectionLost(error_text(reply))

    async def _send(self, commands: Sequence[Words]) -> list[object]:
        try:
            replies = await self._lane.send(commands)
        except (*LOST, RedisError) as error:
            self.usable = False
            raise ConnectionLost(str(error) or type(error).__name__) from error
        except BaseException:
            # Cancelled between a command and its reply: the connection is out of step.
            self.usable = False
            raise
        self._check_node(replies)
        return replies

    async def close(self) -> None:
        """Close the connection."""
        with suppress(*LOST, RedisError):
            await self._lane.close()


class Exclusives:
    """A few idle connections, by partition."""

    def __init__(self, space: Space) -> None:
        """Keep connections to one namespace's nodes."""
        self._space = space
        self._idle: defaultdict[str, list[Exclusive]] = defaultdict(list)

    @asynccontextmanager
    async def one(self, tag: str) -> AsyncGenerator[Exclusive, None]:
        """Lend a connection to the node of a tag.

        Raises:
            ConnectionLost: none could be made.
        """
        idle = self._idle[self._space.connector.node(tag)]
        if idle:
            exclusive = idle.pop()
        else:
            try:
                exclusive = Exclusive(self._space, tag, await self._space.open_lane(tag))
            except (*LOST, RedisError) as error:
                raise ConnectionLost(str(error) or type(error).__name__) from error
        exclusive.serve(tag)
        try:
            yield exclusive
            if exclusive.usable:
                await exclusive.unwatch()
        except BaseException:
            if exclusive.usable:
                with suppress(ConnectionLost):
                    await exclusive.unwatch()
            raise
        finally:
            if exclusive.usable and len(idle) < IDLE_MAX:
                idle.append(exclusive)
            else:
                await exclusive.close()

    async def close(self) -> None:
        """Close all idle connections."""
        for idle in self._idle.values():
            while idle:
                await idle.pop().close()
