"""Decisions: all that one turn of an actor asks of the kernel. Values only; ``commit`` carries them out."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

CommandKind = Literal["step", "timer", "wait", "handler", "child", "value", "reply", "local"]
"""``step`` runs on a worker; ``timer`` fires; ``wait`` is answered by an event that the actor itself matches;
``handler`` says that updates of its name are answered from now on, to the end; ``child`` starts another actor;
``value`` publishes a value; ``reply`` answers an update; ``local`` is recorded only (a patch marker)."""

WITHOUT_OUTCOME: Final = frozenset({"value", "reply", "local"})
"""Kinds of commands that are done as soon as they are carried out."""
AT_THE_END_TOO: Final = frozenset({"value", "reply"})
"""Kinds that are carried out even when the turn that asks for them ends the actor."""


class Scheduling(NamedTuple):
    """How a step is brought to a worker, where that is not as usual."""

    wait_ms: int = 0
    """How long it may wait for a worker, from being due until begun. 0: no limit."""
    silence_ms: int = 0
    """How long an attempt may stay without a heartbeat of its own. 0: no limit."""
    priority: int = 0
    """0 to 9; of what waits in a queue the higher goes first."""
    inline: bool = False
    """Begun by the worker that decides on it, in the call that commits the decision: no queue, no slot."""
    pool: str = ""
    """Whose permit it needs before it goes to its queue; empty: none."""


ORDINARY: Final = Scheduling()


class Command(NamedTuple):
    """One thing that an actor asks for. Its number (``seq``, from 1) is its place in the actor's commands."""

    kind: CommandKind
    target: str
    """What runs: the registered name of a step or child; of a wait the event's name; of a handler its name; of a reply
    the number of the update's event; empty for a timer."""
    label: str
    """What people call it: compared on replay, shown in listings. The target unless it was named."""
    arguments: bytes = b""
    """Canonically encoded arguments; compared on replay. A timer's length in ms, as decimal text."""
    options: bytes = b""
    """Encoded options that the kernel never reads (a step's retry policy, a child's id); not compared by it."""
    at: int = 0
    """Number of the event whose feeding asked for it."""
    queue: str = ""
    """Steps: the queue whose workers may run it."""
    due_ms: int = 0
    """Absolute time, ms since the epoch, before which it is not started (a timer: when it fires). 0: at once."""
    timeout_ms: int = 0
    """Steps: how long one attempt may take. 0: no limit."""
    at_most_once: bool = False
    """Steps: started once and never again, even if its worker dies (its outcome is then unknown)."""
    detached: bool = False
    """Children: started even if their actor ends by the same turn; neither canceled nor deleted with it."""
    scheduling: Scheduling = ORDINARY


class End(NamedTuple):
    """The turn ended the actor."""

    status: Literal["completed", "failed", "canceled", "continued"]
    """``continued``: it begins again with new arguments; its journal is replaced."""
    payload: bytes
    """Encoded result or failure; of ``continued`` the new arguments."""
    version: str = ""
    """Of ``continued``: the record's version from then on; empty: none."""


class Decision(NamedTuple):
    """What a turn decided, to be committed whole or not at all."""

    commands: tuple[Command, ...]
    """New commands, in the order asked for."""
    canceled: tuple[int, ...]
    """Numbers of commands, old or new, whose outcome is no longer wanted."""
    end: End | None
