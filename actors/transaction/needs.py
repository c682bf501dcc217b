"""What each writing command touches and needs: its keys, the type that they must have, the numbers it counts. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

Words = tuple[bytes, ...]
"""An encoded write: command, key, arguments."""

TYPES: Final[dict[bytes, str]] = {
    **dict.fromkeys((b"SET", b"SETEX", b"PSETEX", b"SETNX", b"MSET", b"MSETNX"), "any"),
    **dict.fromkeys((b"DEL", b"UNLINK", b"PERSIST", b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT"), "any"),
    **dict.fromkeys((b"APPEND", b"INCRBY", b"DECRBY", b"INCRBYFLOAT", b"SETRANGE", b"SETBIT"), "string"),
    **dict.fromkeys((b"HSET", b"HSETNX", b"HDEL", b"HINCRBY", b"HINCRBYFLOAT"), "hash"),
    **dict.fromkeys((b"LPUSH", b"RPUSH", b"LPUSHX", b"RPUSHX", b"LPOP", b"RPOP"), "list"),
    **dict.fromkeys((b"LSET", b"LREM", b"LTRIM", b"LINSERT", b"LMOVE"), "list"),
    **dict.fromkeys((b"SADD", b"SREM", b"SMOVE"), "set"),
    **dict.fromkeys((b"ZADD", b"ZREM", b"ZINCRBY", b"ZPOPMIN", b"ZPOPMAX"), "zset"),
    **dict.fromkeys((b"ZREMRANGEBYSCORE", b"ZREMRANGEBYRANK", b"ZREMRANGEBYLEX"), "zset"),
    **dict.fromkeys((b"XADD", b"XDEL", b"XTRIM"), "stream"),
}
"""Every command that a transaction writes, and the type of Redis that a key must have if it exists."""


class Needs(NamedTuple):
    """What one write touches."""

    type: str
    """The type that its keys must have if they exist; ``any``: it takes or replaces whatever is there."""
    keys: Sequence[bytes]
    integer_keys: Sequence[bytes] = ()
    float_keys: Sequence[bytes] = ()
    integer_fields: Sequence[tuple[bytes, bytes]] = ()
    float_fields: Sequence[tuple[bytes, bytes]] = ()


def needs(words: Words) -> Needs:
    """Return what a write touches and counts."""
    command, first = words[0], words[1:2]
    needed = Needs(TYPES[command], _keys(words))
    match command:
        case b"INCRBY" | b"DECRBY":
            return needed._replace(integer_keys=first)
        case b"INCRBYFLOAT":
            return needed._replace(float_keys=first)
        case b"HINCRBY":
            return needed._replace(integer_fields=((words[1], words[2]),))
        case b"HINCRBYFLOAT":
            return needed._replace(float_fields=((words[1], words[2]),))
        case _:
            return needed


def _keys(words: Words) -> Words:
    match words[0]:
        case b"MSET" | b"MSETNX":
            return words[1::2]
        case b"DEL" | b"UNLINK":
            return words[1:]
        case b"SMOVE" | b"LMOVE":
            return words[1:3]
        case _:
            return words[1:2]


def stream_id_of(words: Words) -> bytes:
    """Return the id that an XADD asks for; ``*``: Redis chooses."""
    place = 2
    while words[place] in {b"NOMKSTREAM", b"MAXLEN", b"MINID", b"LIMIT"}:
        if words[place] == b"NOMKSTREAM":
            place += 1
        else:
            place += 3 if words[place + 1] == b"~" else 2
    return words[place]
