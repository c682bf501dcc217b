"""Lists, under redis-py's names. Nothing here waits for an element."""

from __future__ import annotations

from typing import Literal, overload

from actors.transaction.core import TransactionCore
from actors.transaction.encoding import Key, Value, encode_integer, encode_key, encode_value, encode_values
from actors.transaction.errors import InvalidCommand
from actors.transaction.replies import as_bytes_or_none, as_integer, as_integer_or_none, as_items, as_list


class ListCommands(TransactionCore):
    """LPUSH to LMOVE."""

    async def lrange(self, name: Key, start: int, end: int) -> list[bytes]:
        """Return elements; both ends are included, negative ones count from the end."""
        return as_list(await self._read("LRANGE", [name], start, end))

    async def llen(self, name: Key) -> int:
        """Return the number of elements; 0 when absent."""
        return as_integer(await self._read("LLEN", [name]))

    async def lindex(self, name: Key, index: int) -> bytes | None:
        """Return one element, counted from 0; negative: from the end."""
        return as_bytes_or_none(await self._read("LINDEX", [name], index))

    @overload
    async def lpos(
        self, name: Key, value: Value, rank: int | None = None, count: None = None, maxlen: int | None = None
    ) -> int | None: ...
    @overload
    async def lpos(
        self, name: Key, value: Value, rank: int | None = None, *, count: int, maxlen: int | None = None
    ) -> list[int]: ...
    async def lpos(
        self,
        name: Key,
        value: Value,
        rank: int | None = None,
        count: int | None = None,
        maxlen: int | None = None,
    ) -> int | list[int] | None:
        """Return where ``value`` stands.

        Args:
            name: The key.
            value: The element looked for.
            rank: Which match comes first, from 1; negative: searched from the end.
            count: At most so many places, as a list; 0: all. None: one place, or None.
            maxlen: At most so many elements are compared; 0: all.
        """
        options: list[Value] = []
        for word, number in (("RANK", rank), ("COUNT", count), ("MAXLEN", maxlen)):
            if number is not None:
                options += [word, number]
        reply = await self._read("LPOS", [name], value, *options)
        return as_integer_or_none(reply) if count is None else [as_integer(item) for item in as_items(reply)]

    def lpush(self, name: Key, *values: Value) -> None:
        """Insert elements at the head, one after the other."""
        self._write("LPUSH", [name], *encode_values("lpush", values, what="element"))

    def rpush(self, name: Key, *values: Value) -> None:
        """Add elements at the end."""
        self._write("RPUSH", [name], *encode_values("rpush", values, what="element"))

    def lpushx(self, name: Key, *values: Value) -> None:
        """Insert elements at the head if the list exists."""
        self._write("LPUSHX", [name], *encode_values("lpushx", values, what="element"))

    def rpushx(self, name: Key, *values: Value) -> None:
        """Add elements at the end if the list exists."""
        self._write("RPUSHX", [name], *encode_values("rpushx", values, what="element"))

    def lpop(self, name: Key, count: int | None = None) -> None:
        """Drop the first element, or the first ``count``; read them before with `lrange`."""
        self._write("LPOP", [name], *_count("lpop", count))

    def rpop(self, name: Key, count: int | None = None) -> None:
        """Drop the last element, or the last ``count``; read them before with `lrange`."""
        self._write("RPOP", [name], *_count("rpop", count))

    def lset(self, name: Key, index: int, value: Value) -> None:
        """Replace an element that exists."""
        self._write("LSET", [name], encode_integer("lset", index, what="index"), encode_value("lset", value))

    def lrem(self, name: Key, count: int, value: Value) -> None:
        """Remove the first ``count`` elements equal to ``value``; negative: the last; 0: all."""
        self._write("LREM", [name], encode_integer("lrem", count, what="count"), encode_value("lrem", value))

    def ltrim(self, name: Key, start: int, end: int) -> None:
        """Keep only the elements from ``start`` to ``end``, both included."""
        first = encode_integer("ltrim", start, what="start")
        self._write("LTRIM", [name], first, encode_integer("ltrim", end, what="end"))

    def linsert(
        self, name: Key, where: Literal["BEFORE", "AFTER", "before", "after"], refvalue: Value, value: Value
    ) -> None:
        """Insert ``value`` before or after the first element equal to ``refvalue``; without one nothing happens."""
        side = _word("linsert", where, what="where", allowed=(b"BEFORE", b"AFTER"))
        self._write("LINSERT", [name], side, encode_value("linsert", refvalue), encode_value("linsert", value))

    def lmove(
        self,
        first_list: Key,
        second_list: Key,
        src: Literal["LEFT", "RIGHT"] = "LEFT",
        dest: Literal["LEFT", "RIGHT"] = "RIGHT",
    ) -> None:
        """Move an end of the first list to an end of the second."""
        ends = [
            _word("lmove", end, what=what, allowed=(b"LEFT", b"RIGHT")) for end, what in ((src, "src"), (dest, "dest"))
        ]
        self._write("LMOVE", [first_list, second_list], *ends)


def _count(command: str, count: int | None) -> list[bytes]:
    return [] if count is None else [encode_integer(command, count, what="count", least=1)]


def _word(command: str, word: str, *, what: str, allowed: tuple[bytes, ...]) -> bytes:
    encoded = encode_key(command, word).upper()
    if encoded not in allowed:
        names = " or ".join(name.decode() for name in allowed)
        raise InvalidCommand(command, f"{what} is {word!r}; it must be {names}.")
    return encoded
