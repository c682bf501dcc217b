"""What a `Transaction` refuses, and why. Each message says what to do; the evidence is in the attributes.

::

    TransactionError              the function that was handed the transaction has to be put right
    ├── InvalidCommand            an argument that Redis could not take: raised at the call
    ├── CommandNotAvailable       no such command here (an AttributeError as well)
    ├── ReadOnly                  a query writes
    ├── ReadAfterWrite            a read of what the same step has written
    ├── ReservedKey               a key that belongs to the engine
    ├── WrongSlot                 on Cluster: a key outside the instance's own slot
    ├── TooManyWrites             more than one script can carry
    ├── TransactionClosed         used after the step's function returned
    └── MutationRefused           what the keys hold does not fit the writes; nothing was written
"""

from __future__ import annotations

from typing import Literal

from actors.errors import Misuse


class TransactionError(Misuse):
    """A query or mutation used its transaction in a way that cannot succeed. Running it again changes nothing."""

    def __reduce__(self) -> tuple[object, ...]:
        """Support pickling: the subclasses are built from their evidence, not from their message."""
        return _rebuild, (type(self), self.args), self.__dict__


def _rebuild(kind: type[TransactionError], arguments: tuple[object, ...]) -> TransactionError:
    return kind.__new__(kind, *arguments)


class InvalidCommand(TransactionError):
    """An argument that Redis would refuse, found before anything was sent."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"{command}: {reason}")
        self.command = command
        """The method that was called, as redis-py names it."""


class CommandNotAvailable(TransactionError, AttributeError):
    """The transaction has no such method."""

    def __init__(self, command: str, advice: str) -> None:
        super().__init__(f"A transaction has no {command!r}: {advice}")
        self.command = command


class ReadOnly(TransactionError):
    """A query tried to write."""

    def __init__(self, command: str) -> None:
        super().__init__(f"{command}: a query only reads; define the function with @manager.mutation to let it write.")
        self.command = command


class ReadAfterWrite(TransactionError):
    """A key was read that the same step has written: the write is only applied when the step's function returns."""

    def __init__(self, command: str, key: bytes) -> None:
        super().__init__(
            f"{command}: key {show(key)} was written earlier in this step, and writes are applied when its function "
            f"returns. Read it before the first write to it and keep the value, or read it in a later step."
        )
        self.command = command
        self.key = key


class ReservedKey(TransactionError):
    """A key among those in which the engine keeps workflows."""

    def __init__(self, command: str, key: bytes, *, namespace: str) -> None:
        super().__init__(
            f"{command}: key {show(key)} belongs to the engine of namespace {namespace!r}. Use tx.key(name), or a key "
            f"that starts neither with {namespace + ':'!r} nor with {'{' + namespace + ':'!r}."
        )
        self.command = command
        self.key = key


class WrongSlot(TransactionError):
    """On Cluster, a key that may lie on another node than the instance."""

    def __init__(self, command: str, key: bytes, *, tag: str) -> None:
        super().__init__(
            f"{command}: key {show(key)} does not lie in the instance's own slot, and on Redis Cluster a step's keys "
            f"must. Use tx.key(name), which gives {tag}:app:<name>; for any other key use an action with a client of "
            f"its own."
        )
        self.command = command
        self.key = key


class TooManyWrites(TransactionError):
    """The step wrote more than one script can carry."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"{command}: {reason}")
        self.command = command


class TransactionClosed(TransactionError):
    """The transaction was used after the function that got it had returned."""

    def __init__(self, command: str) -> None:
        super().__init__(
            f"{command}: the step's function has returned, so its transaction is closed. Await what it starts before "
            f"it returns, and do not keep the transaction."
        )
        self.command = command


class MutationRefused(TransactionError):
    """What the keys hold does not fit the step's writes. Found before anything was written."""

    def __init__(self, command: str, key: bytes, reason: str) -> None:
        super().__init__(f"{command} on key {show(key)}: {reason} Nothing was written.")
        self.command = command
        self.key = key


def show(key: bytes, limit: Literal[100] = 100) -> str:
    """Return a key as people read it: text where it is text, cut after ``limit`` characters."""
    text = key.decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")
