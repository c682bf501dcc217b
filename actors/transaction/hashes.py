"""Hashes, under redis-py's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.transaction.core import TransactionCore
from actors.transaction.encoding import (
    Fields,
    Key,
    Value,
    encode_integer,
    encode_number,
    encode_pairs,
    encode_value,
    encode_values,
    flatten,
)
from actors.transaction.errors import InvalidCommand
from actors.transaction.replies import as_bytes_or_none, as_dict, as_integer, as_items, as_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class HashCommands(TransactionCore):
    """HGET to HINCRBYFLOAT."""

    async def hget(self, name: Key, key: Value) -> bytes | None:
        """Return the value of a field."""
        return as_bytes_or_none(await self._read("HGET", [name], key))

    async def hmget(self, name: Key, keys: Value | Iterable[Value], *args: Value) -> list[bytes | None]:
        """Return the values of fields, in their order."""
        fields = encode_values("hmget", flatten(keys, args), what="field")
        return [as_bytes_or_none(item) for item in as_items(await self._read("HMGET", [name], *fields))]

    async def hgetall(self, name: Key) -> dict[bytes, bytes]:
        """Return all fields and values; empty when absent."""
        return as_dict(await self._read("HGETALL", [name]))

    async def hkeys(self, name: Key) -> list[bytes]:
        """Return the names of all fields."""
        return as_list(await self._read("HKEYS", [name]))

    async def hvals(self, name: Key) -> list[bytes]:
        """Return the values of all fields."""
        return as_list(await self._read("HVALS", [name]))

    async def hlen(self, name: Key) -> int:
        """Return the number of fields; 0 when absent."""
        return as_integer(await self._read("HLEN", [name]))

    async def hexists(self, name: Key, key: Value) -> bool:
        """Whether there is such a field."""
        return bool(as_integer(await self._read("HEXISTS", [name], key)))

    async def hstrlen(self, name: Key, key: Value) -> int:
        """Return the length of a field's value in bytes; 0 when absent."""
        return as_integer(await self._read("HSTRLEN", [name], key))

    def hset(
        self,
        name: Key,
        key: Value | None = None,
        value: Value | None = None,
        mapping: Fields | None = None,
        items: Sequence[Value] | None = None,
    ) -> None:
        """Set fields: one, those of ``mapping``, those in ``items`` (names and values in turn), or all of these."""
        pairs: list[bytes] = []
        if items:
            if len(items) % 2:
                raise InvalidCommand("hset", "items holds names and values in turn; its length must be even.")
            pairs += encode_values("hset", items, what="field")
        if key is not None:
            pairs += [encode_value("hset", key), encode_value("hset", value)]
        elif value is not None:
            raise InvalidCommand("hset", "there is a value but no key.")
        if mapping:
            pairs += encode_pairs("hset", mapping, what="mapping")
        if not pairs:
            raise InvalidCommand("hset", "no fields; leave the call out when there is nothing to write.")
        self._write("HSET", [name], *pairs)

    def hsetnx(self, name: Key, key: Value, value: Value) -> None:
        """Set a field if it is absent."""
        self._write("HSETNX", [name], encode_value("hsetnx", key), encode_value("hsetnx", value))

    def hdel(self, name: Key, *keys: Value) -> None:
        """Delete fields."""
        self._write("HDEL", [name], *encode_values("hdel", keys, what="field"))

    def hincrby(self, name: Key, key: Value, amount: int = 1) -> None:
        """Add to a field that holds a whole number; an absent one counts as 0."""
        field = encode_value("hincrby", key)
        self._write("HINCRBY", [name], field, encode_integer("hincrby", amount, what="amount"))

    def hincrbyfloat(self, name: Key, key: Value, amount: float = 1.0) -> None:
        """Add to a field that holds a number; an absent one counts as 0."""
        field = encode_value("hincrbyfloat", key)
        self._write("HINCRBYFLOAT", [name], field, encode_number("hincrbyfloat", amount, what="amount", finite=True))
