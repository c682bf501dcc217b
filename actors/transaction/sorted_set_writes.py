"""Sorted sets written, under redis-py's names."""

# ruff: noqa: A002 - min and max are redis-py's names

from __future__ import annotations

from actors.transaction.core import TransactionCore
from actors.transaction.encoding import (
    Key,
    ScoreBound,
    Scores,
    Value,
    encode_integer,
    encode_member_bound,
    encode_number,
    encode_score_bound,
    encode_value,
    encode_values,
)
from actors.transaction.errors import InvalidCommand


class SortedSetWrites(TransactionCore):
    """ZADD to ZPOPMAX."""

    def zadd(
        self,
        name: Key,
        mapping: Scores,
        *,
        nx: bool = False,
        xx: bool = False,
        ch: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> None:
        """Add members or change their scores; to add to a score use `zincrby`.

        Args:
            name: The key.
            mapping: Member to score; not empty.
            nx: Only add.
            xx: Only change.
            ch: Taken for redis-py's sake: it changes the answer alone, and a write has none.
            gt: Change only to a higher score.
            lt: Change only to a lower score.
        """
        if nx + xx > 1 or gt + lt > 1 or (nx and (gt or lt)):
            raise InvalidCommand("zadd", "nx goes with none of xx, gt and lt, and gt not with lt.")
        if not mapping:
            raise InvalidCommand("zadd", "mapping is empty; leave the call out when there is nothing to write.")
        words = [word for word, wanted in ((b"NX", nx), (b"XX", xx), (b"GT", gt), (b"LT", lt), (b"CH", ch)) if wanted]
        for member, score in mapping.items():
            words += [encode_number("zadd", score, what="a score", finite=False), encode_value("zadd", member)]
        self._write("ZADD", [name], *words)

    def zincrby(self, name: Key, amount: float, value: Value) -> None:
        """Add to the score of a member; an absent one counts as 0."""
        # Adding an infinite amount to the opposite infinity fails in Redis.
        number = encode_number("zincrby", amount, what="amount", finite=True)
        self._write("ZINCRBY", [name], number, encode_value("zincrby", value))

    def zrem(self, name: Key, *values: Value) -> None:
        """Remove members."""
        self._write("ZREM", [name], *encode_values("zrem", values, what="member"))

    def zremrangebyscore(self, name: Key, min: ScoreBound, max: ScoreBound) -> None:
        """Remove members with a score between the bounds."""
        bounds = [encode_score_bound("zremrangebyscore", bound, what="a bound") for bound in (min, max)]
        self._write("ZREMRANGEBYSCORE", [name], *bounds)

    def zremrangebyrank(self, name: Key, min: int, max: int) -> None:
        """Remove members by place, both ends included; negative: from the end."""
        bounds = [encode_integer("zremrangebyrank", place, what="a place") for place in (min, max)]
        self._write("ZREMRANGEBYRANK", [name], *bounds)

    def zremrangebylex(self, name: Key, min: Value, max: Value) -> None:
        """Remove members between the bounds (``[a``, ``(a``, ``-``, ``+``), all being of one score."""
        bounds = [encode_member_bound("zremrangebylex", bound, what="a bound") for bound in (min, max)]
        self._write("ZREMRANGEBYLEX", [name], *bounds)

    def zpopmin(self, name: Key, count: int | None = None) -> None:
        """Drop the member with the lowest score, or ``count`` of them; read them before with `zrange`."""
        self._write("ZPOPMIN", [name], *_count("zpopmin", count))

    def zpopmax(self, name: Key, count: int | None = None) -> None:
        """Drop the member with the highest score, or ``count`` of them; read them before with `zrange`."""
        self._write("ZPOPMAX", [name], *_count("zpopmax", count))


def _count(command: str, count: int | None) -> list[bytes]:
    return [] if count is None else [encode_integer(command, count, what="count", least=1)]
