"""``scripts/recovery``: how long a step stands still when its worker is killed, or its server.

Kills overlap: several pairs of workers, each pair a namespace of its own with heartbeats and reapers of its own, share
one server. Within a pair one worker is killed at a time, at a random moment of a step that only it runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from typing import TYPE_CHECKING, Final

from tests.chaos.ending import run_to_the_end
from tests.chaos.report import Times
from tests.chaos.run import run
from tests.chaos.stage import Settings, Stage
from tests.topology.places import NotHere

if TYPE_CHECKING:
    from collections.abc import Sequence

PAIRS: Final = 4
KILLS_MAX: Final = 1_000
TIMEOUTS_S: Final = (5.0, 1.0)
KILL_S_MAX: Final = 60.0
"""What one kill and its recovery may take."""
OUTAGES: Final = (("everysec", "restart", 25.0), ("sentinel", "primary", 55.0), ("cluster", "primary", 55.0))
"""Place, injection, and s of load, at default settings."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as asked and print it; return 0."""
    parser = argparse.ArgumentParser(prog="scripts/recovery", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of workers, at each timeout (default: 50)")
    parser.add_argument("--only", choices=("kills", "outages"), help="measure workers' deaths, or servers', alone")
    parser.add_argument("--json", action="store_true", help="one object a line")
    said = parser.parse_args(arguments)
    if not 1 <= said.kills <= KILLS_MAX:
        parser.error(f"--kills {said.kills}: give 1 to {KILLS_MAX}")
    try:
        for timeout_s in () if said.only == "outages" else TIMEOUTS_S:
            _say(
                f"worker killed, worker_timeout {timeout_s:g} s",
                run_to_the_end(_kills(said.kills, timeout_s)),
                said.json,
            )
        for place, kind, seconds in () if said.only == "kills" else OUTAGES:
            for name, times in _outages(place, kind, seconds).items():
                _say(f"{place}: {name}", times, said.json)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; everything that was started has ended\n")
        return 130
    return 0


def _say(what: str, times: Times | None, as_json: bool) -> None:
    assert times is not None
    text = json.dumps({"what": what, "count": times.count, "p50": times.p50, "max": times.max}) if as_json else None
    sys.stdout.write(f"{text or f'{what}: {times}'}\n")
    sys.stdout.flush()


def _outages(place: str, kind: str, seconds: float) -> dict[str, Times]:
    settings = Settings(place=place, seed=1, seconds=seconds, workers=2, rate=20, only=(kind,))
    try:
        return run_to_the_end(run(settings, lambda _: None)).recovery
    except NotHere as error:
        sys.stderr.write(f"{place} is left out: {error}\n")
        return {}


async def _kills(count: int, timeout_s: float) -> Times | None:
    settings = Settings(place="everysec", seed=0, seconds=0, workers=2, worker_timeout_s=timeout_s)
    left = iter(range(count))
    found: list[float] = []

    async def pair(first: Stage | None) -> None:
        async with Stage(settings, lambda _: None, beside=first) as stage:
            for number in left:
                async with asyncio.timeout(KILL_S_MAX):
                    found.append(await _kill(stage, number))

    async with Stage(settings._replace(workers=0), lambda _: None) as server, asyncio.TaskGroup() as group:
        for _ in range(min(PAIRS, count)):
            group.create_task(pair(server))
    return Times.of(found)


async def _kill(stage: Stage, number: int) -> float:
    """Kill the worker that runs a step; return how long it took until the step ran elsewhere, s."""
    await stage.all_there()
    order = stage.load.submit("held", number)
    while not (marks := _of(stage, order.id)):  # noqa: ASYNC110 - another process writes them
        await asyncio.sleep(0.01)
    # Anywhere between two heartbeats, and between two looks of the reaper.
    await asyncio.sleep(random.random() * stage.settings.worker_timeout_s / 5)
    hand = next(hand for hand in stage.crew.hands if hand.pid == marks[0])
    killed_s = time.time()
    await stage.crew.kill(hand, cause="kill")
    while len(_of(stage, order.id)) == 1:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.01)
    second = [mark for mark in stage.marks() if mark.workflow_id == order.id][1]
    assert second.pid != hand.pid
    return second.at_s - killed_s


def _of(stage: Stage, workflow_id: str) -> list[int]:
    return [mark.pid for mark in stage.marks() if mark.workflow_id == workflow_id]


if __name__ == "__main__":
    sys.exit(main())
