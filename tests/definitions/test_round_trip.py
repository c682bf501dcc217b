"""What is encoded comes back as it was; what would not is refused where it is passed, with what to write instead."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar
from zoneinfo import ZoneInfo, available_timezones

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    SerializeAsAny,
    field_validator,
)

from actors import WorkflowManager
from actors.errors import InvalidDefinition
from actors.packing import ExtType
from actors.payload import ZONED, NotEncodable, ValueCodec, pack, unpack
from actors.round_trip import NoValues

T = TypeVar("T")
BERLIN = "Europe/Berlin"
zones = pytest.mark.skipif(
    BERLIN not in available_timezones(), reason="this machine knows no time zones: install tzdata"
)


class Level(enum.IntEnum):
    HIGH = 1


class Amount(BaseModel):
    cents: int = Field(gt=0)


@dataclass
class Size:
    metres: Annotated[int, Field(gt=0)]


class Base(BaseModel):
    n: int = 0


class Derived(Base):
    more: str = "precious"


class Holder(BaseModel):
    x: Any = None


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Box(BaseModel, Generic[T]):
    item: T


class Excluding(BaseModel):
    kept: int = 0
    left_out: int = Field(default=1, exclude=True)


class Growing(BaseModel):
    a: int

    @field_validator("a")
    @classmethod
    def grow(cls, a: int) -> int:
        return a + 1


class Remembering(BaseModel):
    a: int
    _seen: int = PrivateAttr(default=5)

    @cached_property
    def twice(self) -> int:
        return 2 * self.a


@dataclass(eq=False)
class Incomparable:
    x: float
    items: list[int] = field(default_factory=list[int])


def changed(amount: int) -> Amount:
    made = Amount(cents=1)
    made.cents = amount
    return made


def round_trip(annotation: object, value: object) -> Any:  # noqa: ANN401 - a value of the annotation
    codec = ValueCodec(annotation)
    return codec.from_plain(unpack(pack(codec.to_plain(value))))


@pytest.mark.parametrize(
    ("annotation", "value", "told"),
    [
        (Amount, changed(-5), "cents: Input should be greater than 0 (got -5)"),
        (list[Amount], [Amount(cents=1), changed(0)], "1.cents: Input should be greater than 0"),
        (Size, Size(-1), "metres: Input should be greater than 0"),
        (Base, Derived(), "Derived(n=0, more='precious') would come back as Base(n=0): annotate it with its own type"),
        (list[Base], [Base(), Derived()], "1: Derived(n=0, more='precious') would come back as Base(n=0)"),
        (SerializeAsAny[Base], Derived(), "would come back as Base(n=0)"),
        (dict[str, Base], {"k": Derived()}, "k: Derived("),
        (Holder, Holder(x=Level.HIGH), "x: <Level.HIGH: 1> would come back as 1"),
        (Holder, Holder(x={"a": [(1, Level.HIGH)]}), "x.a.0.1: <Level.HIGH: 1> would come back as 1"),
        (Holder, Holder(x={Level.HIGH: 1}), "x.1: <Level.HIGH: 1> would come back as 1"),
        (Holder, Holder(x={Level.HIGH}), "x: {<Level.HIGH: 1>} would come back as {1}"),
        (Holder, Holder(x=Base()), "x: Base(n=0) would come back as {'n': 0}"),
        (Open, Open.model_validate({"x": Level.HIGH}), "x: <Level.HIGH: 1> would come back as 1"),
        (Box, Box(item=Level.HIGH), "item: <Level.HIGH: 1>"),
        (Excluding, Excluding(left_out=7), "left_out: 7 would come back as 1: what is excluded, validated"),
        (Growing, Growing(a=1), "a: 2 would come back as 3: what is excluded, validated"),
        (Annotated[int, AfterValidator(lambda a: a + 1)], 1, "2 would come back as 3"),
        (Annotated[int, PlainSerializer(lambda a: 2 * a)], 1, "1 would come back as 2"),
        (deque[int], deque([1, 2], maxlen=5), "maxlen: 5 would come back as None"),
    ],
)
def test_what_would_come_back_as_something_else_is_refused_at_the_place(
    annotation: object, value: object, told: str
) -> None:
    with pytest.raises(NotEncodable) as raised:
        ValueCodec(annotation).to_plain(value)

    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Amount, changed(5)),
        (Base | Derived, Derived(n=1)),
        (Excluding, Excluding(kept=2)),
        (Open, Open.model_validate({"x": [1, {"y": (1, 2)}]})),
        (Box[Level], Box[Level](item=Level.HIGH)),
        (Holder, Holder(x={"a": [1, None, {2}], (1, 2): b"x"})),
        (deque[int], deque([1, 2])),
    ],
)
def test_what_comes_back_is_taken(annotation: object, value: object) -> None:
    back = round_trip(annotation, value)

    assert back == value
    assert type(back) is type(value)


def test_what_a_model_remembers_besides_its_fields_is_no_part_of_its_value() -> None:
    model = Remembering(a=1)
    model._seen = 6
    assert model.twice == 2

    assert round_trip(Remembering, model).a == 1


def test_values_without_equality_are_compared_by_their_fields() -> None:
    back = round_trip(Incomparable, Incomparable(float("nan"), [1]))

    assert isinstance(back, Incomparable)
    assert back.items == [1]


def test_abstract_types_come_back_as_the_concrete_ones_they_were_taken_for() -> None:
    assert round_trip(AbstractSet[int], {1}) == frozenset({1})


@zones
@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("moment", ["2026-07-01T12:00", "2026-10-25T02:30", "2026-03-29T02:30"])
def test_a_datetime_keeps_its_zone_and_fold(moment: str, fold: int) -> None:
    berlin = ZoneInfo(BERLIN)
    value = datetime.fromisoformat(moment).replace(tzinfo=berlin, fold=fold)

    for annotation in (datetime, Any, list[datetime]):
        back = round_trip(annotation, [value] if annotation == list[datetime] else value)
        if annotation == list[datetime]:
            (back,) = back
        assert back.tzinfo is berlin
        assert back.isoformat() == value.isoformat()
        assert (back + timedelta(days=60)).isoformat() == (value + timedelta(days=60)).isoformat()


def test_a_datetime_of_a_zone_that_is_not_known_here_keeps_its_moment() -> None:
    data = pack(ExtType(ZONED, b"2026-07-01T12:00:00+02:00[Mars/Base]"))

    assert unpack(data) == datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))


@zones
def test_a_datetime_of_a_zone_whose_rules_were_changed_keeps_its_moment() -> None:
    back = unpack(pack(ExtType(ZONED, b"2026-07-01T12:00:00+05:00[Europe/Berlin]")))

    assert back.isoformat() == "2026-07-01T09:00:00+02:00"


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        (BaseModel, "name the model, or a union of models"),
        (list[BaseModel], "name the model"),
        (Iterable[int], "write list"),
        (Box[Iterable[int]], "write list"),
    ],
)
def test_annotations_without_values_that_come_back_are_refused(annotation: object, told: str) -> None:
    with pytest.raises(NoValues, match=told):
        ValueCodec(annotation).prepare()


def test_a_parameter_that_may_be_any_model_is_refused_at_its_definition() -> None:
    manager = WorkflowManager("memory://definition")

    with pytest.raises(InvalidDefinition, match=r"the annotation of 'x' of .*BaseModel itself has no fields"):

        @manager.action
        async def take(x: BaseModel) -> None: ...
