"""What the search found: for each guard the first seed that shows its absence. Kept in ``found.json`` beside this."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.testing.simulation import Schedule
from tests.simulation.guards.all import GUARDS
from tests.simulation.guards.focus import FOCUSES
from tests.simulation.guards.traces import TRACES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STORED: Final = Path(__file__).parent / "found.json"
DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "guarantees.md"
BEGIN: Final = "<!-- guards: written by scripts/soak --guards -->"
END: Final = "<!-- guards: end -->"


class Found(NamedTuple):
    """How the absence of one guard is seen."""

    guard: str
    seed: int
    """The first of the seeds that shows it."""
    schedule: str
    """The shortest schedule that was found from there; see ``Schedule``."""
    symptom: str
    """What the oracle says first, without ids."""

    @property
    def faults(self) -> str:
        """The faults of the schedule, in words."""
        return ", ".join(dict.fromkeys(fault.kind for fault in Schedule.parse(self.schedule).faults)) or "none"


def load() -> dict[str, Found]:
    """Return what is stored, by guard."""
    items: list[Mapping[str, Any]] = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else []
    return {item["guard"]: Found(**item) for item in items}


def store(found: Mapping[str, Found]) -> None:
    """Store what was found and write the table anew, in the order of the guards."""
    rows = [found[guard.name] for guard in GUARDS if guard.name in found]
    text = json.dumps([row._asdict() for row in rows], indent=1, ensure_ascii=False)
    STORED.write_text(text + "\n", encoding="utf-8")
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}", encoding="utf-8")


def table(rows: Iterable[Found]) -> str:
    """Return the table of docs/guarantees.md."""
    guards = {guard.name: guard for guard in GUARDS}
    lines = [
        "| guard | trace | without it the simulator says | work | seed | faults |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        guard = guards[row.guard]
        symptom = row.symptom.replace("|", "&#124;").replace("`", "'")
        cells = (
            f"*{guard.name}*: {guard.protects}",
            guard.trace,
            f"`{symptom}`",
            guard.focus,
            str(row.seed),
            row.faults,
        )
        lines.append(f"| {' | '.join(cells)} |")
    used = {guards[row.guard].trace for row in rows}
    lines += ["", "The traces, each a story on which a simpler protocol fails:", ""]
    lines += ["| trace | what happens |", "|---|---|"]
    lines += [f"| {trace} | {story} |" for trace, story in TRACES.items() if trace in used]
    lines += ["", "The work:", ""]
    lines += [f"- *{name}*: {focus.what}" for name, focus in FOCUSES.items() if name in {g.focus for g in GUARDS}]
    return "\n".join(lines)
