"""The kernel's face: actors, events, decisions, and the transitions that keep them. All else is its own business.

The kernel promises that an event is taken by its actor once, in a recorded order; that a decision is committed whole or
not at all; that a decision made on an outdated past is refused; and that what was committed happens, whatever dies.
"""

from __future__ import annotations

from kernel.decision import (
    AT_THE_END_TOO,
    ORDINARY,
    WITHOUT_OUTCOME,
    Command,
    CommandKind,
    Decision,
    End,
    Scheduling,
)
from kernel.embedded import EmbeddedServer
from kernel.errors import (
    EvictingServer,
    FolderUnusable,
    InvalidUrl,
    KernelError,
    Misconfigured,
    NamespaceMismatch,
    NoServerBinary,
    PayloadUnusable,
    ServerRefused,
    ServerTooOld,
    ServerUnreachable,
)
from kernel.event import ZERO, Event, EventKind, event_id, event_number
from kernel.refusals import (
    Busy,
    Ended,
    Gone,
    Late,
    NotFound,
    NotOwner,
    NotStopped,
    Obsolete,
    Refused,
    Running,
    SameCode,
    StageLost,
    StaleGeneration,
    StaleTurn,
)
from kernel.store import Store
from kernel.store import keys as keys
from kernel.store.connect import connector, drop_memory, run_command
from kernel.store.custody import Heartbeat
from kernel.store.erase import erase_namespace
from kernel.store.exclusive import Conflict, ConnectionLost, Exclusive, NoRoom
from kernel.store.gateway import FIRST, first_entry
from kernel.store.instances import Beginning, Created, read_created
from kernel.store.journal import (
    EVENT_FAILED,
    Outcome,
    Record,
    Reply,
    other_event,
    outcome_event,
    read_command,
    read_outcome,
    read_reply,
    write_command,
    write_reply,
)
from kernel.store.lanes import Connector
from kernel.store.link import Lane, Words
from kernel.store.outbox import Message, read_message
from kernel.store.payloads import Codec
from kernel.store.pulse import BEATS_A_TIMEOUT, Pulse
from kernel.store.reader import Entry, Reader
from kernel.store.restarting import NoSuchCommand
from kernel.store.space import Space, draw_nonce, repeatable_nonces
from kernel.store.steps import Advanced, Appended, Begun, Held, Queued, read_queued
from kernel.store.survey import Depths, KeyFacts, Place, QueueDepth
from kernel.store.timers import Promoted, TimedOut, next_due
from kernel.store.turns import CHUNK, NOT_EAGER, Eager, Fetched, History, Turned

__all__ = [
    "AT_THE_END_TOO",
    "BEATS_A_TIMEOUT",
    "CHUNK",
    "EVENT_FAILED",
    "FIRST",
    "NOT_EAGER",
    "ORDINARY",
    "WITHOUT_OUTCOME",
    "ZERO",
    "Advanced",
    "Appended",
    "Beginning",
    "Begun",
    "Busy",
    "Codec",
    "Command",
    "CommandKind",
    "Conflict",
    "ConnectionLost",
    "Connector",
    "Created",
    "Decision",
    "Depths",
    "Eager",
    "EmbeddedServer",
    "End",
    "Ended",
    "Entry",
    "Event",
    "EventKind",
    "EvictingServer",
    "Exclusive",
    "Fetched",
    "FolderUnusable",
    "Gone",
    "Heartbeat",
    "Held",
    "History",
    "InvalidUrl",
    "KernelError",
    "KeyFacts",
    "Lane",
    "Late",
    "Message",
    "Misconfigured",
    "NamespaceMismatch",
    "NoRoom",
    "NoServerBinary",
    "NoSuchCommand",
    "NotFound",
    "NotOwner",
    "NotStopped",
    "Obsolete",
    "Outcome",
    "PayloadUnusable",
    "Place",
    "Promoted",
    "Pulse",
    "QueueDepth",
    "Queued",
    "Reader",
    "Record",
    "Refused",
    "Reply",
    "Running",
    "SameCode",
    "Scheduling",
    "ServerRefused",
    "ServerTooOld",
    "ServerUnreachable",
    "Space",
    "StageLost",
    "StaleGeneration",
    "StaleTurn",
    "Store",
    "TimedOut",
    "Turned",
    "Words",
    "connector",
    "draw_nonce",
    "drop_memory",
    "erase_namespace",
    "event_id",
    "event_number",
    "first_entry",
    "keys",
    "next_due",
    "other_event",
    "outcome_event",
    "read_command",
    "read_created",
    "read_message",
    "read_outcome",
    "read_queued",
    "read_reply",
    "repeatable_nonces",
    "run_command",
    "write_command",
    "write_reply",
]
