"""``durability="replicated"``: what was answered survives the primary; what no replica has is not answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import pytest

from actors import Step, Transaction, WorkflowManager
from actors.errors import InvalidOption
from kernel import Misconfigured, ServerUnreachable, Space, connector, replicated
from kernel.store.replicated import barrier
from tests.topology.sentinels import Sentinels

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.durability.conftest import Pair

MUTATIONS = 40
WORKFLOWS = 5


def shop(url: str | None, *, durability: Literal["local", "replicated"] = "replicated") -> WorkflowManager:
    manager = WorkflowManager(url, partitions=1, durability=durability, worker_timeout=2)

    @manager.mutation
    async def count(tx: Transaction) -> None:
        tx.incr(tx.key("count"))

    @manager.workflow(name="flow")
    async def flow(step: Step, times: int) -> int:
        for _ in range(times):
            await step.run_mutation(count)
        return times

    return manager


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - it is another process that is waited for
        await asyncio.sleep(0.01)


@pytest.mark.server
async def test_a_start_is_answered_once_a_replica_has_it_and_not_before(pair: Pair) -> None:
    async with shop(pair.url) as manager:
        flow = manager.get_workflow("flow")
        await manager.start(flow.with_options(id="first"), 1)
        assert pair.replica.ask("EXISTS", "{default:0}:wf:first") == 1

        pair.replica.pause()
        starting = asyncio.create_task(manager.start(flow.with_options(id="second"), 1))
        await until(lambda: pair.primary.ask("EXISTS", "{default:0}:wf:second"))
        # It has been written; only the answer is missing. A call without WAIT would have been answered by now.
        await until(lambda: pair.primary.info("clients")["blocked_clients"] >= 1)
        assert not starting.done()

        pair.replica.resume()
        await starting
        assert pair.replica.ask("EXISTS", "{default:0}:wf:second") == 1


@pytest.mark.server
async def test_without_a_replica_everything_waits_and_then_says_what_to_do(pair: Pair) -> None:
    pair.replica.kill()
    space = Space(replicated(connector(pair.url)), namespace="default", partitions=1, patience_s=0.5)
    try:
        with pytest.raises(ServerUnreachable, match=r"has no replica that follows .* Connect one, or take durability"):
            await space.open()
    finally:
        await space.close()


@pytest.mark.server
async def test_at_maxmemory_mutations_are_completed_on_a_replica_too(pair: Pair) -> None:
    async with shop(pair.url) as manager, manager.worker():
        handle = await manager.start(manager.get_workflow("flow").with_options(id="f"), MUTATIONS)
        await until(lambda: pair.primary.ask("GET", "{default:0}:app:count"))
        pair.primary.ask("CONFIG", "SET", "maxmemory", "1")
        assert await handle.result() == MUTATIONS
        assert int(pair.replica.ask("GET", "{default:0}:app:count")) == MUTATIONS


@pytest.mark.server
async def test_a_failover_loses_nothing_that_was_answered_and_no_mutation_is_done_twice() -> None:
    with Sentinels() as place:
        async with shop(place.url) as manager, manager.worker(concurrency=10):
            flow = manager.get_workflow("flow")
            calls = [flow.with_options(id=f"f{number}").bind(MUTATIONS) for number in range(WORKFLOWS)]
            handles = await manager.start_many(calls)
            primary = place.primary()
            await until(lambda: int(primary.ask("GET", "{default:0}:app:count") or 0) >= MUTATIONS)
            primary.kill()
            now = await asyncio.to_thread(lambda: place.await_primary(other_than=primary))
            counted = int(now.ask("GET", "{default:0}:app:count") or 0)
            primary.restart()  # the Sentinels make it the replica; until then nothing is answered

            results = await asyncio.gather(*(handle.result() for handle in handles))

        assert counted >= MUTATIONS
        assert results == [MUTATIONS] * WORKFLOWS
        assert int(place.primary().ask("GET", "{default:0}:app:count")) == MUTATIONS * WORKFLOWS


@pytest.mark.parametrize("url", ["memory://replicated", None])
async def test_a_server_that_has_no_replica_is_refused(url: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_URL", raising=False)

    with pytest.raises(Misconfigured, match="give the URL of one that has"):
        await shop(url).store()


def test_another_word_for_durability_is_refused() -> None:
    with pytest.raises(InvalidOption, match='give "local" or "replicated"'):
        shop("memory://", durability="double")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("{shop:3}", "{shop:3}:barrier"),
        ("{shop:3}:ready", "{shop:3}:barrier"),
        ("shop:gateway", "{shop:gateway}:barrier"),
    ],
)
def test_the_barrier_lies_in_the_slot_of_the_call(key: str, expected: str) -> None:
    assert barrier(key) == expected


@pytest.mark.server
async def test_a_server_that_answers_and_cannot_be_used_is_told_from_one_that_is_away(pair: Pair) -> None:
    at = pair.url.partition("://")[2].partition("/")[0]
    for url, said in {
        f"redis://{at}/99": "no database of that number",
        f"redis+sentinel://{at}/mymaster": "is no Sentinel",
        f"redis+cluster://{at}": "is no node of a Cluster",
        pair.replica.url: "is a replica, which takes no writes",
    }.items():
        async with asyncio.timeout(5):  # half of the time for which a call waits for a server that is away
            with pytest.raises(ServerUnreachable, match=said) as caught:
                async with WorkflowManager(url):
                    pass
        assert "No Redis server answers" not in str(caught.value)


@pytest.mark.server
async def test_who_only_looks_may_look_at_a_replica(pair: Pair) -> None:
    async with shop(pair.url) as manager:
        await manager.start(manager.get_workflow("flow").with_options(id="first"), 1)
    looking = WorkflowManager(pair.replica.url)
    looking.founds = False
    async with looking:
        assert [item.id for item in (await looking.list()).items] == ["first"]
        assert "replica" in {finding.code for finding in (await looking.doctor()).findings}
