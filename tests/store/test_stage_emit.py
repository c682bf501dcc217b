from __future__ import annotations

import pytest

from kernel.decision import End
from kernel.refusals import Refused, StageLost, StaleTurn
from kernel.store.journal import write_command
from kernel.store.replies import listed
from tests.store.bench import EAGER, A, Bench, step, timer, value, wait


def fields(count: int, token: str, first: int = 1) -> list[bytes]:
    return [write_command(step(f"s{seq}"), token=token, void=False) for seq in range(first, first + count)]


async def stage(bench: Bench, token: str, first: int, count: int, base: str = "0-0") -> None:
    record = await bench.record()
    reply = await bench.space.actor_call(
        "stage", A, A, record.generation, base, token, first, *fields(count, token, first)
    )
    assert isinstance(reply, list)
    if reply[0] != b"STAGED":
        raise StageLost if reply[0] == b"STAGE_LOST" else StaleTurn


async def commit_staged(bench: Bench, token: str, count: int) -> None:
    """Commit what was staged by hand, without staging it again."""
    record = await bench.record()
    words = (
        bench.now,
        A,
        record.generation,
        record.consumed,
        record.appended,
        "w1",
        token,
        0,
        ",",
        0,
        0,
        "",
        "",
        0,
        count,
        0,
        "",
    )
    reply = listed(await bench.space.actor_call("commit", A, *words))
    if reply[0] not in {b"IDLE", b"MORE"}:
        raise StageLost if reply[0] == b"STAGE_LOST" else StaleTurn


async def test_a_decision_of_hundreds_of_commands_is_true_whole_and_carried_out_in_parts(bench: Bench) -> None:
    generation = await bench.create()
    turned = await bench.commit([step(f"s{n}") for n in range(450)], token="t")
    record = await bench.record()
    assert (turned.more, record.commands, record.emitted) == (True, 450, 200)
    assert await bench.ready() == [A]
    for expected in (400, 450):
        turned = await bench.store.turns.emit(A, generation=generation, token="t", eager=EAGER._replace(slots=0))
        assert (await bench.record()).emitted == expected
    assert not turned.more
    assert sorted(await bench.open_places()) == list(range(1, 451))
    assert "staged" not in await bench.exists()


async def test_the_next_turn_waits_until_all_is_carried_out(bench: Bench) -> None:
    await bench.create()
    await bench.commit([step() for _ in range(250)])
    await bench.told()
    with pytest.raises(StaleTurn):
        await bench.commit()


async def test_emitting_grants_commands_under_the_callers_token(bench: Bench) -> None:
    generation = await bench.create()
    await bench.commit([step() for _ in range(205)])
    turned = await bench.store.turns.emit(A, generation=generation, token="t9", eager=EAGER._replace(slots=3))
    assert turned.granted == (201, 202, 203)
    assert {held.token for held in await bench.store.steps.held_by("w1")} == {"t9"}
    again = await bench.store.turns.emit(A, generation=generation, token="t9", eager=EAGER)
    assert (again.more, again.granted) == (False, ())


async def test_a_crash_between_two_chunks_leaves_nothing_that_a_reader_sees(bench: Bench) -> None:
    await bench.create()
    await stage(bench, "dead", 1, 200)
    record = await bench.record()
    assert record.commands == 0
    assert (await bench.store.turns.history(A, record)).commands == []
    await bench.commit([step("mine"), wait()])
    assert await bench.open_places() == {1: "q:default", 2: "wait"}


async def test_another_turn_takes_over_what_a_dead_one_had_staged(bench: Bench) -> None:
    await bench.create()
    await stage(bench, "dead", 1, 200)
    await stage(bench, "alive", 1, 200)
    with pytest.raises(StageLost):
        await stage(bench, "dead", 201, 100)
    with pytest.raises(StageLost):
        await commit_staged(bench, "dead", 200)
    await stage(bench, "alive", 201, 10)
    await commit_staged(bench, "alive", 210)
    assert (await bench.record()).commands == 210


async def test_a_chunk_sent_again_does_not_take_back_the_later_ones(bench: Bench) -> None:
    await bench.create()
    await stage(bench, "t", 1, 200)
    await stage(bench, "t", 201, 10)
    await stage(bench, "t", 1, 200)
    await commit_staged(bench, "t", 210)


async def test_a_chunk_with_a_hole_before_it_is_refused(bench: Bench) -> None:
    await bench.create()
    await stage(bench, "t", 1, 100)
    with pytest.raises(StageLost):
        await stage(bench, "t", 102, 10)


async def test_a_commit_of_fewer_or_more_than_were_staged_is_refused(bench: Bench) -> None:
    await bench.create()
    await stage(bench, "t", 1, 100)
    for count in (99, 101):
        with pytest.raises(StageLost):
            await commit_staged(bench, "t", count)


async def test_what_was_staged_on_an_outdated_past_is_worth_nothing(bench: Bench) -> None:
    generation = await bench.create()
    await stage(bench, "t", 1, 100)
    await bench.commit([wait()])
    await bench.told()
    with pytest.raises(StaleTurn):
        await stage(bench, "t", 101, 100)
    with pytest.raises(StageLost):
        await commit_staged(bench, "t", 100)
    await stage(bench, "t", 2, 50, base=generation)
    await commit_staged(bench, "t", 50)


async def test_nothing_is_staged_for_or_emitted_by_an_actor_that_takes_no_turns(bench: Bench) -> None:
    generation = await bench.create()
    await bench.commit([timer(bench.now + 10**6) for _ in range(250)])
    await bench.store.turns.stop(A, generation=generation, base="", reason=b"", fingerprint="")
    with pytest.raises(StaleTurn):
        await stage(bench, "t", 251, 1, base=generation)
    with pytest.raises(StaleTurn):
        await bench.store.turns.emit(A, generation=generation, token="t", eager=EAGER)
    await bench.store.instances.cancel(A, payload=b"")
    with pytest.raises(Refused):
        await bench.store.turns.emit(A, generation=generation, token="t", eager=EAGER)


async def test_a_large_decision_may_end_the_actor_and_publish_values(bench: Bench) -> None:
    await bench.create()
    commands = [value(f"v{n}", b"%d" % n) for n in range(250)]
    await bench.commit(commands, end=End("completed", b""))
    assert len(await bench.store.instances.read(A, "values")) == 250


async def test_waits_answered_in_the_turn_that_asked_for_them_stay_closed_in_later_parts(bench: Bench) -> None:
    generation = await bench.create()
    await bench.commit([wait() for _ in range(202)], canceled=["=1", "=202"])
    await bench.store.turns.emit(A, generation=generation, token="t", eager=EAGER)
    assert sorted(await bench.open_places()) == list(range(2, 202))
