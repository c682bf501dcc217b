"""Sorted sets read, under redis-py's names. Scores are floats; redis-py's ``score_cast_func`` is not offered."""

# ruff: noqa: A002 - min and max are redis-py's names
from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, overload

from actors.transaction.core import TransactionCore
from actors.transaction.encoding import (
    Key,
    ScoreBound,
    Value,
    encode_member_bound,
    encode_score_bound,
    encode_values,
)
from actors.transaction.errors import InvalidCommand
from actors.transaction.replies import (
    as_float_or_none,
    as_integer,
    as_integer_or_none,
    as_items,
    as_list,
    as_scored,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

Scored: TypeAlias = list[tuple[bytes, float]]


class SortedSetReads(TransactionCore):
    """ZRANGE to ZMSCORE."""

    async def zscore(self, name: Key, value: Value) -> float | None:
        """Return the score of a member."""
        return as_float_or_none(await self._read("ZSCORE", [name], value))

    async def zmscore(self, key: Key, members: Sequence[Value]) -> list[float | None]:
        """Return the scores of members, in their order."""
        encoded = encode_values("zmscore", members, what="member")
        return [as_float_or_none(item) for item in as_items(await self._read("ZMSCORE", [key], *encoded))]

    async def zrank(self, name: Key, value: Value) -> int | None:
        """Return the place of a member, from 0, lowest score first."""
        return as_integer_or_none(await self._read("ZRANK", [name], value))

    async def zrevrank(self, name: Key, value: Value) -> int | None:
        """Return the place of a member, from 0, highest score first."""
        return as_integer_or_none(await self._read("ZREVRANK", [name], value))

    async def zcard(self, name: Key) -> int:
        """Return the number of members; 0 when absent."""
        return as_integer(await self._read("ZCARD", [name]))

    async def zcount(self, name: Key, min: ScoreBound, max: ScoreBound) -> int:
        """Return how many members have a score between the bounds."""
        return as_integer(await self._read("ZCOUNT", [name], *_score_range("zcount", min, max)))

    async def zlexcount(self, name: Key, min: Value, max: Value) -> int:
        """Return how many members lie between the bounds (``[a``, ``(a``, ``-``, ``+``) of one score."""
        return as_integer(await self._read("ZLEXCOUNT", [name], *_member_range("zlexcount", min, max)))

    @overload
    async def zrange(
        self,
        name: Key,
        start: Value,
        end: Value,
        *,
        desc: bool = False,
        withscores: Literal[False] = False,
        byscore: bool = False,
        bylex: bool = False,
        offset: int | None = None,
        num: int | None = None,
    ) -> list[bytes]: ...
    @overload
    async def zrange(
        self,
        name: Key,
        start: Value,
        end: Value,
        *,
        desc: bool = False,
        withscores: Literal[True],
        byscore: bool = False,
        bylex: bool = False,
        offset: int | None = None,
        num: int | None = None,
    ) -> Scored: ...
    async def zrange(
        self,
        name: Key,
        start: Value,
        end: Value,
        *,
        desc: bool = False,
        withscores: bool = False,
        byscore: bool = False,
        bylex: bool = False,
        offset: int | None = None,
        num: int | None = None,
    ) -> list[bytes] | Scored:
        """Return members, by place, score or name.

        Args:
            name: The key.
            start: First place, from 0 (negative: from the end), or first bound; with ``desc`` the higher one.
            end: Last place, included, or last bound.
            desc: Highest first. Redis, unlike redis-py's older ``zrevrange``, then expects the higher bound first.
            withscores: Return pairs of member and score.
            byscore: ``start`` and ``end`` are scores.
            bylex: ``start`` and ``end`` are bounds such as ``[a``.
            offset: Leave so many out; together with ``num``.
            num: Return at most so many.
        """
        if bylex and (byscore or withscores):
            raise InvalidCommand("zrange", "bylex goes neither with byscore nor with withscores.")
        flags = [word for word, wanted in (("BYSCORE", byscore), ("BYLEX", bylex), ("REV", desc)) if wanted]
        limit = _limit("zrange", offset, num)
        if limit and not (byscore or bylex):
            raise InvalidCommand("zrange", "offset and num need byscore or bylex; choose start and end instead.")
        return await self._members("ZRANGE", name, [start, end, *flags, *limit], withscores=withscores)

    @overload
    async def zrevrange(
        self, name: Key, start: int, end: int, *, withscores: Literal[False] = False
    ) -> list[bytes]: ...
    @overload
    async def zrevrange(self, name: Key, start: int, end: int, *, withscores: Literal[True]) -> Scored: ...
    async def zrevrange(self, name: Key, start: int, end: int, *, withscores: bool = False) -> list[bytes] | Scored:
        """Return members by place, highest score first."""
        return await self._members("ZREVRANGE", name, [start, end], withscores=withscores)

    @overload
    async def zrangebyscore(
        self,
        name: Key,
        min: ScoreBound,
        max: ScoreBound,
        start: int | None = None,
        num: int | None = None,
        *,
        withscores: Literal[False] = False,
    ) -> list[bytes]: ...
    @overload
    async def zrangebyscore(
        self,
        name: Key,
        min: ScoreBound,
        max: ScoreBound,
        start: int | None = None,
        num: int | None = None,
        *,
        withscores: Literal[True],
    ) -> Scored: ...
    async def zrangebyscore(
        self,
        name: Key,
        min: ScoreBound,
        max: ScoreBound,
        start: int | None = None,
        num: int | None = None,
        *,
        withscores: bool = False,
    ) -> list[bytes] | Scored:
        """Return members with a score between the bounds, lowest first; ``num`` of them from the ``start``-th on."""
        bounds = _score_range("zrangebyscore", min, max)
        limit = _limit("zrangebyscore", start, num)
        return await self._members("ZRANGEBYSCORE", name, [*bounds, *limit], withscores=withscores)

    @overload
    async def zrevrangebyscore(
        self,
        name: Key,
        max: ScoreBound,
        min: ScoreBound,
        start: int | None = None,
        num: int | None = None,
        *,
        withscores: Literal[False] = False,
    ) -> list[bytes]: ...
    @overload
    async def zrevrangebyscore(
        self,
        name: Key,
        max: ScoreBound,
        min: ScoreBound,
        start: int | None = None,
        num: int | None = None,
        *,
        withscores: Literal[True],
    ) -> Scored: ...
    async def zrevrangebyscore(
        self,
        name: Key,
        max: ScoreBound,
        min: ScoreBound,
        start: int | None = None,
        num: int | None = None,
        *,
        withscores: bool = False,
    ) -> list[bytes] | Scored:
        """Return members with a score between the bounds, highest first; ``num`` of them from the ``start``-th on."""
        bounds = _score_range("zrevrangebyscore", max, min)
        limit = _limit("zrevrangebyscore", start, num)
        return await self._members("ZREVRANGEBYSCORE", name, [*bounds, *limit], withscores=withscores)

    async def zrangebylex(
        self,
        name: Key,
        min: Value,
        max: Value,
        start: int | None = None,
        num: int | None = None,
    ) -> list[bytes]:
        """Return members between the bounds (``[a``, ``(a``, ``-``, ``+``), all being of one score."""
        bounds = _member_range("zrangebylex", min, max)
        return as_list(await self._read("ZRANGEBYLEX", [name], *bounds, *_limit("zrangebylex", start, num)))

    async def zrevrangebylex(
        self,
        name: Key,
        max: Value,
        min: Value,
        start: int | None = None,
        num: int | None = None,
    ) -> list[bytes]:
        """Return members as `zrangebylex` does, the last first."""
        bounds = _member_range("zrevrangebylex", max, min)
        return as_list(await self._read("ZREVRANGEBYLEX", [name], *bounds, *_limit("zrevrangebylex", start, num)))

    async def _members(
        self, command: str, name: Key, arguments: list[Value], *, withscores: bool
    ) -> list[bytes] | Scored:
        if not withscores:
            return as_list(await self._read(command, [name], *arguments))
        return as_scored(await self._read(command, [name], *arguments, "WITHSCORES"))


def _limit(command: str, start: int | None, num: int | None) -> list[Value]:
    if (start is None) != (num is None):
        raise InvalidCommand(command, "where to start (offset) and how many (num) go together.")
    return [] if start is None or num is None else ["LIMIT", start, num]


def _score_range(command: str, first: ScoreBound, last: ScoreBound) -> list[bytes]:
    return [encode_score_bound(command, bound, what="a bound") for bound in (first, last)]


def _member_range(command: str, first: Value, last: Value) -> list[bytes]:
    return [encode_member_bound(command, bound, what="a bound") for bound in (first, last)]
