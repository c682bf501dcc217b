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
    ActorDamaged,
    CodecMissing,
    EvictingServer,
    FolderUnusable,
    InvalidUrl,
    KernelError,
    LinkChanged,
    Misconfigured,
    NamespaceMismatch,
    NamespaceMissing,
    NamespaceRefounded,
    NoServerBinary,
    PayloadUnusable,
    RightMissing,
    ServerRefused,
    ServerTooOld,
    ServerUnreachable,
)
from kernel.event import ZERO, Event, EventKind, event_id, event_number
from kernel.refusals import (
    Busy,
    Conflict,
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
from kernel.store import rounds as rounds
from kernel.store.audit import (
    DAMAGED,
    Violation,
    actor_violations,
    pool_violations,
    posted_violations,
    violations,
    violations_of,
)
from kernel.store.chronicle import Chronicle
from kernel.store.connect import (
    connector,
    drop_memory,
    look_into_memory,
    replicated,
    run_command,
    virtual_memory_time,
)
from kernel.store.custody import Heartbeat
from kernel.store.damage import check_record, is_damage, journal_damage
from kernel.store.dead import DeadLetter, NoSuchLetter
from kernel.store.discarding import Discarded
from kernel.store.erase import erase_namespace
from kernel.store.exclusive import ConnectionLost, Exclusive, Forbidden, NoRoom, NotQueued
from kernel.store.gateway import FIRST, SINCE, first_entry, published_ms
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
    some_of,
    write_command,
    write_reply,
)
from kernel.store.lanes import Connector
from kernel.store.link import Lane, Words
from kernel.store.mending import Mendable
from kernel.store.outbox import Message, read_message
from kernel.store.payloads import OPEN_PAYLOAD, Codec, Instead
from kernel.store.pools import Asking, Permit, PoolStatus
from kernel.store.pulse import BEATS_A_TIMEOUT, Pulse, heartbeat
from kernel.store.pump import LaneLost, LaneTimedOut
from kernel.store.reader import Entry, Reader
from kernel.store.restarting import NoSuchCommand
from kernel.store.rounds import Consumer, Placed
from kernel.store.scripts import script_name
from kernel.store.slices import PARTS, Slice, read_slice, read_steady
from kernel.store.snapshot import ActorKeys, OpenCommand, PartitionKeys, read_partition_at_once
from kernel.store.space import Space, draw_nonce, repeatable_nonces
from kernel.store.steps import Advanced, Appended, Begun, Held, Queued, read_queued
from kernel.store.survey import Depths, KeyFacts, Place, QueueDepth
from kernel.store.timers import Promoted, TimedOut, next_due
from kernel.store.turns import CHUNK, NOT_EAGER, Eager, Fetched, History, Kept, Turned
from kernel.store.vitals import Vitals, read_vitals
from kernel.throttle import Throttle

__all__ = [
    "AT_THE_END_TOO",
    "BEATS_A_TIMEOUT",
    "CHUNK",
    "DAMAGED",
    "EVENT_FAILED",
    "FIRST",
    "NOT_EAGER",
    "OPEN_PAYLOAD",
    "ORDINARY",
    "PARTS",
    "SINCE",
    "WITHOUT_OUTCOME",
    "ZERO",
    "ActorDamaged",
    "ActorKeys",
    "Advanced",
    "Appended",
    "Asking",
    "Beginning",
    "Begun",
    "Busy",
    "Chronicle",
    "Codec",
    "CodecMissing",
    "Command",
    "CommandKind",
    "Conflict",
    "ConnectionLost",
    "Connector",
    "Consumer",
    "Created",
    "DeadLetter",
    "Decision",
    "Depths",
    "Discarded",
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
    "Forbidden",
    "Gone",
    "Heartbeat",
    "Held",
    "History",
    "Instead",
    "InvalidUrl",
    "Kept",
    "KernelError",
    "KeyFacts",
    "Lane",
    "LaneLost",
    "LaneTimedOut",
    "Late",
    "LinkChanged",
    "Mendable",
    "Message",
    "Misconfigured",
    "NamespaceMismatch",
    "NamespaceMissing",
    "NamespaceRefounded",
    "NoRoom",
    "NoServerBinary",
    "NoSuchCommand",
    "NoSuchLetter",
    "NotFound",
    "NotOwner",
    "NotQueued",
    "NotStopped",
    "Obsolete",
    "OpenCommand",
    "Outcome",
    "PartitionKeys",
    "PayloadUnusable",
    "Permit",
    "Place",
    "Placed",
    "PoolStatus",
    "Promoted",
    "Pulse",
    "QueueDepth",
    "Queued",
    "Reader",
    "Record",
    "Refused",
    "Reply",
    "RightMissing",
    "Running",
    "SameCode",
    "Scheduling",
    "ServerRefused",
    "ServerTooOld",
    "ServerUnreachable",
    "Slice",
    "Space",
    "StageLost",
    "StaleGeneration",
    "StaleTurn",
    "Store",
    "Throttle",
    "TimedOut",
    "Turned",
    "Violation",
    "Vitals",
    "Words",
    "actor_violations",
    "check_record",
    "connector",
    "draw_nonce",
    "drop_memory",
    "erase_namespace",
    "event_id",
    "event_number",
    "first_entry",
    "heartbeat",
    "is_damage",
    "journal_damage",
    "keys",
    "look_into_memory",
    "next_due",
    "other_event",
    "outcome_event",
    "pool_violations",
    "posted_violations",
    "published_ms",
    "read_command",
    "read_created",
    "read_message",
    "read_outcome",
    "read_partition_at_once",
    "read_queued",
    "read_reply",
    "read_slice",
    "read_steady",
    "read_vitals",
    "repeatable_nonces",
    "replicated",
    "rounds",
    "run_command",
    "script_name",
    "some_of",
    "violations",
    "violations_of",
    "virtual_memory_time",
    "write_command",
    "write_reply",
]
