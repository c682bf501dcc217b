"""Treatment: mends what was found, each thing by a script that looks once more, and says what it did."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from actors.doctor.finding import DONE, MENDS, PURGED, Finding
from actors.errors import Failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from kernel import Consumer, Placed, Store

_UNKNOWN: Final = Failure(
    kind="OutcomeUnknown",
    error_type="WorkerDied",
    message="what Redis knew of it was damaged, and it may run at most once: find out whether it happened before doing "
    "it again",
).encode()
_COMMAND: Final = re.compile(r"command (\d+)")


class Treatment:
    """Mends, if it may; else it leaves findings as they are."""

    def __init__(self, store: Store, *, repair: bool, purge_after_s: float) -> None:
        """``purge_after_s``: keys without a record are deleted once they have not been used for so long."""
        self._store = store
        self._repair = repair
        self._purge_after_s = purge_after_s

    async def actor(
        self,
        address: str,
        findings: Sequence[Finding],
        *,
        look: Callable[[str], Awaitable[list[Finding]]] | None,
    ) -> list[Finding]:
        """Mend an actor; return its findings with what was done about them.

        ``look``: tells what is still wrong with it; what is not any more has come right with the rest.
        """
        if not self._repair:
            return list(findings)
        codes = dict.fromkeys(finding.code for finding in findings)
        done = {code: await self._mend(address, code, findings) for code in codes}
        if not any(done.values()):
            return list(findings)
        left = {one.code for one in await look(address)} if look is not None else set[str]()
        return [
            one if one.code in left else replace(one, repaired=done[one.code] or "came right with the rest")
            for one in findings
        ]

    async def _mend(self, address: str, code: str, findings: Sequence[Finding]) -> str:
        mending = self._store.mending
        if code in PURGED:
            return await self._purge(address, code)
        what = MENDS.get(code)
        if what is None:
            return ""
        if what != "commands":
            return DONE[what] if await mending.mend(address, what) else ""
        healed = await mending.place_again(address) if code == "lost_place" else 0
        commands = [int(found[1]) for one in findings if one.code == code if (found := _COMMAND.search(one.text))]
        asked = await mending.mend(address, what, unknown=_UNKNOWN, commands=commands)
        return DONE[what] if healed + asked else ""

    async def _purge(self, address: str, code: str) -> str:
        mending = self._store.mending
        if code == "leftover_keys" and self._purge_after_s > 0:
            idle_s = await mending.idle_s(address)
            if idle_s is None or idle_s < self._purge_after_s:
                return ""
        purged = await mending.purge(address)
        return f"deleted {purged} keys, or let them expire" if purged else ""

    async def place(self, place: Placed, finding: Finding) -> Finding:
        """Take out of its place what no actor names."""
        if self._repair and await self._store.mending.drop(place):
            return replace(finding, repaired="took it out")
        return finding

    async def consumer(self, consumer: Consumer, finding: Finding) -> Finding:
        """Delete a consumer on which nothing is pending."""
        if not self._repair or consumer.pending:
            return finding
        forgotten = await self._store.custody.forget(consumer.stream, consumer.group, consumer.name)
        return replace(finding, repaired="deleted the consumer") if forgotten else finding
