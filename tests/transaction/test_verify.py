"""`Transaction.verify` finds, before anything is written, the write that Redis would refuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.transaction import MutationRefused, Transaction

if TYPE_CHECKING:
    from tests.transaction.conftest import Harness, Run

Steps = Callable[[Transaction], object]


def several(*steps: Steps) -> Steps:
    return lambda tx: [step(tx) for step in steps]


REFUSED: dict[str, tuple[Steps, str]] = {
    "a hash is counted": (lambda tx: tx.incr("hash"), "holds a hash"),
    "a text is counted": (lambda tx: tx.incr("text"), "not a whole number"),
    "a fraction is counted whole": (lambda tx: tx.incr("fraction"), "not a whole number"),
    "a text is counted as a fraction": (lambda tx: tx.incrbyfloat("text"), "not a number"),
    "a count leaves 64 bits": (lambda tx: tx.incr("most"), "64 bits"),
    "a field that is text is counted": (lambda tx: tx.hincrby("hash", "text"), "not a whole number"),
    "a field that is text is counted as a fraction": (lambda tx: tx.hincrbyfloat("hash", "text"), "not a number"),
    "a string is pushed to": (lambda tx: tx.rpush("text", 1), "holds a string"),
    "the second key of a move is wrong": (lambda tx: tx.smove("set", "text", "a"), "'text'"),
    "a list is set behind its end": (lambda tx: tx.lset("list", 3, "x"), "out of range"),
    "a list is set before its start": (lambda tx: tx.lset("list", -4, "x"), "out of range"),
    "an absent list is set": (lambda tx: tx.lset("new", 0, "x"), "no list"),
    "an element is set after it was popped": (
        several(lambda tx: tx.lpop("list"), lambda tx: tx.lset("list", 2, 1)),
        "2",
    ),
    "an id is not larger": (lambda tx: tx.xadd("stream", {"a": 1}, "2-5"), "already at 2-5"),
    "an id follows a chosen one": (
        several(lambda tx: tx.xadd("new", {"a": 1}), lambda tx: tx.xadd("new", {"a": 1}, "5-1")),
        "chosen",
    ),
    "set to text, then counted": (several(lambda tx: tx.set("k", "x"), lambda tx: tx.incr("k")), "not a whole number"),
    "made a hash, then pushed to": (several(lambda tx: tx.hset("k", "a", 1), lambda tx: tx.rpush("k", 1)), "hash"),
    "a sorted set with a member called as a condition is pushed to": (
        several(lambda tx: tx.zadd("k", {"a": 1, "XX": 2, "b": 3}), lambda tx: tx.rpush("k", 1)),
        "sorted set",
    ),
    "counted with a fraction, then whole": (
        several(lambda tx: tx.incrbyfloat("number", 0.5), lambda tx: tx.incr("number")),
        "fraction",
    ),
}

ACCEPTED: dict[str, Steps] = {
    "deleted, then another type": several(lambda tx: tx.delete("hash"), lambda tx: tx.rpush("hash", 1)),
    "set to a number, then counted": several(lambda tx: tx.set("text", 5), lambda tx: tx.incr("text")),
    "a hash replaced by a number, then counted": several(lambda tx: tx.set("hash", 5), lambda tx: tx.incr("hash")),
    "counted twice": several(lambda tx: tx.incr("number"), lambda tx: tx.decr("number", 5)),
    "appended to a number": several(lambda tx: tx.append("number", "1"), lambda tx: tx.incr("number")),
    "a field set, then counted": several(lambda tx: tx.hset("hash", "text", 1), lambda tx: tx.hincrby("hash", "text")),
    "a field deleted, then counted": several(lambda tx: tx.hdel("hash", "text"), lambda tx: tx.hincrby("hash", "text")),
    "pushed, then set": several(lambda tx: tx.rpush("new", 1, 2), lambda tx: tx.lset("new", 1, "x")),
    "trimmed, then set": several(lambda tx: tx.ltrim("list", 1, -1), lambda tx: tx.lset("list", 1, "x")),
    "moved, then set": several(lambda tx: tx.lmove("list", "new"), lambda tx: tx.lset("new", 0, "x")),
    "growing ids": several(lambda tx: tx.xadd("stream", {"a": 1}, "2-6"), lambda tx: tx.xadd("stream", {"a": 1}, "3")),
    "a stream begun again": several(lambda tx: tx.delete("stream"), lambda tx: tx.xadd("stream", {"a": 1}, "1-1")),
    "a float in a number": lambda tx: tx.incrbyfloat("number", 0.5),
    "set if absent, counted": several(lambda tx: tx.set("k", 1, nx=True), lambda tx: tx.incr("k")),
    "kept if present, counted": several(lambda tx: tx.set("number", "x", nx=True), lambda tx: tx.incr("number")),
    "expired at once, another type": several(lambda tx: tx.expire("hash", 0), lambda tx: tx.sadd("hash", 1)),
}


async def set_up(harness: Harness) -> None:
    native = harness.native
    await native.mset({"text": "hello", "number": 41, "fraction": "1.5", "most": 2**63 - 1})
    await native.hset("hash", mapping={"text": "x", "count": 1})
    await native.rpush("list", "a", "b", "c")
    await native.sadd("set", "a")
    await native.zadd("zset", {"a": 1})
    await native.xadd("stream", {"a": 1}, "2-5")


@pytest.mark.parametrize("case", REFUSED)
def test_a_step_that_redis_would_refuse_is_refused_before(run: Run, case: str) -> None:
    steps, reason = REFUSED[case]

    async def body(harness: Harness) -> None:
        await set_up(harness)
        tx = harness.transaction()
        steps(tx)
        reason_here = "Redis 7" if tx.float_keys and not await harness.is_redis_7() else reason
        with pytest.raises(MutationRefused, match=reason_here):
            await tx.verify(harness.read_many)
        assert set(harness.watched) == set(tx.keys_written)

    run(body)


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_step_that_redis_takes_is_accepted(run: Run, case: str) -> None:
    async def body(harness: Harness) -> None:
        await set_up(harness)
        tx = harness.transaction()
        ACCEPTED[case](tx)
        if tx.float_keys and not await harness.is_redis_7():
            pytest.skip("INCRBYFLOAT in a script needs Redis 7")
        await harness.commit(tx)

    run(body)


ONLY_REDIS_7: list[Steps] = [lambda tx: tx.expire("k", 5, nx=True), lambda tx: tx.incrbyfloat("k", 0.5)]


@pytest.mark.parametrize("step", ONLY_REDIS_7)
def test_what_redis_6_cannot_do_in_a_script_is_refused_there(run: Run, step: Steps) -> None:
    async def body(harness: Harness) -> None:
        async def read_many(questions: Sequence[tuple[bytes, ...]]) -> list[object]:
            replies = await harness.read_many(questions[:-1])
            return [*replies, [[b"expire", 3]]]

        tx = harness.transaction()
        step(tx)
        with pytest.raises(MutationRefused, match="Redis 7"):
            await tx.verify(read_many)

    run(body)


WRITES: list[Steps] = [
    lambda tx: tx.set("k", "5"), lambda tx: tx.set("k", "x"), lambda tx: tx.set("k", 1, nx=True),
    lambda tx: tx.set("k", 1, xx=True), lambda tx: tx.msetnx({"k": 1, "l": 1}), lambda tx: tx.append("k", "7"),
    lambda tx: tx.incr("k"), lambda tx: tx.decr("k", 2**62), lambda tx: tx.incrbyfloat("k", 1.5),
    lambda tx: tx.setrange("k", 0, "9"), lambda tx: tx.setbit("k", 3, 1), lambda tx: tx.hset("k", "f", "5"),
    lambda tx: tx.hset("k", "f", "x"), lambda tx: tx.hsetnx("k", "f", "y"), lambda tx: tx.hdel("k", "f"),
    lambda tx: tx.hincrby("k", "f"), lambda tx: tx.hincrbyfloat("k", "f", 0.5), lambda tx: tx.rpush("k", 1, 2),
    lambda tx: tx.lpushx("k", 1), lambda tx: tx.lpop("k"), lambda tx: tx.rpop("k", 3), lambda tx: tx.lset("k", 1, 9),
    lambda tx: tx.lset("k", -2, 9), lambda tx: tx.lrem("k", 1, 1), lambda tx: tx.ltrim("k", 1, -1),
    lambda tx: tx.ltrim("k", -1, 3), lambda tx: tx.linsert("k", "BEFORE", 1, 0), lambda tx: tx.lmove("k", "l"),
    lambda tx: tx.lmove("l", "k"), lambda tx: tx.sadd("k", 1), lambda tx: tx.srem("k", 1),
    lambda tx: tx.smove("k", "l", 1), lambda tx: tx.zadd("k", {"a": 1}), lambda tx: tx.zadd("k", {"a": 1}, xx=True),
    lambda tx: tx.zincrby("k", 1, "a"), lambda tx: tx.zrem("k", "a"), lambda tx: tx.zpopmin("k"),
    lambda tx: tx.xadd("k", {"a": 1}), lambda tx: tx.xadd("k", {"a": 1}, "5-1"),
    lambda tx: tx.xadd("k", {"a": 1}, "6-1", nomkstream=True), lambda tx: tx.xdel("k", "5-1"),
    lambda tx: tx.delete("k"), lambda tx: tx.expire("k", 0), lambda tx: tx.expire("k", 100),
    lambda tx: tx.expireat("k", 1), lambda tx: tx.persist("k"), lambda tx: tx.delete("k", "l"),
    lambda tx: tx.set("l", 3), lambda tx: tx.incr("l"), lambda tx: tx.rpush("l", 1),
]  # fmt: skip

programs = st.lists(st.integers(0, len(WRITES) - 1), min_size=1, max_size=5)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=programs, step=programs)
def test_what_verify_accepts_redis_applies(run: Run, before: list[int], step: list[int]) -> None:
    """Any keys, any writes: accepted means that no write fails. (Refusing too much is allowed, and rare.)"""

    async def body(harness: Harness) -> None:
        first = harness.transaction()
        for number in before:
            WRITES[number](first)
        await harness.fails_in_redis(first)  # whatever was applied is the state to start from
        tx = harness.transaction()
        for number in step:
            WRITES[number](tx)
        try:
            await tx.verify(harness.read_many)
        except MutationRefused:
            return
        # An absolute time in the past deletes the key under the server's clock, which verify does not read.
        hidden = any(words[0] == b"EXPIREAT" for words in tx.writes) and any(words[0] == b"LSET" for words in tx.writes)
        assert hidden or not await harness.fails_in_redis(tx)

    run(body)


SINGLE = st.integers(0, len(WRITES) - 1)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=programs, number=SINGLE)
def test_a_single_write_is_refused_exactly_when_redis_refuses_it(run: Run, before: list[int], number: int) -> None:
    async def body(harness: Harness) -> None:
        first = harness.transaction()
        for earlier in before:
            WRITES[earlier](first)
        await harness.fails_in_redis(first)
        tx = harness.transaction()
        WRITES[number](tx)
        refused = False
        try:
            await tx.verify(harness.read_many)
        except MutationRefused:
            refused = True
        moves_nothing = tx.writes[0][0] in {b"SMOVE", b"LMOVE"}  # Redis looks at the destination only if it moves
        failed = await harness.fails_in_redis(tx)
        assert refused == failed or (refused and moves_nothing)

    run(body)
