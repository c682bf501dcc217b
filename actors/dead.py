"""Dead letters: what was set aside for a person: messages that could not be carried out, steps that killed workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from actors.errors import DeadLetterNotFound, DeadLetterStale, InvalidOption, Misuse, WorkflowNotFound
from actors.names import worker_name
from actors.options import duration_ms
from actors.views import moment
from actors.wording import shown
from kernel import NoSuchLetter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

    from actors.manager import WorkflowManager
    from actors.options import Duration
    from kernel import DeadLetter

LIMIT_MAX: Final = 1_000
MESSAGE: Final = "g."
"""What ids of messages begin with."""
_FIELDS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Dead:
    """One thing that was set aside."""

    id: str
    kind: Literal["message", "step"]
    """``message``: to the gateway, which could not carry it out. ``step``: workers died while they ran it."""
    at: datetime
    """When it was set aside."""
    reason: str
    workflow_id: str = ""
    """The instance that it is about; empty: a message that names none."""
    seq: int = 0
    """Number of the step; 0: it is a message."""
    step: str = ""
    """Registered name of the step."""
    worker: str = ""
    """The last worker that died of it."""
    fields: dict[str, str] = field(default_factory=dict[str, str])
    """Of a message: as it was published."""
    message: str = ""
    """Of a message: the id that its sender's XADD returned. ``id`` is that of the letter, set aside later."""


@dataclass(frozen=True, slots=True)
class DeadPage:
    """A page of what was set aside."""

    items: tuple[Dead, ...]
    cursor: str | None
    """Of the next page; None: this is the last."""


class DeadLetters:
    """``manager.dead``: what was set aside in a namespace."""

    def __init__(self, manager: WorkflowManager) -> None:
        """Nothing is asked of Redis."""
        self._manager = manager

    async def list(self, *, limit: int = 100, cursor: str | None = None) -> DeadPage:
        """Return a page: messages, then steps, partition by partition, the oldest first.

        Args:
            limit: how many a page, 1 to 1,000.
            cursor: that of the page before.

        Raises:
            InvalidOption: with what to give instead.
        """
        if type(limit) is not int or not 1 <= limit <= LIMIT_MAX:
            raise InvalidOption(f"limit={shown(limit)}: give a whole number from 1 to {LIMIT_MAX:,}")
        found: list[Dead] = []
        async for letter in self._letters(cursor, count=limit + 1):
            if len(found) == limit:
                return DeadPage(tuple(found), found[-1].id)
            found.append(_read(letter))
        return DeadPage(tuple(found), None)

    async def _letters(self, cursor: str | None, *, count: int = LIMIT_MAX) -> AsyncIterator[DeadLetter]:
        dead = (await self._manager.store()).dead
        source, _, after = (cursor or "").partition(".")
        sources = dead.sources
        if cursor is not None and (source not in sources or not after.replace("-", "", 1).isdecimal()):
            raise InvalidOption(f"cursor={shown(cursor)}: give the cursor of a page, or None for the first")
        for one in sources[sources.index(source) if source else 0 :]:
            last = after if one == source else ""
            while page := await dead.page(one, after=last, count=count):
                for letter in page:
                    yield letter
                last = page[-1].id.partition(".")[2]

    async def show(self, letter_id: str, /) -> Dead:
        """Return one. Raises DeadLetterNotFound: there is none of that id."""
        return _read(await self._get(letter_id))

    async def requeue(self, letter_id: str, /, *, fields: Mapping[str, str] | None = None) -> None:
        """Have it tried again, and take it out.

        A message goes to the gateway once more. It stays the message that it was: it takes effect once, however often
        it is requeued. A step's instance is restarted from that step, if it has ended.

        Args:
            letter_id: as ``list`` has it.
            fields: of a message: fields to replace or add, such as corrected ``args``; an empty text takes one away.

        Raises:
            DeadLetterNotFound: there is none of that id.
            DeadLetterStale: the instance began anew since, or it is what was called on a completion.
            WorkflowRunning: the instance has not ended: it took the failure as an answer.
            WorkflowNotFound: the instance was cleaned up.
            WorkflowBusy: it is still being cleared up.
            Misuse: fields for a step.
        """
        letter = await self._get(letter_id)
        if letter.id.startswith(MESSAGE):
            changed = letter.fields | {name: value.encode() for name, value in (fields or {}).items()}
            changed = {name: value for name, value in changed.items() if value or name not in (fields or {})}
            if not changed or len(changed) > _FIELDS_MAX:
                raise Misuse(f"a message has 1 to {_FIELDS_MAX} fields")
            await (await self._manager.store()).dead.publish(letter, changed)
        else:
            if fields:
                raise Misuse(f"{shown(letter_id)} is a step: only messages have fields that can be corrected")
            await self._restart(letter)
        await self.drop(letter_id)

    async def _restart(self, letter: DeadLetter) -> None:
        read = _read(letter)
        address, generation = letter.fields["a"].decode(), letter.fields["g"].decode()
        if not address.startswith("wf/"):
            raise DeadLetterStale(
                f"{letter.id!r} was called on the completion of {read.workflow_id!r}: restart that workflow, or drop it"
            )
        record = await (await self._manager.store()).instances.record(address)
        if record.get("status", b"gone") == b"gone":
            raise WorkflowNotFound(
                f"there is no workflow {read.workflow_id!r} any more: headrace dead drop {letter.id}"
            )
        if record["generation"].decode() != generation:
            raise DeadLetterStale(
                f"workflow {read.workflow_id!r} began anew since {letter.id!r} was set aside: see headrace show "
                f"{read.workflow_id}, then restart it from a step, or drop this"
            )
        await self._manager.handle(read.workflow_id).restart(from_step=read.seq)

    async def drop(self, letter_id: str, /) -> bool:
        """Delete it for good; False: it is gone already. Raises DeadLetterNotFound: that cannot be its id."""
        try:
            return await (await self._manager.store()).dead.drop(letter_id)
        except NoSuchLetter as error:
            raise DeadLetterNotFound(str(error)) from None

    async def drop_all(self, *, older_than: Duration) -> int:
        """Delete for good what was set aside longer ago; return how many. Raises InvalidOption."""
        store = await self._manager.store()
        before_ms = store.space.now_ms() - duration_ms("older_than", older_than)
        gone = 0
        async for letter in self._letters(None):
            if letter.at_ms <= before_ms:
                gone += await store.dead.drop(letter.id)
        return gone

    async def _get(self, letter_id: str) -> DeadLetter:
        try:
            return await (await self._manager.store()).dead.get(letter_id)
        except NoSuchLetter as error:
            raise DeadLetterNotFound(str(error)) from None


def _read(letter: DeadLetter) -> Dead:
    text = {name: value.decode(errors="replace") for name, value in letter.fields.items()}
    at = moment(letter.at_ms)
    assert at is not None, "an entry's id is its time"
    if letter.id.startswith(MESSAGE):
        return Dead(letter.id, "message", at, letter.reason, text.get("id", ""), fields=text, message=letter.came_as)
    worker, crashes = text.get("worker", ""), text.get("crashes", "0")
    reason = f"its worker died {crashes} times, the last was {worker_name(worker)}"
    actor_id = text.get("a", "/").partition("/")[2]
    workflow_id = actor_id if text.get("a", "").startswith("wf/") else actor_id.partition("/on_complete/")[0]
    return Dead(letter.id, "step", at, reason, workflow_id, int(text.get("s", 0)), text.get("t", ""), worker)
