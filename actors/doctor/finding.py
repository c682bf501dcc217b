"""Findings: what the doctor says, and what it advises about each kind of damage. Values and texts only."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from kernel import Mendable

Kind = Literal["server", "worker", "invariant", "stuck", "dead", "orphan"]
"""``server``: its settings and state. ``invariant``: what must always hold between keys. ``stuck``: an instance that
does not go on. ``orphan``: keys, members and entries that nothing owns."""
Severity = Literal["problem", "note"]
"""A note tells something worth knowing; it is not counted as ill health."""
FINDINGS_MAX: Final = 1_000
"""Findings that a report holds; what is beyond is counted (and mended) all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found."""

    kind: Kind
    code: str
    """What it is, in one word for programs."""
    subject: str
    """What it is about: a workflow's id, a key, a worker, a server."""
    text: str
    advice: str
    """What to do about it."""
    severity: Severity = "problem"
    repaired: str = ""
    """What the doctor did about it; empty: nothing."""


@dataclass(slots=True)
class Report:
    """What one examination has found."""

    facts: dict[str, str] = field(default_factory=dict[str, str])
    """What the server is and how it is set, by name."""
    findings: list[Finding] = field(default_factory=list[Finding])
    """In the order found, ``FINDINGS_MAX`` at most."""
    counts: Counter[str] = field(default_factory=Counter[str])
    """How many findings there are, by code."""
    instances: int = 0
    """Instances that were looked at, and what was called on their completion."""
    problems: int = 0
    """Findings that are no notes and were not mended."""
    repaired: int = 0

    @property
    def healthy(self) -> bool:
        """Whether nothing is left to be done."""
        return self.problems == 0

    def add(self, finding: Finding) -> None:
        """Take a finding down."""
        self.counts[finding.code] += 1
        if finding.repaired:
            self.repaired += 1
        elif finding.severity == "problem":
            self.problems += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(finding)


REPAIR: Final = "headrace doctor --repair"
DISCARD: Final = "headrace doctor --discard {id} --yes"
_LOST: Final = (
    f"this data is lost: restore the server from a copy, or remove the instance by {DISCARD}, and start it again; "
    "look for what wrote to or deleted Headrace's keys"
)
MENDS: Final[dict[str, Mendable]] = {
    "lost_ready": "ready",
    "not_ready": "ready",
    "idle_ready": "ready",
    "never_starts": "start",
    "misindexed": "indexes",
    "wrong_mailbox": "mailbox",
    "leftovers": "ending",
    "unswept": "ending",
    "miscounted": "messages",
    "lost_open": "commands",
    "lost_place": "commands",
}
"""What each violation of an actor is mended by."""
PURGED: Final = frozenset({"leftover_keys", "immortal_tombstone"})
_ADVICE: Final[dict[str, str]] = {
    "lost_ready": f"{REPAIR} puts it among the ready again",
    "not_ready": f"{REPAIR} puts it among the ready again",
    "idle_ready": f"{REPAIR} takes the entry out",
    "never_starts": f"{REPAIR} schedules its start again",
    "misindexed": f"{REPAIR} puts it into its indexes, so that lists show it",
    "wrong_mailbox": f"{REPAIR} drops the mailbox: the journal has every event",
    "leftovers": f"{REPAIR} deletes them",
    "unswept": f"{REPAIR} clears them up",
    "miscounted": f"{REPAIR} counts them anew (while there are at most 1,000 in the partition)",
    "lost_open": f"{REPAIR} asks for it again; an at-most-once action ends as OutcomeUnknown instead",
    "lost_place": f"{REPAIR} puts it into its place again",
    "lost_outcome": "it is not done again by itself, since it may have been done: restore the server from a copy; or "
    "find out whether it was done, headrace cancel the instance, and headrace restart it from that step to do it again",
    "leftover_keys": f"{REPAIR} deletes them, once they have not been used for --orphans-older-than",
    "immortal_tombstone": f"{REPAIR} lets it expire in an hour",
    "nothing_pending": "nothing will ever wake it: cancel it by headrace cancel, then headrace restart it from a step",
    "stopped_damaged": "its journal is damaged, so no change of code helps: restore the server from a copy and "
    "headrace resume it; or headrace cancel it, and restart it from a step before what is lost or start it again; or "
    f"remove it by {DISCARD}",
}
DONE: Final[dict[str, str]] = {
    "ready": "mended its ready entry",
    "start": "scheduled its start again",
    "indexes": "put it into its indexes",
    "mailbox": "dropped the mailbox",
    "ending": "cleared up what was left",
    "messages": "counted its messages anew",
    "commands": "asked for the command again",
}


def advice(code: str, workflow_id: str) -> str:
    """Return what to do about a violation of an actor."""
    return _ADVICE.get(code, _LOST).replace("{id}", shlex.quote(workflow_id))
