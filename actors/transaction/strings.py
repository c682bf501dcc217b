"""Strings, counters and bits, under redis-py's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from actors.transaction.core import TransactionCore
from actors.transaction.encoding import (
    INTEGER_MIN,
    Duration,
    Key,
    Moment,
    Value,
    encode_duration,
    encode_integer,
    encode_key,
    encode_moment,
    encode_number,
    encode_pairs,
    encode_value,
    flatten,
)
from actors.transaction.errors import InvalidCommand
from actors.transaction.replies import as_bytes, as_bytes_or_none, as_integer, as_items

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STRING_BYTES_MAX: Final = 2**29
"""Redis' default limit for one string (512 MB)."""
_BIT_MAX: Final = STRING_BYTES_MAX * 8 - 1


class StringCommands(TransactionCore):
    """GET to SETRANGE, INCR to DECRBY, and single bits."""

    async def get(self, name: Key) -> bytes | None:
        """Return the value of a key."""
        return as_bytes_or_none(await self._read("GET", [name]))

    async def mget(self, keys: Key | Iterable[Key], *args: Key) -> list[bytes | None]:
        """Return the values of keys in their order; None for a key that is absent or no string."""
        names = [encode_key("mget", key) for key in flatten(keys, args)]
        return [as_bytes_or_none(item) for item in as_items(await self._read("MGET", names))]

    async def getrange(self, key: Key, start: int, end: int) -> bytes:
        """Return a part of a value; both ends are included, negative ones count from the end."""
        return as_bytes(await self._read("GETRANGE", [key], start, end))

    async def strlen(self, name: Key) -> int:
        """Return the length of a value in bytes; 0 when absent."""
        return as_integer(await self._read("STRLEN", [name]))

    async def getbit(self, name: Key, offset: int) -> int:
        """Return one bit of a value, 0 or 1."""
        return as_integer(await self._read("GETBIT", [name], offset))

    async def bitcount(self, key: Key, start: int | None = None, end: int | None = None) -> int:
        """Return how many bits are set, in the whole value or in the bytes from ``start`` to ``end``."""
        if (start is None) != (end is None):
            raise InvalidCommand("bitcount", "give both start and end, or neither.")
        bounds = [] if start is None or end is None else [start, end]
        return as_integer(await self._read("BITCOUNT", [key], *bounds))

    def set(
        self,
        name: Key,
        value: Value,
        ex: Duration | None = None,
        px: Duration | None = None,
        *,
        nx: bool = False,
        xx: bool = False,
        keepttl: bool = False,
        exat: Moment | None = None,
        pxat: Moment | None = None,
    ) -> None:
        """Set a key, whatever it held; its time to live goes unless ``keepttl``.

        Args:
            name: The key.
            value: The new value.
            ex: Time to live in seconds.
            px: Time to live in milliseconds.
            nx: Only if the key is absent.
            xx: Only if the key exists.
            keepttl: Keep the time to live.
            exat: End of life, seconds since the epoch or an aware datetime.
            pxat: The same in milliseconds.
        """
        expiries: list[bytes] = []
        if ex is not None:
            expiries += [b"EX", encode_duration("set", ex, what="ex", unit_ms=1000)]
        if px is not None:
            expiries += [b"PX", encode_duration("set", px, what="px", unit_ms=1)]
        if exat is not None:
            expiries += [b"EXAT", encode_moment("set", exat, what="exat", unit_ms=1000)]
        if pxat is not None:
            expiries += [b"PXAT", encode_moment("set", pxat, what="pxat", unit_ms=1)]
        if keepttl:
            expiries.append(b"KEEPTTL")
        if sum(value is not None for value in (ex, px, exat, pxat)) + keepttl > 1:
            raise InvalidCommand("set", "give one of ex, px, exat, pxat and keepttl.")
        if nx and xx:
            raise InvalidCommand("set", "give one of nx and xx.")
        condition = [b"NX"] if nx else [b"XX"] if xx else []
        self._write("SET", [name], encode_value("set", value), *expiries, *condition)

    def setex(self, name: Key, time: Duration, value: Value) -> None:
        """Set a key with a time to live in seconds."""
        seconds = encode_duration("setex", time, what="time", unit_ms=1000)
        self._write("SETEX", [name], seconds, encode_value("setex", value))

    def psetex(self, name: Key, time_ms: Duration, value: Value) -> None:
        """Set a key with a time to live in milliseconds."""
        milliseconds = encode_duration("psetex", time_ms, what="time_ms", unit_ms=1)
        self._write("PSETEX", [name], milliseconds, encode_value("psetex", value))

    def setnx(self, name: Key, value: Value) -> None:
        """Set a key if it is absent."""
        self._write("SETNX", [name], encode_value("setnx", value))

    def mset(self, mapping: Mapping[str, Value] | Mapping[bytes, Value]) -> None:
        """Set several keys, whatever they held."""
        self._set_many("MSET", mapping)

    def msetnx(self, mapping: Mapping[str, Value] | Mapping[bytes, Value]) -> None:
        """Set several keys if all of them are absent."""
        self._set_many("MSETNX", mapping)

    def append(self, key: Key, value: Value) -> None:
        """Add to the end of a value."""
        self._write("APPEND", [key], encode_value("append", value))

    def setrange(self, name: Key, offset: int, value: Value) -> None:
        """Overwrite a value from the byte ``offset`` (from 0) on; what lies before is filled with zero bytes."""
        encoded = encode_value("setrange", value)
        most = STRING_BYTES_MAX - len(encoded)
        self._write("SETRANGE", [name], encode_integer("setrange", offset, what="offset", least=0, most=most), encoded)

    def setbit(self, name: Key, offset: int, value: Literal[0, 1]) -> None:
        """Set one bit of a value."""
        place = encode_integer("setbit", offset, what="offset", least=0, most=_BIT_MAX)
        self._write("SETBIT", [name], place, encode_integer("setbit", value, what="value", least=0, most=1))

    def incrby(self, name: Key, amount: int = 1) -> None:
        """Add to a whole number; an absent key counts as 0."""
        self._write("INCRBY", [name], encode_integer("incrby", amount, what="amount"))

    def incr(self, name: Key, amount: int = 1) -> None:
        """Add to a whole number; the same as `incrby`."""
        self._write("INCRBY", [name], encode_integer("incr", amount, what="amount"), name="incr")

    def decrby(self, name: Key, amount: int = 1) -> None:
        """Subtract from a whole number; an absent key counts as 0."""
        # Redis negates the amount, and the least number has no opposite.
        self._write("DECRBY", [name], encode_integer("decrby", amount, what="amount", least=INTEGER_MIN + 1))

    def decr(self, name: Key, amount: int = 1) -> None:
        """Subtract from a whole number; the same as `decrby`."""
        digits = encode_integer("decr", amount, what="amount", least=INTEGER_MIN + 1)
        self._write("DECRBY", [name], digits, name="decr")

    def incrbyfloat(self, name: Key, amount: float = 1.0) -> None:
        """Add to a number that may have a fraction; an absent key counts as 0. Needs Redis 7."""
        self._write("INCRBYFLOAT", [name], encode_number("incrbyfloat", amount, what="amount", finite=True))

    def _set_many(self, command: str, mapping: Mapping[str, Value] | Mapping[bytes, Value]) -> None:
        name = command.lower()
        first, *rest = encode_pairs(name, mapping, what="mapping")
        for key in mapping:
            encode_key(name, key)
        self._write(command, [first], *rest)
