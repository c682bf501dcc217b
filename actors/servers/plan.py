"""Plan: what a replica decided, in the form that scripts take. No I/O; slots are promised in the hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from actors.errors import Failure
from kernel import AT_THE_END_TOO, CHUNK, NOT_EAGER, ORDINARY, Eager, End, draw_nonce, write_command

if TYPE_CHECKING:
    from actors.actor import Actor
    from actors.servers.cache import Replica
    from actors.servers.host import Host


class Plan(NamedTuple):
    """A decision in the form that scripts take."""

    token: str
    """Of this commit; commands that it begins at once are held under it."""
    commands: list[bytes]
    """As ``write_command`` gives them."""
    withdrawn: list[int | str]
    """Numbers of commands no longer wanted; waits that an event has answered as ``=<seq>:<event>``."""
    end: End | None
    park: bool
    eager: Eager
    canceled: int
    """The instance's cancellations that are committed with this plan, in all."""
    answered: int
    """The same of answered waits."""
    untaken: list[int]
    """If it begins anew: the numbers of events that were fed and that no wait has taken."""


def make_plan(replica: Replica, host: Host) -> Plan:
    """Put what the replica decided into the form that scripts take, and promise slots for its steps."""
    instance, committed = replica.instance, replica.committed
    new = instance.commands[committed:]
    end = instance.end
    if end is None and instance.bytes > host.journal_bytes_max:
        end = _too_large(instance.bytes, host.journal_bytes_max)
    token = f"{draw_nonce():x}"
    ending = end is not None
    withdrawn: list[int | str] = [*instance.canceled[replica.canceled :]]
    answered = instance.answered[replica.answered :]
    unwanted = {*withdrawn, *answered} if withdrawn or answered else None
    if answered:
        by = instance.answered_by[replica.answered :]
        withdrawn += [f"={seq}:{event}" for seq, event in zip(answered, by, strict=True)]
    commands: list[bytes] = []
    wanted, inline = 0, False
    for seq, command in enumerate(new, committed + 1):
        started = not ending or command.kind in AT_THE_END_TOO or command.detached
        void = not started or (unwanted is not None and seq in unwanted)
        here = command.scheduling is not ORDINARY and host.may_run_inline(command)
        commands.append(write_command(command, token=token, void=void, here=here))
        if here:
            inline = True
        elif command.kind == "step" and command.queue in host.queue_names:
            wanted += 1
    slots = host.hands.reserve(min(wanted, CHUNK)) if wanted and not ending else 0
    takes = (slots or inline) and not ending
    eager = Eager(host.incarnation, slots, host.queues, host.patience_ms) if takes else NOT_EAGER
    return Plan(
        token=token,
        commands=commands,
        withdrawn=withdrawn,
        end=end,
        park=not ending and _only_waits(instance),
        eager=eager,
        canceled=len(instance.canceled),
        answered=len(instance.answered),
        untaken=[event.number for event in instance.untaken] if end is not None and end.status == "continued" else [],
    )


def _only_waits(instance: Actor) -> bool:
    """Tell whether nothing of an instance runs or is about to: it waits for time or an event alone."""
    commands = instance.commands
    for seq in instance.open:
        command = commands[seq - 1]
        if command.kind == "step" and not command.due_ms:
            return False
    return True


def _too_large(size: int, limit: int) -> End:
    failure = Failure(
        kind="WorkflowFailed",
        error_type="JournalTooLarge",
        message=f"its journal holds {size:,} bytes, the limit is {limit:,}: pass references instead of large values, "
        "begin anew with continue_as_new from time to time, or raise journal_bytes_max",
    )
    return End("failed", failure.encode())
