"""Turns: fetch what an actor has not seen, read its journal, and make a decision true."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from kernel.errors import ActorDamaged
from kernel.event import ZERO, Event, event_number
from kernel.refusals import Running, StaleGeneration, accepted
from kernel.store import keys
from kernel.store.journal import (
    RECORD_FIELDS,
    Record,
    as_fed,
    is_detached,
    kept_events,
    lost_events,
    mailbox_event,
    other_event,
    outcome_event,
    read_command,
    read_record,
    some_of,
)
from kernel.store.replies import listed
from kernel.store.restarting import perhaps_answered, plan_restart
from kernel.store.space import Space, draw_nonce

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kernel.decision import Command, End

T = TypeVar("T")

FETCH_MAX: Final = 100
"""Events that one fetch returns at most."""
CHUNK: Final = 200
"""Commands that one script call carries at most."""
PAGE: Final = 500
"""Journal fields that one read returns at most."""


class Fetched(NamedTuple):
    """Answer to ``fetch``."""

    record: Record
    events: list[Event] | None
    """What follows the cached event without a gap; None: read the journal."""


class Kept(NamedTuple):
    """A command that a restart has dropped, and whose outcome it has kept (or that is a detached child)."""

    command: Command
    answered: int
    """Number of the event that is its outcome: asked for by a later one, another command does not get it. 0: whatever
    asks for this number gets it."""


class History(NamedTuple):
    """A journal as read for a replay."""

    record: Record
    commands: list[Command]
    events: list[Event]
    """In order, up to the head that the record named."""
    kept: Mapping[int, Kept]
    """What outcomes belong to that a restart has kept, by number, where nothing was asked for again yet."""
    lost: Sequence[int] = ()
    """Numbers of events that are lost, as far as that can be told."""
    unanswered: Sequence[int] = ()
    """Numbers of commands whose outcome a restart has kept, and which is lost since."""


class Eager(NamedTuple):
    """What the caller could begin at once."""

    worker: str
    slots: int
    queues: str
    """Queues that it serves, as ``,default,gpu,``."""
    patience_ms: int
    """Commands of a queue whose oldest entry has waited longer are not begun ahead of it."""


READINGS_MAX: Final = 3
"""How often a history is read anew because connections changed meanwhile."""
WHY_MAX: Final = 300
"""Characters of a reason why a journal cannot be read that are kept."""
LIVE: Final = frozenset({"scheduled", "running", "canceling", "stopped"})
"""Statuses of actors that have not ended."""
ENDED: Final = frozenset({"completed", "failed", "canceled"})
NOT_EAGER: Final = Eager("", 0, ",", 0)


class Turned(NamedTuple):
    """Answer to ``commit``, ``emit`` and ``advance``."""

    more: bool
    """There is something left to do for the actor; its ready entry stays."""
    granted: tuple[int, ...]
    """Numbers of commands that the caller now holds, attempt 1, under the commit's token."""


class Turns:
    """Transitions that take an actor forward."""

    def __init__(self, space: Space) -> None:
        """Work in one namespace."""
        self._space = space

    async def fetch(self, address: str, *, generation: str, fed: str) -> Fetched:
        """Return the record, and the events after ``fed`` if they follow it without a gap.

        Raises:
            NotFound, Gone: there is no such actor.
            ActorDamaged: its record cannot be read.
        """
        reply = accepted(await self._space.actor_call("fetch", address, address, generation, fed, FETCH_MAX))
        try:
            record = read_record(reply)
        except (ValueError, IndexError, AttributeError):  # a field that is missing ends a script's reply
            raise ActorDamaged(address, "its record lacks fields, or has some that are no numbers") from None
        rest = reply[1 + RECORD_FIELDS :]
        if rest and rest[0] == b"GAP":
            return Fetched(record, None)
        try:
            events = [mailbox_event(rest[i + 1]) for i in range(0, len(rest), 2)]
        except ValueError:  # not in the journal, which says what else is missing
            return Fetched(record, None)
        return Fetched(record, await self._space.payloads.get_events(address, events) if events else events)

    async def history(self, address: str, record: Record, *, whole: bool = True) -> History:
        """Read the journal up to the record's head, in pages.

        ``whole``: none of the generation's events may be missing, nor what a restart has kept.

        Raises:
            StaleGeneration: the actor began anew meanwhile, or its server lost its last writes; fetch again.
            ActorDamaged: something is missing, or cannot be read.
        """
        for _ in range(READINGS_MAX):
            since = self._space.stamp
            try:
                history = await self._read_history(address, record, whole=whole)
            except ActorDamaged:
                if self._space.stamp == since:
                    raise
                continue
            if self._space.stamp == since:
                return history
            # A connection broke, or a further one was made, perhaps to a server that took over. What was lost may have
            # been written again since, as another history: the pages may be of both.
        raise StaleGeneration(record.generation)

    async def _read_history(self, address: str, record: Record, *, whole: bool) -> History:
        tag = self._space.keys.tag_of(address)
        journal = keys.actor(tag, address, "journal")
        last = event_number(record.appended)
        count = max(record.commands, record.kept)
        fields = [f"{letter}{seq}" for seq in range(1, count + 1) for letter in "cr"]
        fields += [f"k{seq}" for seq in range(1, record.kept + 1)]
        values = await self._values(tag, journal, fields)
        outcomes = {name: field for name, field in values.items() if name[0] == "r"}
        found = read_fields(address, outcomes, lambda name, field: outcome_event(int(name[1:]), field))
        events = {event.number: event for event in found.values() if event.number <= last}
        others = [f"e{n}" for n in range(record.first, last + 1) if n not in events]
        rest = await self._values(tag, journal, others)
        facts = read_fields(address, rest, lambda _, field: other_event(field))
        events |= {int(name[1:]): event for name, event in facts.items()}
        earlier = await self._check_still(tag, address, record)
        written = {f"c{seq}": values.get(f"c{seq}", b"") for seq in range(1, record.commands + 1)}
        missing: list[object] = [name for name, field in written.items() if not field]
        lost = lost_events(record.generation, record.appended, events, earlier)
        before = {int(name[1:]): field for name, field in values.items() if name[0] == "k"}
        # A restart keeps a command for the sake of its outcome, and what takes that one away takes both.
        unanswered = [
            seq for seq, field in before.items() if not (f"r{seq}" in found or f"x{seq}" in found or is_detached(field))
        ]
        if whole:
            missing += (f"event {number}" for number in lost)
            missing += (f"the outcome of step {seq}" for seq in unanswered)
        if missing:
            await self._check_same(tag, journal, [*fields, *others], {**values, **rest}, record)
            raise ActorDamaged(address, f"its journal lacks {some_of(missing)}")
        payloads = self._space.payloads
        whole_fields = {name: await payloads.get_field(address, name, field) for name, field in written.items()}
        commands = list(read_fields(address, whole_fields, lambda _, field: read_command(field)).values())
        dropped = {
            f"k{seq}": await payloads.get_field(address, "k", field)
            for seq, field in before.items()
            if seq > record.commands
        }
        kept: dict[int, Kept] = {}
        for name, command in read_fields(address, dropped, lambda _, field: read_command(field)).items():
            outcome = found.get(f"r{name[1:]}")
            kept[int(name[1:])] = Kept(command, outcome.number if outcome and not command.detached else 0)
        fed = as_fed([events[n] for n in sorted(events)])
        return History(record, commands, await payloads.get_events(address, fed), kept, lost, unanswered)

    async def _check_still(self, tag: str, address: str, record: Record) -> list[int]:
        """Return the numbers of the events that a restart has kept, as long as its first turn is not committed.

        Raises StaleGeneration if the actor began anew since, or its server lost its last writes (a failover).
        """
        fields = ("generation", "commands", "appended", "kept", "kept_events")
        reply = await self._space.send(tag, "HMGET", keys.actor(tag, address), *fields)
        generation, commands, appended, kept, numbers = (value or b"" for value in listed(reply))
        if (
            generation != record.generation.encode()
            or int(commands or 0) < record.commands
            or event_number(appended.decode() or ZERO) < event_number(record.appended)
        ):
            raise StaleGeneration(generation.decode())
        try:
            return kept_events(kept.decode(), numbers.decode())
        except ValueError:
            raise ActorDamaged(address, "its record's kept_events cannot be read") from None

    async def _check_same(
        self, tag: str, journal: str, fields: Sequence[str], read: Mapping[str, bytes], record: Record
    ) -> None:
        """Raise StaleGeneration if fields are not as they were read: then what is missing may be there by now."""
        for i in range(0, len(fields), PAGE):
            page = fields[i : i + PAGE]
            now = listed(await self._space.send(tag, "HMGET", journal, *page))
            if any(value != read.get(name) for name, value in zip(page, now, strict=True)):
                raise StaleGeneration(record.generation)

    async def _values(self, tag: str, journal: str, fields: Sequence[str]) -> dict[str, bytes]:
        pages = [fields[i : i + PAGE] for i in range(0, len(fields), PAGE)]
        replies = await asyncio.gather(*(self._space.send(tag, "HMGET", journal, *page) for page in pages))
        found: dict[str, bytes] = {}
        for page, reply in zip(pages, replies, strict=True):
            found.update((name, value) for name, value in zip(page, listed(reply), strict=True) if value is not None)
        return found

    async def commit(
        self,
        address: str,
        *,
        generation: str,
        base: str,
        reached: str,
        token: str,
        commands: Sequence[bytes],
        canceled: Sequence[int | str],
        end: End | None,
        park: bool,
        eager: Eager,
        number_of_first: int,
        untaken: Sequence[int] = (),
        python: str = "",
    ) -> Turned:
        """Make a decision true: ``commands`` as ``write_command`` gives them, in chunks if there are many.

        ``canceled``: numbers of commands that are no longer wanted; ``=seq:n`` for a wait that event ``n`` has
        answered.
        ``untaken``: if it begins anew, the numbers of events that were fed and that no wait has taken.
        ``python``: recorded by a generation's first turn.

        Raises:
            StaleTurn: somebody else took the actor forward, or it ended or stopped; nothing changed.
            StaleGeneration, Ended, NotFound, Gone: as they say.
        """

        async def send(_: bytes, commands: Sequence[bytes], end: End | None, since: int | None) -> object:
            call, staged = partial(self._space.actor_call_if, since), 0
            if len(commands) > CHUNK:
                for i in range(0, len(commands), CHUNK):
                    chunk = commands[i : i + CHUNK]
                    accepted(
                        await call("stage", address, address, generation, base, token, number_of_first + i, *chunk)
                    )
                staged, commands = len(commands), ()
            return await call(
                "commit",
                address,
                self._space.clock,
                address,
                generation,
                base,
                reached,
                eager.worker,
                token,
                eager.slots,
                eager.queues,
                eager.patience_ms,
                int(park),
                end.status if end else "",
                end.payload if end else b"",
                len(commands),
                staged,
                len(canceled),
                python,
                *commands,
                *canceled,
                *anew(end, untaken),
            )

        decision = (b"", commands, end)
        return read_turned(accepted(await self._space.payloads.send_decision(address, generation, decision, send)))

    async def restart(self, address: str, *, from_seq: int | str | None = None, nonce: int | None = None) -> str:
        """Let an ended actor run again from a command (None: the first without success); return the new generation.

        ``from_seq``: its number, or its label: the first command that has it.

        Raises:
            Running: it has not ended.
            Busy: what it left open is still being cleared up, or messages of it are on their way; ask again soon.
            StaleGeneration: somebody else restarted it. NotFound, Gone: there is nothing to restart.
            NoSuchCommand: there is no such command.
            ActorDamaged: its journal cannot be read, or the outcome of a step is lost that was to be kept.
        """
        record = (await self.fetch(address, generation="", fed=ZERO)).record
        if record.status in LIVE:
            raise Running(record.status)
        if record.status not in ENDED:
            raise ActorDamaged(address, f"its status is {record.status!r}, which there is not")
        history = await self.history(address, record, whole=False)
        tag = self._space.keys.tag_of(address)
        journal = keys.actor(tag, address, "journal")
        reply = listed(await self._space.send(tag, "HKEYS", journal))
        fields = [field.decode() for field in reply]
        marks = await self._values(tag, journal, [field for field in fields if field[0] == "x"])
        closed = {int(name[1:]): int(mark.partition(b"|")[0]) for name, mark in marks.items()}
        plan = plan_restart(
            history.commands,
            history.events,
            fields,
            closed,
            from_seq,
            kept={seq: one.command for seq, one in history.kept.items()},
            consumed=record.consumed,
        )
        # What nobody has named is not done again on a guess.
        upto = plan.kept + (from_seq is None)
        unanswered = (seq for seq in history.unanswered if seq <= upto)
        if lost := perhaps_answered(history.commands[:upto], history.events, closed, history.lost) or min(
            unanswered, default=0
        ):
            raise ActorDamaged(
                address,
                f"the outcome of step {lost} is lost: it may have been done; restart from step {lost} or earlier",
            )
        answer = await self._space.actor_call(
            "restart",
            address,
            self._space.clock,
            address,
            record.generation,
            draw_nonce() if nonce is None else nonce,
            plan.consumed,
            plan.commands,
            plan.kept,
            plan.events,
            len(plan.children),
            *plan.children,
            *plan.drop,
        )
        return accepted(answer)[1].decode()

    async def emit(self, address: str, *, generation: str, token: str, eager: Eager) -> Turned:
        """Go on carrying out a decision of many commands."""
        reply = await self._space.actor_call(
            "emit",
            address,
            self._space.clock,
            address,
            generation,
            eager.worker,
            token,
            eager.slots,
            eager.queues,
            eager.patience_ms,
        )
        return read_turned(accepted(reply))

    async def settle(self, address: str, entry: str) -> bool:
        """Remove a ready entry if nothing is left to do; True: there is."""
        reply = accepted(await self._space.actor_call("settle", address, address, entry))
        return reply[0] == b"MORE"

    async def risk(self, address: str, entry: str, *, token: str) -> int:
        """Note that a turn begins that may be what its last worker died of.

        Returns how many of these have begun and not ended, this one included; 0: the entry names nothing any more. Call
        ``survived`` after the turn.
        """
        reply = await self._space.actor_call("risk", address, address, entry, token)
        assert isinstance(reply, int)
        return reply

    async def survived(self, address: str) -> None:
        """Note that the worker has survived an actor's turn."""
        tag = self._space.keys.tag_of(address)
        await self._space.send(tag, "HDEL", keys.actor(tag, address), "risks")

    async def postpone(
        self, address: str, entry: str, *, delay_ms: int, at: str = "", else_ms: int = 0, why: str = ""
    ) -> str:
        """Give a ready entry back to others, after a delay; return the actor's consumed id (empty: it needs nobody).

        Args:
            address: of the actor.
            entry: the ready entry.
            delay_ms: after which it comes back; 0: at once.
            at: the consumed id at which that holds; empty: at any.
            else_ms: the delay at another one.
            why: its journal cannot be read here, and why; kept in the record, for people, until a turn is committed.
        """
        line = " ".join(why.split())[:WHY_MAX]
        words = (address, entry, delay_ms, at, else_ms, line)
        reply = listed(await self._space.actor_call("postpone", address, self._space.clock, *words))
        return reply[1].decode() if len(reply) > 1 else ""

    async def stop(self, address: str, *, generation: str, base: str, reason: bytes, fingerprint: str) -> None:
        """Set an actor aside. ``base``: the consumed id that this was decided on (empty: whatever it is)."""
        payloads = self._space.payloads
        reply = await self._space.actor_call(
            "stop", address, self._space.clock, address, generation, base, payloads.encode(reason), fingerprint
        )
        accepted(reply)


def read_fields(address: str, fields: Mapping[str, bytes], read: Callable[[str, bytes], T]) -> dict[str, T]:
    """Read fields of a journal, by name. Raises ActorDamaged: one cannot be read."""
    found: dict[str, T] = {}
    for name, field in fields.items():
        try:
            found[name] = read(name, field)
        except ValueError:
            raise ActorDamaged(address, f"its journal's {name} cannot be read") from None
    return found


def anew(end: End | None, untaken: Sequence[int]) -> tuple[int | str, ...]:
    """Return what a decision that begins anew needs besides: a nonce, the version, the events to carry along."""
    return (draw_nonce(), end.version, *untaken) if end is not None and end.status == "continued" else ()


def read_turned(reply: list[bytes]) -> Turned:
    """Read ``IDLE|MORE id granted…``."""
    return Turned(reply[0] == b"MORE", tuple(int(seq) for seq in reply[2:]))


__all__ = ["CHUNK", "NOT_EAGER", "ZERO", "Eager", "Fetched", "History", "Kept", "Turned", "Turns"]
