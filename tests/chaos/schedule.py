"""Schedule: which injections come when, drawn from a seed. Pure."""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

PLACES: Final = ("everysec", "always", "sentinel", "cluster")
"""A standalone server with either setting of ``appendfsync``, and the two topologies."""

_WORKERS: Final = ("kill", "pause", "exit", "swell", "overdo", "stubborn")
KINDS: Final[dict[str, tuple[str, ...]]] = {
    "everysec": (*_WORKERS, "restart", "disk", "memory"),
    "always": (*_WORKERS, "restart", "memory"),
    "sentinel": (*_WORKERS, "failover", "primary"),
    "cluster": (*_WORKERS, "failover", "primary"),
}
"""What can be injected at each place. Where each write is synced, Redis ends itself when its disk is full."""

WEIGHTS: Final = {"kill": 3, "pause": 2}
"""How often a kind is in the bag that is drawn empty before it is filled again; others once."""
CALM_S: Final = {"restart": 3.0, "disk": 5.0, "memory": 4.0, "failover": 8.0, "primary": 12.0}
"""What comes next comes so much later at the least; after others 1 s."""
FIRST_S: Final = 1.5
TAIL_S: Final = 2.0
"""Nothing begins so shortly before the end."""


class Planned(NamedTuple):
    """One injection."""

    at_s: float
    """After the start of the load."""
    kind: str
    size: float
    """0 to 1: how long or how much; what it means is the kind's business."""


class UnknownKind(Exception):
    """A kind that does not exist, or not at that place; the message names those that do."""


def plan(seed: int, *, place: str, seconds: float, only: tuple[str, ...] = (), haste: float = 1.0) -> list[Planned]:
    """Return the injections of a run, in their order. ``haste``: 2 for twice as many in the time.

    Raises:
        UnknownKind: ``only`` has one that no place has.
    """
    every = {kind for kinds in KINDS.values() for kind in kinds}
    if unknown := set(only) - every:
        raise UnknownKind(f"{', '.join(sorted(unknown))}: there are {', '.join(sorted(every))}")
    kinds = [kind for kind in KINDS[place] if not only or kind in only]
    random = Random(f"{seed} {place}")
    planned: list[Planned] = []
    bag: list[str] = []
    at_s = FIRST_S
    while kinds and at_s < seconds - TAIL_S:
        if not bag:
            bag = [kind for kind in kinds for _ in range(WEIGHTS.get(kind, 1))]
            random.shuffle(bag)
        kind = bag.pop()
        planned.append(Planned(round(at_s, 2), kind, round(random.random(), 3)))
        at_s += (CALM_S.get(kind, 1.0) + 1.5 * random.random()) / haste
    return planned
