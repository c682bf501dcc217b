"""Refusals: how long what cannot be done by this worker is left to others. It remembers; it does nothing itself.

Others get it at once the first times, so that a worker that can do it soon has it; only what nobody seems to be able to
do comes back ever later. After each long time there is a round of quick ones again, for workers that came meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

QUICK_MS: Final = 10
"""How long it is left to others within a round; as long as they need to take it."""
ROUND: Final = 10
"""Times that it is refused in one round."""
LONG_MS: Final = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000)
"""How long it is left to others after each round."""
REMEMBERED_MAX: Final = 10_000
"""Things of which it is remembered how often they came."""


class Refusals:
    """What one worker refused, by keys, and how often."""

    def __init__(self, long_ms: Sequence[int] = LONG_MS) -> None:
        """``long_ms``: how long something is left to others after each round; after more rounds the last of these."""
        self._long_ms = long_ms
        self._times: dict[str, int] = {}

    def delay_ms(self, key: str) -> int:
        """Count one more refusal; return how long it is to be left to others."""
        if len(self._times) > REMEMBERED_MAX:
            self._times.clear()
        times = self._times[key] = self._times.get(key, 0) + 1
        rounds, rest = divmod(times, ROUND)
        return QUICK_MS if rest else self._long_ms[min(rounds, len(self._long_ms)) - 1]

    def begin_anew(self, key: str) -> None:
        """Count from one again: what was refused now is something else under the same key."""
        self._times[key] = 1
