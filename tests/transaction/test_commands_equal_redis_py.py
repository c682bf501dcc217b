"""Every method of a transaction does, and answers, what redis-py's method of that name does."""

# ruff: noqa: ANN401 - replies and arguments of redis-py are of any type

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

from actors.transaction import Transaction

if TYPE_CHECKING:
    from tests.transaction.conftest import Harness, Run

Call = tuple[str, tuple[Any, ...], dict[str, Any]]

OWN = {"key", "close", "verify"}
METHODS = sorted(name for name in dir(Transaction) if not name.startswith("_") and name not in OWN)
READS = {name for name in METHODS if inspect.iscoroutinefunction(getattr(Transaction, name))}

SETUP: list[Call] = [
    ("set", ("text", "hello"), {}),
    ("set", ("short", "x"), {"ex": 1000}),
    ("set", ("number", 41), {}),
    ("set", ("fraction", "1.5"), {}),
    ("hset", ("hash",), {"mapping": {"a": "1", "b": "two", "f": "0.25"}}),
    ("rpush", ("list", "a", "b", "c", "b", "d"), {}),
    ("rpush", ("other-list", "z"), {}),
    ("sadd", ("set", "a", "b", "c"), {}),
    ("sadd", ("other-set", "b", "z"), {}),
    ("zadd", ("zset", {"a": 1, "b": 2.5, "c": 3, "d": float("inf")}), {}),
    ("zadd", ("names", {"a": 0, "b": 0, "c": 0}), {}),
    ("xadd", ("stream", {"n": 1}, "1-1"), {}),
    ("xadd", ("stream", {"n": 2, "m": "x"}, "2-5"), {}),
]
KEYS = sorted({args[0] for _, args, _ in SETUP} | {"new", "new-2"})


def call(name: str, *args: Any, **kwargs: Any) -> Call:
    return name, args, kwargs


READ_CALLS = [
    call("get", "text"), call("get", b"new"), call("mget", "text", "new"), call("mget", ["text", "new", "hash"]),
    call("getrange", "text", 1, -2), call("strlen", "text"), call("getbit", "text", 1), call("bitcount", "text"),
    call("bitcount", "text", 0, 1),
    call("hget", "hash", "a"), call("hget", "hash", "no"), call("hmget", "hash", "a", "no"),
    call("hmget", "hash", ["a", "b"]), call("hgetall", "hash"), call("hgetall", "new"), call("hkeys", "hash"),
    call("hvals", "hash"), call("hlen", "hash"), call("hexists", "hash", "a"), call("hexists", "hash", "no"),
    call("hstrlen", "hash", "b"),
    call("lrange", "list", 0, -1), call("lrange", "new", 0, -1), call("llen", "list"), call("lindex", "list", -1),
    call("lindex", "list", 99), call("lpos", "list", "b"), call("lpos", "list", "no"),
    call("lpos", "list", "b", rank=-1), call("lpos", "list", "b", count=0), call("lpos", "list", "b", 1, maxlen=1),
    call("smembers", "set"), call("smembers", "new"), call("sismember", "set", "a"), call("sismember", "set", "no"),
    call("smismember", "set", ["a", "no"]), call("scard", "set"), call("srandmember", "new"),
    call("srandmember", "new", 2), call("sunion", "set", "other-set"), call("sinter", ["set", "other-set"]),
    call("sdiff", "set", "other-set"), call("sinter", "set", "new"),
    call("zscore", "zset", "b"), call("zscore", "zset", "d"), call("zscore", "zset", "no"),
    call("zmscore", "zset", ["a", "no"]), call("zrank", "zset", "b"), call("zrank", "zset", "no"),
    call("zrevrank", "zset", "b"), call("zcard", "zset"), call("zcount", "zset", "(1", 3),
    call("zcount", "zset", "-inf", "+inf"), call("zlexcount", "names", "[a", "(c"),
    call("zrange", "zset", 0, -1), call("zrange", "zset", 0, 1, withscores=True),
    call("zrange", "zset", 0, 1, desc=True), call("zrange", "zset", "(1", "+inf", byscore=True, offset=0, num=2),
    call("zrange", "names", "[a", "[b", bylex=True), call("zrange", "new", 0, -1, withscores=True),
    call("zrevrange", "zset", 0, 1), call("zrevrange", "zset", 0, -1, withscores=True),
    call("zrangebyscore", "zset", 1, 3), call("zrangebyscore", "zset", "-inf", "(3", 1, 1, withscores=True),
    call("zrevrangebyscore", "zset", 3, 1), call("zrevrangebyscore", "zset", "+inf", 1, withscores=True),
    call("zrangebylex", "names", "-", "+"), call("zrangebylex", "names", "(a", "[c", 0, 1),
    call("zrevrangebylex", "names", "+", "-"),
    call("xlen", "stream"), call("xrange", "stream"), call("xrange", "stream", "(1-1", "+", 5),
    call("xrange", "new"), call("xrevrange", "stream", count=1),
    call("exists", "text", "new", "text"), call("type", "zset"), call("type", "new"), call("ttl", "text"),
    call("ttl", "new"), call("pttl", "text"),
]  # fmt: skip

LATER = datetime.now(UTC) + timedelta(days=1)
WRITE_CALLS = [
    call("set", "text", "new"), call("set", "new", b"\x00\xff", ex=100), call("set", "new", 1.5, px=100_000),
    call("set", "text", 1, timedelta(hours=1)), call("set", "short", "y"), call("set", "short", "y", keepttl=True),
    call("set", "text", "n", nx=True), call("set", "new", "n", nx=True), call("set", "text", "n", xx=True),
    call("set", "new", "n", xx=True), call("set", "new", "n", exat=LATER), call("set", "new", "n", pxat=LATER),
    call("set", "hash", "replaced"), call("setex", "new", 100, "v"), call("psetex", "new", 100_000, "v"),
    call("setnx", "new", "v"), call("setnx", "text", "v"), call("mset", {"new": "1", "text": "2"}),
    call("msetnx", {"new": "1", "text": "2"}), call("msetnx", {"new": "1", "new-2": "2"}),
    call("append", "text", " world"), call("append", "new", 7), call("setrange", "text", 2, "LL"),
    call("setrange", "new", 3, "x"), call("setrange", "new", 3, ""), call("setbit", "new", 7, 1),
    call("incr", "number"), call("incr", "new", 5), call("incrby", "number", -50), call("decr", "number"),
    call("decrby", "number", 40), call("incrbyfloat", "fraction", 0.25), call("incrbyfloat", "number"),
    call("hset", "hash", "a", 2), call("hset", "new", mapping={"x": 1, "y": 2.5}),
    call("hset", "new", "x", 1, {"y": 2}, ["z", 3]), call("hsetnx", "hash", "a", 9), call("hsetnx", "hash", "z", 9),
    call("hdel", "hash", "a", "no"), call("hdel", "hash", "a", "b", "f"), call("hincrby", "hash", "a", 5),
    call("hincrby", "new", "a"), call("hincrbyfloat", "hash", "f", 0.5), call("hincrbyfloat", "hash", "a"),
    call("lpush", "list", "x", "y"), call("rpush", "new", 1, 2.5, b"x"), call("lpushx", "new", "x"),
    call("lpushx", "list", "x"), call("rpushx", "list", "x"), call("lpop", "list"), call("lpop", "list", 2),
    call("lpop", "new"), call("rpop", "list"), call("rpop", "list", 99), call("lset", "list", 1, "B"),
    call("lset", "list", -1, "D"), call("lrem", "list", 1, "b"), call("lrem", "list", 0, "b"),
    call("ltrim", "list", 1, -2), call("linsert", "list", "BEFORE", "b", "x"), call("linsert", "list", "after", "c", 1),
    call("lmove", "list", "other-list"), call("lmove", "list", "new", "RIGHT", "LEFT"), call("lmove", "new", "list"),
    call("sadd", "set", "z", 1), call("srem", "set", "a", "no"), call("srem", "set", "a", "b", "c"),
    call("smove", "set", "other-set", "a"), call("smove", "set", "new", "no"),
    call("zadd", "zset", {"a": 9, "z": -1.5}), call("zadd", "zset", {"a": 9, "z": 1}, nx=True),
    call("zadd", "zset", {"a": 9, "z": 1}, xx=True, ch=True), call("zadd", "zset", {"b": 2}, gt=True),
    call("zadd", "zset", {"b": 2}, lt=True), call("zadd", "new", {"a": float("-inf")}),
    call("zincrby", "zset", 1.5, "a"), call("zincrby", "zset", 1, "d"), call("zincrby", "new", 1, "a"),
    call("zrem", "zset", "a", "no"), call("zremrangebyscore", "zset", "(1", 3), call("zremrangebyrank", "zset", 0, 1),
    call("zremrangebylex", "names", "[a", "(c"), call("zpopmin", "zset"), call("zpopmax", "zset", 2),
    call("xadd", "stream", {"a": 1}), call("xadd", "new", {"a": 1}, "5-1"), call("xadd", "stream", {"a": 1}, "2-6"),
    call("xadd", "stream", {"a": 1}, maxlen=1, approximate=False), call("xadd", "new", {"a": 1}, nomkstream=True),
    call("xadd", "stream", {"a": 1}, minid="2-0", approximate=False), call("xadd", "stream", {"a": 1}, maxlen=9),
    call("xadd", "stream", {"a": 1}, "3-1", maxlen=9, limit=5), call("hset", "new", mapping={1: 2}),
    call("xdel", "stream", "1-1", "9-9"), call("xtrim", "stream", 1, approximate=False),
    call("xtrim", "stream", minid="2-0", approximate=False),
    call("delete", "text", "hash", "new"), call("unlink", "text"), call("persist", "short"), call("persist", "text"),
    call("expire", "text", 100), call("expire", "text", timedelta(minutes=5)), call("expire", "text", 0),
    call("expire", "short", 100, gt=True), call("expire", "short", 100, lt=True), call("expire", "short", 9, nx=True),
    call("expire", "text", 9, xx=True), call("pexpire", "text", 100_000), call("pexpire", "text", -1),
    call("expireat", "text", LATER), call("pexpireat", "text", LATER), call("expireat", "new", LATER),
]  # fmt: skip


def label(case: Call) -> str:
    name, args, kwargs = case
    return f"{name}{args}{kwargs or ''}"[:60]


def renamed(value: Any, prefix: str) -> Any:
    """The arguments with every key of the set-up moved below ``prefix``."""
    match value:
        case str() if value in KEYS:
            return prefix + value
        case bytes() if value.decode("latin-1") in KEYS:
            return prefix.encode() + value
        case list():
            return [renamed(item, prefix) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


def below(prefix: str, case: Call) -> tuple[list[Any], dict[str, Any]]:
    name, args, kwargs = case
    if name in {"mset", "msetnx"}:
        return [{prefix + key: value for key, value in args[0].items()}], kwargs
    several = name in {"mget", "sunion", "sinter", "sdiff", "exists", "delete", "unlink", "smove", "lmove"}
    keys = len(args) if several else 1
    return [renamed(value, prefix) for value in args[:keys]] + list(args[keys:]), kwargs


async def set_up(harness: Harness) -> None:
    for prefix in ("tx:", "twin:"):
        for case in SETUP:
            args, kwargs = below(prefix, case)
            await getattr(harness.native, case[0])(*args, **kwargs)


@pytest.mark.parametrize("case", READ_CALLS, ids=label)
def test_a_read_answers_as_redis_py_does(run: Run, case: Call) -> None:
    async def body(harness: Harness) -> None:
        await set_up(harness)
        args, kwargs = below("tx:", case)
        native = await getattr(harness.native, case[0])(*args, **kwargs)
        mine = await getattr(harness.transaction(read_only=True), case[0])(*args, **kwargs)
        assert mine == native
        assert type(mine) is type(native)

    run(body)


@pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")
@pytest.mark.parametrize("case", WRITE_CALLS, ids=label)
def test_a_write_does_what_redis_py_does_to_a_twin(run: Run, case: Call) -> None:
    async def body(harness: Harness) -> None:
        await set_up(harness)
        modern = case[0] == "incrbyfloat" or (case[0] == "expire" and case[2])
        if modern and not await harness.is_redis_7():
            pytest.skip("needs Redis 7, and says so: see test_verify.py")
        untouched = await harness.dump(*("tx:" + key for key in KEYS))
        args, kwargs = below("twin:", case)
        await getattr(harness.native, case[0])(*args, **kwargs)
        tx = harness.transaction()
        args, kwargs = below("tx:", case)
        assert getattr(tx, case[0])(*args, **kwargs) is None
        before = await harness.dump(*("tx:" + key for key in KEYS))
        assert before == untouched
        await harness.commit(tx)
        assert await harness.dump(*("tx:" + key for key in KEYS)) == await harness.dump(
            *("twin:" + key for key in KEYS)
        )

    run(body)


def test_every_method_is_compared() -> None:
    assert {name for name, _, _ in READ_CALLS} == READS
    assert {name for name, _, _ in WRITE_CALLS} == set(METHODS) - READS


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_the_argument_names_of_redis_py(name: str) -> None:
    mine = list(inspect.signature(getattr(Transaction, name)).parameters.values())
    theirs = list(inspect.signature(getattr(redis.asyncio.Redis, name)).parameters.values())
    placed = [parameter.name for parameter in mine if parameter.kind is not parameter.KEYWORD_ONLY]
    assert placed == [parameter.name for parameter in theirs][: len(placed)]
    defaults: dict[str, object] = {parameter.name: parameter.default for parameter in theirs}
    for parameter in mine:
        assert parameter.default == defaults[parameter.name]


def test_a_random_member_is_a_member(run: Run) -> None:
    async def body(harness: Harness) -> None:
        await set_up(harness)
        tx = harness.transaction(read_only=True)
        assert await tx.srandmember("tx:set") in {b"a", b"b", b"c"}
        assert sorted(await tx.srandmember("tx:set", 3)) == [b"a", b"b", b"c"]

    run(body)
