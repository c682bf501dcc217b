"""Restarting: works out from an ended actor's journal what running it again from one of its commands keeps. No I/O.

The journal cannot change while the actor is ended, so this may be worked out outside; the script ``restart`` carries it
out in one moment, guarded by the generation. The code is fed the kept events up to the one before that which asked for
the command, is compared with the kept commands there, and goes on: kept events behind it are fed again, as news. What
it asks for then is compared with the command that a kept outcome belongs to (``k<seq>``), as long as there is one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel.errors import KernelError
from kernel.event import ZERO, Event, event_number
from kernel.store.journal import write_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kernel.decision import Command

_NUMBERED: Final = re.compile(r"([crxahkt])(\d+)(?:\.\d+)?")


class NoSuchCommand(KernelError):
    """The actor has asked for no such command."""


class RestartPlan(NamedTuple):
    """Arguments of the script ``restart``."""

    consumed: str
    """The event before the one whose feeding asked for the command."""
    commands: int
    """How many commands were asked for up to there; they stay."""
    kept: int
    """The last number whose outcome stays."""
    events: str
    """Numbers of the events that stay, as ``write_numbers`` has them; empty if no outcome can stay."""
    children: tuple[int, ...]
    """Numbers of child commands whose children are no longer needed."""
    drop: tuple[str, ...]
    """Journal fields to drop."""


def first_unfinished(known: Mapping[int, Command], outcomes: Mapping[int, Event], closed: Mapping[int, int]) -> int:
    """Return the number of the first step or child without success that the code did not take back itself.

    One more than the last number, if there is none. A detached child that has not ended lives on, and is none.
    ``known``: commands by number. ``closed``: see ``plan_restart``.
    """
    for seq, command in sorted(known.items()):
        if command.kind not in {"step", "child"}:
            continue
        outcome = outcomes.get(seq)
        if (outcome is None and seq not in closed and not command.detached) or (
            outcome is not None and outcome.status != "ok"
        ):
            return seq
    return max(known, default=0) + 1


def plan_restart(
    commands: Sequence[Command],
    events: Sequence[Event],
    fields: Sequence[str],
    closed: Mapping[int, int],
    from_seq: int | str | None,
    *,
    kept: Mapping[int, Command],
    consumed: str,
) -> RestartPlan:
    """Work out a restart from command ``from_seq`` (1 to one more than there are; None: the first without success).

    A text is a label, and means the first command that has it. Raises NoSuchCommand.

    ``fields``: names of all the journal's fields. ``closed``: the fields ``x<seq>``, by number of the command; the
    value is the number of the last event fed when it was closed. ``kept``: by number, commands that an earlier restart
    has dropped, whose outcomes it has kept, and that were not asked for since. ``consumed``: the last event that a turn
    has taken into account. A request to cancel is undone: it and what was asked for since are dropped, since outcomes
    must answer what is asked for when they are fed again.
    """
    outcomes = {event.seq: event for event in events if event.kind == "outcome"}
    asked = dict(enumerate(commands, 1))
    known, idle = {**kept, **asked}, _is_idle(events, consumed)
    if from_seq is None:
        start = first_unfinished(known if idle else asked, outcomes, closed)
    else:
        start = _number(known, from_seq)
    requests = [event.number for event in events if event.kind == "cancel_requested"]
    if requests:
        start = min([start, *(seq for seq, command in asked.items() if command.at >= requests[0])])
    if idle and start > len(commands):
        # No turn was taken since the restart before, so what it has rewound to is where this one begins.
        at = event_number(consumed) + 1
    else:
        # Behind the last command: the event that asked for that is fed again; it may have been the one that ended it.
        at = commands[min(start, len(commands)) - 1].at if commands else 0
    at = min([at, *requests])
    begin = next((event.id for event in reversed(events) if event.number < at), ZERO)
    number = event_number(begin)
    stay = sum(command.at <= number for command in commands)
    # What is asked for again includes its timers: they count from the restart.
    timers = {f"r{seq}" for seq, command in asked.items() if seq > stay and command.kind == "timer"}
    unneeded = timers | {f"e{request}" for request in requests}
    waiting = {f"{letter}{seq}" for seq in range(len(commands) + 1, start) for letter in "kt"}  # still to be asked for
    drop = tuple(
        field
        for field in fields
        if field in unneeded or (field not in waiting and _dropped(field, start, stay, number, closed))
    )
    children = tuple(_unneeded_children(known, outcomes, closed, start, number))
    gone = set(drop)
    names = ((f"r{event.seq}" if event.kind == "outcome" else f"e{event.number}", event.number) for event in events)
    staying = write_numbers(number for name, number in names if name not in gone) if start > 1 else ""
    return RestartPlan(begin, stay, start - 1, staying, children, drop)


def _is_idle(events: Sequence[Event], consumed: str) -> bool:
    """Tell whether the actor was restarted and no turn was taken since."""
    names = [event.name for event in events if event.kind == "restarted"]
    return bool(names) and names[-1] == str(event_number(consumed))


def perhaps_answered(
    kept: Sequence[Command],
    events: Sequence[Event],
    closed: Mapping[int, int],
    lost: Sequence[int],
) -> int:
    """Return the first step to be kept whose outcome may be lost, so that it would be done twice; 0: there is none.

    ``lost``: numbers of events that are known to be lost.
    """
    outcomes = {event.seq for event in events if event.kind == "outcome"}
    for seq, command in enumerate(kept, 1):
        is_bare = command.kind == "step" and seq not in outcomes and seq not in closed
        if is_bare and any(number > command.at for number in lost):
            return seq
    return 0


def _number(known: Mapping[int, Command], wanted: int | str) -> int:
    if isinstance(wanted, str):
        for seq, command in sorted(known.items()):
            if command.label == wanted:
                return seq
        names = ", ".join(repr(name) for name in dict.fromkeys(known[seq].label for seq in sorted(known))) or "none"
        raise NoSuchCommand(f"there is no step {wanted!r} (there are: {names})")
    last = max(known, default=0) + 1
    if not 1 <= wanted <= last:
        raise NoSuchCommand(f"there is no step {wanted}: give a number from 1 to {last}")
    return wanted


def _dropped(field: str, start: int, stay: int, number: int, closed: Mapping[int, int]) -> bool:
    match = _NUMBERED.fullmatch(field)
    if match is None:
        return False
    letter, seq = match[1], int(match[2])
    if letter == "c":
        return seq > stay
    if letter in {"k", "t"}:  # of a restart before; the script writes those of this one
        return True
    return seq >= start or (letter == "x" and closed.get(seq, 0) > number)


def _unneeded_children(
    known: Mapping[int, Command], outcomes: Mapping[int, Event], closed: Mapping[int, int], start: int, number: int
) -> Iterator[int]:
    """Yield the children that will be started again; what was closed by event ``number`` stays closed."""
    for seq, command in known.items():
        stays = seq in outcomes or closed.get(seq, number + 1) <= number
        if command.kind == "child" and (seq >= start or not stays):
            yield seq
