"""The figures of a text, as the demo's steps count them. Pure; ``check`` counts the same by other means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

WORDS_A_MINUTE: Final = 200

_WORD: Final = re.compile(r"\S+")
_HEADING: Final = re.compile(r"^#{1,6} ", re.MULTILINE)
_LINK: Final = re.compile(r"\]\(")


@dataclass(frozen=True)
class Structure:
    """What Markdown there is."""

    headings: int
    links: int


def words_in(text: str) -> int:
    """Count what is not white space."""
    return sum(1 for _ in _WORD.finditer(text))


def structure_of(text: str) -> Structure:
    """Count headings and links."""
    return Structure(len(_HEADING.findall(text)), len(_LINK.findall(text)))


def reading_s(text: str) -> int:
    """Return the seconds that reading takes, begun ones included."""
    return -(-words_in(text) * 60 // WORDS_A_MINUTE)
