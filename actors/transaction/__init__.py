"""`Transaction`: what a query or mutation function receives to read and write the application's own keys.

redis-py's commands under redis-py's names, typed. Reads are awaited and answer at once, in redis-py's shapes with
bytes. Writes return None, are buffered, and are applied with the step's outcome in one script, so they happen once.
It speaks to Redis through the two functions that its runner hands it, and imports no client.
"""

from __future__ import annotations

from actors.transaction.core import Read, TransactionCore, Watch
from actors.transaction.errors import (
    CommandNotAvailable,
    InvalidCommand,
    MutationRefused,
    ReadAfterWrite,
    ReadOnly,
    ReservedKey,
    TooManyWrites,
    TransactionClosed,
    TransactionError,
    WrongSlot,
)
from actors.transaction.hashes import HashCommands
from actors.transaction.keys import KeyCommands
from actors.transaction.lists import ListCommands
from actors.transaction.sets import SetCommands
from actors.transaction.sorted_set_writes import SortedSetWrites
from actors.transaction.sorted_sets import SortedSetReads
from actors.transaction.streams import StreamCommands
from actors.transaction.strings import StringCommands
from actors.transaction.verify import ReadMany

__all__ = [
    "CommandNotAvailable",
    "InvalidCommand",
    "MutationRefused",
    "Read",
    "ReadAfterWrite",
    "ReadMany",
    "ReadOnly",
    "ReservedKey",
    "TooManyWrites",
    "Transaction",
    "TransactionClosed",
    "TransactionError",
    "Watch",
    "WrongSlot",
]


class Transaction(
    StringCommands,
    HashCommands,
    ListCommands,
    SetCommands,
    SortedSetReads,
    SortedSetWrites,
    StreamCommands,
    KeyCommands,
    TransactionCore,
):
    """The application's keys, as one step of a workflow may use them.

    In a query every write raises `ReadOnly`. In a mutation what was read is watched: if it changes before the commit,
    the function runs again on a new transaction. Reading a key after writing it in the same step raises
    `ReadAfterWrite`. On Cluster only keys from `key` can be used.
    """
