"""Users of the server that may not do everything: refused at the opening, or waited for; said in one line, seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from actors import RetryPolicy, Step, Transaction, WorkflowManager, Workpool
from kernel import EmbeddedServer, RightMissing, ServerRefused, Throttle
from kernel.embedded_guard import ask
from tests.api.watching import Managers, seen
from tests.engine.process import until

if TYPE_CHECKING:
    from actors.definitions import Workflow

pytestmark = pytest.mark.server

LISTED = (
    "~{default:* ~default:* &{default:* -@all +@read +@write +@connection +@transaction +@scripting +@pubsub"
    " +info +config|get +time"
)
"""The rights that deploy/README.md lists."""

Grant = Callable[[str], None]


@pytest.fixture
def grant(embedded_server: EmbeddedServer) -> Iterator[Grant]:
    """Give the user ``limited`` the listed rights, and these changes of them."""

    def allow(changes: str) -> None:
        rules = f"ACL SETUSER limited reset on >secret {LISTED} {changes}"
        assert ask(embedded_server.socket, rules.encode()) == b"+OK"

    yield allow
    ask(embedded_server.socket, b"ACL DELUSER limited")


@pytest.fixture
def limited(managers: Managers, server_url: str, grant: Grant) -> WorkflowManager:
    """A manager whose user has the listed rights."""
    grant("")
    return managers(server_url.replace("unix://", "unix://limited:secret@"), partitions=1)


def define(manager: WorkflowManager) -> Workflow[[], int]:
    @manager.mutation(name="count")
    async def count(tx: Transaction) -> int:
        before = int(await tx.get(tx.key("total")) or 0)
        tx.incr(tx.key("total"))
        return before + 1

    @manager.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_mutation(count)

    return flow


async def test_the_listed_rights_are_enough(limited: WorkflowManager) -> None:
    flow = define(limited)
    async with limited.worker():
        assert await (await limited.start(flow)).result() == 1


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ("-@pubsub", "PUBLISH"),
        ("-subscribe", "SUBSCRIBE"),
        ("resetchannels", "PUBLISH"),
        ("-script", "SCRIPT"),
        ("-evalsha", "EVALSHA"),
        ("-@write", "XADD"),
        ("resetkeys", "EVALSHA"),
        ("resetkeys ~{default:*", "XLEN default:gateway"),
    ],
)
async def test_a_client_whose_user_may_not_do_what_it_needs_is_refused_by_name(
    limited: WorkflowManager, grant: Grant, changes: str, what: str
) -> None:
    grant(changes)
    with pytest.raises(RightMissing, match=what) as refused:
        await limited.store()
    assert "deploy/README.md" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "what"),
    [("-@transaction", "WATCH"), ("-multi", "MULTI"), ("-exec", "EXEC"), ("-eval", "EVAL"), ("-xreadgroup", "XREADGR")],
)
async def test_a_worker_whose_user_may_not_do_what_it_needs_is_refused_by_name(
    limited: WorkflowManager, grant: Grant, changes: str, what: str
) -> None:
    grant(changes)
    await limited.store()
    with pytest.raises(RightMissing, match=f"may not do {what}"):
        async with limited.worker():
            pass


@pytest.mark.parametrize("taken", ["-watch", "-exec"])
async def test_a_mutation_waits_until_its_worker_may_run_mutations_again(
    limited: WorkflowManager, grant: Grant, taken: str
) -> None:
    flow = define(limited)
    async with limited.worker():
        assert await (await limited.start(flow)).result() == 1
        grant(taken)
        with capture_logs() as logged:
            handle = await limited.start(flow)
            await until(lambda: heard(logged, "mutations wait"))
        assert (await handle.status()).type == "in_progress"
        grant("")
        assert await handle.result() == 2


async def heard(logged: Sequence[object], event: str) -> bool:
    """Tell whether something was logged."""
    return any(event in str(line) for line in logged)


async def test_a_mutation_of_a_key_that_its_user_may_not_touch_is_retried_as_its_policy_says(
    limited: WorkflowManager, grant: Grant
) -> None:
    policy = RetryPolicy(max_attempts=100, initial_backoff=0.01, max_backoff=0.01)

    @limited.mutation(name="reach_out", retry=policy)
    async def reach_out(tx: Transaction) -> int:
        tx.incr("elsewhere")
        return 5

    @limited.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_mutation(reach_out)

    async with limited.worker():
        handle = await limited.start(flow)
        await seen(handle, lambda snapshot: bool(snapshot.steps) and snapshot.steps[0].attempt > 1)
        grant("~elsewhere")
        assert await handle.result() == 5


async def test_a_right_that_is_taken_from_a_running_worker_is_waited_for_and_told_in_few_lines(
    limited: WorkflowManager, grant: Grant, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go, asked = asyncio.Event(), asyncio.Event(), list[str]()

    @limited.action(name="work")
    async def work() -> int:
        assert not began.is_set(), "it may run once"
        began.set()
        await go.wait()
        return 5

    @limited.workflow(name="flow")
    async def flow(step: Step) -> int:
        return await step.run_action(work)

    due = Throttle.due

    def noted(throttle: Throttle, what: str) -> bool:
        asked.append(what)
        return due(throttle, what)

    async def often() -> bool:
        return max(map(asked.count, asked), default=0) >= 5

    monkeypatch.setattr(Throttle, "due", noted)
    async with limited.worker():
        handle = await limited.start(flow)
        await began.wait()
        with capture_logs() as logged:
            grant("-@write")
            go.set()
            await until(often)
            grant("")
        assert await handle.result() == 5
    lines = [str(line["event"]) for line in logged]
    assert lines.count("Redis takes no writes, waiting until it does") == 1
    assert len(lines) == len(set(lines)) <= 3, lines  # beside it: of reads, and of the server that ran one
    assert all("deploy/README.md" in str(line) for line in logged)


async def test_a_right_that_only_steps_of_pools_need_is_waited_for_by_them_alone(
    limited: WorkflowManager, grant: Grant
) -> None:
    flow = define(limited)
    Workpool(limited, "narrow", max_parallelism=1)

    @limited.action(name="copy", pool="narrow")
    async def copy(number: int) -> int:
        return number

    @limited.workflow(name="copies")
    async def copies(step: Step, number: int) -> int:
        return await step.run_action(copy, number)

    async with limited.worker():
        assert await (await limited.start(copies, 0)).result() == 0
        grant("-zcard")
        with capture_logs() as logged:
            handles = [await limited.start(copies, number) for number in range(1, 4)]
            await until(lambda: heard(logged, "takes no writes"))
            for total in range(1, 11):
                assert await (await limited.start(flow)).result(timeout=10) == total
            assert {(await handle.status()).type for handle in handles} == {"in_progress"}
            grant("")
            assert [await handle.result() for handle in handles] == [1, 2, 3]
    lines = [str(line["event"]) for line in logged]
    assert lines == ["Redis takes no writes, waiting until it does", "Redis takes writes again"]
    assert "deploy/README.md" in str(logged[0])


def test_a_right_that_is_missing_within_a_script_is_told_as_any_other() -> None:
    words = "ERR The user executing the script can't run this command or subcommand script: 4c41, on @user_script:1."
    assert "deploy/README.md" in str(ServerRefused("register", words))
