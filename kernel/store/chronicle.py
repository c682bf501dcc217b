"""Chronicle: remembers what was recorded, to find that it changed. I1: an outcome is final; I7: an id is used once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.store.journal import other_event, outcome_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel.event import Event
    from kernel.store.snapshot import ActorKeys


class Chronicle:
    """Every event id ever seen and what it stood for, every outcome within its generation."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._events: dict[tuple[str, str], Event] = {}
        self._outcomes: dict[tuple[str, str, int], bytes] = {}

    def changes(self, actor: ActorKeys) -> Iterator[str]:
        """Yield what has changed that must not."""
        generation = actor.record.get("generation", "")
        for name, value in actor.journal.items():
            if name[0] not in "re" or name == "result":
                continue
            if name[0] == "r":
                event = outcome_event(int(name[1:]), value)
                if self._outcomes.setdefault((actor.address, generation, event.seq), value) != value:
                    yield f"I1: {actor.address}: outcome {event.seq} was recorded twice"
            else:
                event = other_event(value)
            known = self._events.setdefault((actor.address, event.id), event)
            if known != event and known != event._replace(at_ms=0):
                yield f"I7: {actor.address}: event id {event.id} was issued twice"

    def rolled_back(self) -> None:
        """The server has lost its last writes: outcomes may be recorded anew, under other ids.

        A call that was repeated by its sender may bring the same event at another time, so that its time is forgotten.
        """
        self._outcomes.clear()
        self._events = {key: event._replace(at_ms=0) for key, event in self._events.items()}
