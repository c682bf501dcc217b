"""What a key may hold between two writes of a step: an abstract Redis, just precise enough to find what would fail.

Pure. Where it cannot know (whether an HDEL emptied the hash) it keeps every possibility, and refuses what fails in
one of them. Not covered, hence left to the script's ``pcall``: a string that grows beyond Redis' 512 MB.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from actors.transaction.encoding import INTEGER_MAX, INTEGER_MIN, NUMBER

_INTEGER: Final = re.compile(rb"0|-?[1-9]\d{0,18}")
"""As Redis reads one: no plus sign, no space, no leading zero."""
NUMBER_BYTES_MAX: Final = 5_000
"""Redis refuses longer texts as numbers."""
ABSENT: Final = frozenset({"none"})
_NAMES: Final = {"zset": "sorted set", "none": "nothing"}


class Opaque(Enum):
    """A value of which only this is known."""

    INTEGER = "a whole number"
    NUMBER = "a number that may have a fraction"
    UNKNOWN = "a value that cannot be foreseen"


Tracked: TypeAlias = bytes | Opaque | None
"""A string's or field's value; None: there is none."""


class Refusal(Exception):
    """A write would fail; the message says why and what to do."""


@dataclass(slots=True)
class State:
    """What one key may hold. Facts other than ``types`` hold if the key exists and has that type."""

    types: frozenset[str] = ABSENT
    """Possible types; ``none`` among them: it may be absent."""
    value: Tracked = None
    """string: its value, where a write counts with it."""
    fields: dict[bytes, Tracked] = field(default_factory=dict[bytes, Tracked])
    """hash: the fields that a write counts with; those left out do not exist."""
    length: int = 0
    """list: it has at least as many elements."""
    last_id: tuple[int, int] | None = (0, 0)
    """stream: the last id it gave; None: not known."""

    @property
    def absent(self) -> bool:
        """It certainly does not exist."""
        return self.types == ABSENT

    @property
    def present(self) -> bool:
        """It certainly exists."""
        return "none" not in self.types

    def delete(self) -> None:
        """The key is gone."""
        self.types, self.value, self.length, self.last_id = ABSENT, None, 0, (0, 0)
        self.fields.clear()

    def may_vanish(self) -> None:
        """The write may have emptied the key, and an empty key is deleted (never a stream)."""
        self.types |= ABSENT

    def require(self, kind: str) -> None:
        """Refuse unless the key is absent or holds ``kind``, whatever happened."""
        wrong = sorted(self.types - {"none", kind})
        if not wrong:
            return
        holds = "holds" if len(self.types) == 1 else "may by then hold"
        raise Refusal(
            f"it {holds} a {_NAMES.get(wrong[0], wrong[0])} and this needs a {_NAMES.get(kind, kind)}. "
            f"Use another key, or tx.delete(key) first if what it holds may go."
        )

    def assign(self, value: bytes) -> None:
        """SET: the key holds this string, whatever it held."""
        self.delete()
        self.types, self.value = frozenset({"string"}), value

    def assign_if(self, value: bytes, *, absent: bool) -> None:
        """SET NX (``absent``) or XX."""
        if (self.absent and absent) or (self.present and not absent):
            self.assign(value)
        elif not absent and not self.absent:
            self.assign(value)
            self.may_vanish()
        elif absent and not self.present:
            self.types = (self.types - ABSENT) | {"string"}
            self.value = Opaque.UNKNOWN

    def append(self, value: bytes) -> None:
        """APPEND."""
        if self.absent:
            self.assign(value)
            return
        known = self.value if self.present and isinstance(self.value, bytes) else None
        self.types = frozenset({"string"})
        self.value = Opaque.UNKNOWN if known is None else known + value

    def scramble(self) -> None:
        """SETRANGE, SETBIT: a string that is not followed any further."""
        self.types, self.value = frozenset({"string"}), Opaque.UNKNOWN

    def count(self, amount: bytes, *, whole: bool, sign: int = 1) -> None:
        """INCRBY, DECRBY (``whole``), INCRBYFLOAT."""
        before = None if self.absent else self.value
        self.value = add(before, amount, whole=whole, sign=sign, certain=self.absent or self.present)
        self.types = frozenset({"string"})

    def count_field(self, name: bytes, amount: bytes, *, whole: bool) -> None:
        """HINCRBY (``whole``), HINCRBYFLOAT."""
        certain = self.absent or self.present
        self.fields[name] = add(self.fields.get(name), amount, whole=whole, certain=certain)
        self.types = frozenset({"hash"})

    def put_field(self, name: bytes, value: bytes, *, only_new: bool) -> None:
        """HSET, HSETNX (``only_new``)."""
        before = self.fields.get(name)
        if not only_new or before is None:
            self.fields[name] = value
        elif not self.present:
            self.fields[name] = Opaque.UNKNOWN
        self.types = frozenset({"hash"})

    def push(self, count: int) -> None:
        """LPUSH, RPUSH."""
        # It may have vanished: then only what is pushed now is certain.
        self.length = self.length + count if self.present else count
        self.types = frozenset({"list"})

    def shrink(self, length: int) -> None:
        """A list keeps at least ``length`` elements."""
        if self.absent:
            return
        self.length = max(0, length)
        if self.length == 0:
            self.may_vanish()


def add(before: Tracked, amount: bytes, *, whole: bool, certain: bool, sign: int = 1) -> Tracked:
    """Return what counting leaves; refuse what Redis cannot count with."""
    if not whole:
        _check_number(before)
        return Opaque.NUMBER
    if isinstance(before, Opaque):
        if before is not Opaque.INTEGER:
            raise Refusal(f"by then it holds {before.value}, and this needs a whole number. Write the value instead.")
        return before
    old = _whole(before)
    new = old + sign * int(amount)
    if not INTEGER_MIN <= new <= INTEGER_MAX:
        raise Refusal(f"{old} would leave the range of 64 bits. Write the number as a text instead.")
    return b"%d" % new if certain else Opaque.INTEGER


def _whole(value: bytes | None) -> int:
    if value is None:
        return 0
    if _INTEGER.fullmatch(value) and INTEGER_MIN <= int(value) <= INTEGER_MAX:
        return int(value)
    raise Refusal(f"it holds {_show(value)}, which is not a whole number that Redis can count with. Set it first.")


def _check_number(value: Tracked) -> None:
    if value is Opaque.UNKNOWN:
        raise Refusal(f"by then it holds {Opaque.UNKNOWN.value}, and this needs a number. Write the value instead.")
    if value is None or isinstance(value, Opaque):
        return
    if len(value) <= NUMBER_BYTES_MAX and NUMBER.fullmatch(value) and math.isfinite(float(value)):
        return
    raise Refusal(f"it holds {_show(value)}, which is not a number that Redis can count with. Set it first.")


def _show(value: bytes) -> str:
    return repr(value if len(value) <= 40 else value[:40] + b"...")  # noqa: PLR2004 - one line for people
