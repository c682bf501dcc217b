"""Lanes of simulated workers: connections on which calls and replies take time, get lost, come late or twice.

A boundary is a call that may change something at the server: a script, MULTI up to EXEC as one, a command that reads
from a stream for a group and returned something. At each the schedule may have something go wrong.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from actors.testing.clock import housekeeping
from actors.testing.simulation.nodes import ALL
from actors.testing.simulation.world import Process, rest
from kernel import Connector, LaneLost, LaneTimedOut

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.testing.simulation.schedule import Fault
    from kernel import Lane, Words

_WRITES: Final = frozenset({"EVALSHA", "EVAL", "EXEC", "XREADGROUP", "XACK", "XDEL"})
_LOST: Final = "the simulation broke this connection"
_FATAL: Final = frozenset({"crash-after", "drop", "timeout"})


class SimulatedLane:
    """One connection of a process."""

    def __init__(self, lane: Any, process: Process, *, node: int, counts: bool = True) -> None:  # noqa: ANN401 - a MemoryLane
        """``lane`` is closed with this one. ``counts``: whether its calls are boundaries."""
        self._lane = lane
        self.node = node
        self._process = process
        self._world = process.world
        self._counts = counts and process.number > 0
        self._broken = False
        self._stray = False
        process.lanes[self] = None

    def break_off(self) -> None:
        """Let the connection be lost, also for who is waiting on it."""
        self._broken = True
        self._lane.interrupt(LaneLost(_LOST))

    async def send(self, commands: Sequence[Words], *, reply_s: float = 5.0) -> list[object]:
        """Send commands one after another. Raises LaneLost, LaneTimedOut."""
        replies: list[object] = []
        queued: list[Words] = []
        if commands[0][0] == "SCRIPT":  # what every new connection begins with changes nothing that matters
            self._check()
            loaded: list[object] = await self._lane.send(commands)
            return loaded
        for words in commands:
            queued.append(words)
            if queued[0][0] == "MULTI" and words[0] != "EXEC":
                continue  # what lies between MULTI and EXEC takes effect with EXEC: one write
            batch, queued = queued, []
            replies += await self._unit(batch, reply_s)
        await self._rest(self._process.delay_s())
        return replies

    async def _unit(self, batch: list[Words], reply_s: float) -> list[object]:
        process, last = self._process, batch[-1]
        await self._rest(process.delay_s())
        reads = "BLOCK" in last[:8]
        counts = self._counts and last[0] in _WRITES
        faults = process.come_to_boundary() if counts and not reads else []
        for fault in faults:
            await self._before(fault, batch)
        replies: list[object] = await self._lane.send(batch, reply_s=reply_s)
        found = bool(replies[-1])
        if found or not reads:
            self._world.took_effect(process, batch, replies, reads=last[0] in _WRITES)
        if reads and not found:
            self._check()
            return replies
        await process.gate()
        if counts and reads:
            faults = process.come_to_boundary()
            for fault in faults:
                if fault.kind not in {"late", "crash-before"}:
                    await self._before(fault, batch)
        for fault in faults:
            replies = await self._after(fault, batch, replies, reply_s)
        await process.gate()
        self._check()
        return replies

    async def _before(self, fault: Fault, batch: list[Words]) -> None:
        process, world = self._process, self._world
        if fault.kind not in _FATAL | {"twice"}:
            world.inject(fault)
        seconds = abs(fault.amount) / 1000
        match fault.kind:
            case "crash-before":
                process.die(seconds)
            case "pause":
                process.pause(seconds)
            case "cut":
                process.cut(seconds)
            case "skew":
                process.skew_ms += fault.amount
            case "rollback" | "failover":
                world.remember(fault.amount, ALL if fault.kind == "rollback" else fault.node)
            case "regroup":
                regroup(process)
            case "slow":
                await self._rest(seconds)
            case "late":
                self._send_late(batch, seconds)
            case _:
                pass
        await process.gate()
        self._check()

    async def _after(self, fault: Fault, batch: list[Words], replies: list[object], reply_s: float) -> list[object]:
        process, world = self._process, self._world
        if fault.kind in _FATAL | {"twice"}:
            world.inject(fault)
        match fault.kind:
            case "crash-after":
                process.die(fault.amount / 1000)
            case "drop":
                raise LaneLost(_LOST)
            case "timeout":
                await self._rest(reply_s)
                raise LaneTimedOut(_LOST)
            case "twice" if replies[-1] is None and batch[-1][0] == "EXEC":
                pass  # refused, since what it watched had changed: on its own, unwatched, nobody sends that again
            case "twice":
                words = tuple(word for word in batch[-1]) if "BLOCK" not in batch[-1][:8] else _unblocked(batch[-1])
                replies = await self._lane.send([*batch[:-1], words])
                world.took_effect(process, batch, replies, reads=True)
            case _:
                pass
        return replies

    def _send_late(self, batch: list[Words], seconds: float) -> None:
        lane, self._stray = self._lane, True

        async def send() -> None:
            replies = await lane.send(batch)
            self._world.took_effect(self._process, batch, replies, reads=True)
            await lane.close()

        self._world.send_late(send, seconds)
        self._broken = True

    async def _rest(self, seconds: float) -> None:
        if seconds > 0:
            await rest(seconds)
        await self._process.gate()
        self._check()

    def _check(self) -> None:
        if self._broken or self._process.is_cut:
            raise LaneLost(_LOST)

    async def close(self) -> None:
        """Close the connection."""
        self._process.lanes.pop(self, None)
        if not self._stray:
            await self._lane.close()


def _unblocked(words: Words) -> Words:
    at = words.index("BLOCK")
    return words[:at] + words[at + 2 :]


def regroup(process: Process) -> None:
    """Lose the groups of all streams of steps, turns and messages; make them again from the first entry on."""
    session = process.world.server.session()
    for key in process.world.server.names():
        name = key.rpartition(b":")[2]
        group = {b"ready": "dispatchers", b"outbox": "couriers"}.get(name, "workers" if b":q:" in key else "")
        if group and session.run(("TYPE", key)) == b"stream":
            session.run(("XGROUP", "DESTROY", key, group))
            session.run(("XGROUP", "CREATE", key, group, "0"))
    session.close()


class SimulatedPubSub:
    """A subscription, as far as ``hearing`` uses redis-py's."""

    def __init__(self, process: Process, *, node: int) -> None:
        """Nothing is subscribed yet."""
        self._process = process
        self.node = node
        self._ends: dict[str, Callable[[], None]] = {}
        self._messages: deque[dict[str, Any]] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._broken = False
        process.lanes[self] = None

    def break_off(self) -> None:
        """Let the connection be lost."""
        self._broken = True
        self._ring()

    async def subscribe(self, *channels: str) -> None:
        """Listen to channels. Raises LaneLost."""
        await self._process.gate()
        self._check()
        for channel in channels:
            if channel not in self._ends:
                self._ends[channel] = self._process.world.server.listen(channel.encode(), self._heard)
            self._messages.append({"type": "subscribe", "channel": channel.encode(), "data": 1})
        self._ring()

    async def unsubscribe(self, *channels: str) -> None:
        """Listen no more. Raises LaneLost."""
        await self._process.gate()
        self._check()
        for channel in channels:
            if end := self._ends.pop(channel, None):
                end()

    async def get_message(self, **_options: object) -> dict[str, Any]:
        """Wait for the next message. Raises LaneLost."""
        while not self._messages:
            self._check()
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        await self._process.gate()
        self._check()
        return self._messages.popleft()

    async def aclose(self) -> None:
        """Close the connection."""
        self._process.lanes.pop(self, None)
        for end in self._ends.values():
            end()
        self._ends.clear()

    def _heard(self, channel: bytes, said: bytes) -> None:
        message = {"type": "message", "channel": channel, "data": said}
        with housekeeping():
            asyncio.get_running_loop().call_later(self._process.delay_s(), self._arrive, message)

    def _arrive(self, message: dict[str, Any]) -> None:
        self._messages.append(message)
        self._ring()

    def _ring(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _check(self) -> None:
        if self._broken or self._process.is_cut:
            raise LaneLost(_LOST)


class _Client:
    """Where subscriptions come from."""

    def __init__(self, process: Process, node: int) -> None:
        self._process = process
        self._node = node

    def pubsub(self) -> SimulatedPubSub:
        """Return a new subscription."""
        return SimulatedPubSub(self._process, node=self._node)


class SimulatedConnector(Connector):
    """The connections of one process. Those that its heartbeat uses are no boundaries: it beats all the time."""

    is_memory = True

    def __init__(self, inner: Connector, process: Process) -> None:
        """``inner`` is closed with this one."""
        self.url = inner.url
        self._inner = inner
        self._process = process
        self._nodes = process.world.nodes
        self.is_cluster = self._nodes.count > 1

    async def open(self, tag: str, *, counts: bool = True) -> Lane:
        """Open a connection. Raises LaneLost."""
        await self._process.gate()
        if self._process.is_cut:
            raise LaneLost(_LOST)
        return SimulatedLane(await self._inner.open(tag), self._process, node=self._nodes.of(tag), counts=counts)

    def node(self, tag: str) -> str:
        """Name the node that serves a tag."""
        return f"node {self._nodes.of(tag)}" if self.is_cluster else self._inner.node(tag)

    def client(self, tag: str) -> Any:  # noqa: ANN401 - as far as it is used
        """Return what subscriptions come from."""
        return _Client(self._process, self._nodes.of(tag))

    def blocking_client(self) -> Any:  # noqa: ANN401 - redis-py's, which only the store knows
        """Return a client for a thread."""
        return self._inner.blocking_client()

    async def close(self) -> None:
        """Close all that is open."""
        await self._inner.close()
