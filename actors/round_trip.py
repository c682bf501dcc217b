"""Whether a value comes back from its encoding as what it was. Compares and looks at schemas; encodes nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast
from uuid import UUID

from pydantic import BaseModel
from pydantic.errors import PydanticSchemaGenerationError

from actors.wording import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

_UNCERTAIN: Final = frozenset({"any", "model", "dataclass", "deque", "is-instance"})
"""Nodes of a pydantic core schema whose values pass validation as they are, or decode to something less."""
_ATOMS: Final = frozenset({bool, int, str, bytes, float, type(None), datetime, date, timedelta, Decimal, UUID})
_SKIPPED: Final = frozenset({"metadata", "serialization"})
_ANNOTATE: Final = (
    "annotate it with its own type, or tell the members of the union apart by a discriminator (a Literal field)"
)
NO_FIELDS: Final = "BaseModel itself has no fields: name the model, or a union of models"
_OWN_RULES: Final = (
    "what is excluded, validated or serialized by rules of one's own must give the same value when it is read: take "
    "the rule away, or pass a value that it leaves as it is"
)


class NoValues(PydanticSchemaGenerationError):
    """There are no values of an annotation that could be encoded; the message says what to write."""


class Difference(NamedTuple):
    """Where what comes back first differs from what was given."""

    place: str
    """Field names, keys and indexes with dots between; empty: the value itself."""
    was: object
    back: object

    def __str__(self) -> str:
        """Say it, with what to do about it."""
        same_type = type(self.was) is type(self.back)
        place = f"{self.place}: " if self.place else ""
        advice = _OWN_RULES if same_type else _ANNOTATE
        return f"{place}{shown(self.was)} would come back as {shown(self.back)}: {advice}"


def difference(was: object, back: object) -> Difference | None:
    """Return the first difference between a value and what it would come back as; None: there is none.

    Types must be the same everywhere. Private attributes of models are no part of them. Objects that compare by
    identity are taken for the same if their types are.
    """
    kind = type(was)
    if kind is not type(back):
        return Difference("", was, back)
    inner = _how_to_part(cast("Any", kind))
    if inner is None:
        return None if _equal(was, back) else Difference("", was, back)
    parts, others = inner(was), inner(back)
    if len(parts) != len(others):
        return Difference("", was, back)
    for (name, one), (other_name, other) in zip(parts, others, strict=True):
        kind = type(one)
        if kind in _ATOMS and kind is type(other) and one == other and _same_name(name, other_name):
            continue  # the ordinary case
        found = difference(name, other_name) or difference(one, other)
        if found is not None:
            return found._replace(place=f"{name}.{found.place}" if found.place else str(name))
    return None


Parts: TypeAlias = "Collection[tuple[object, object]]"


@lru_cache(maxsize=1024)
def _how_to_part(kind: type[Any]) -> Callable[[Any], Parts] | None:
    """Return what gives the named parts of values of a type; None: they are compared as they are."""
    if issubclass(kind, deque):
        return _parts_of_deque
    if issubclass(kind, list | tuple):
        return _items
    if issubclass(kind, dict):
        return lambda value: value.items()
    if issubclass(kind, BaseModel):
        return _fields_of_model
    if is_dataclass(kind):
        names = [field.name for field in fields(cast("Any", kind))]
        return lambda value: [(name, getattr(value, name, None)) for name in names]
    return None


def _items(items: Iterable[object]) -> Parts:
    return list(enumerate(items))


def _parts_of_deque(items: deque[object]) -> Parts:
    return [("maxlen", items.maxlen), *enumerate(items)]


def _fields_of_model(model: BaseModel) -> Parts:
    """Return its fields and what it has beyond; not what it caches."""
    found = model.__dict__
    names = type(model).__pydantic_fields__
    parts = found.items() if found.keys() == names.keys() else [(name, found.get(name)) for name in names]
    beyond = model.__pydantic_extra__
    return [*parts, *beyond.items()] if beyond else parts


def _same_name(one: object, other: object) -> bool:
    return one is other or (type(one) is type(other) and one == other)


def _equal(was: object, back: object) -> bool:
    kind = type(was)
    if kind.__eq__ is object.__eq__:
        return True
    try:
        if was == back:
            # 1 == True == Level.ONE: equal sets may still be of other things.
            return not issubclass(kind, set | frozenset) or _types_in(was) == _types_in(back)
    except Exception:  # noqa: BLE001, S110 - whatever the author's __eq__ raises, or a truth that arrays do not have
        pass
    return repr(was) == repr(back)


def _types_in(items: object) -> set[type]:
    return {type(item) for item in cast("Iterable[object]", items)}


def is_uncertain(schema: object) -> bool:
    """Tell whether values of a pydantic core schema may come back as something else, so that each is to be tried.

    So it is with models and dataclasses, whose instances pass unlooked at, be they changed since or of a subclass; with
    unions and ``Any``; and where functions of the author's validate or serialize.

    Raises:
        NoValues: there are none that could be encoded.
        PydanticUserError: it names types that are not defined.
    """
    if isinstance(schema, Mapping):  # not always a dict: one of a model that is not complete yet is completed by asking
        branch = cast("Mapping[str, object]", schema)
        kind = branch.get("type")
        _refuse(kind, branch)
        inner = [is_uncertain(item) for key, item in branch.items() if key not in _SKIPPED]  # each may be refused
        return _is_uncertain(kind, branch) or any(inner)
    if isinstance(schema, list | tuple):
        inner = [is_uncertain(item) for item in cast("Sequence[object]", schema)]
        return any(inner)
    return False


def _is_uncertain(kind: object, branch: Mapping[str, object]) -> bool:
    if kind in _UNCERTAIN or (kind == "union" and isinstance(branch.get("choices"), list)):
        return True
    serialization = branch.get("serialization")
    said = cast("Mapping[str, Any]", serialization).get("type") if isinstance(serialization, dict) else ""
    return str(kind).startswith("function-") or str(said).startswith("function-")


def _refuse(kind: object, branch: Mapping[str, object]) -> None:
    if kind == "generator":
        raise NoValues("Iterable gives an iterator that can be read once: write list[…], or Sequence[…]")
    if kind == "model" and branch.get("cls") is BaseModel:
        raise NoValues(NO_FIELDS)
