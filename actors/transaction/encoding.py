"""Arguments of commands, checked and turned into bytes. Pure; what Redis could not take raises `InvalidCommand` here.

The texts are those that redis-py sends, except that a ``bool``, a NaN, and an ``int`` that Redis cannot hold are
refused instead of sent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, TypeAlias, TypeGuard

from actors.transaction.errors import InvalidCommand

Bytes: TypeAlias = bytes | bytearray | memoryview
Key: TypeAlias = str | Bytes
Value: TypeAlias = str | Bytes | int | float
Fields: TypeAlias = Mapping[str, Value] | Mapping[bytes, Value] | Mapping[int, Value]
"""Names and values. Three mappings, since a ``dict[str, …]`` is no ``Mapping[str | bytes, …]`` to a type checker."""
Scores: TypeAlias = Mapping[str, float] | Mapping[bytes, float] | Mapping[int, float]
ScoreBound: TypeAlias = float | str
StreamId: TypeAlias = int | str | Bytes
Duration: TypeAlias = int | timedelta
Moment: TypeAlias = int | datetime

INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
EXPIRY_MS_MAX: Final = 10**18
"""Redis adds the time to its clock in 64 bits; this is 31 million years."""

NUMBER: Final = re.compile(rb"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
"""A decimal number as INCRBYFLOAT and scores take it."""
_STREAM_ID: Final = re.compile(rb"(\d{1,20})(?:-(\d{1,20}))?")
_INFINITIES: Final = frozenset({b"inf", b"+inf", b"-inf"})


def _is_bytes(value: object) -> TypeGuard[Bytes]:
    return isinstance(value, bytes | bytearray | memoryview)


def _is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    return isinstance(value, Mapping)


def encode_key(command: str, key: object) -> bytes:
    """Return a key's bytes; only text and bytes are keys."""
    if isinstance(key, str):
        return _utf8(command, key)
    if _is_bytes(key):
        return bytes(key)
    raise InvalidCommand(command, f"a key is a str or bytes, not {_name(key)}.")


def encode_value(command: str, value: object) -> bytes:
    """Return a value's, member's or field's bytes. Buffers are copied: the caller may change them afterwards."""
    if isinstance(value, str):
        return _utf8(command, value)
    if _is_bytes(value):
        return bytes(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        hint = " Unpack it with *." if type(value) in {list, tuple, set, frozenset} else ""
        raise InvalidCommand(
            command, f"a value is bytes, str, int or float, not {_name(value)}; convert it first.{hint}"
        )
    if isinstance(value, float):
        if math.isnan(value):
            raise InvalidCommand(command, "NaN is not a number that Redis can compute with; write a text instead.")
        return float.__repr__(value).encode()
    return int.__repr__(value).encode()


def encode_values(command: str, values: Iterable[object], *, what: str) -> list[bytes]:
    """Return the bytes of at least one value."""
    encoded = [encode_value(command, value) for value in values]
    if not encoded:
        raise InvalidCommand(command, f"at least one {what} is needed; leave the call out when there is none.")
    return encoded


def encode_pairs(command: str, mapping: object, *, what: str) -> list[bytes]:
    """Return the keys and values of a mapping that is not empty, flat."""
    if not _is_mapping(mapping):
        raise InvalidCommand(command, f"{what} is a mapping, not {_name(mapping)}.")
    if not mapping:
        raise InvalidCommand(command, f"{what} is empty; leave the call out when there is nothing to write.")
    return [encode_value(command, part) for pair in mapping.items() for part in pair]


def encode_integer(
    command: str, value: object, *, what: str, least: int = INTEGER_MIN, most: int = INTEGER_MAX
) -> bytes:
    """Return the digits of an ``int`` between ``least`` and ``most``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidCommand(command, f"{what} is an int, not {_name(value)}.")
    if not least <= value <= most:
        raise InvalidCommand(command, f"{what} is {value}; it must lie between {least} and {most}.")
    return int.__repr__(value).encode()


def encode_number(command: str, value: object, *, what: str, finite: bool) -> bytes:
    """Return the text of an ``int`` or ``float`` that is not NaN; ``finite``: nor infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidCommand(command, f"{what} is an int or float, not {_name(value)}.")
    try:
        number = float(value)
    except OverflowError:
        raise InvalidCommand(command, f"{what} is too large for a float.") from None
    if math.isnan(number) or (finite and math.isinf(number)):
        raise InvalidCommand(command, f"{what} is {value!r}; it must be {'a finite' if finite else 'a'} number.")
    return int.__repr__(value).encode() if isinstance(value, int) else float.__repr__(value).encode()


def encode_score_bound(command: str, bound: object, *, what: str) -> bytes:
    """Return a bound of a range of scores: a number, or text such as ``"(1.5"`` (without it) or ``"-inf"``."""
    if not isinstance(bound, str) and not _is_bytes(bound):
        return encode_number(command, bound, what=what, finite=False)
    encoded = encode_key(command, bound)
    number = encoded.removeprefix(b"(")
    if NUMBER.fullmatch(number) or number.lower() in _INFINITIES:
        return encoded
    raise InvalidCommand(command, f'{what} is {encoded!r}; it must be a number, "(" and a number, "-inf" or "+inf".')


def encode_member_bound(command: str, bound: object, *, what: str) -> bytes:
    """Return a bound of a range of members: ``[member``, ``(member``, ``-`` or ``+``."""
    encoded = encode_value(command, bound)
    if encoded in {b"-", b"+"} or encoded[:1] in {b"[", b"("}:
        return encoded
    raise InvalidCommand(command, f'{what} is {encoded!r}; it must start with "[" (with it) or "(", or be "-" or "+".')


def encode_stream_id(command: str, entry: object, *, what: str, also: frozenset[bytes] = frozenset()) -> bytes:
    """Return a stream entry's id, ``<ms>`` or ``<ms>-<number>``, or one of the special ids in ``also``."""
    encoded = (
        encode_integer(command, entry, what=what, least=0) if isinstance(entry, int) else encode_key(command, entry)
    )
    if encoded in also or parse_stream_id(encoded) is not None:
        return encoded
    raise InvalidCommand(command, f'{what} is {encoded!r}; it must be "<milliseconds>" or "<milliseconds>-<number>".')


def parse_stream_id(encoded: bytes) -> tuple[int, int] | None:
    """Return both numbers of a stream id (the second is 0 when left out), None if it is none."""
    match = _STREAM_ID.fullmatch(encoded)
    if match is None:
        return None
    milliseconds, number = int(match[1]), int(match[2] or 0)
    return (milliseconds, number) if milliseconds < 2**64 and number < 2**64 else None


def encode_duration(command: str, duration: object, *, what: str, unit_ms: int, least: int = 1) -> bytes:
    """Return a time to live in units of ``unit_ms`` (1000 or 1); what is left of a ``timedelta`` is cut off."""
    if isinstance(duration, timedelta):
        duration = duration // timedelta(milliseconds=unit_ms)
        if least > duration:
            raise InvalidCommand(command, f"{what} is less than one unit; give it in milliseconds, or a longer time.")
    return encode_integer(command, duration, what=what, least=least, most=EXPIRY_MS_MAX // unit_ms)


def encode_moment(command: str, moment: object, *, what: str, unit_ms: int) -> bytes:
    """Return a time since the epoch in units of ``unit_ms`` (1000 or 1); a ``datetime`` must be aware."""
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise InvalidCommand(command, f"{what} has no time zone; use datetime.now(timezone.utc) or .astimezone().")
        moment = int(moment.timestamp() * 1000) // unit_ms
    return encode_integer(command, moment, what=what, least=1, most=EXPIRY_MS_MAX // unit_ms)


def flatten(first: object, rest: Iterable[object]) -> list[object]:
    """Return ``first`` (one argument, or an iterable of them) and ``rest`` in one list, as redis-py takes them."""
    if isinstance(first, str) or _is_bytes(first) or not isinstance(first, Iterable):
        return [first, *rest]
    return [*first, *rest]


def _utf8(command: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidCommand(command, f"a text cannot be written as UTF-8 ({error.reason}); give bytes.") from None


def _name(value: object) -> str:
    return "None" if value is None else type(value).__name__
