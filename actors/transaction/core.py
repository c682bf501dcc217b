"""The part of a transaction that all commands share: who may touch which key, when, and how much.

Not here: the commands (one module a family), and whether the writes fit what the keys hold (`verify`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from actors.transaction.encoding import Key, Value, encode_key, encode_value
from actors.transaction.errors import (
    CommandNotAvailable,
    InvalidCommand,
    ReadAfterWrite,
    ReadOnly,
    ReservedKey,
    TooManyWrites,
    TransactionClosed,
    WrongSlot,
)
from actors.transaction.needs import needs
from actors.transaction.verify import ReadMany, verify

Read: TypeAlias = Callable[[tuple[bytes, ...]], Awaitable[object]]
"""Runs one command; answers its raw RESP2 reply."""
Watch: TypeAlias = Callable[[Sequence[bytes]], Awaitable[None]]
"""WATCHes keys on the connection that reads and commits."""

WRITES_MAX: Final = 10_000
"""Commands one step may write: Redis does nothing else while it applies them."""
WRITE_ARGUMENTS_MAX: Final = 7_000
"""Arguments of one write. The script calls ``unpack`` on them, which fails on 8,000 and would leave the rest undone."""
ALL_ARGUMENTS_MAX: Final = 200_000
"""Arguments of all writes of a step together; one Redis command takes a million."""
WRITE_BYTES_MAX: Final = 2**25
"""Bytes of all writes of a step together (32 MiB)."""

_READ_FIRST: Final = "a write answers nothing here; read what it would answer, then write: "
ADVICE: Final = {
    "getset": _READ_FIRST + "await tx.get(key), tx.set(key, value).",
    "getdel": _READ_FIRST + "await tx.get(key), tx.delete(key).",
    "getex": _READ_FIRST + "await tx.get(key), tx.expire(key, time).",
    "spop": _READ_FIRST + "await tx.srandmember(key), tx.srem(key, member).",
    "hgetdel": _READ_FIRST + "await tx.hget(key, field), tx.hdel(key, field).",
    "hmset": "use tx.hset(key, mapping=…).",
    "rpoplpush": 'use tx.lmove(source, destination, "RIGHT", "LEFT").',
    "pipeline": "all writes of a step are applied together anyway.",
    "multi": "all writes of a step are applied together anyway.",
    "execute": "the writes are applied when the function returns.",
    "watch": "every key that a mutation reads is watched anyway.",
    "transaction": "all writes of a step are applied together anyway.",
    "rename": "read the old key, write the new one and delete the old one.",
    "copy": "read the source and write the destination.",
    "eval": "its effects could not be checked before they are committed; read, decide in Python, and write.",
}
_ELSE: Final = (
    "it has strings, bits, hashes, lists, sets, sorted sets, streams and keys under redis-py's names. What blocks, "
    "scans, scripts, publishes or administers belongs in an action with a client of its own."
)


class TransactionCore:
    """Reads at once, buffers writes. The commands are methods of the classes that extend it.

    Used by one task group at a time; reads of a mutation are sent one after the other, since each first read of a key
    is preceded by its WATCH on the same connection.
    """

    def __init__(self, *, read: Read, watch: Watch, tag: str, namespace: str, read_only: bool, same_slot: bool) -> None:
        self.keys_read: set[bytes] = set()
        """Keys that were read; watched, except in a query."""
        self.keys_written: dict[bytes, str] = {}
        """Each key written, and what the first write to it needs it to hold if it exists: a type of Redis, or any."""
        self.integer_keys: set[bytes] = set()
        """Keys whose value is counted with whole numbers (INCRBY, DECRBY)."""
        self.integer_fields: set[tuple[bytes, bytes]] = set()
        """(key, field) counted with whole numbers (HINCRBY)."""
        self.float_keys: set[bytes] = set()
        """Keys whose value is counted with fractions (INCRBYFLOAT)."""
        self.float_fields: set[tuple[bytes, bytes]] = set()
        """(key, field) counted with fractions (HINCRBYFLOAT)."""
        self.writes: list[tuple[bytes, ...]] = []
        """The encoded writes in the order of the calls: command, key, arguments."""
        self._run = read
        self._send_watch = watch
        self._tag = tag
        self._namespace = namespace
        self._read_only = read_only
        self._same_slot = same_slot
        self._watched: set[bytes] = set()
        self._turn = asyncio.Lock()
        self._closed = False
        self._argument_count = 0
        self._byte_count = 0

    def key(self, name: str) -> str:
        """Return the key ``name`` in the instance's own slot, ``{namespace:partition}:app:<name>``.

        Instances in other partitions get another key for the same name. It is what a step can use on Cluster.
        """
        encoded = encode_key("key", name)
        if not encoded:
            raise InvalidCommand("key", "the name is empty.")
        return f"{self._tag}:app:{encoded.decode()}"

    def close(self) -> None:
        """Refuse every later call; for the runner, as soon as the function has returned."""
        self._closed = True

    async def verify(self, read_many: ReadMany) -> None:
        """Watch what was written and check that Redis can apply every write to what the keys hold now.

        For the runner, after the function returned and before MULTI, on the connection that watches.

        Args:
            read_many: Runs reading commands in one pipeline on that connection; answers raw RESP2 replies, in order.

        Raises:
            MutationRefused: A write would fail. Nothing was written.
        """
        await self._watch_new(list(self.keys_written))
        await verify(self.writes, read_many)

    if not TYPE_CHECKING:  # a checker shall report the method that does not exist

        def __getattr__(self, name: str) -> NoReturn:
            raise CommandNotAvailable(name, ADVICE.get(name, _ELSE))

    async def _read(self, command: str, keys: Iterable[Key], *arguments: Value, name: str = "") -> object:
        """Run a reading command: its name, keys, then arguments. ``name``: of the method, if it differs."""
        name = name or command.lower()
        encoded = [encode_key(name, key) for key in keys]
        if not encoded:
            raise InvalidCommand(name, "at least one key is needed.")
        self._check_open(name)
        for key in encoded:
            self._check_key(name, key)
            if key in self.keys_written:
                raise ReadAfterWrite(name, key)
        words = (command.encode(), *encoded, *(encode_value(name, argument) for argument in arguments))
        self.keys_read.update(encoded)
        if self._read_only:
            return await self._run(words)
        async with self._turn:
            await self._watch_new(encoded)
            return await self._run(words)

    def _write(self, command: str, keys: Iterable[Key], *arguments: bytes, name: str = "") -> None:
        """Buffer a write: its name, keys, then encoded arguments. ``name``: of the method, if it differs."""
        name = name or command.lower()
        self._check_open(name)
        if self._read_only:
            raise ReadOnly(name)
        encoded = [encode_key(name, key) for key in keys]
        if not encoded:
            raise InvalidCommand(name, "at least one key is needed.")
        self._buffer(name, (command.encode(), *encoded, *arguments))

    def _buffer(self, name: str, words: tuple[bytes, ...]) -> None:
        needed = needs(words)
        for key in needed.keys:
            self._check_key(name, key)
        self._check_size(name, words)
        self.writes.append(words)
        for key in needed.keys:
            self.keys_written.setdefault(key, needed.type)
        self.integer_keys.update(needed.integer_keys)
        self.integer_fields.update(needed.integer_fields)
        self.float_keys.update(needed.float_keys)
        self.float_fields.update(needed.float_fields)

    def _check_open(self, name: str) -> None:
        if self._closed:
            raise TransactionClosed(name)

    def _check_key(self, name: str, key: bytes) -> None:
        if key.startswith(f"{self._tag}:app:".encode()):
            return
        if is_reserved(key, namespace=self._namespace):
            raise ReservedKey(name, key, namespace=self._namespace)
        if self._same_slot:
            raise WrongSlot(name, key, tag=self._tag)

    def _check_size(self, name: str, words: tuple[bytes, ...]) -> None:
        if len(words) > WRITE_ARGUMENTS_MAX:
            raise TooManyWrites(
                name, f"{len(words)} arguments in one call; the limit is {WRITE_ARGUMENTS_MAX}. Make several calls."
            )
        argument_count = self._argument_count + len(words)
        byte_count = self._byte_count + sum(map(len, words))
        if len(self.writes) >= WRITES_MAX or argument_count > ALL_ARGUMENTS_MAX or byte_count > WRITE_BYTES_MAX:
            raise TooManyWrites(
                name,
                f"more than {WRITES_MAX} writes, {ALL_ARGUMENTS_MAX} arguments or {WRITE_BYTES_MAX} bytes in one step. "
                f"Divide the work among several mutations.",
            )
        self._argument_count, self._byte_count = argument_count, byte_count

    async def _watch_new(self, keys: Sequence[bytes]) -> None:
        new = [key for key in dict.fromkeys(keys) if key not in self._watched]
        if new:
            await self._send_watch(new)
            self._watched.update(new)


def is_reserved(key: bytes, *, namespace: str) -> bool:
    """Whether the engine of ``namespace`` keeps, or may come to keep, something of its own under ``key``."""
    if key.startswith(f"{namespace}:".encode()):
        return True
    tagged = f"{{{namespace}:".encode()
    if not key.startswith(tagged):
        return False
    partition, _, rest = key.removeprefix(tagged).partition(b"}")
    return not (partition.isdigit() and rest.startswith(b":app:"))
