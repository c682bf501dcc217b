"""A deterministic toy program. Every command's arguments are a digest of the history before it, so that commands of
another history are seen (I4)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from kernel.decision import AT_THE_END_TOO, Command, End, Scheduling
from kernel.event import ZERO, Event, event_number
from kernel.store.journal import write_command

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMER_MS = 1000
POOL = "few"


class Toy:
    """started -> two steps, a timer, a wait and perhaps children; either both steps or the timer -> a last step -> end.

    Of a ``family`` one child is awaited, one is detached, and a third, detached as well, is asked for at the end.

    A cancel request asks for a clean-up step, after which it ends as canceled. A program whose arguments are ``child``
    runs one step and ends. Steps of a ``pool`` program need a permit of it. ``again``: it begins anew once, with
    the events that it did not take.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.fed = ZERO
        self.commands: list[Command] = []
        self.canceled: list[int | str] = []
        self.open: set[int] = set()
        self.end: End | None = None
        self.untaken: list[int] = []
        self._digest = b""
        self._roles: dict[str, int] = {}
        self._seen: set[str] = set()
        self._arguments = b""

    def feed(self, event: Event) -> None:
        """Go on with one event."""
        assert event_number(event.id) > event_number(self.fed)
        self.fed = event.id
        if event.kind not in {"restarted", "outcome"} or event.seq in self.open:
            said = repr((event.kind, event.seq, event.status, event.payload)).encode()
            self._digest = hashlib.md5(self._digest + said).digest()
        if self.end is None:
            getattr(self, f"_{event.kind}")(event)

    def _ask(self, role: str, kind: str, event: Event, **more: object) -> None:
        command = Command(kind, role, role, self._digest, b"", event.number, **more)  # type: ignore[arg-type]
        self.commands.append(command)
        self._roles[role] = len(self.commands)
        self.open.add(len(self.commands))

    def _close(self, seq: int, mark: str = "", by: str = "") -> None:
        if seq in self.open:
            self.open.remove(seq)
            self.canceled.append(f"{mark}{seq}{by}" if mark else seq)

    def _finish(self, status: str, event: Event) -> None:
        if b"family" in self._arguments:
            self._ask("parting", "child", event, detached=True)
        for seq in sorted(self.open):
            if not self.commands[seq - 1].detached:
                self._close(seq)
        self.end = End(status, self._digest)  # type: ignore[arg-type]

    def _started(self, event: Event) -> None:
        self._arguments = event.payload
        if event.payload == b"child":
            self._ask("last", "step", event, queue="default")
            return
        pool = POOL if b"pool" in event.payload else ""
        self._ask("one", "step", event, queue="default", scheduling=Scheduling(wait_ms=900, pool=pool))
        silence = Scheduling(silence_ms=400, pool=pool)
        self._ask("two", "step", event, queue="default", timeout_ms=500, at_most_once=True, scheduling=silence)
        self._ask("timer", "timer", event, due_ms=event.at_ms + TIMER_MS)
        self._ask("go", "wait", event)
        self._ask("ask", "handler", event)
        self._ask("seen", "value", event)
        self.open.discard(len(self.commands))
        if b"family" in event.payload:
            self._ask("kid", "child", event)
            self._ask("free", "child", event, detached=True)

    def _restarted(self, event: Event) -> None:
        pass

    def _event(self, event: Event) -> None:
        seq = self._roles.get("go", 0)
        if event.name == "go" and seq in self.open:
            self._close(seq, "=", f":{event.number}")
        else:
            self.untaken.append(event.number)

    def _update(self, event: Event) -> None:
        if event.name == "ask":
            command = Command("reply", str(event.number), event.name, b"ok\n" + self._digest, b"", event.number)
            self.commands.append(command)
        else:
            self.untaken.append(event.number)

    def _cancel_requested(self, event: Event) -> None:
        if "clean" not in self._roles:
            for seq in sorted(self.open):
                self._close(seq)
            self._ask("clean", "step", event, queue="default", scheduling=Scheduling(inline=True))

    def _outcome(self, event: Event) -> None:
        if event.seq not in self.open:
            return
        self.open.remove(event.seq)
        role = next(role for role, seq in self._roles.items() if seq == event.seq)
        self._seen.add(role)
        if role == "clean":
            self._finish("canceled", event)
        elif role == "last":
            self._finish("continued" if b"again" in self._arguments else "completed", event)
            if self.end is not None and self.end.status == "continued":
                self.end = End("continued", self._arguments.replace(b"again", b"once"))
        elif (
            "last" not in self._roles
            and "clean" not in self._roles
            and ({"one", "two"} <= self._seen or role == "timer")
        ):
            for other in ("one", "two", "timer"):
                self._close(self._roles[other])
            pool = POOL if b"pool" in self._arguments else ""
            scheduling = Scheduling(wait_ms=700, priority=3, pool=pool)
            self._ask("last", "step", event, queue="default", scheduling=scheduling)

    def fields(self, first: int, token: str, canceled: Sequence[int | str]) -> list[bytes]:
        """Return the journal fields of the commands from ``first`` on."""
        taken_back = {int(str(item).lstrip("=").partition(":")[0]) for item in canceled}
        return [
            write_command(
                command,
                token=token,
                void=seq in taken_back
                or (self.end is not None and command.kind not in AT_THE_END_TOO and not command.detached),
            )
            for seq, command in enumerate(self.commands[first - 1 :], first)
        ]
