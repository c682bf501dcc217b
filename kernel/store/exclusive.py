"""Exclusive: connections of one's own on which keys are watched, and a mutation's outcome and writes committed at once.

The completion script is sent whole, never by its hash: inside MULTI a script that the server does not know would be
skipped while the other commands are applied.

At maxmemory Redis queues nothing between MULTI and EXEC. Then the completion is sent without them, and compares what
the watched keys hold with what they held when the function had read them, as digests that the server made under WATCH.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError, ResponseError

from kernel.errors import KernelError
from kernel.refusals import Conflict, TooLarge, accepted
from kernel.store.link import LOST, Lane, Words
from kernel.store.pump import AWAY, ELSEWHERE, FULL, OUT_OF_MEMORY, error_text, error_word, is_denied, refused
from kernel.store.replies import listed
from kernel.store.rights import lacks_plumbing
from kernel.store.scripts import SCRIPTS
from kernel.store.steps import Appended, Held, read_appended

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from kernel.store.space import Space

IDLE_MAX: Final = 16
"""Connections kept for the next mutation."""
COMPARED_BYTES_MAX: Final = 2**24
"""Memory that the keys of one mutation may take together (16 MiB) to be digested: Redis does nothing else meanwhile,
for about 120 ms at the most, and needs twice as much memory again for that time."""


class ConnectionLost(KernelError):
    """The connection broke, or its node cannot be asked now; whether the last call took effect is not known."""


class Forbidden(ConnectionLost):
    """The user may not watch or commit now, so no mutation can run; what was sent may have taken effect, or not."""


class NoRoom(KernelError):
    """The server takes no writes now, since its disk or its memory is full; nothing was written. Run again later."""


class NotQueued(KernelError):
    """At maxmemory the server takes no transaction; nothing was written. Run again at once, and compare."""


class Exclusive:
    """One connection, used by one mutation at a time."""

    def __init__(self, space: Space, tag: str, lane: Lane) -> None:
        """Take a lane that nobody else uses."""
        self._space = space
        self._tag = tag
        self._lane = lane
        self._watched: list[bytes] = []
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
        self._watched += keys

    async def unwatch(self) -> None:
        """Forget what was watched."""
        self._watched.clear()
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
        compare: bool = False,
    ) -> Appended:
        """Record success and apply the writes, both or neither; nothing is watched afterwards.

        Args:
            held: The step.
            nonce: Of the event.
            at_ms: Its time.
            payload: What the mutation returned.
            broken: Payload in its place if a write fails at run time; ``@APPLIED@`` in it becomes the number applied.
            writes: Commands with their arguments, in order.
            compare: Do without a transaction: what is watched is digested, and compared by the script that writes. It
                takes a round trip more, and costs the server time by what the keys hold.

        Raises:
            Conflict: something watched has changed.
            ConnectionLost, Forbidden: it may or may not have happened.
            NotQueued: the server is at maxmemory; not with ``compare``.
            NoRoom: the server takes no writes now, or the keys are too large to be compared.
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
        if compare:
            for key, fingerprint in (await self._fingerprints()).items():
                words += (key, fingerprint)
            (reply,) = await self._send([("EVAL", text, 1, self._tag, *words)])
        else:
            replies = await self._send([("MULTI",), ("EVAL", text, 1, self._tag, *words), ("EXEC",)])
            self._watched.clear()
            reply = _executed(replies)
        if not isinstance(reply, ResponseError):
            return read_appended(accepted(reply))
        word = error_word(reply)
        if word == OUT_OF_MEMORY and not compare:
            raise NotQueued(error_text(reply))
        if word in {*FULL, OUT_OF_MEMORY}:
            raise NoRoom(error_text(reply))
        self._check_node([reply])
        if is_denied(reply):  # of the engine's own keys: what its author's code writes was tried, and fails by itself
            raise Forbidden(error_text(reply))
        raise refused("complete", reply)

    async def _fingerprints(self) -> dict[bytes, bytes]:
        """Digest what the watched keys hold, and have held since each was watched; they are watched no more."""
        text = SCRIPTS["fingerprint"].text
        words: Words = ("EVAL", text, 1, self._tag, COMPARED_BYTES_MAX, *self._watched)
        # An empty transaction is taken also at maxmemory, and tells whether anything watched has changed by then.
        replies = await self._send([words, ("MULTI",), ("EXEC",)])
        keys, self._watched = self._watched, []
        for reply in (_executed(replies[1:]), replies[0]):
            if isinstance(reply, ResponseError):
                # Where DUMP is forbidden, for instance, there is nothing but to wait until there is memory again.
                raise NoRoom(error_text(reply))
        try:
            fingerprints = accepted(replies[0])[1:]
        except TooLarge as error:
            raise NoRoom(f"the mutation's keys take {error.facts[0]} bytes: too much to be compared") from error
        return dict(zip(keys, fingerprints, strict=True))

    def _check_node(self, replies: Sequence[object]) -> None:
        """Raise ConnectionLost if this node cannot be asked now, or is not the one to ask; or Forbidden."""
        for reply in replies:
            if isinstance(reply, ResponseError) and error_word(reply) in {*AWAY, *ELSEWHERE}:
                self.usable = False
                raise ConnectionLost(error_text(reply))
            if isinstance(reply, ResponseError) and lacks_plumbing(reply):
                self.usable = False
                raise Forbidden(error_text(reply))

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


def _executed(replies: Sequence[object]) -> object:
    """Return what a transaction's command came to, None if it has none; or the first error of all.

    Raises:
        Conflict: nothing was done, since something watched has changed.
    """
    error = next((reply for reply in replies if isinstance(reply, ResponseError)), None)
    if error is not None:
        return error
    if replies[-1] is None:
        raise Conflict
    results = listed(replies[-1])
    return results[0] if results else None


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
