from __future__ import annotations

from kernel.store import keys
from tests.store.bench import A, Bench

TAGGED = keys.tag_index("team", "a")
RUNNING = keys.status_index("flow", "running")
CANCELED = keys.status_index("flow", "canceled")


async def page(bench: Bench, *indexes: str, **more: object) -> list[list[tuple[str, int]]]:
    said = {"before": "+inf", "after": "-inf", "count": 10, "newest_first": False, **more}
    return await bench.store.instances.page(bench.tag, indexes, **said)  # type: ignore[arg-type]


async def test_each_index_is_answered_for_itself_in_the_order_of_creation(bench: Bench) -> None:
    began = bench.now
    for number in range(3):
        await bench.create(f"wf/{number}", fields={"tags": "team|a"} if number else {})
        bench.now += 1
    await bench.store.instances.cancel("wf/1", payload=b"")
    assert await page(bench, RUNNING, "nothing:running", TAGGED, CANCELED) == [
        [("wf/0", began), ("wf/2", began + 2)], [], [("wf/1", began + 1), ("wf/2", began + 2)], [("wf/1", began + 1)],
    ]  # fmt: skip
    assert await page(bench, TAGGED, newest_first=True, count=1) == [[("wf/2", began + 2)]]
    assert await page(bench, TAGGED, before=f"({began + 2}") == [[("wf/1", began + 1)]]
    assert await page(bench, TAGGED, newest_first=True, after=str(began + 2)) == [[("wf/2", began + 2)]]
    assert await bench.store.instances.count(TAGGED) == 2


async def test_tags_are_indexed_from_the_beginning_to_the_deletion(bench: Bench) -> None:
    await bench.create(fields={"tags": "team|a\nof|b|c"})
    await bench.create(fields={"tags": "team|other"}, address="wf/other")
    await bench.store.instances.cancel(A, payload=b"")
    assert [[address for address, _ in found] for found in await page(bench, TAGGED, "tag:of|b|c")] == [[A], [A]]
    await bench.store.instances.cleanup(A)
    assert await page(bench, TAGGED, "tag:of|b|c") == [[], []]


async def test_a_second_start_under_an_id_changes_no_tags(bench: Bench) -> None:
    await bench.create(fields={"tags": "team|a"})
    await bench.store.instances.create(A, name="flow", arguments=b"", fields={"tags": "team|b"})
    assert await page(bench, keys.tag_index("team", "b")) == [[]]
