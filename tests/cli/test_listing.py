from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from actors import InvalidOption, Step, WorkflowManager

if TYPE_CHECKING:
    from actors.listing import Order, Page


def manager_of(name: str) -> WorkflowManager:
    manager = WorkflowManager(f"memory://{name}", partitions=3)

    @manager.workflow(name="one")
    async def one(step: Step, number: int) -> None: ...

    @manager.workflow(name="two")
    async def two(step: Step, number: int) -> None: ...

    return manager


async def start(manager: WorkflowManager, name: str, count: int) -> None:
    flow = manager.get_workflow(name)
    await manager.start_many(flow.with_options(id=f"{name}-{number:02d}").bind(number) for number in range(count))


async def pages(manager: WorkflowManager, *, order: Order, limit: int) -> list[Page]:
    found = [await manager.list(order=order, limit=limit)]
    while found[-1].cursor is not None:
        found.append(await manager.list(order=order, limit=limit, cursor=found[-1].cursor))
    return found


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 7, 44, 45, 100])
def test_pages_show_each_instance_once_and_in_order_even_within_a_millisecond(order: Order, limit: int) -> None:
    async def inside() -> None:
        async with manager_of(f"pages-{order}-{limit}") as manager:
            await start(manager, "one", 40)
            await start(manager, "two", 5)

            found = await pages(manager, order=order, limit=limit)

            items = [item for page in found for item in page.items]
            assert len(items) == 45
            assert len({item.id for item in items}) == 45
            assert [item.created for item in items] == sorted((item.created for item in items), reverse=order == "desc")
            assert all(len(page.items) == limit for page in found[:-1])

    asyncio.run(inside())


def test_filters_choose_by_workflow_status_and_time() -> None:
    async def inside() -> None:
        async with manager_of("filters") as manager:
            await start(manager, "one", 3)
            await start(manager, "two", 2)
            await manager.handle("one-01").cancel()
            later = manager.get_workflow("two").with_options(id="later", run_after=timedelta(hours=1))
            await manager.start_many([later.bind(1)])

            async def ids(**filters: object) -> set[str]:
                return {item.id for item in (await manager.list(**filters)).items}  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

            assert await ids(workflow="one") == {"one-00", "one-01", "one-02"}
            assert await ids(workflow=manager.get_workflow("two")) == {"two-00", "two-01", "later"}
            assert await ids(status="canceled") == {"one-01"}
            assert await ids(status="scheduled") == {"later"}
            assert await ids(status="in_progress", workflow="two") == {"two-00", "two-01"}
            assert await ids(workflow="three") == set()
            now = datetime.now(UTC)
            assert await ids(started_before=now - timedelta(hours=1)) == set()
            assert len(await ids(started_after=now - timedelta(hours=1))) == 6

    asyncio.run(inside())


def test_an_ended_instance_is_listed_with_both_times() -> None:
    async def inside() -> None:
        async with manager_of("times") as manager:
            await start(manager, "one", 1)
            await manager.handle("one-00").cancel()

            (item,) = (await manager.list()).items

            assert (item.id, item.workflow, item.status) == ("one-00", "one", "canceled")
            assert item.ended is not None
            assert item.created <= item.ended

    asyncio.run(inside())


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"status": "done"}, "status='done': give one of in_progress"),
        ({"order": "down"}, "order='down'"),
        ({"limit": 0}, "limit=0"),
        ({"cursor": "7"}, "cursor='7'"),
        ({"started_after": datetime(2026, 1, 1)}, "started_after"),  # noqa: DTZ001 - that is the point
    ],
)
def test_a_wrong_filter_is_refused_before_anything_is_asked_for(filters: dict[str, object], message: str) -> None:
    manager = WorkflowManager("redis://127.0.0.1:1")

    async def inside() -> None:
        await manager.list(**filters)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    with pytest.raises(InvalidOption, match=message):
        asyncio.run(inside())
