"""Steps: taking commands from queues, holding them, and recording what came of them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from kernel.errors import ActorDamaged, LinkChanged
from kernel.refusals import accepted
from kernel.store import keys
from kernel.store.journal import read_command
from kernel.store.replies import listed
from kernel.store.turns import Eager, Turned, anew, read_turned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.decision import Command, End
    from kernel.store.space import Space


class Held(NamedTuple):
    """A command in a worker's hands: what every completion, failure and heartbeat names."""

    address: str
    generation: str
    seq: int
    attempt: int
    worker: str
    token: str

    @property
    def member(self) -> str:
        """Its member of the partition's ``held``."""
        return f"{self.worker}|{self.generation}|{self.seq:06d}|{self.attempt}|{self.token}|{self.address}"

    @classmethod
    def of(cls, member: str) -> Held:
        """Read a member of ``held``."""
        worker, generation, seq, attempt, token, address = member.split("|", 5)
        return cls(address, generation, int(seq), int(attempt), worker, token)


class Begun(NamedTuple):
    """What a worker learns when it takes a command."""

    held: Held
    command: Command
    crashes: int
    """Workers that died during this command."""
    begun_ms: int
    details: bytes
    """What an earlier attempt left by its heartbeat."""


class Appended(NamedTuple):
    """An outcome was recorded."""

    event: str
    before: str
    """The event id before it."""
    consumed: str
    status: str
    """As recorded: a mutation whose write failed at run time is recorded as failed."""


class Advanced(NamedTuple):
    """An outcome was recorded and the turn that follows was committed."""

    event: str
    turned: Turned


class Queued(NamedTuple):
    """A step command as read from its queue's stream."""

    tag: str
    queue: str
    entry: str
    address: str
    generation: str
    seq: int
    attempt: int
    target: str
    crashes: int


class Steps:
    """Transitions of step commands."""

    def __init__(self, space: Space) -> None:
        """Work in one namespace."""
        self._space = space

    async def begin(self, queued: Queued, *, worker: str, token: str) -> Begun:
        """Take a queued command; the same worker and token may ask again and get the same answer.

        Raises:
            Obsolete: nobody needs it, or somebody else has it; its entry is gone.
            PayloadUnusable: it is held now, but its arguments cannot be read here: give it back.
        """
        reply = await self._space.call(
            "begin",
            queued.tag,
            self._space.clock,
            queued.address,
            queued.generation,
            queued.seq,
            queued.attempt,
            worker,
            token,
            queued.queue,
            queued.entry,
        )
        held = Held(queued.address, queued.generation, queued.seq, queued.attempt, worker, token)
        return await self._begun(held, accepted(reply))

    async def adopt(self, held: Held) -> Begun:
        """Confirm that a command listed as held is still the caller's.

        Raises:
            Obsolete: it is not; the listing was old.
            PayloadUnusable: it is, but its arguments cannot be read here: give it back.
        """
        return await self._begun(held, accepted(await self._space.actor_call("adopt", held.address, held.member)))

    async def beat(self, held: Held, details: bytes) -> bool:
        """Leave details for the next attempt; False: the step is no longer wanted, or somebody else's."""

        async def send(details: bytes, since: int | None) -> object:
            return await self._space.actor_call_if(since, "beat", held.address, held.member, details, self._space.clock)

        reply = await self._space.payloads.send(held.address, held.generation, details, send)
        return bool(listed(reply)[0] == b"OK")

    async def complete(self, held: Held, *, nonce: int, at_ms: int, status: str, payload: bytes) -> Appended:
        """Record a step's final outcome.

        Raises:
            Obsolete, NotOwner, NotFound, Gone, Ended, StaleGeneration: it is not wanted from this caller.
        """

        async def send(payload: bytes, since: int | None) -> object:
            arguments = self.complete_arguments(held, nonce, at_ms, status, payload)
            return await self._space.actor_call_if(since, "complete", held.address, *arguments, b"", 0)

        reply = await self._space.payloads.send(held.address, held.generation, payload, send)
        return read_appended(accepted(reply))

    def complete_arguments(
        self, held: Held, nonce: int, at_ms: int, status: str, payload: bytes
    ) -> tuple[str | bytes | int, ...]:
        """Return the first eleven arguments of ``complete``."""
        return (
            self._space.clock,
            held.address,
            held.generation,
            held.seq,
            held.attempt,
            held.worker,
            held.token,
            nonce,
            at_ms,
            status,
            payload,
        )

    async def advance(
        self,
        held: Held,
        *,
        nonce: int,
        at_ms: int,
        status: str,
        payload: bytes,
        base: str,
        token: str,
        commands: Sequence[bytes],
        canceled: Sequence[int | str],
        end: End | None,
        park: bool,
        eager: Eager,
        untaken: Sequence[int] = (),
    ) -> Advanced | Appended:
        """Record a step's outcome and commit the turn it leads to; only the former, if somebody got in between.

        Raises:
            as ``complete``.
        """
        # Written out, where the others use ``Payloads.send``: this is each step's one call.
        space, payloads, call = self._space, self._space.payloads, self._space.actor_call
        decision = payload, commands, end
        while True:
            if not payloads.passes(*decision):
                call = partial(space.actor_call_if, space.stamp)
                payload, commands, end = await payloads.put_decision(held.address, held.generation, *decision)
            try:
                reply = await call(
                    "advance",
                    held.address,
                    space.clock,
                    held.address,
                    held.generation,
                    held.seq,
                    held.attempt,
                    held.worker,
                    held.token,
                    nonce,
                    at_ms,
                    status,
                    payload,
                    base,
                    token,
                    eager.slots,
                    eager.queues,
                    eager.patience_ms,
                    int(park),
                    end.status if end else "",
                    end.payload if end else b"",
                    len(commands),
                    len(canceled),
                    *commands,
                    *canceled,
                    *anew(end, untaken),
                )
                break
            except LinkChanged:
                continue
        words = accepted(reply)
        if words[0] == b"APPENDED":
            return read_appended(words)
        return Advanced(words[1].decode(), read_turned(words))

    async def retry(self, held: Held, *, error: bytes, delay_ms: int) -> None:
        """Record a failed attempt and set the next one."""

        async def send(error: bytes, since: int | None) -> object:
            return await self._space.actor_call_if(
                since,
                "retry",
                held.address,
                self._space.clock,
                held.address,
                held.generation,
                held.seq,
                held.attempt,
                held.worker,
                held.token,
                error,
                delay_ms,
            )

        accepted(await self._space.payloads.send(held.address, held.generation, error, send))

    async def release(self, held: Held, *, nonce: int, delay_ms: int, unknown: bytes) -> None:
        """Give back a step that was begun. ``unknown``: its outcome's payload if it must not start again."""
        await self._release(held, delay_ms=delay_ms, nonce=nonce, unknown=unknown)

    async def decline(self, queued: Queued, *, delay_ms: int) -> None:
        """Give back a step that was read and not begun, after a delay."""
        held = Held(queued.address, queued.generation, queued.seq, queued.attempt, "", "")
        await self._release(held, queued.queue, queued.entry, delay_ms=delay_ms, nonce=0, unknown=b"")

    async def _release(
        self, held: Held, queue: str = "", entry: str = "", *, delay_ms: int, nonce: int, unknown: bytes
    ) -> None:
        await self._space.actor_call(
            "release",
            held.address,
            self._space.clock,
            held.address,
            held.generation,
            held.seq,
            held.attempt,
            held.worker,
            held.token,
            queue or "-",
            entry,
            delay_ms,
            nonce,
            unknown,
        )

    async def _begun(self, held: Held, reply: list[bytes]) -> Begun:
        payloads = self._space.payloads
        try:
            command = read_command(await payloads.get_field(held.address, "c", reply[1]))
        except (ValueError, TypeError, AttributeError, IndexError):
            raise ActorDamaged(held.address, f"its journal's c{held.seq} cannot be read") from None
        details = await payloads.get(held.address, reply[5])
        return Begun(held, command, int(reply[3]), int(reply[4]), details)

    async def held_by(self, worker: str) -> list[Held]:
        """List what Redis says a worker holds. A listing, old when it arrives: confirm by ``adopt``."""
        replies = await asyncio.gather(
            *(
                self._space.send(tag, "ZRANGEBYLEX", keys.shared(tag, "held"), f"[{worker}|", f"({worker}}}")
                for tag in self._space.keys.tags
            )
        )
        return [Held.of(cast("bytes", member).decode()) for reply in replies for member in listed(reply)]


def read_queued(tag: str, queue: str, entry: bytes, fields: list[bytes]) -> Queued:
    """Read an entry of a queue's stream."""
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    return Queued(
        tag=tag,
        queue=queue,
        entry=entry.decode(),
        address=values[b"a"].decode(),
        generation=values[b"g"].decode(),
        seq=int(values[b"s"]),
        attempt=int(values[b"n"]),
        target=values[b"t"].decode(),
        crashes=int(values[b"c"]),
    )


def read_appended(reply: list[bytes]) -> Appended:
    """Read ``APPENDED event before consumed status``."""
    # Of a damaged record fields are missing; what is recorded stands, and the next turn says what is wrong.
    said = [(field or b"").decode() for field in reply[1:5]]
    return Appended(*said, *[""] * (4 - len(said)))
