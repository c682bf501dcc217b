"""The search: takes each guard away, runs seeds until the simulator notices, and writes down what it saw.

``scripts/soak --guards`` runs it; the names of guards as arguments restrict it to those. One process, one core.
"""

from __future__ import annotations

import re
import sys
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from actors.testing.simulation import shrink
from tests.simulation.guards.all import GUARDS
from tests.simulation.guards.apart import ENDLESS, play_apart
from tests.simulation.guards.focus import FOCUSES
from tests.simulation.guards.found import Found, load, store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.testing.simulation import Run
    from tests.simulation.guards.guard import Guard

SEEDS_MAX: Final = 200
SHRINK_S: Final = 8.0
"""How long a shorter schedule is looked for, for each guard."""
SYMPTOM_MAX: Final = 160


def search(guard: Guard) -> Found | None:
    """Return how the absence of a guard is seen, or None if 200 seeds do not show it."""
    focus = FOCUSES[guard.focus]
    for seed in range(SEEDS_MAX):
        failed = play_apart(focus, focus.draw(seed), guard)
        if failed.error is None or str(failed.error) == ENDLESS:
            continue  # who never ends cannot be a test
        if play_apart(focus, failed.schedule).error is not None:
            continue  # that schedule fails anyhow: nothing to do with the guard
        least = shrink(lambda schedule: _ended(play_apart(focus, schedule, guard)), failed, seconds_max=SHRINK_S)
        if play_apart(focus, least.schedule).error is not None:
            least = failed
        return Found(guard.name, seed, str(least.schedule), symptom_of(least))
    return None


def _ended(run: Run) -> Run:
    """Let an endless run pass for one that is well: it cannot be a test."""
    return replace(run, error=None) if str(run.error) == ENDLESS else run


def symptom_of(run: Run) -> str:
    """Return what is wrong in one sentence, without what differs from run to run."""
    error = run.error
    lines = str(error).splitlines() or [type(error).__name__]
    said = next((line for line in lines if not line.startswith(("with seed", "  after ", "after "))), lines[0]).strip()
    said = said.partition(". Send the event")[0]
    said = re.sub(r"\d+-\d{6,}", "…", said)
    said = re.sub(r"\b[0-9a-f]{14,}(-w\d+)?\b", "…", said)
    if "reported an error of its own" in said:
        raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Refused)\b", line)]
        said = f"the engine reports an error of its own: {raised[-1] if raised else said.partition(': ')[2]}"
    return said if len(said) <= SYMPTOM_MAX else f"{said[:SYMPTOM_MAX]}…"


def main(names: Iterable[str]) -> int:
    """Search all guards, or those named; return how many were not seen."""
    warnings.simplefilter("ignore")
    found, missed = load(), 0
    wanted = set(names)
    if unknown := wanted - {guard.name for guard in GUARDS}:
        sys.exit(
            f"There is no guard {', '.join(map(repr, sorted(unknown)))}; there are: {', '.join(g.name for g in GUARDS)}"
        )
    for guard in GUARDS:
        if wanted and guard.name not in wanted:
            continue
        began = time.monotonic()
        seen = search(guard)
        if seen is None:
            missed += 1
            found.pop(guard.name, None)
        else:
            found[guard.name] = seen
        verdict = f"seed {seen.seed}: {seen.symptom}" if seen else f"NOT SEEN in {SEEDS_MAX} seeds"
        print(f"{guard.name}: {verdict} ({time.monotonic() - began:.0f} s)", flush=True)  # noqa: T201 - what it is for
        store(found)
    return missed


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
