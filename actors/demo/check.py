"""The check: the same figures from the files alone, by other means than the workflows', and what differs.

Nothing of ``flows`` is used here: an error there must not be repeated by the check.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class Comparison(NamedTuple):
    """One figure, twice."""

    figure: str
    in_redis: int
    in_files: int

    @property
    def equal(self) -> bool:
        """Whether nothing was lost and nothing done twice."""
        return self.in_redis == self.in_files


def count_files(paths: Iterable[Path]) -> dict[str, int]:
    """Return the totals over files, read here and now."""
    totals: Counter[str] = Counter()
    for path in paths:
        totals["documents"] += 1
        totals["bytes"] += path.stat().st_size
        totals.update(count_text(path.read_bytes().decode()))
    return dict(totals)


def count_text(text: str) -> dict[str, int]:
    """Return the figures of one text."""
    words = len(text.split())
    return {
        "words": words,
        "headings": sum(map(_is_heading, text.split("\n"))),
        "links": text.count("]("),
        # 200 words a minute, begun seconds count.
        "reading_s": (words * 3 + 9) // 10,
    }


def compare(totals: Mapping[str, int], files: Mapping[str, int]) -> list[Comparison]:
    """Return every figure that either side has."""
    figures = [*files, *(figure for figure in totals if figure not in files)]
    return [Comparison(figure, totals.get(figure, 0), files.get(figure, 0)) for figure in figures]


def miscounted(counted: Mapping[str, int], paths: Iterable[Path]) -> list[str]:
    """Return the documents that were not counted once, with how often they were."""
    wanted = {str(path) for path in paths}
    return [
        f"{path}: counted {counted.get(path, 0)} times"
        for path in sorted(wanted | counted.keys())
        if counted.get(path, 0) != (path in wanted)
    ]


def _is_heading(line: str) -> bool:
    marks = len(line) - len(line.lstrip("#"))
    return 1 <= marks <= 6 and line[marks:].startswith(" ")  # noqa: PLR2004 - levels of headings
