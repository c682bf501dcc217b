"""Output: how values, times and tables are written for people, and objects for programs."""

from __future__ import annotations

import json
import math
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from actors.errors import Failure

VALUE_CHARACTERS_MAX: Final = 60
"""How much of a value a table shows."""
PLAIN_WIDTH: Final = 200
"""Columns where the output is no terminal."""
LINE_CHARACTERS_MAX: Final = 2_000
"""How long the one line of an error may get."""

STYLES: Final[Mapping[str, str]] = {
    "completed": "green",
    "failed": "red",
    "canceled": "yellow",
    "stopped": "red",
    "in_progress": "cyan",
    "running": "cyan",
    "retrying": "yellow",
    "scheduled": "blue",
}


def console() -> Console:
    """Return the console for stdout. Nothing in what is printed is read as markup."""
    terminal = sys.stdout.isatty()
    return Console(markup=False, highlight=False, emoji=False, width=None if terminal else PLAIN_WIDTH)


def table(*columns: str) -> Table:
    """Return an empty table."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def write_json(value: object) -> None:
    """Write one object as one line."""
    sys.stdout.write(f"{as_json(value)}\n")
    sys.stdout.flush()


def as_json(value: object) -> str:
    """Return any value as JSON text: what JSON lacks becomes text (``"NaN"``, ``"-Infinity"``), bytes base64."""
    plain: Any = to_jsonable_python(
        value, fallback=str, bytes_mode="base64", inf_nan_mode="strings", serialize_unknown=True
    )
    return json.dumps(_finite(plain), ensure_ascii=False, separators=(", ", ": "), allow_nan=False)


def _finite(plain: object) -> object:
    """Return a value whose numbers JSON has; ``inf_nan_mode`` is about texts alone, not about plain objects."""
    match plain:
        case float() if math.isnan(plain):
            return "NaN"
        case float() if math.isinf(plain):
            return "Infinity" if plain > 0 else "-Infinity"
        case dict():
            return {key: _finite(value) for key, value in cast("dict[str, object]", plain).items()}
        case list():
            return [_finite(value) for value in cast("list[object]", plain)]
        case _:
            return plain


def shorten(value: object, characters_max: int = VALUE_CHARACTERS_MAX) -> str:
    """Return a value as short printable text."""
    text = value if isinstance(value, str) else as_json(value)
    text = printable(" ".join(text.split()))
    return text if len(text) <= characters_max else f"{text[: characters_max - 1]}…"


def printable(text: str) -> str:
    """Return text without anything that a terminal would obey."""
    return "".join(c if c.isprintable() else "·" for c in text)


def one_line(message: str) -> str:
    """Return a message as one printable line."""
    line = printable(" ".join(message.split()))
    return line if len(line) <= LINE_CHARACTERS_MAX else f"{line[:LINE_CHARACTERS_MAX]}…"


def state(name: str) -> Text:
    """Return the name of a status or state in its colour."""
    return Text(name, style=STYLES.get(name, ""))


def when(moment: datetime | None) -> str:
    """Return a time as people read it, in the local zone; empty for none."""
    if moment is None:
        return ""
    local = moment.astimezone()
    today = local.date() == datetime.now(UTC).astimezone().date()
    return local.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S")


def seconds(since: datetime | None, until: datetime | None) -> str:
    """Return how long something took; empty where either end is not known."""
    if since is None or until is None:
        return ""
    return duration((until - since).total_seconds())


def duration(length_s: float) -> str:
    """Return a length of time, in the unit that suits it."""
    if length_s < 1:
        return f"{max(length_s, 0) * 1000:.0f} ms"
    if length_s < 120:  # noqa: PLR2004 - up to two minutes in seconds
        return f"{length_s:.1f} s"
    minutes, rest = divmod(round(length_s), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def counted(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def error_line(error: Failure) -> str:
    """Return a failure in one short line."""
    return shorten(str(error.to_exception()), 2 * VALUE_CHARACTERS_MAX)


def write_rows(rows: Iterable[tuple[str, object]]) -> None:
    """Write names and values, one pair a line."""
    pairs = table("", "")
    pairs.show_header = False
    for name, value in rows:
        pairs.add_row(Text(name, style="bold"), value if isinstance(value, Text) else printable(str(value)))
    console().print(pairs)
