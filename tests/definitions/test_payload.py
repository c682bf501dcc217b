from __future__ import annotations

import dataclasses
import enum
import ipaddress
import math
import os
import pathlib
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretBytes, SecretStr, computed_field
from typing_extensions import TypedDict

from actors.packing import ExtType
from actors.payload import NotEncodable, ValueCodec, pack, unpack

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Mode(str, enum.Enum):  # noqa: UP042 - the older way to write it
    FAST = "fast"


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    tags: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Spot:
    x: int
    tags: frozenset[str] = frozenset()


class Pair(NamedTuple):
    left: int
    right: str


class Movie(TypedDict):
    title: str
    year: int


class Box(BaseModel, Generic[T]):
    item: T
    secret: SecretStr = SecretStr("s")
    other: int = Field(1, alias="otherThing")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> int:
        return self.other * 2


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    id: UUID
    color: Color
    many: set[int]
    at: datetime
    sure: bool


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    name: str


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


ID = UUID("1c9eb465-03b8-4996-8565-eba34abbdbe6")
NOW = datetime(2026, 3, 1, 12, 30, 0, 123_456, tzinfo=timezone(timedelta(hours=2)))


def round_trip(annotation: object, value: object) -> object:
    codec = ValueCodec(annotation)
    return codec.from_plain(unpack(pack(codec.to_plain(value))))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str, "ü"),
        (int, -(2**63)),
        (int, 2**200),
        (list[int], [2**70, -(2**65), 1]),
        (dict[int, int], {2**70: 1}),
        (float, 0.1),
        (bool, True),
        (bytes, b"\x00\xff"),
        (int | None, None),
        (datetime, NOW),
        (datetime, datetime(2026, 3, 1)),  # noqa: DTZ001 - naive ones are values too
        (datetime | str, NOW),
        (datetime | str, "2026-03-01T00:00:00"),
        (date, date(2026, 3, 1)),
        (time, time(3, 4)),
        (timedelta, timedelta(days=-1, microseconds=5)),
        (Decimal, Decimal("1.10")),
        (UUID | str, ID),
        (UUID | str, str(ID)),
        (Color, Color.RED),
        (Color | int, Color.RED),
        (Level, Level.HIGH),
        (Mode, Mode.FAST),
        (Point, Point(1, frozenset("ab"))),
        (list[Point | None], [Point(1), None]),
        (set[Point], {Point(1), Point(2)}),
        (Pair, Pair(1, "x")),
        (Movie, {"title": "x", "year": 1}),
        (Box[set[date]], Box[set[date]](item={date(2026, 3, 1)}, otherThing=4)),
        (Strict, Strict(id=ID, color=Color.RED, many={1, 2}, at=NOW, sure=True)),
        (dict[tuple[int, int], bytes], {(1, 2): b"\xff"}),
        (dict[UUID, Decimal], {ID: Decimal(1)}),
        (tuple[int, ...] | list[int], [1, 2]),
        (list[int] | tuple[int, ...], (1, 2)),
        (set[int | str], {1, "1", "b"}),
        (frozenset[frozenset[int]], frozenset({frozenset({1}), frozenset()})),
        (Cat | Dog, Dog(name="rex")),
        (ipaddress.IPv4Address, ipaddress.IPv4Address("1.2.3.4")),
        (pathlib.Path, pathlib.Path("/x")),
        (SecretBytes, SecretBytes(b"\xfe")),
        (complex, 1 + 2j),
        (Any, {"a": [1, (2,), {3}, b"\xff", NOW]}),
        (object, "x"),
        (Literal["a", 1], 1),
    ],
)
def test_values_come_back_as_they_were(annotation: object, value: object) -> None:
    back = round_trip(annotation, value)

    assert back == value
    assert type(back) is type(value)


def test_nan_comes_back_also_where_a_union_is_checked() -> None:
    for annotation in (float, float | Decimal, Any):
        back = round_trip(annotation, math.nan)
        assert isinstance(back, float)
        assert math.isnan(back)


@pytest.mark.parametrize(
    ("annotation", "value", "told"),
    [
        (Point | Spot, Spot(1), "would come back as Point"),
        (Mode | str, Mode.FAST, "would come back as 'fast'"),
        (Any, Point(1), "annotate it with its own type"),
        (list[Any], [Color.RED], "0: <Color.RED: 'red'> would come back as 'red'"),
        (int, "seven", "Input should be a valid integer"),
        (str, "\ud800", "surrogates not allowed"),
        (Any, object(), "nothing is known about values of type object"),
    ],
)
def test_what_would_not_come_back_is_refused(annotation: object, value: object, told: str) -> None:
    with pytest.raises(NotEncodable) as raised:
        round_trip(annotation, value)

    assert told in str(raised.value)


def test_a_value_nested_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)

    with pytest.raises(NotEncodable):
        round_trip(Any, endless)


def test_loose_input_is_brought_into_its_type_before_it_is_encoded() -> None:
    codec = ValueCodec(int)

    assert pack(codec.to_plain("5")) == pack(5)
    assert pack(ValueCodec(float).to_plain(5)) == pack(5.0)


def test_long_wrong_values_are_not_repeated_in_full() -> None:
    with pytest.raises(NotEncodable) as raised:
        ValueCodec(int).to_plain("x" * 10_000)

    assert len(str(raised.value)) < 300


def test_an_unknown_extension_of_a_newer_version_is_kept_as_it_is() -> None:
    assert unpack(pack(ExtType(99, b"x"))) == ExtType(99, b"x")


def test_sets_give_the_same_bytes_under_every_hash_seed() -> None:
    program = (
        "from actors.payload import pack\n"
        "print(pack([{'a', 'b', 'c', 'd', None, 1, ('x', 'y')}, frozenset({frozenset({'p', 'q'}), 'r'})]).hex())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(printed) == 1


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.uuids()
values = st.recursive(
    scalars | st.datetimes(timezones=st.just(UTC)) | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner) | st.sets(scalars),
    max_leaves=20,
)


@given(values)
def test_anything_plain_comes_back_through_any(value: object) -> None:
    assert round_trip(Any, value) == value


@given(values)
def test_encoding_what_came_back_gives_the_same_bytes(value: object) -> None:
    data = pack(value)

    assert pack(unpack(data)) == data
