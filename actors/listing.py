"""Listing: pages of instances, merged from the indexes of all partitions, workflows and statuses. It only reads.

An instance has one place in the order: the time at which it was created, and its address within a millisecond. A cursor
is the last place of a page, so instances that begin, end, move between statuses or are deleted meanwhile shift nothing.
All indexes of one workflow in one partition are read in one moment, so one that changes its status is not missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - part of a value
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypedDict, cast, get_args

from actors.damaged import naming_damage, reading
from actors.definitions import DEFAULT_VERSION
from actors.errors import InstanceDamaged, InvalidOption
from actors.options import read_tags, time_ms
from actors.views import moment
from actors.wording import nearest, shown
from kernel import KernelError, check_record, is_damage, keys

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from typing import Any

    from actors.definitions import Workflow
    from kernel import Store

StatusName = Literal["in_progress", "scheduled", "stopped", "completed", "failed", "canceled"]
"""The ``type`` of a status."""
Order = Literal["desc", "asc"]

STATUS_NAMES: Final[tuple[StatusName, ...]] = get_args(StatusName)
LIMIT_MAX: Final = 10_000
CHUNK: Final = 200
"""Places that are read at once."""
INDEXES_MAX: Final = 196
"""Indexes that one call reads, whole workflows of seven statuses."""

_IN_STORE: Final[dict[StatusName, tuple[str, ...]]] = {
    "in_progress": ("running", "canceling"),
    "scheduled": ("scheduled",),
    "stopped": ("stopped",),
    "completed": ("completed",),
    "failed": ("failed",),
    "canceled": ("canceled",),
}
_OF_STORE: Final[dict[str, StatusName]] = {
    stored: status for status, several in _IN_STORE.items() for stored in several
}


class Selection(TypedDict, total=False):
    """Which instances are meant: those that fit all that is said. What is left out, or None, says nothing."""

    workflow: Workflow[..., Any] | str | None
    """Those of one workflow, all versions; a definition or its registered name."""
    status: StatusName | None
    """Those that are so now."""
    tags: Mapping[str, str] | None
    """Those that have all these tags."""
    started_after: datetime | None
    """Those started at this time or later (aware)."""
    started_before: datetime | None
    """Those started earlier than this time (aware)."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One instance in a list."""

    id: str
    workflow: str
    """The registered name."""
    status: StatusName
    created: datetime
    """When it was started, or its start was asked for."""
    ended: datetime | None
    tags: dict[str, str] = field(default_factory=dict[str, str])
    version: str = DEFAULT_VERSION
    """The version under which it runs."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some of what was asked for, in order."""

    items: tuple[Listed, ...]
    cursor: str | None
    """Hand it in to get the next page; None: this is the last."""
    damaged: tuple[str, ...] = ()
    """Ids of instances, and keys, that should have been read for this page and make no sense: run headrace doctor."""


class _Place(NamedTuple):
    """Where an instance stands in the order."""

    created_ms: int
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A selection whose values were checked, and the order."""

    workflow: str | None
    statuses: tuple[StatusName, ...]
    tags: tuple[tuple[str, str], ...]
    after: str
    """Bounds of the creation time, as Redis writes them."""
    before: str
    newest_first: bool
    start: _Place | None
    """The last instance of the page before."""

    @classmethod
    def of(
        cls,
        selection: Selection,
        *,
        order: Order = "asc",
        cursor: str | None = None,
        statuses: tuple[StatusName, ...] = STATUS_NAMES,
    ) -> Query:
        """Check a selection. ``statuses``: which there are for the caller.

        Raises:
            InvalidOption: with what to give instead.
        """
        if order not in get_args(Order):
            raise InvalidOption(f"order={shown(order)}: give 'desc' (newest first) or 'asc'")
        _check_names(selection)
        workflow, after = selection.get("workflow"), selection.get("started_after")
        before = selection.get("started_before")
        return cls(
            workflow=_checked_workflow(workflow),
            statuses=_checked_status(selection.get("status"), statuses),
            tags=_checked_tags(selection.get("tags")),
            after="-inf" if after is None else str(time_ms("started_after", after)),
            before="+inf" if before is None else f"({time_ms('started_before', before)}",
            newest_first=order == "desc",
            start=None if cursor is None else _read_cursor(cursor),
        )

    def follows(self, place: _Place, last: _Place | None) -> bool:
        """Tell whether a place comes after another one; all come after None."""
        if last is None:
            return True
        return place < last if self.newest_first else place > last

    def fits(self, item: Listed) -> bool:
        """Tell whether an instance is one of those meant: it may have changed since its index was read."""
        return (
            item.status in self.statuses
            and self.workflow in {None, item.workflow}
            and all(item.tags.get(key) == value for key, value in self.tags)
        )


async def list_instances(
    connect: Callable[[], Awaitable[Store]], selection: Selection, *, order: Order, limit: int, cursor: str | None
) -> Page:
    """Return a page; the arguments are those of ``WorkflowManager.list``, which are checked before ``connect``."""
    if type(limit) is not int or not 1 <= limit <= LIMIT_MAX:
        raise InvalidOption(f"limit={shown(limit)}: give a whole number from 1 to {LIMIT_MAX:,}")
    query = Query.of(selection, order=order, cursor=cursor)
    found: list[tuple[_Place, Listed]] = []
    damaged: dict[str, None] = {}
    async for chunk in _chunks(await connect(), query, size=min(limit + 1, CHUNK), damaged=damaged):
        found += chunk
        if len(found) > limit:
            last = found[limit - 1][0]
            cursor = f"{last.created_ms}.{last.address}"
            return Page(tuple(item for _, item in found[:limit]), cursor, tuple(damaged))
    return Page(tuple(item for _, item in found), None, tuple(damaged))


async def each_chunk(store: Store, query: Query, *, size: int) -> AsyncGenerator[list[Listed], None]:
    """Yield all that a query means, some at a time, in order. What is yielded may be changed meanwhile."""
    async for chunk in _chunks(store, query, size=size, damaged={}):
        yield [item for _, item in chunk]


async def _chunks(
    store: Store, query: Query, *, size: int, damaged: dict[str, None]
) -> AsyncGenerator[list[tuple[_Place, Listed]], None]:
    """Yield what a query means; ids and keys that make no sense are passed over and put into ``damaged``."""
    last = query.start
    groups = await _index_groups(store, query)
    while True:
        replies = await asyncio.gather(
            *(
                _next_readable(store, tag, group, query=query, last=last, size=size, damaged=damaged)
                for tag in store.space.keys.tags
                for group in groups
            )
        )
        # What comes next of all is among what comes next in some partition. A set: one may have moved between calls.
        places = sorted({place for reply in replies for place in reply}, reverse=query.newest_first)[:size]
        items = await asyncio.gather(*(_describe(store, place, damaged) for place in places))
        yield [(place, item) for place, item in zip(places, items, strict=True) if item and query.fits(item)]
        if len(places) < size:
            return
        last = places[-1]


async def _index_groups(store: Store, query: Query) -> list[list[str]]:
    """Return the indexes to read, as one call may take them; by tags the smallest one, of which the rest is chosen."""
    if query.tags:
        indexes = [keys.tag_index(key, value) for key, value in query.tags]
        counts = await asyncio.gather(*(store.instances.count(index) for index in indexes))
        return [[min(zip(counts, indexes, strict=True))[1]]]
    names = [query.workflow] if query.workflow is not None else sorted(await store.instances.names())
    statuses = [stored for status in query.statuses for stored in _IN_STORE[status]]
    indexes = [keys.status_index(name, status) for name in names for status in statuses]
    size = INDEXES_MAX // len(statuses) * len(statuses)
    return [indexes[i : i + size] for i in range(0, len(indexes), size)]


async def _next_readable(
    store: Store,
    tag: str,
    indexes: Sequence[str],
    *,
    query: Query,
    last: _Place | None,
    size: int,
    damaged: dict[str, None],
) -> list[_Place]:
    """Return the next places; of indexes among which one cannot be read, those of the others."""
    try:
        return await _next(store, tag, indexes, query=query, last=last, size=size)
    except KernelError as error:
        if not is_damage(error):
            raise
    if len(indexes) == 1:
        damaged[keys.index(tag, indexes[0])] = None
        return []
    replies = [
        await _next_readable(store, tag, [index], query=query, last=last, size=size, damaged=damaged)
        for index in indexes
    ]
    return [place for reply in replies for place in reply]


async def _next(
    store: Store, tag: str, indexes: Sequence[str], *, query: Query, last: _Place | None, size: int
) -> list[_Place]:
    """Return the places of one partition's indexes that come after ``last``: all, or the next ``size`` at least."""
    after, before, count = query.after, query.before, size
    if last is not None and query.newest_first:
        before = str(last.created_ms)
    elif last is not None:
        after = str(last.created_ms)
    while True:
        pages = await store.instances.page(
            tag, indexes, before=before, after=after, count=count, newest_first=query.newest_first
        )
        found = [[_Place(ms, address) for address, ms in page] for page in pages]
        places = [place for page in found for place in page if query.follows(place, last)]
        cut = [page[-1] for page in found if len(page) == count]
        if not cut:
            return places
        # Behind the end of an index that was cut off, the others' places may be too early.
        horizon = max(cut) if query.newest_first else min(cut)
        sure = [place for place in places if not query.follows(place, horizon)]
        if len(sure) >= size:
            return sure
        # Some of the millisecond with which the last page ended were in it: look further.
        count *= 2


async def _describe(store: Store, place: _Place, damaged: dict[str, None]) -> Listed | None:
    """Return what is known of an instance; None if it was deleted meanwhile, is damaged, or of another kind."""
    kind, _, actor_id = place.address.partition("/")
    if kind != "wf":
        # What is called on completion is indexed by its label, which people may choose as they like.
        return None
    try:
        record = await _readable_record(store, place.address)
        with reading(place.address):
            return _listed(actor_id, place.created_ms, record) if record else None
    except InstanceDamaged:
        damaged[actor_id] = None
        return None


async def _readable_record(store: Store, address: str) -> dict[str, bytes]:
    """Return an instance's record; empty: it is gone. Raises InstanceDamaged."""
    with naming_damage(address):
        record = await store.instances.record(address)
        if not record or record.get("status") == b"gone":
            return {}
        check_record(address, record)
        return record


def _listed(actor_id: str, created_ms: int, record: Mapping[str, bytes]) -> Listed:
    return Listed(
        id=actor_id,
        workflow=record["name"].decode(),
        status=_OF_STORE[record["status"].decode()],
        created=cast("datetime", moment(created_ms)),
        ended=moment(record.get("ended", b"")),
        tags=read_tags(record.get("tags", b"")),
        version=record.get("version", DEFAULT_VERSION.encode()).decode(),
    )


def _read_cursor(cursor: str) -> _Place:
    created, point, address = cursor.partition(".") if isinstance(cast("object", cursor), str) else ("", "", "")
    if not point or not created.isdecimal():
        raise InvalidOption(f"cursor={shown(cursor)}: give the cursor of a page, or None for the first")
    return _Place(int(created), address)


def _check_names(selection: Selection) -> None:
    """Refuse what is no part of a selection: passed over, a misspelt filter would mean everything."""
    known = sorted(Selection.__annotations__)
    for name in selection:
        if name not in known:
            raise InvalidOption(
                f"{shown(name)} is no filter of workflows{nearest(name, known)}; the filters are {', '.join(known)}"
            )


def _checked_workflow(workflow: Workflow[..., Any] | str | None) -> str | None:
    if isinstance(workflow, str | None):
        return workflow
    if getattr(workflow, "kind", None) != "workflow":
        raise InvalidOption(f"workflow={shown(workflow)}: give a workflow, its registered name, or None for all")
    return workflow.name


def _checked_status(status: StatusName | None, there_are: tuple[StatusName, ...]) -> tuple[StatusName, ...]:
    if status is None:
        return there_are
    if status not in there_are:
        raise InvalidOption(f"status={shown(status)}: give one of {', '.join(there_are)}, or None for all of these")
    return (status,)


def _checked_tags(tags: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    given = cast("object", tags)
    pairs = tuple(cast("Mapping[object, object]", given).items()) if isinstance(given, Mapping) else ()
    if (given is not None and not isinstance(given, Mapping)) or not all(isinstance(x, str) for p in pairs for x in p):
        raise InvalidOption(f"tags={shown(tags)}: give a mapping of texts to texts")
    return cast("tuple[tuple[str, str], ...]", pairs)
