"""Witness: hears every call that takes effect, and says what no state of the server shows.

Who was declared dead and why; who began, and who recorded what; whether a child began twice, or too late.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from kernel.store.scripts import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.testing.simulation import Simulation
    from actors.testing.simulation.world import Process
    from kernel import Words

DEATHS_TO_RUN_ALONE: Final = 2
HELD_A_SLOT_MAX: Final = 2
"""One that runs, and one that has run and is being recorded."""
NEARLY: Final = 0.99
CALLS_A_SECOND_MAX: Final = 3_000
"""Of all workers together; they make a tenth of it."""
SECONDS_MAX: Final = 200
"""Of virtual time: twice what they take after a failover. What is looked after again and again is never stuck."""


class Witness:
    """``said``: a sentence for each thing that must not happen. Failovers may excuse what children do."""

    def __init__(self, simulation: Simulation, timeout_s: float) -> None:
        """``timeout_s``: how long a heartbeat may be silent."""
        self.said: list[str] = []
        self._world = world = simulation.world
        self._timeout_s = timeout_s
        self._now_ms = simulation._clock.now_ms
        self._settings_of = simulation._settings_of
        self._session = world.server.session()
        self._beats: dict[str, float] = {}
        self._fenced: dict[str, float] = {}
        self._born: dict[tuple[str, str], object] = {}
        self._refused: set[tuple[str, str]] = set()
        self._calls, self._second = 0, 0
        self._player = asyncio.current_task()
        self._names = {script.sha: name for name, script in SCRIPTS.items()}
        self._names |= {script.text: name for name, script in SCRIPTS.items()}
        took_effect = world.took_effect

        def heard(process: Process, batch: list[Words], replies: list[object], **more: Any) -> None:  # noqa: ANN401 - passed on
            for words, reply in ((batch[-1], replies[-1]),) if batch[0][0] != "MULTI" else ():
                self._hear(process, words, reply)
            took_effect(process, batch, replies, **more)
            self._count()

        world.took_effect = heard  # type: ignore[method-assign]

    def _count(self) -> None:
        """Break the play off when calls follow one another for ever."""
        if (second := int(self._world.time())) != self._second:
            self._calls, self._second = 0, second
        self._calls += 1
        circles, late = self._calls == CALLS_A_SECOND_MAX, second > SECONDS_MAX
        if (circles or late) and not self.said and self._player is not None:
            self.said.append(
                "workers go round in circles" if circles else f"it has not ended after {SECONDS_MAX} virtual seconds"
            )
            self._player.cancel()

    def _hear(self, process: Process, words: Words, reply: Any) -> None:  # noqa: ANN401 - of any script
        name = self._names.get(str(words[1])) if str(words[0]).startswith("EVAL") else None
        if name is None or isinstance(reply, Exception):
            return
        arguments = [word.decode(errors="replace") if isinstance(word, bytes) else str(word) for word in words[4:16]]
        hear = getattr(self, f"_hear_{name}", None)
        if hear is not None:
            hear(process, str(words[3]), arguments, reply)

    # ------------------------------------------------------------------------------------------------------ lives

    def _hear_heartbeat(self, _process: Process, _key: str, arguments: Sequence[str], reply: object) -> None:
        if reply == b"OK":
            self._beats[arguments[0]] = self._world.time()

    def _hear_fence(self, process: Process, _key: str, arguments: Sequence[str], reply: object) -> None:
        worker, seen, *_ = arguments
        if reply != b"FENCED" or worker in self._fenced:
            return
        now = self._fenced[worker] = self._world.time()
        if seen:
            silent_s = now - self._beats.get(worker, -1e9)
            back_s = now - process._cut_until if process._cut_until else 1e9
            if silent_s < self._timeout_s * NEARLY:
                self.said.append(f"a worker was declared dead {silent_s:.1f} s after its heartbeat")
            if back_s < self._timeout_s * NEARLY:
                self.said.append(f"a worker was declared dead by one that had been cut off until {back_s:.1f} s before")

    def _hear_begin(self, process: Process, tag: str, arguments: Sequence[str], reply: Any) -> None:  # noqa: ANN401
        worker = arguments[5]
        if reply[0] != b"BEGUN":
            return
        dead_s = self._world.time() - max(self._fenced.get(worker, 1e9), process._cut_until, process._still_until)
        if dead_s > self._timeout_s:
            self.said.append("a worker that was declared dead goes on under its old name")
        beside: Any = self._session.run(("ZRANGEBYLEX", f"{tag}:held", f"[{worker}|", f"({worker}}}"))
        if int(reply[3]) >= DEATHS_TO_RUN_ALONE and len(beside) > 1:
            self.said.append("a step that had killed two workers was begun beside others")
        slots = self._settings_of(process.number).concurrency
        if len(beside) > HELD_A_SLOT_MAX * slots:
            self.said.append(f"a worker that may run {slots} steps at once has begun {len(beside)}")

    # --------------------------------------------------------------------------------------------------- outcomes

    def _hear_complete(self, _process: Process, tag: str, arguments: Sequence[str], reply: Any) -> None:  # noqa: ANN401
        _, address, _, seq, _, worker, *_ = arguments
        if reply[0] in {b"APPENDED", b"IDLE", b"MORE"}:
            self._recorded(tag, address, f"r{seq}", 5, worker)

    _hear_advance = _hear_complete

    def _hear_retry(self, _process: Process, tag: str, arguments: Sequence[str], reply: Any) -> None:  # noqa: ANN401
        _, address, _, seq, attempt, worker, *_ = arguments
        if reply[0] == b"RETRIED":
            self._recorded(tag, address, f"a{seq}.{attempt}", 2, worker)

    def _recorded(self, tag: str, address: str, field: str, at: int, worker: str) -> None:
        kind, _, actor_id = address.partition("/")
        value: Any = self._session.run(("HGET", f"{tag}:{kind}.journal:{actor_id}", field))
        if value and value.partition(b"\n")[0].split(b"|")[at].decode() != worker:
            self.said.append("what came of a step was recorded by a worker while another one held it")

    # --------------------------------------------------------------------------------------------------- children

    def _hear_create(self, _process: Process, _tag: str, arguments: Sequence[str], reply: Any) -> None:  # noqa: ANN401
        _, address, _, _, _, message, _, deadline, *_ = arguments
        now_ms = self._now_ms()
        if int(deadline) and now_ms > int(deadline) and reply[0] != b"LATE":
            self.said.append(f"a message was delivered {(now_ms - int(deadline)) / 1000:.1f} s after its deadline")
        if (
            not message
            or reply[0] != b"CREATED"
            or self._world.injected["rolled back"] + self._world.injected["failed over"]
        ):
            return
        start = (address, message)
        if self._born.setdefault(start, reply[1]) != reply[1]:
            self.said.append("a message started a child once more that had been deleted")
        if start in self._refused:
            self.said.append("a child began after it had been canceled")

    def _hear_cancel(self, _process: Process, _tag: str, arguments: Sequence[str], reply: Any) -> None:  # noqa: ANN401
        _, address, _, tombstone, message, *_ = arguments
        if tombstone == "1" and reply[0] == b"NOT_FOUND":
            self._refused.add((address, message))
