"""World: what all processes of a simulation share: the server, the schedule, what has happened. It starts nobody.

A ``Process`` is one worker process as the world sees it: whether it lives, stands still or is cut off, and how many
boundaries to Redis it has come to. Process 0 is the test itself, to which nothing happens but broken connections.
"""

from __future__ import annotations

import asyncio
from binascii import crc32
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from actors.testing.clock import housekeeping
from actors.testing.simulation.nodes import ALL, Nodes
from kernel import look_into_memory, script_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.testing.simulation.lane import SimulatedLane, SimulatedPubSub
    from actors.testing.simulation.schedule import Fault, Schedule
    from kernel import Words

CALM_S: Final = 3.0
"""Nothing is going on when for so long nobody has written anything but heartbeats."""
AFTER_TROUBLE_S: Final = 20.0
"""How long workers may need to notice and take over what a dead one held."""
AFTER_ROLLBACK_S: Final = 100.0
"""How long until what a server forgot has been asked for again."""
STUCK_S: Final = 130.0
"""Whatever was lost is found again within it."""
_IDLE: Final = frozenset({"heartbeat", "fetch", "page", "found"})
"""Scripts that go on for ever, or change nothing."""
_MASK: Final = 2**64 - 1


def mixed(*numbers: int) -> int:
    """Return 64 bits drawn from some numbers: the same from the same, whatever else is drawn."""
    state = 0x9E3779B97F4A7C15
    for number in numbers:
        state = (state ^ (number & _MASK)) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ state >> 29) * 0x94D049BB133111EB & _MASK
        state ^= state >> 32
    return state


class Process:
    """One worker process, or the test (number 0)."""

    def __init__(self, world: World, number: int, faults: list[Fault]) -> None:
        """``faults``: those of this process."""
        self.world = world
        self.number = number
        self.boundary = 0
        self.dead = asyncio.Event()
        self.hire_after_s = 0.0
        """After its death."""
        self.skew_ms = 0
        self.lanes: dict[SimulatedLane | SimulatedPubSub, None] = {}
        self.calls = 0
        self._faults: dict[int, list[Fault]] = {}
        for fault in faults:
            self._faults.setdefault(fault.at, []).append(fault)
        self._still_until = self._cut_until = 0.0

    def come_to_boundary(self) -> list[Fault]:
        """Count a boundary; return what goes wrong there."""
        self.boundary += 1
        return self._faults.get(self.boundary, [])

    @property
    def is_cut(self) -> bool:
        """Whether none of its connections works."""
        return self.world.time() < self._cut_until

    @property
    def is_impaired(self) -> bool:
        """Whether it is dead, stands still, or is cut off."""
        return self.dead.is_set() or self.world.time() < max(self._still_until, self._cut_until)

    def pause(self, seconds: float) -> None:
        """Let all of it stand still."""
        self._still_until = max(self._still_until, self.world.time() + seconds)
        self.world.trouble(seconds)

    def cut(self, seconds: float) -> None:
        """Break all its connections and let no new one through."""
        self._cut_until = max(self._cut_until, self.world.time() + seconds)
        self.world.trouble(seconds)
        self.break_lanes()

    def die(self, hire_after_s: float) -> None:
        """Kill it."""
        self.hire_after_s = hire_after_s
        self.world.trouble(hire_after_s)
        self.dead.set()

    def break_lanes(self, node: int = ALL) -> None:
        """Break its connections, all or those to one node."""
        for lane in list(self.lanes):
            if node in {ALL, lane.node}:
                lane.break_off()

    async def gate(self) -> None:
        """Return when it may go on: not while it stands still, never when it is dead."""
        while True:
            if self.dead.is_set():
                await asyncio.get_running_loop().create_future()
            wait_s = self._still_until - self.world.time()
            if wait_s <= 0:
                return
            await rest(wait_s)

    def delay_s(self) -> float:
        """Draw how long the next call, or reply, is under way."""
        self.calls += 1
        if not self.world.schedule.delays:
            return 0.0
        drawn = mixed(self.world.schedule.seed, self.number, self.calls)
        kind, amount = drawn & 255, drawn >> 8
        if kind < 100:  # noqa: PLR2004 - of 256
            return 0.0
        if kind < 210:  # noqa: PLR2004 - of 256
            return amount % 7 / 1000
        return amount % (60 if kind < 250 else 600) / 1000  # noqa: PLR2004 - of 256


class World:
    """Everything outside of the workers. See the module's docstring."""

    def __init__(self, schedule: Schedule, url: str) -> None:
        """Prepare the server at ``url`` for one run."""
        self.schedule = schedule
        self.server = look_into_memory(url)
        self.time: Callable[[], float] = asyncio.get_running_loop().time
        self.processes: dict[int, Process] = {}
        self.injected: Counter[str] = Counter()
        """What went wrong so far, by kind."""
        self.taken: list[Fault] = []
        self.digest = 0
        """Of all calls and replies so far: equal in two runs that are equal."""
        self.writes = 0
        self.trace: list[str] | None = None
        self.on_write: Callable[[Words, list[object]], None] = _nothing
        self.on_rollback: Callable[[int], None] = _nothing
        self.strays: dict[asyncio.Task[None], None] = {}
        self.seconds = 0.0
        """Of virtual time, until the last write."""
        self.busy_until = 0.0
        """Until then time must not be passed over."""
        self.nodes = Nodes(self.server, schedule.nodes)
        self.client = self.process(0)

    def process(self, number: int) -> Process:
        """Return a new process."""
        faults = [fault for fault in self.schedule.faults if fault.worker == number]
        process = self.processes[number] = Process(self, number, faults)
        return process

    def is_old(self, number: int) -> bool:
        """Tell whether a process runs the old code."""
        return any(fault.worker == number and fault.kind == "old" for fault in self.schedule.faults)

    def trouble(self, seconds: float, after_s: float = AFTER_TROUBLE_S) -> None:
        """Something goes wrong for so long: others need time to notice, and to mend it."""
        self.busy_until = max(self.busy_until, self.time() + seconds + after_s)

    def inject(self, fault: Fault) -> None:
        """Note that a fault comes to pass."""
        self.injected[fault.kind] += 1
        self.taken.append(fault)
        if self.trace is not None:
            self.trace.append(f"{self.time():.3f} {fault}")
        if fault.kind != "slow":
            self.trouble(0)

    # --------------------------------------------------------------------------------------------- what is written

    def took_effect(self, process: Process, batch: list[Words], replies: list[object], *, reads: bool) -> None:
        """Some call took effect at the server."""
        name = script_name(batch[-1]) if batch[0][0] != "MULTI" else "exec"
        self.digest = crc32(repr((round(self.time() * 1e6), process.number, batch, replies)).encode(), self.digest)
        if self.trace is not None:
            shown = [str(word) for word in batch[-1 if name != "exec" else 1][3 if name else 1 :]]
            self.trace.append(
                f"{self.time():.3f} w{process.number} {name or batch[-1][0]!s} {shown} -> {replies[-1]!r:.300}"
            )
        if name in _IDLE or not (name or reads or (process is self.client and batch[-1][0] == "XADD")):
            return
        if name == "promote" and isinstance(replies[-1], list) and replies[-1][0] == 0:
            return
        self.seconds = self.time()
        self.busy_until = max(self.busy_until, self.seconds + CALM_S)
        self.on_write(batch[-1] if name != "exec" else batch[1], replies)
        self.writes += 1
        if process is self.client:
            self.nodes.promise(key_of(batch[-1] if name != "exec" else batch[1]))
        elif self.nodes.is_due(self.writes):
            self._roll_back()

    def remember(self, writes: int, node: int) -> None:
        """Keep the state of a node, or of ``ALL``; it comes back after so many further writes."""
        self.nodes.remember(node, self.writes + max(writes, 1))

    def _roll_back(self) -> None:
        node = self.nodes.roll_back()
        self.trouble(0, AFTER_ROLLBACK_S)
        self.injected["rolled back" if node == ALL else "failed over"] += 1
        if self.trace is not None:
            self.trace.append(f"{self.time():.3f} " + ("ROLLED BACK" if node == ALL else f"FAILED OVER: node {node}"))
        for process in self.processes.values():
            process.break_lanes(node)
        self.on_rollback(node)

    def send_late(self, work: Any, seconds: float) -> None:  # noqa: ANN401 - a coroutine function
        """Let a call take effect although nobody waits for it any more."""

        async def stray() -> None:
            await rest(seconds)
            await work()

        task = asyncio.get_running_loop().create_task(stray(), name="stray call")
        self.strays[task] = None
        task.add_done_callback(lambda done: self.strays.pop(done, None))


async def rest(seconds: float) -> None:
    """Let time pass for the simulation alone: nobody waits for it."""
    with housekeeping():
        await asyncio.sleep(seconds)


def key_of(words: Words) -> str:
    """Return the key (or tag) by which a command finds its node."""
    if words[0] in {"EVALSHA", "EVAL"}:
        return str(words[3])
    return str(words[words.index("STREAMS") + 1] if "STREAMS" in words else words[1])


def _nothing(*_arguments: object) -> None:
    return None
