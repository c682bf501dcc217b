"""A failover of one node of a Cluster: it goes back to an earlier moment, the others do not."""

from __future__ import annotations

import asyncio

import pytest

from actors import OutcomeUnknown, RetryPolicy, Step, WorkflowManager
from actors.errors import InvalidOption
from actors.testing.simulation import Fault, Faults, Run, Schedule, Simulation, run, shrink
from actors.testing.simulation.nodes import ALL, Nodes
from kernel import drop_memory, look_into_memory

BOUNDARIES = 24
SIZE = 90_000
NODES = ("{t:0}:wf:a", "{t:1}:wf:b", "t:workers")
"""A key on each of the nodes 1, 2 and 0."""

manager = WorkflowManager("memory://unused")


@manager.action(name="fill", retry=RetryPolicy(max_attempts=50, initial_backoff=0.2, jitter=False))
async def fill(size: int) -> str:
    return "x" * size


@manager.workflow(name="filled")
async def filled(step: Step, size: int) -> str:
    text = await step.run_action(fill, size)
    return text + await step.run_action(fill, len(text))


once_begun: list[str] = []


@manager.action(name="once", retry=False)
async def once(label: str) -> str:
    once_begun.append(label)
    await asyncio.sleep(1)
    return label


@manager.workflow(name="careful")
async def careful(step: Step) -> list[str]:
    said: list[str] = []
    for label in ("first", "second"):
        try:
            said.append(await step.run_action(once, label))
        except OutcomeUnknown:
            said.append("unknown")
    return said


class Caring:
    """An instance with actions that may run once only."""

    manager, old = manager, None

    def __init__(self, schedule: Schedule) -> None:
        """Nothing of it depends on the seed."""

    async def play(self, simulation: Simulation) -> None:
        once_begun.clear()
        handle = await simulation.start(careful)
        assert set(await handle.result()) <= {"first", "second", "unknown"}
        await simulation.vanish()
        assert once_begun == ["first", "second"]


class Filling:
    """An instance with large outcomes and a large result."""

    manager, old = manager, None

    def __init__(self, schedule: Schedule) -> None:
        """Nothing of it depends on the seed."""

    async def play(self, simulation: Simulation) -> None:
        handle = await simulation.start(filled, SIZE)
        assert len(await handle.result()) == 2 * SIZE
        await simulation.vanish()


@pytest.mark.parametrize("node", [1, 2])
def test_a_large_payload_is_there_whatever_a_failover_has_lost(node: int) -> None:
    for at in range(1, BOUNDARIES):
        done = run(Filling, Schedule.parse(f"workers=1 nodes=2 w1@{at}:failover=2/n{node} prompt"), seconds_max=10)
        assert done.error is None, f"{done.schedule}: {done.error}"


@pytest.mark.parametrize("writes", [1, 2, 4])
def test_an_action_that_may_run_once_runs_once_on_a_worker_that_lives_whatever_is_forgotten(writes: int) -> None:
    for at in range(1, BOUNDARIES):
        done = run(Caring, Schedule.parse(f"workers=1 w1@{at}:rollback={writes} prompt"), seconds_max=10)
        assert done.error is None, f"{done.schedule}: {done.error!r}"


@pytest.mark.parametrize("node", [ALL, 0, 1, 2])
def test_only_the_keys_of_that_node_come_back(node: int) -> None:
    url = f"memory://nodes-{node}"
    server = look_into_memory(url)
    session, nodes = server.session(), Nodes(server, 2)
    try:
        for key in NODES:
            session.run(("SET", key, "before"))
        nodes.remember(node, 2)
        nodes.remember(1, 1)  # one at a time
        assert not nodes.is_due(1)
        for key in NODES:
            session.run(("SET", key, "after"))
        assert nodes.is_due(2)
        assert nodes.roll_back() == node
        found = {nodes.of(key): session.run(("GET", key)) for key in NODES}
        assert found == {n: b"before" if node in {ALL, n} else b"after" for n in range(3)}
        assert not nodes.is_due(2)
    finally:
        session.close()
        drop_memory(url)


def test_what_was_promised_on_that_node_is_kept() -> None:
    url = "memory://promised"
    server = look_into_memory(url)
    session, nodes = server.session(), Nodes(server, 2)
    try:
        nodes.remember(1, 2)
        for key in NODES:
            session.run(("SET", key, "promised"))
            nodes.promise(key)
        session.run(("SET", NODES[0], "not promised"))
        session.run(("SET", NODES[1], "kept by another node"))
        nodes.roll_back()
        assert [session.run(("GET", key)) for key in NODES] == [b"promised", b"kept by another node", b"promised"]
    finally:
        session.close()
        drop_memory(url)


def test_a_schedule_says_which_node_fails_over_and_is_shrunk_to_it() -> None:
    guilty = Fault(2, 7, "failover", 8, 2)
    schedule = Schedule.parse("seed=3 workers=3 nodes=2 w1@4:drop w1@9:failover=25/n0 w2@7:failover=8/n2")
    assert guilty in schedule.faults
    assert Schedule.parse(str(schedule)) == schedule

    def play(tried: Schedule) -> Run:
        found = any((fault.kind, fault.node) == ("failover", 2) for fault in tried.faults)
        return Run(schedule=tried, error=AssertionError("found") if found else None, taken=tried.faults)

    assert str(shrink(play, play(schedule)).schedule) == "seed=3 workers=1 nodes=2 w2@7:failover=1/n2 prompt"


def test_a_schedule_that_needs_no_cluster_any_more_is_shrunk_to_one_server() -> None:
    def play(tried: Schedule) -> Run:
        failed = any(fault.kind == "drop" for fault in tried.faults)
        return Run(schedule=tried, error=AssertionError("found") if failed else None, taken=tried.faults)

    schedule = Schedule.parse("seed=3 workers=1 nodes=2 w1@4:drop w1@9:failover=25/n0")
    assert str(shrink(play, play(schedule)).schedule) == "seed=3 workers=1 w1@4:drop prompt"


@pytest.mark.parametrize("text", ["w1@4:failover=1/n1", "nodes=2 w1@4:failover=1/n3"])
def test_a_failover_of_a_node_that_is_not_there_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="give nodes=2 or more"):
        Schedule.parse(text)


def test_seeds_bring_failovers_of_each_node_and_clusters_that_keep_what_they_have() -> None:
    schedules = [Faults().draw(seed, workers=3) for seed in range(300)]
    nodes = {fault.node for schedule in schedules for fault in schedule.faults if fault.kind == "failover"}
    assert nodes == {0, 1, 2}
    assert {schedule.nodes for schedule in schedules} == {1, 2}
    assert any(schedule.nodes == 2 and all(f.kind != "failover" for f in schedule.faults) for schedule in schedules)
    assert {Faults(kinds=("drop", "rollback")).draw(seed, workers=3).nodes for seed in range(50)} == {1}
