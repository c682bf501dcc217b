"""Listing: pages of instances, merged from the indexes of all partitions, workflows and statuses. It only reads."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - part of a value
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast, get_args

from actors.errors import InvalidOption
from actors.options import time_ms
from actors.views import moment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from kernel import Store

StatusName = Literal["in_progress", "scheduled", "stopped", "completed", "failed", "canceled"]
"""The ``type`` of a status."""
Order = Literal["desc", "asc"]

STATUS_NAMES: Final[tuple[StatusName, ...]] = get_args(StatusName)
LIMIT_MAX: Final = 10_000

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


@dataclass(frozen=True, slots=True)
class Page:
    """Some of what was asked for, in order."""

    items: tuple[Listed, ...]
    cursor: str | None
    """Hand it in to get the next page; None: this is the last."""


class _Place(NamedTuple):
    """Where an instance stands in the order: by creation, and by address within a millisecond."""

    created_ms: int
    address: str


class _Index(NamedTuple):
    tag: str
    name: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Query:
    after: str
    """Bounds of the creation time, as Redis writes them."""
    before: str
    newest_first: bool
    limit: int
    start: _Place | None
    """The last instance of the page before."""

    def follows(self, place: _Place) -> bool:
        """Tell whether a place comes after the last page."""
        if self.start is None:
            return True
        return place < self.start if self.newest_first else place > self.start


async def list_instances(
    connect: Callable[[], Awaitable[Store]],
    *,
    workflow: str | None,
    status: StatusName | None,
    started_after: datetime | None,
    started_before: datetime | None,
    order: Order,
    limit: int,
    cursor: str | None,
) -> Page:
    """Return a page; the arguments are those of ``WorkflowManager.list``, which are checked before ``connect``."""
    query = _query(started_after=started_after, started_before=started_before, order=order, limit=limit, cursor=cursor)
    statuses = _statuses(status)
    store = await connect()
    indexes = await _indexes(store, workflow, statuses)
    found = {place for places in await asyncio.gather(*(_read(store, i, query) for i in indexes)) for place in places}
    places = sorted(found, reverse=query.newest_first)
    kept, more = places[:limit], len(places) > limit
    items = await asyncio.gather(*(_describe(store, place) for place in kept))
    return Page(
        tuple(item for item in items if item is not None),
        f"{kept[-1].created_ms}.{kept[-1].address}" if more else None,
    )


def _query(
    *,
    started_after: datetime | None,
    started_before: datetime | None,
    order: str,
    limit: int,
    cursor: str | None,
) -> _Query:
    if order not in get_args(Order):
        raise InvalidOption(f"order={order!r}: give 'desc' (newest first) or 'asc'")
    if type(limit) is not int or not 1 <= limit <= LIMIT_MAX:
        raise InvalidOption(f"limit={limit!r}: give a whole number from 1 to {LIMIT_MAX:,}")
    after = "-inf" if started_after is None else str(time_ms("started_after", started_after))
    before = "+inf" if started_before is None else f"({time_ms('started_before', started_before)}"
    start = None if cursor is None else _read_cursor(cursor)
    newest_first = order == "desc"
    if start is not None and newest_first:
        before = str(start.created_ms)
    elif start is not None:
        after = str(start.created_ms)
    return _Query(after=after, before=before, newest_first=newest_first, limit=limit, start=start)


def _read_cursor(cursor: str) -> _Place:
    created, point, address = cursor.partition(".")
    if not point or not created.isdecimal():
        raise InvalidOption(f"cursor={cursor!r}: give the cursor of a page, or None for the first")
    return _Place(int(created), address)


def _statuses(status: StatusName | None) -> Sequence[str]:
    if status is None:
        return tuple(_OF_STORE)
    if status not in _IN_STORE:
        raise InvalidOption(f"status={status!r}: give one of {', '.join(STATUS_NAMES)}, or None for all")
    return _IN_STORE[status]


async def _indexes(store: Store, workflow: str | None, statuses: Sequence[str]) -> Sequence[_Index]:
    names = {workflow} if workflow is not None else await store.instances.names()
    return [_Index(tag, name, one) for tag in store.space.keys.tags for name in names for one in statuses]


async def _read(store: Store, index: _Index, query: _Query) -> list[_Place]:
    """Return at most ``limit`` + 1 places of one index that follow the last page."""
    count = query.limit + 1
    while True:
        page = await store.instances.page(
            index.tag,
            name=index.name,
            status=index.status,
            before=query.before,
            after=query.after,
            count=count,
            newest_first=query.newest_first,
        )
        places = [place for address, created in page if query.follows(place := _Place(created, address))]
        if len(page) < count or len(places) > query.limit:
            return places
        # Some of the millisecond with which the last page ended were in it: look further.
        count *= 2


async def _describe(store: Store, place: _Place) -> Listed | None:
    """Return what is known of an instance; None if it was deleted meanwhile."""
    record = await store.instances.record(place.address)
    status = record.get("status", b"gone").decode()
    if status == "gone":
        return None
    return Listed(
        id=place.address.partition("/")[2],
        workflow=record["name"].decode(),
        status=_OF_STORE[status],
        created=cast("datetime", moment(place.created_ms)),
        ended=moment(record.get("ended", b"")),
    )
