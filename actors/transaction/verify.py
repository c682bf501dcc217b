"""Whether Redis can apply a step's writes: reads what the keys hold, then simulates the writes in order.

Redis has no rollback: a write that fails after others were applied leaves them. So this is asked under WATCH, before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from actors.transaction.encoding import parse_stream_id
from actors.transaction.errors import MutationRefused
from actors.transaction.needs import Words, needs, stream_id_of
from actors.transaction.replies import as_bytes, as_bytes_or_none, as_integer, as_items
from actors.transaction.simulate import simulate
from actors.transaction.states import NUMBER_BYTES_MAX, Refusal, State

ReadMany: TypeAlias = Callable[[Sequence[tuple[bytes, ...]]], Awaitable[list[object]]]
"""Runs reading commands in one pipeline; answers their raw RESP2 replies, in order."""

_EXPIRY_WORDS: Final = 3
"""EXPIRE key time. Redis 6 takes no condition behind them."""
_EXPIRIES: Final = frozenset({b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT"})


async def verify(writes: Sequence[Words], read_many: ReadMany) -> None:
    """Check that every write will succeed; one round trip, or two if writes count or depend on lengths.

    Raises:
        MutationRefused: The first write that would fail, with its key and the reason.
    """
    if not writes:
        return
    states = await _load(writes, read_many)
    for words in writes:
        try:
            simulate(words, states)
        except Refusal as refusal:
            reason, *blamed = refusal.args
            raise MutationRefused(words[0].decode(), blamed[0] if blamed else words[1], str(reason)) from None


async def _load(writes: Sequence[Words], read_many: ReadMany) -> dict[bytes, State]:
    keys = list(dict.fromkeys(key for words in writes for key in needs(words).keys))
    modern = next((words for words in writes if _needs_redis_7(words)), None)
    questions = [(b"TYPE", key) for key in keys]
    if modern is not None:
        replies = await read_many([*questions, (b"COMMAND", b"INFO", b"expire")])
        _check_redis_7(modern, replies.pop())
    else:
        replies = await read_many(questions)
    states = {key: State(types=frozenset({as_bytes(reply).decode()})) for key, reply in zip(keys, replies, strict=True)}
    await _load_values(writes, states, read_many)
    return states


def _needs_redis_7(words: Words) -> bool:
    """EXPIRE's conditions, and INCRBYFLOAT, which in a script writes beyond its memory on Redis 6.2.

    It turns itself into a SET with one argument more, and the script's next long command is then written into an
    array that has shrunk ("realloc(): invalid next size" in the log of 6.2.14). HINCRBYFLOAT does not grow.
    """
    return words[0] == b"INCRBYFLOAT" or (words[0] in _EXPIRIES and len(words) > _EXPIRY_WORDS)


def _check_redis_7(words: Words, reply: object) -> None:
    """Refuse on a server whose EXPIRE takes exactly two arguments: only Redis 6 gives it an arity above 0."""
    [command] = as_items(reply)
    if as_integer(as_items(command)[1]) < 0:
        return
    if words[0] == b"INCRBYFLOAT":
        advice = "in a script it needs Redis 7. Read the value and set the sum, or keep it in a hash (hincrbyfloat)."
    else:
        advice = "its condition (nx, xx, gt, lt) needs Redis 7. Read tx.ttl(key) and decide."
    raise MutationRefused(words[0].decode(), words[1], advice)


async def _load_values(writes: Sequence[Words], states: dict[bytes, State], read_many: ReadMany) -> None:
    questions = list(dict.fromkeys(question for words in writes for question in _questions(words, states)))
    if not questions:
        return
    for question, reply in zip(questions, await read_many(questions), strict=True):
        _note(states, question, reply)


def _questions(words: Words, states: dict[bytes, State]) -> list[Words]:
    """What else must be known of existing keys. Asked by type, so that no answer is an error."""
    needed = needs(words)
    asked: list[Words] = [
        (b"GETRANGE", key, b"0", b"%d" % NUMBER_BYTES_MAX)
        for key in (*needed.integer_keys, *needed.float_keys)
        if "string" in states[key].types
    ]
    asked.extend(
        (b"HGET", key, name)
        for key, name in (*needed.integer_fields, *needed.float_fields)
        if "hash" in states[key].types
    )
    if words[0] in {b"LSET", b"LMOVE"}:
        asked.extend((b"LLEN", key) for key in needed.keys if "list" in states[key].types)
    if words[0] == b"XADD" and stream_id_of(words) != b"*" and "stream" in states[words[1]].types:
        asked.append((b"XINFO", b"STREAM", words[1]))
    return asked


def _note(states: dict[bytes, State], question: Words, reply: object) -> None:
    match question[0]:
        case b"GETRANGE":
            states[question[1]].value = as_bytes(reply)
        case b"HGET":
            states[question[1]].fields[question[2]] = as_bytes_or_none(reply)
        case b"LLEN":
            states[question[1]].length = as_integer(reply)
        case _:
            facts = as_items(reply)
            last = facts[facts.index(b"last-generated-id") + 1]
            states[question[2]].last_id = parse_stream_id(as_bytes(last))
