"""Bench: what tests of single scripts need in order to bring an actor into a state and to look at it."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from kernel.decision import Command, End
from kernel.event import ZERO
from kernel.store import Store, keys
from kernel.store.journal import write_command
from kernel.store.outbox import Message, read_message
from kernel.store.reader import Entry
from kernel.store.replies import listed
from kernel.store.snapshot import PartitionKeys, read_partition
from kernel.store.steps import Advanced, Appended, Begun, Held, Queued, read_queued
from kernel.store.turns import NOT_EAGER, Eager, Turned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.store.journal import Record
    from tests.store.checked import CheckedSpace

A = "wf/a"
"""The actor that most tests are about."""
EAGER = Eager("w1", 10, ",default,", 10**15)


def step(name: str = "f", **more: object) -> Command:
    """Return a step command on the queue ``default``."""
    return Command("step", name, name, b"args", b"opts", 1, "default", **more)  # type: ignore[arg-type]


def timer(due_ms: int) -> Command:
    return Command("timer", "", "sleep", b"1", b"", 1, due_ms=due_ms)


def wait(name: str = "go") -> Command:
    return Command("wait", name, name, b"", b"", 1)


def child(name: str = "kid") -> Command:
    return Command("child", name, name, b"args", b"opts", 1)


def value(name: str, data: bytes) -> Command:
    return Command("value", name, name, data, b"", 1)


def with_flags(field: bytes, flags: str) -> bytes:
    """Add flags to a command's journal field."""
    head, _, rest = field.partition(b"\n")
    words = head.split(b"|")
    words[6] += flags.encode()
    return b"|".join(words) + b"\n" + rest


class Bench:
    """A store in an audited space, whose clock is ``now``."""

    def __init__(self, space: CheckedSpace) -> None:
        self.space = space
        self.now = time.time_ns() // 1_000_000
        self.store = Store(space)
        self._tokens = 0

    async def open(self) -> None:
        """Connect, and make the groups that tests read with."""
        await self.space.open()
        for stream, group in (("ready", "dispatchers"), ("q:default", "workers"), ("outbox", "couriers")):
            key = keys.shared(self.tag, stream)
            await self.space.send(self.tag, "XGROUP", "CREATE", key, group, "0", "MKSTREAM")

    async def close(self) -> None:
        """Close all connections."""
        await self.store.exclusives.close()
        await self.space.close()

    @property
    def tag(self) -> str:
        return self.space.keys.tags[0]

    def token(self) -> str:
        """Return a token that was not used yet."""
        self._tokens += 1
        return f"token{self._tokens}"

    # -------------------------------------------------------------------------------------------------- actors

    async def create(self, address: str = A, **what: object) -> str:
        """Begin an actor; return its generation."""
        made = await self.store.instances.create(address, **{"name": "flow", "arguments": b"in", **what})  # type: ignore[arg-type]
        assert made.new
        return made.generation

    async def record(self, address: str = A) -> Record:
        return (await self.store.turns.fetch(address, generation="", fed=ZERO)).record

    async def commit(
        self,
        commands: Sequence[Command] = (),
        *,
        address: str = A,
        base: str | None = None,
        reached: str | None = None,
        generation: str | None = None,
        token: str | None = None,
        canceled: Sequence[int | str] = (),
        end: End | None = None,
        park: bool = False,
        eager: Eager = NOT_EAGER,
        flags: str = "",
        untaken: Sequence[int] = (),
        python: str = "",
    ) -> Turned:
        """Commit a decision on everything that the actor has been told."""
        record, token = await self.record(address), token or self.token()
        fields = [write_command(command, token=token, void=False) for command in commands]
        fields = [with_flags(field, flags) for field in fields]
        return await self.store.turns.commit(
            address,
            generation=record.generation if generation is None else generation,
            base=record.consumed if base is None else base,
            reached=record.appended if reached is None else reached,
            token=token,
            commands=fields,
            canceled=canceled,
            end=end,
            park=park,
            eager=eager,
            number_of_first=record.commands + 1,
            untaken=untaken,
            python=python,
        )

    async def started(self, *commands: Command, eager: Eager = NOT_EAGER, **what: object) -> str:
        """Begin an actor that has asked for ``commands``; return its generation."""
        generation = await self.create(**what)  # type: ignore[arg-type]
        await self.commit(commands, eager=eager)
        return generation

    async def ended(self, status: str = "completed", payload: bytes = b"out", address: str = A) -> None:
        await self.commit(end=End(status, payload), address=address)  # type: ignore[arg-type]

    async def told(self, name: str = "go", *, address: str = A, **more: object) -> str:
        """Tell an external event; return its id."""
        return await self.store.instances.append(
            address,
            **{"kind": "event", "name": name, "payload": b"news", **more},  # type: ignore[arg-type]
        )

    # --------------------------------------------------------------------------------------------------- steps

    async def queued(self, queue: str = "default") -> list[Queued]:
        """Return what waits in a queue."""
        key = keys.queue(self.tag, queue)
        reply = listed(await self.space.send(self.tag, "XRANGE", key, "-", "+"))
        return [read_queued(self.tag, queue, entry, fields) for entry, fields in reply]

    async def begun(self, worker: str = "w1", token: str | None = None) -> Begun:
        """Take the first command that waits."""
        queued = (await self.queued())[0]
        return await self.store.steps.begin(queued, worker=worker, token=token or self.token())

    async def complete(self, held: Held, payload: bytes = b"done", **more: object) -> Appended:
        return await self.store.steps.complete(
            held,
            **{"nonce": 7, "at_ms": self.now, "status": "ok", "payload": payload, **more},  # type: ignore[arg-type]
        )

    async def advance(
        self,
        held: Held,
        commands: Sequence[Command] = (),
        *,
        base: str | None = None,
        token: str | None = None,
        nonce: int = 77,
        canceled: Sequence[int | str] = (),
        end: End | None = None,
        park: bool = False,
        eager: Eager = NOT_EAGER,
        status: str = "ok",
    ) -> Advanced | Appended:
        token = token or self.token()
        return await self.store.steps.advance(
            held,
            nonce=nonce,
            at_ms=self.now,
            status=status,
            payload=b"done",
            base=(await self.record(held.address)).consumed if base is None else base,
            token=token,
            commands=[write_command(command, token=token, void=False) for command in commands],
            canceled=canceled,
            end=end,
            park=park,
            eager=eager,
        )

    # -------------------------------------------------------------------------------------------------- looking

    async def keys(self) -> PartitionKeys:
        """Return everything that the partition holds."""
        return await read_partition(self.space, self.tag)

    async def journal(self, address: str = A) -> dict[str, bytes]:
        return await self.store.instances.read(address, "journal")

    async def open_places(self, address: str = A) -> dict[int, str]:
        """Return where each open command is, without entry ids."""
        found = await self.keys()
        table = found.actors[address].open if address in found.actors else {}
        return {seq: re.sub(r":\d+-\d+$", "", command.place) for seq, command in sorted(table.items())}

    async def members(self, name: str) -> list[str]:
        """Return the members of a sorted set of the partition."""
        return sorted((await self.keys()).sets[name])

    async def messages(self) -> list[Message]:
        """Return what is in the outbox."""
        key = keys.shared(self.tag, "outbox")
        reply = listed(await self.space.send(self.tag, "XRANGE", key, "-", "+"))
        return [read_message(Entry(key, entry, fields)) for entry, fields in reply]

    async def ready(self) -> list[str]:
        """Return the addresses of ready actors."""
        return [fields["a"] for fields in (await self.keys()).streams.get("ready", {}).values()]

    async def exists(self, address: str = A) -> set[str]:
        """Return which keys an actor has."""
        actor = (await self.keys()).actors.get(address)
        return actor.parts if actor else set()

    async def promote(self, ms: int = 0) -> int:
        """Move the clock and what is due then; return how much."""
        self.now += ms
        return (await self.store.timers.promote(self.tag, timeout_payload=b"out of time")).moved
