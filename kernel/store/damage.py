"""Damage: whether what is stored of an actor can be used, and what is wrong with it. It changes nothing.

Redis keeps what it was given; what is missing or garbled here was deleted or overwritten by somebody, or lost.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from kernel.errors import ActorDamaged, ServerRefused
from kernel.store.audit import DAMAGED, actor_violations
from kernel.store.slices import read_steady
from kernel.store.turns import ENDED, LIVE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernel.store.space import Space

_UNUSABLE: Final = re.compile(
    r"WRONGTYPE|attempt to |bad argument|must be strings or integers|not a valid float|not an integer|hash value is not"
    r"|Invalid stream ID|XADD is equal or smaller"
)
"""What a server says when a script meets a key of another type, or a field that is gone or no number."""
_EVENTS: Final = ("generation", "appended", "consumed")
_NUMBERS: Final = ("created", "commands", "emitted")
_PERHAPS: Final = {
    "kept": re.compile(r"\d+\*?"),
    **dict.fromkeys(("retention", "timeout", "ended", "doomed", "priority"), re.compile(r"\d+")),
}
"""Fields that a record need not have, and what they must be for scripts to use them. (``ready`` and ``undelivered`` are
mended, whatever they are.)"""


def check_record(address: str, record: Mapping[str, str | bytes]) -> None:
    """Look whether a record (of an actor that was not deleted) has what every transition reads of it.

    Raises ActorDamaged: with what is wrong.
    """
    said = {
        name: value.decode(errors="replace") if isinstance(value, bytes) else value for name, value in record.items()
    }
    if missing := [name for name in ("status", "name", *_EVENTS, *_NUMBERS) if name not in said]:
        raise ActorDamaged(address, f"its record has no {', '.join(missing)}")
    if said["status"] not in LIVE | ENDED:
        raise ActorDamaged(address, f"its record has the status {said['status']!r}, which there is not")
    for name in _NUMBERS:
        if not said[name].isdecimal():
            raise ActorDamaged(address, f"its record's {name} is {said[name]!r}, which is no number")
    for name in _EVENTS:
        if not re.fullmatch(r"\d+-\d+", said[name]):
            raise ActorDamaged(address, f"its record's {name} is {said[name]!r}, which is no event's id")
    for name, form in _PERHAPS.items():
        if name in said and not form.fullmatch(said[name]):
            raise ActorDamaged(address, f"its record's {name} is {said[name]!r}, which is no number")


def is_damage(error: BaseException) -> bool:
    """Tell whether a call failed because of what is stored, and would do so again."""
    if isinstance(error, ServerRefused):
        return _UNUSABLE.search(error.error) is not None
    return isinstance(error, ActorDamaged)


async def journal_damage(space: Space, address: str) -> list[str]:
    """Return, in words, what is missing in an actor's journal or twice there; empty: it can be replayed."""
    try:
        found = await read_steady(space, address)
        if found is None or "generation" not in found.actor.record:
            return []
        return [one.text for one in actor_violations(found.found, found.actor) if one.code in DAMAGED]
    except ServerRefused as error:
        if not is_damage(error):
            raise
        return []  # it may be a place that actors share
    except (KeyError, ValueError, IndexError) as error:
        return [f"its keys cannot be read ({type(error).__name__}: {error})"]
