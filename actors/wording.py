"""Wording: how values stand in messages for people. It decides nothing."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN_CHARACTERS_MAX: Final = 80
"""How much of a value a message repeats: enough to find it by, whatever its size."""


def shown(value: object) -> str:
    """Return ``repr(value)`` in at most 80 characters: its beginning and its end, and what is not shown between."""
    if isinstance(value, str) and len(value) > 2 * SHOWN_CHARACTERS_MAX:
        value = value[:SHOWN_CHARACTERS_MAX] + value[-SHOWN_CHARACTERS_MAX:]
    return _shorten(repr(value))


def nearest(name: object, known: Iterable[str]) -> str:
    """Return `` (did you mean 'tags'?)`` for a name that is close to a known one; nothing, if none is."""
    close = get_close_matches(str(name), sorted(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _shorten(text: str) -> str:
    if len(text) <= SHOWN_CHARACTERS_MAX:
        return text
    end = SHOWN_CHARACTERS_MAX // 4
    return f"{text[: SHOWN_CHARACTERS_MAX - end - 1]}…{text[-end:]}"
