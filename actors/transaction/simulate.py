"""The writes of a step applied to `State`: one function a family of commands. Pure; raises `Refusal`."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Final

from actors.transaction.encoding import parse_stream_id
from actors.transaction.needs import TYPES, Words, needs, stream_id_of
from actors.transaction.states import Refusal, State

if TYPE_CHECKING:
    from collections.abc import Mapping

_ZADD_WORDS: Final = frozenset({b"NX", b"XX", b"GT", b"LT", b"CH"})
_EXPIRIES: Final = frozenset({b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT"})


def simulate(words: Words, states: Mapping[bytes, State]) -> bytes:
    """Apply one write to the states of its keys; return the key that is to blame if a `Refusal` comes of it."""
    kind = TYPES[words[0]]
    for key in needs(words).keys:
        if kind != "any":
            _require(states[key], kind, key)
    if kind == "any":
        _any(words, states)
        return words[1]
    state = states[words[1]]
    match kind:
        case "string":
            _string(words, state)
        case "hash":
            _hash(words, state)
        case "list":
            _list(words, state, states)
        case "stream":
            _stream(words, state)
        case _:
            _members(words, state, states)
    return words[1]


def _require(state: State, kind: str, key: bytes) -> None:
    try:
        state.require(kind)
    except Refusal as refusal:
        raise Refusal(*refusal.args, key) from None


def _any(words: Words, states: Mapping[bytes, State]) -> None:
    command, state = words[0], states[words[1]]
    match command:
        case b"SET":
            _set(words, state)
        case b"SETEX" | b"PSETEX":
            state.assign(words[3])
        case b"SETNX":
            state.assign_if(words[2], absent=True)
        case b"MSET":
            for key, value in zip(words[1::2], words[2::2], strict=True):
                states[key].assign(value)
        case b"MSETNX":
            _set_all_if_none(words, states)
        case b"DEL" | b"UNLINK":
            for key in words[1:]:
                states[key].delete()
        case _ if command in _EXPIRIES:
            _expire(words, state)
        case _:
            assert command == b"PERSIST"


def _set(words: Words, state: State) -> None:
    if b"NX" in words[3:]:
        state.assign_if(words[2], absent=True)
    elif b"XX" in words[3:]:
        state.assign_if(words[2], absent=False)
    else:
        state.assign(words[2])


def _set_all_if_none(words: Words, states: Mapping[bytes, State]) -> None:
    keys = words[1::2]
    if any(states[key].present for key in keys):
        return
    certain = all(states[key].absent for key in keys)
    for key, value in zip(keys, words[2::2], strict=True):
        if certain:
            states[key].assign(value)
        else:
            states[key].assign_if(value, absent=True)
            states[key].may_vanish()


def _expire(words: Words, state: State) -> None:
    if state.absent:
        return
    # A time that is past deletes the key at once. Which times are past is up to the server's clock, not known here.
    if words[0] in {b"EXPIREAT", b"PEXPIREAT"} or int(words[2]) <= 0:
        state.may_vanish()


def _string(words: Words, state: State) -> None:
    match words[0]:
        case b"APPEND":
            state.append(words[2])
        case b"INCRBY":
            state.count(words[2], whole=True)
        case b"DECRBY":
            state.count(words[2], whole=True, sign=-1)
        case b"INCRBYFLOAT":
            state.count(words[2], whole=False)
        case b"SETRANGE" if not words[3]:
            pass
        case _:
            state.scramble()


def _hash(words: Words, state: State) -> None:
    match words[0]:
        case b"HDEL":
            for name in words[2:]:
                state.fields.pop(name, None)
            state.may_vanish()
        case b"HINCRBY" | b"HINCRBYFLOAT":
            state.count_field(words[2], words[3], whole=words[0] == b"HINCRBY")
        case _:
            for name, value in zip(words[2::2], words[3::2], strict=True):
                state.put_field(name, value, only_new=words[0] == b"HSETNX")


def _list(words: Words, state: State, states: Mapping[bytes, State]) -> None:
    match words[0]:
        case b"LPUSH" | b"RPUSH":
            state.push(len(words) - 2)
        case b"LPUSHX" | b"RPUSHX":
            if state.present:
                state.push(len(words) - 2)
        case b"LPOP" | b"RPOP":
            state.shrink(state.length - (int(words[2]) if len(words) > 2 else 1))  # noqa: PLR2004 - a count is given
        case b"LREM":
            state.shrink(state.length - abs(int(words[2])) if int(words[2]) else 0)
        case b"LTRIM":
            state.shrink(_kept(state.length, int(words[2]), int(words[3])))
        case b"LSET":
            _check_index(state, int(words[2]))
        case b"LMOVE" if words[1] != words[2]:
            _move_element(state, states[words[2]])
        case _:
            assert words[0] in {b"LINSERT", b"LMOVE"}


def _kept(length: int, start: int, end: int) -> int:
    """The elements that LTRIM leaves at least, of at least ``length``."""
    if start < 0 <= end:
        return 0
    first = max(0, start if start >= 0 else length + start)
    last = min(length - 1, end if end >= 0 else length + end)
    return max(0, last - first + 1)


def _check_index(state: State, index: int) -> None:
    if state.absent:
        raise Refusal("there is no list. Use tx.rpush.")
    if not -state.length <= index < state.length:
        raise Refusal(
            f"there may be only {state.length} elements by then, so that index {index} is out of range. "
            f"Ask tx.llen(key) first, and set before what removes elements."
        )


def _move_element(source: State, destination: State) -> None:
    if source.absent:
        return
    if source.present and source.length:
        destination.push(1)
    else:
        destination.types |= {"list"}
    source.shrink(source.length - 1)


def _members(words: Words, state: State, states: Mapping[bytes, State]) -> None:
    """Sets and sorted sets, of which only the existence is followed."""
    match words[0]:
        case b"SADD" | b"ZINCRBY":
            state.types = frozenset({TYPES[words[0]]})
        case b"ZADD":
            # Conditions stand before the first score; behind it a member may be called XX.
            if b"XX" not in takewhile(_ZADD_WORDS.__contains__, words[2:]):
                state.types = frozenset({"zset"})
        case b"SMOVE":
            if words[1] != words[2] and not state.absent:
                states[words[2]].types |= {"set"}
                state.may_vanish()
        case _:
            state.may_vanish()


def _stream(words: Words, state: State) -> None:
    if words[0] != b"XADD" or (b"NOMKSTREAM" in words[2:3] and state.absent):
        return
    wanted = parse_stream_id(stream_id_of(words))
    if wanted is not None:
        if state.last_id is None:
            raise Refusal("an id cannot be chosen behind an entry whose id Redis chooses. Let Redis choose both.")
        if wanted <= state.last_id:
            raise Refusal(f"the stream is already at {state.last_id[0]}-{state.last_id[1]}; ids only grow. Use id='*'.")
    state.last_id = wanted
    if b"NOMKSTREAM" not in words[2:3]:
        state.types = frozenset({"stream"})
