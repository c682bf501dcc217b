"""Values as bytes and back: canonical msgpack, with pydantic between it and the annotated types.

Canonical: equal values give equal bytes in every process, so a replay can compare arguments. Sets are sorted by the
encoded bytes of their items; mappings keep their order, which is part of the value. Types that msgpack lacks are
extension types, so that a value means the same without its annotation:

==== ==================== =======================================
code type                 data
==== ==================== =======================================
1    tuple                msgpack array
2, 3 set, frozenset       msgpack array, sorted by encoded item
4    datetime             ISO 8601 text, with its offset if any
5, 6 date, time           ISO 8601 text
7    timedelta            msgpack array: days, seconds, microseconds
8    Decimal              text
9    UUID                 16 bytes
10   int beyond 64 bits   text, decimal
11   datetime of a zone   ISO 8601 text with its offset, the zone's name in brackets
==== ==================== =======================================

Models and dataclasses are maps by field name, enums their values, anything else what pydantic makes of it in JSON.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Union, cast, get_args, get_origin
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, SecretBytes, SecretStr, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from actors.errors import InvalidOption
from actors.packing import ExtType, Packer, unpackb
from actors.round_trip import difference, is_uncertain

PlainTypes = frozenset[type]

SCALARS: Final[PlainTypes] = frozenset({str, int, float, bool, bytes, types.NoneType})
"""Types that msgpack carries as they are: annotated with nothing else, values pass without pydantic."""

NONE: Final = b"\xc0"
"""None, encoded."""

SHOWN_CHARACTERS_MAX: Final = 80
"""How much of a wrong value a message repeats."""

_BUFFER_BYTES: Final = 1024
_DEPTH_MAX: Final = 100
"""Deepest nesting that is searched for integers beyond 64 bits."""

(TUPLE, SET, FROZENSET, DATETIME, DATE, TIME, TIMEDELTA, DECIMAL, UUID_BYTES, INTEGER, ZONED) = range(1, 12)


class NotEncodable(ValueError):
    """The value does not fit its annotation or has no encoding; callers say of which argument or return value."""


def pack(value: object) -> bytes:
    """Return the canonical bytes of a plain value. Raises NotEncodable."""
    try:
        try:
            return _pack(value)
        except OverflowError:
            return _pack(_with_large_integers(value, depth=0))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotEncodable(f"cannot be encoded: {error}") from error


def unpack(data: bytes) -> Any:  # noqa: ANN401 - any plain value there is
    """Return the plain value in ``data``: lists, dicts, scalars and the extension types above."""
    return unpackb(data, ext_hook=_read_extension, strict_map_key=False)


def _pack(value: object) -> bytes:
    return Packer(default=_encode_other, strict_types=True, buf_size=_BUFFER_BYTES).pack(value)


def _encode_other(value: object) -> object:
    """Return what stands for a value that msgpack does not know; called by the packer."""
    encode = _ENCODERS.get(type(value))
    if encode is not None:
        return encode(value)
    if isinstance(value, Enum):
        return cast("object", value.value)
    if isinstance(value, SecretStr | SecretBytes):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        return dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return _encode_subclass(value)


def _encode_subclass(value: object) -> object:
    for kind, encode in _ENCODERS.items():
        if isinstance(value, kind):
            return encode(value)
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    if isinstance(value, AbstractSet):
        return _encode_set(SET, cast("AbstractSet[object]", value))
    if isinstance(value, Sequence):
        return list(cast("Sequence[object]", value))
    try:
        return to_jsonable_python(value, by_alias=False)
    except PydanticSerializationError:
        raise TypeError(f"nothing is known about values of type {type(value).__qualname__}") from None


def _encode_set(code: int, items: AbstractSet[object]) -> ExtType:
    return ExtType(code, pack(sorted(items, key=pack)))


def _encode_datetime(value: datetime) -> ExtType:
    zone = value.tzinfo
    text = value.isoformat()
    if type(zone) is ZoneInfo and zone.key:
        return ExtType(ZONED, f"{text}[{zone.key}]".encode())
    return ExtType(DATETIME, text.encode())


def _with_large_integers(value: object, *, depth: int) -> object:
    """Return a copy of a plain value in which integers that msgpack cannot carry are extension values."""
    if depth > _DEPTH_MAX:
        raise RecursionError(f"nested deeper than {_DEPTH_MAX}")
    if type(value) is int and not -(2**63) <= value < 2**64:
        return ExtType(INTEGER, str(value).encode())
    if type(value) is list:
        return [_with_large_integers(item, depth=depth + 1) for item in cast("list[object]", value)]
    if type(value) is dict:
        return {
            _with_large_integers(key, depth=depth + 1): _with_large_integers(item, depth=depth + 1)
            for key, item in cast("dict[object, object]", value).items()
        }
    return value


_ENCODERS: Final[dict[type, Callable[[Any], object]]] = {
    tuple: lambda value: ExtType(TUPLE, pack(list(value))),
    set: lambda value: _encode_set(SET, value),
    frozenset: lambda value: _encode_set(FROZENSET, value),
    datetime: _encode_datetime,
    date: lambda value: ExtType(DATE, value.isoformat().encode()),
    time: lambda value: ExtType(TIME, value.isoformat().encode()),
    timedelta: lambda value: ExtType(TIMEDELTA, pack([value.days, value.seconds, value.microseconds])),
    Decimal: lambda value: ExtType(DECIMAL, str(value).encode()),
    UUID: lambda value: ExtType(UUID_BYTES, value.bytes),
    # Subclasses of what the packer knows become that.
    str: str.__str__,
    bytes: bytes,
    bytearray: bytes,
    int: int.__int__,
    float: float.__float__,
}

_READERS: Final[dict[int, Callable[[bytes], object]]] = {
    TUPLE: lambda data: tuple(unpack(data)),
    SET: lambda data: _read_set(set, data),
    FROZENSET: lambda data: _read_set(frozenset, data),
    DATETIME: lambda data: datetime.fromisoformat(data.decode()),
    DATE: lambda data: date.fromisoformat(data.decode()),
    TIME: lambda data: time.fromisoformat(data.decode()),
    TIMEDELTA: lambda data: timedelta(*unpack(data)),
    DECIMAL: lambda data: Decimal(data.decode()),
    UUID_BYTES: lambda data: UUID(bytes=data),
    INTEGER: lambda data: int(data.decode()),
    ZONED: lambda data: _read_zoned(data.decode()),
}


def _read_zoned(text: str) -> datetime:
    """Return the moment that was written, at the zone's wall clock if this machine knows the zone."""
    moment, _, name = text.rstrip("]").partition("[")
    written = datetime.fromisoformat(moment)
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return written
    for fold in (0, 1):
        read = written.replace(tzinfo=zone, fold=fold)
        if read.utcoffset() == written.utcoffset():
            return read
    return written.astimezone(zone)  # the zone's rules were changed since


def _read_set(kind: type[set[Any] | frozenset[Any]], data: bytes) -> object:
    items: list[Any] = unpack(data)
    try:
        return kind(items)
    except TypeError:  # models and dataclasses are maps by now; validation makes a set of them again
        return items


def _read_extension(code: int, data: bytes) -> object:
    read = _READERS.get(code)
    return ExtType(code, data) if read is None else read(data)


class ValueCodec:
    """Turns values of one annotation into plain values and back; knows pydantic only if it must."""

    __slots__ = ("_adapter", "_uncertain", "annotation", "plain_types")

    def __init__(self, annotation: object) -> None:
        """Take a resolved annotation; the TypeAdapter is built at the first value that needs it."""
        self.annotation = annotation
        self.plain_types: PlainTypes = _plain_types(annotation)
        """Values of exactly these types are already plain."""
        self._adapter: TypeAdapter[Any] | None = None
        self._uncertain = False
        """Whether each value is decoded once more before it is encoded."""

    def check(self) -> None:
        """Raise PydanticUserError or NameError if there are no values of the annotation."""
        if not self.plain_types and self._adapter is None:
            self._build()

    def to_plain(self, value: object) -> object:
        """Validate ``value`` and return what ``pack`` takes. Raises NotEncodable."""
        if type(value) in self.plain_types:
            return value
        adapter = self._adapter or self._build()
        try:
            valid = adapter.validate_python(value)
            plain = _dump(adapter, valid)
        except ValidationError as error:
            raise NotEncodable(explain(error)) from None
        except PydanticSerializationError as error:
            raise NotEncodable(f"cannot be encoded: {error}") from None
        if self._uncertain:
            self._check_round_trip(adapter, valid, plain)
        return plain

    def from_plain(self, plain: object) -> Any:  # noqa: ANN401 - a value of the annotation
        """Return the validated value. What was recorded is taken loosely even by strict models. Raises NotEncodable."""
        if type(plain) in self.plain_types:
            return plain
        adapter = self._adapter or self._build()
        try:
            return adapter.validate_python(plain, strict=False, by_alias=False, by_name=True)
        except ValidationError as error:
            raise NotEncodable(explain(error)) from None

    def prepare(self) -> None:
        """Build what the first value would; raises pydantic's errors for an annotation that it does not know."""
        if not self.plain_types:
            self._build()

    def _build(self) -> TypeAdapter[Any]:
        adapter = TypeAdapter[Any](cast("Any", self.annotation))
        if not adapter.pydantic_complete:  # it names what was not there yet when its class was made
            adapter.rebuild(raise_errors=True)
        self._uncertain = is_uncertain(cast("object", adapter.core_schema))
        self._adapter = adapter
        return adapter

    def _check_round_trip(self, adapter: TypeAdapter[Any], valid: object, plain: object) -> None:
        """Refuse a value that would not come back, or as another one: what reads it is run on it now."""
        try:
            back = adapter.validate_python(unpack(pack(plain)), strict=False, by_alias=False, by_name=True)
        except ValidationError as error:
            raise NotEncodable(explain(error)) from None
        found = difference(valid, back)
        if found is not None:
            raise NotEncodable(str(found))


def checked_codec(annotation: object) -> ValueCodec:
    """Return the codec of what a caller gives as ``type``. Raises InvalidOption for what is no type of values."""
    codec = ValueCodec(annotation)
    try:
        codec.check()
    except (PydanticUserError, NameError):
        raise InvalidOption(
            f"type={annotation!r} is no type of values: give a class that pydantic knows, such as int or a model, or a "
            "generic such as list[Model]"
        ) from None
    return codec


def _dump(adapter: TypeAdapter[Any], valid: object) -> object:
    try:
        return adapter.dump_python(valid, round_trip=True, by_alias=False, warnings="error")
    except TypeError:  # a set of models: pydantic tries to make a set of dicts; the packer takes models as they are
        return valid


def explain(error: ValidationError) -> str:
    """Return pydantic's findings as one line."""
    findings: list[str] = []
    for finding in error.errors(include_url=False, include_context=False):
        place = ".".join(str(part) for part in finding["loc"])
        given = repr(cast("object", finding["input"]))
        given = given if len(given) <= SHOWN_CHARACTERS_MAX else f"{given[:SHOWN_CHARACTERS_MAX]}…"
        findings.append(f"{place + ': ' if place else ''}{finding['msg']} (got {given})")
    return "; ".join(findings)


def _plain_types(annotation: object) -> PlainTypes:
    if annotation is Any or annotation is object:
        return SCALARS
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return SCALARS.intersection(members) if SCALARS.issuperset(members) else frozenset()
