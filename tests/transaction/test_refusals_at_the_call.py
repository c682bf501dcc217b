"""What cannot succeed later is refused where it is called, with what to do."""

from __future__ import annotations

import asyncio
import math
import pickle
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from actors.errors import HeadraceError
from actors.transaction import (
    CommandNotAvailable,
    InvalidCommand,
    MutationRefused,
    ReadAfterWrite,
    ReadOnly,
    ReservedKey,
    TooManyWrites,
    Transaction,
    TransactionClosed,
    WrongSlot,
)


def transaction(*, read_only: bool = False, same_slot: bool = False, watched: list[bytes] | None = None) -> Transaction:
    async def read(words: tuple[bytes, ...]) -> object:
        return b"value"

    async def watch(keys: Sequence[bytes]) -> None:
        if watched is not None:
            watched.extend(keys)

    return Transaction(
        read=read, watch=watch, tag="{default:0}", namespace="default", read_only=read_only, same_slot=same_slot
    )


INVALID: list[Callable[[Any], Any]] = [
    lambda tx: tx.set("k", None),
    lambda tx: tx.set("k", True),
    lambda tx: tx.set("k", {"a": 1}),
    lambda tx: tx.set("k", math.nan),
    lambda tx: tx.set("k", "\ud800"),
    lambda tx: tx.set(5, "v"),
    lambda tx: tx.set("k", "v", ex=0),
    lambda tx: tx.set("k", "v", ex=1.5),
    lambda tx: tx.set("k", "v", ex=timedelta(milliseconds=10)),
    lambda tx: tx.set("k", "v", ex=10**18),
    lambda tx: tx.set("k", "v", ex=1, px=1),
    lambda tx: tx.set("k", "v", ex=1, keepttl=True),
    lambda tx: tx.set("k", "v", nx=True, xx=True),
    lambda tx: tx.set("k", "v", exat=datetime(2030, 1, 1)),  # noqa: DTZ001
    lambda tx: tx.mset({}),
    lambda tx: tx.mset([("a", 1)]),
    lambda tx: tx.mset({1: "a"}),
    lambda tx: tx.incr("k", 1.0),
    lambda tx: tx.incrby("k", "1"),
    lambda tx: tx.incrby("k", True),
    lambda tx: tx.incrby("k", 2**63),
    lambda tx: tx.decrby("k", -(2**63)),
    lambda tx: tx.incrbyfloat("k", math.inf),
    lambda tx: tx.incrbyfloat("k", math.nan),
    lambda tx: tx.setbit("k", -1, 1),
    lambda tx: tx.setbit("k", 0, 2),
    lambda tx: tx.setrange("k", 2**29, "x"),
    lambda tx: tx.hset("k"),
    lambda tx: tx.hset("k", "a"),
    lambda tx: tx.hset("k", value="a"),
    lambda tx: tx.hset("k", items=["a"]),
    lambda tx: tx.hset("k", mapping={"a": None}),
    lambda tx: tx.hdel("k"),
    lambda tx: tx.hincrby("k", "f", 0.5),
    lambda tx: tx.rpush("k"),
    lambda tx: tx.rpush("k", ["a"]),
    lambda tx: tx.lpop("k", 0),
    lambda tx: tx.lset("k", "0", "v"),
    lambda tx: tx.linsert("k", "BESIDE", "a", "b"),
    lambda tx: tx.lmove("k", "l", "UP"),
    lambda tx: tx.sadd("k"),
    lambda tx: tx.zadd("k", {}),
    lambda tx: tx.zadd("k", {"a": math.nan}),
    lambda tx: tx.zadd("k", {"a": "1"}),
    lambda tx: tx.zadd("k", {"a": 10**400}),
    lambda tx: tx.zadd("k", {"a": 1}, nx=True, gt=True),
    lambda tx: tx.zadd("k", {"a": 1}, nx=True, xx=True),
    lambda tx: tx.zincrby("k", math.inf, "a"),
    lambda tx: tx.zremrangebyscore("k", "one", 2),
    lambda tx: tx.zremrangebylex("k", "a", "b"),
    lambda tx: tx.zpopmin("k", -1),
    lambda tx: tx.xadd("k", {}),
    lambda tx: tx.xadd("k", {"a": 1}, "0-0"),
    lambda tx: tx.xadd("k", {"a": 1}, "1-*"),
    lambda tx: tx.xadd("k", {"a": 1}, maxlen=1, minid=1),
    lambda tx: tx.xadd("k", {"a": 1}, limit=1),
    lambda tx: tx.xadd("k", {"a": 1}, maxlen=-1),
    lambda tx: tx.xdel("k"),
    lambda tx: tx.xtrim("k"),
    lambda tx: tx.delete(),
    lambda tx: tx.expire("k", 10, nx=True, gt=True),
    lambda tx: tx.expire("k", 10**17),
    lambda tx: tx.expire("k", "10"),
    lambda tx: tx.expireat("k", datetime(2030, 1, 1)),  # noqa: DTZ001
    lambda tx: tx.key(""),
    lambda tx: asyncio.run(tx.mget([])),
    lambda tx: asyncio.run(tx.hmget("k", [])),
    lambda tx: asyncio.run(tx.exists()),
    lambda tx: asyncio.run(tx.zrange("k", 0, 1, offset=1, num=2)),
    lambda tx: asyncio.run(tx.zrangebyscore("k", "low", "high")),
    lambda tx: asyncio.run(tx.bitcount("k", 1)),
]


@pytest.mark.parametrize("use", INVALID, ids=range(len(INVALID)))
def test_an_argument_that_redis_would_refuse_is_refused_at_the_call(use: Callable[[Any], Any]) -> None:
    tx = transaction()
    with pytest.raises(InvalidCommand):
        use(tx)
    assert tx.writes == []
    assert tx.keys_written == {}


def test_a_list_as_a_value_is_told_to_be_unpacked() -> None:
    with pytest.raises(InvalidCommand, match=r"Unpack it with \*"):
        transaction().rpush("k", ["a"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_query_refuses_every_write() -> None:
    tx = transaction(read_only=True)
    with pytest.raises(ReadOnly, match="mutation"):
        tx.incr("k")
    with pytest.raises(ReadOnly):
        tx.delete("k")


def test_a_key_that_the_step_has_written_cannot_be_read() -> None:
    tx = transaction()
    assert asyncio.run(tx.get("k")) == b"value"
    tx.incr("k")
    with pytest.raises(ReadAfterWrite, match="before the first write") as caught:
        asyncio.run(tx.get(b"k"))
    assert caught.value.key == b"k"
    with pytest.raises(ReadAfterWrite):
        asyncio.run(tx.mget("other", "k"))


@pytest.mark.parametrize(
    "key",
    [
        "default:gateway",
        "{default:0}:wf:order-7",
        "{default:3}:q:default",
        "{default:pool:gpu}:x",
        "{default:0}:apple",
        "{default:",
        "{default:pool:x}:app:y",
        "{default:}:app:y",
    ],
)
def test_the_engines_own_keys_are_refused(key: str) -> None:
    tx = transaction()
    with pytest.raises(ReservedKey, match=r"tx\.key"):
        tx.set(key, 1)
    with pytest.raises(ReservedKey):
        asyncio.run(tx.get(key))
    with pytest.raises(ReservedKey):
        tx.mset({"fine": "1", key: "2"})
    with pytest.raises(ReservedKey):
        tx.lmove("fine", key)


@pytest.mark.parametrize("key", ["defaults", "default", "{defaults:0}:x", "{default:3}:app:x", "x{default:0}"])
def test_keys_that_only_look_like_the_engines_are_free(key: str) -> None:
    transaction().set(key, 1)


def test_on_cluster_only_keys_in_the_instances_slot_are_allowed() -> None:
    tx = transaction(same_slot=True)
    assert tx.key("totals") == "{default:0}:app:totals"
    tx.incr(tx.key("totals"))
    for key in ("totals", "{default:1}:app:totals"):
        with pytest.raises(WrongSlot, match=r"Use tx\.key"):
            tx.incr(key)
        with pytest.raises(WrongSlot):
            asyncio.run(tx.get(key))


@pytest.mark.parametrize("name", ["blpop", "eval", "flushall", "getdel", "scan", "pipeline", "publish"])
def test_a_command_that_is_not_there_says_what_to_do(name: str) -> None:
    tx = transaction()
    with pytest.raises(CommandNotAvailable, match=name):
        getattr(tx, name)
    assert not hasattr(tx, name)


def test_a_step_cannot_write_more_than_a_script_can_carry() -> None:
    tx = transaction()
    with pytest.raises(TooManyWrites, match="several calls"):
        tx.rpush("k", *range(7_000))
    with pytest.raises(TooManyWrites, match="several mutations"):
        tx.set("k", b"x" * 2**25)
    for _ in range(10_000):
        tx.incr("k")
    with pytest.raises(TooManyWrites, match="several mutations"):
        tx.incr("k")
    assert len(tx.writes) == 10_000


def test_a_closed_transaction_refuses_everything() -> None:
    tx = transaction()
    tx.close()
    with pytest.raises(TransactionClosed):
        tx.incr("k")
    with pytest.raises(TransactionClosed):
        asyncio.run(tx.get("k"))


def test_each_key_is_watched_once_and_before_its_first_read() -> None:
    order: list[object] = []

    async def read(words: tuple[bytes, ...]) -> object:
        order.append(words)
        await asyncio.sleep(0)
        return b"v"

    async def watch(keys: Sequence[bytes]) -> None:
        order.append(list(keys))
        await asyncio.sleep(0)

    tx = Transaction(read=read, watch=watch, tag="{default:0}", namespace="default", read_only=False, same_slot=False)

    async def body() -> None:
        await asyncio.gather(tx.get("a"), tx.get("a"), tx.get("b"))

    asyncio.run(body())
    get_a = (b"GET", b"a")
    assert order == [[b"a"], get_a, get_a, [b"b"], (b"GET", b"b")]
    assert tx.keys_read == {b"a", b"b"}


def test_a_query_watches_nothing() -> None:
    watched: list[bytes] = []
    tx = transaction(read_only=True, watched=watched)
    asyncio.run(tx.get("a"))
    assert watched == []
    assert tx.keys_read == {b"a"}


def test_buffers_are_copied_at_the_call() -> None:
    tx = transaction()
    buffer = bytearray(b"before")
    tx.set("k", buffer)
    buffer[:] = b"after!"
    assert tx.writes == [(b"SET", b"k", b"before")]


def test_the_runner_sees_what_each_written_key_must_hold() -> None:
    tx = transaction()
    tx.incr("count")
    tx.hincrby("hash", "field", 2)
    tx.incrbyfloat("weight", 0.5)
    tx.set("any", 1)
    tx.rpush("any", 1)
    assert tx.keys_written == {b"count": "string", b"hash": "hash", b"weight": "string", b"any": "any"}
    assert tx.integer_keys == {b"count"}
    assert tx.integer_fields == {(b"hash", b"field")}
    assert tx.float_keys == {b"weight"}


def test_errors_survive_pickling_with_their_evidence() -> None:
    error = MutationRefused("INCRBY", b"k", "it holds a hash.")
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, MutationRefused)
    assert isinstance(copy, HeadraceError)
    assert (str(copy), copy.key, copy.command) == (str(error), b"k", "INCRBY")
