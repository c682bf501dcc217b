"""Sets, under redis-py's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from actors.transaction.core import TransactionCore
from actors.transaction.encoding import Key, Value, encode_key, encode_value, encode_values, flatten
from actors.transaction.replies import as_bytes_or_none, as_integer, as_items, as_list

if TYPE_CHECKING:
    from collections.abc import Iterable


class SetCommands(TransactionCore):
    """SADD to SDIFF."""

    async def smembers(self, name: Key) -> set[bytes]:
        """Return all members; empty when absent."""
        return set(as_list(await self._read("SMEMBERS", [name])))

    async def sismember(self, name: Key, value: Value) -> int:
        """Return 1 if ``value`` is a member, else 0."""
        return as_integer(await self._read("SISMEMBER", [name], value))

    async def smismember(self, name: Key, values: Value | Iterable[Value], *args: Value) -> list[int]:
        """Return 1 or 0 for each value, in their order."""
        members = encode_values("smismember", flatten(values, args), what="member")
        return [as_integer(item) for item in as_items(await self._read("SMISMEMBER", [name], *members))]

    async def scard(self, name: Key) -> int:
        """Return the number of members; 0 when absent."""
        return as_integer(await self._read("SCARD", [name]))

    @overload
    async def srandmember(self, name: Key, number: None = None) -> bytes | None: ...
    @overload
    async def srandmember(self, name: Key, number: int) -> list[bytes]: ...
    async def srandmember(self, name: Key, number: int | None = None) -> bytes | list[bytes] | None:
        """Return a random member, or ``number`` different ones; negative: repetitions are possible."""
        if number is None:
            return as_bytes_or_none(await self._read("SRANDMEMBER", [name]))
        return as_list(await self._read("SRANDMEMBER", [name], number))

    async def sunion(self, keys: Key | Iterable[Key], *args: Key) -> set[bytes]:
        """Return what is in any of the sets."""
        return await self._combine("SUNION", flatten(keys, args))

    async def sinter(self, keys: Key | Iterable[Key], *args: Key) -> set[bytes]:
        """Return what is in all of the sets."""
        return await self._combine("SINTER", flatten(keys, args))

    async def sdiff(self, keys: Key | Iterable[Key], *args: Key) -> set[bytes]:
        """Return what is in the first set and in none of the others."""
        return await self._combine("SDIFF", flatten(keys, args))

    def sadd(self, name: Key, *values: Value) -> None:
        """Add members."""
        self._write("SADD", [name], *encode_values("sadd", values, what="member"))

    def srem(self, name: Key, *values: Value) -> None:
        """Remove members."""
        self._write("SREM", [name], *encode_values("srem", values, what="member"))

    def smove(self, src: Key, dst: Key, value: Value) -> None:
        """Move a member from one set to another; without it nothing happens."""
        self._write("SMOVE", [src, dst], encode_value("smove", value))

    async def _combine(self, command: str, keys: list[object]) -> set[bytes]:
        names = [encode_key(command.lower(), key) for key in keys]
        return set(as_list(await self._read(command, names)))
