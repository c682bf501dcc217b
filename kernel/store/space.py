"""Space: one namespace on one deployment of Redis: its keys, its links, its clock. Not what scripts are for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from itertools import count
from random import Random
from time import time_ns
from typing import TYPE_CHECKING, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from kernel.compatibility import check_server
from kernel.errors import (
    InvalidUrl,
    Misconfigured,
    NamespaceMismatch,
    NamespaceMissing,
    NamespaceRefounded,
    ServerUnreachable,
)
from kernel.store import keys
from kernel.store.keys import Keys, tag, valid_namespace
from kernel.store.link import LOST, Call, Lane, Link, Words
from kernel.store.namespaces import find_namespaces
from kernel.store.payloads import Payloads
from kernel.store.pump import fail, refused
from kernel.store.replies import listed
from kernel.store.rights import check_rights
from kernel.store.scripts import SCRIPTS
from kernel.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from kernel.store.lanes import Connector
    from kernel.store.payloads import Codec

FORMAT: Final = 1
"""Version of the data's layout."""
DEFAULT_PARTITIONS: Final = 12
NONCE_BITS: Final = 62
REFRESH_S: Final = 0.1
"""How long a call waits for a Cluster to settle before it is sent to another node."""


_random = Random(secrets.randbits(256))  # noqa: S311 - nonces need to be different, not secret
os.register_at_fork(after_in_child=lambda: _random.seed(secrets.randbits(256)))


def draw_nonce() -> int:
    """Draw the random part of an event id."""
    return _random.getrandbits(NONCE_BITS)


@contextlib.contextmanager
def repeatable_nonces(seed: int) -> Generator[None]:
    """Draw the same nonces in each run of the block, for tests; they are then no nonces outside of one server."""
    state = _random.getstate()
    _random.seed(seed)
    try:
        yield
    finally:
        _random.setstate(state)


class Space:
    """A namespace that was opened. Methods that return futures may be called without awaiting each before the next."""

    def __init__(
        self,
        connector: Connector,
        *,
        namespace: str,
        partitions: int | None,
        default_partitions: int = DEFAULT_PARTITIONS,
        patience_s: float | None = 10.0,
        now_ms: Callable[[], int] | None = None,
        codec: Codec | None = None,
        founds: bool = True,
        works: bool = False,
        allows_eviction: bool = False,
    ) -> None:
        """Prepare; ``open`` connects.

        ``partitions``: what the caller states, None for what is recorded. ``patience_s``: how long calls wait for a
        server that is away, None for ever. ``now_ms``: virtual time in place of the server's, for tests. ``codec``:
        what payloads pass through. ``founds``: whether a namespace that is not there is made. ``works``: whether a
        worker runs on it, which needs more rights. ``allows_eviction``: whether a server that may drop keys will do,
        for whoever is to say that it is one.
        """
        if not valid_namespace(namespace):
            raise Misconfigured(
                f"{namespace!r} cannot be a namespace: use 1 to 64 letters, digits, dots, dashes and underscores."
            )
        self.connector = connector
        self.namespace = namespace
        self.seed = 0
        self.payloads = Payloads(self, codec)
        self._asked = partitions
        self._default = default_partitions
        self._patience_s = patience_s
        self._links: dict[str, Link] = {}
        self._epochs = count()
        self.on_restored: list[Callable[[], None]] = []
        """To be told when a node can be reached again, or another one serves in its place."""
        self._homeless: list[Call] = []
        self._rehousing: asyncio.Task[None] | None = None
        self._closed = False
        self._virtual = now_ms
        self._founds = founds
        self._works = works
        self._allows_eviction = allows_eviction
        self.throttle: Final = Throttle()
        """For what those who use it have to say again and again."""
        self.keys = Keys(namespace, 1)
        self.offset_ms = 0
        """The server's clock minus ours, as measured at the opening."""

    @property
    def clock(self) -> str:
        """The time argument of scripts: empty for the server's own clock."""
        return "" if self._virtual is None else str(self._virtual())

    def now_ms(self) -> int:
        """Return the time, ms since the epoch, as near to the server's as was measured."""
        if self._virtual is not None:
            return self._virtual()
        return self.wall_ms() + self.offset_ms

    @staticmethod
    def wall_ms() -> int:
        """Return this machine's time, ms since the epoch."""
        return time_ns() // 1_000_000

    async def open(self) -> None:
        """Connect, check the server, and found the namespace or read how it was founded.

        Raises:
            ServerUnreachable, ServerTooOld, EvictingServer, NamespaceMismatch, RightMissing: with what to do.
            NamespaceMissing: it is not there, and none is to be made.
        """
        try:
            async with asyncio.timeout(self._patience_s):
                await self.connector.start()
                lane = await self.connector.open(tag(self.namespace, 0))
        except (*LOST, RedisError) as error:
            raise ServerUnreachable(self.connector.url, str(error) or type(error).__name__) from error
        try:
            if not self.connector.is_memory:
                await self._check(lane)
                if self._founds:  # who only looks may well have fewer rights
                    await check_rights(lane, self.keys, works=self._works)
        except (*LOST, RedisError) as error:
            raise ServerUnreachable(self.connector.url, str(error) or type(error).__name__) from error
        finally:
            await lane.close()
        if not self._founds:
            await self._look_for_it()
        await self._found()

    async def _look_for_it(self) -> None:
        meta = keys.shared(tag(self.namespace, 0), "meta")
        if not await self.link(meta).send(meta, "EXISTS", meta):
            there_are = await find_namespaces(self.connector)
            raise NamespaceMissing(self.namespace, url=self.connector.url, there_are=there_are)

    async def _check(self, lane: Lane) -> None:
        info, policy, seconds = await lane.send([("INFO",), ("CONFIG", "GET", "maxmemory-policy"), ("TIME",)])
        if isinstance(info, ResponseError):
            raise refused("INFO", info)
        facts = dict(line.split(":", 1) for line in _text(info).splitlines() if ":" in line)
        version = facts.get("valkey_version") or facts.get("redis_version", "")
        settings = listed(policy) if not isinstance(policy, ResponseError) else []
        # Managed servers forbid CONFIG, and tell the policy all the same.
        eviction = _text(settings[1]) if len(settings) > 1 else facts.get("maxmemory_policy", "").strip()
        check_server(version=version or "7.0.0", eviction_policy="" if self._allows_eviction else eviction)
        if facts.get("redis_mode", "").strip() == "sentinel":
            raise InvalidUrl(self.connector.url, "a Sentinel answers there, which holds no data")
        # A Cluster's node may become the primary while it is waited for.
        if self._founds and facts.get("role", "").strip() == "slave" and not self.connector.is_cluster:
            raise ServerUnreachable(self.connector.url, "READONLY")
        if not isinstance(seconds, ResponseError) and self._virtual is None:
            whole, micros = (int(part) for part in listed(seconds))
            self.offset_ms = whole * 1000 + micros // 1000 - self.wall_ms()

    async def _found(self) -> None:
        script = SCRIPTS["found"]
        asked = self._asked or self._default
        seed = _random.randrange(1, 2**32)
        first = await self._found_in(0, asked, seed)
        recorded, form, self.seed = (int(field) for field in first)
        if self._asked is not None and recorded != self._asked:
            raise NamespaceMismatch(self.namespace, recorded=recorded, asked=self._asked)
        if form != FORMAT:
            raise Misconfigured(
                f"Namespace {self.namespace!r} holds data of format {form}, this version reads {FORMAT}: "
                "use the version of headrace that wrote it, or another namespace."
            )
        self.keys = Keys(self.namespace, recorded)
        calls = [self.link(t).call(script, t, recorded, FORMAT, self.seed) for t in self.keys.tags[1:]]
        for reply in await asyncio.gather(*calls):
            if (others := int(listed(reply)[0])) != recorded:
                raise NamespaceMismatch(self.namespace, recorded=others, asked=recorded)

    async def found_again(self) -> bool:
        """Found the namespace as it was opened, should the server have been emptied since; True: it had been.

        So that whoever opens it next finds the partitions and the hash seed that those who use it have.

        Raises:
            NamespaceRefounded: somebody else founded it first, in another way. Nothing was changed.
        """
        metas = [keys.shared(one, "meta") for one in self.keys.tags]
        there = await asyncio.gather(*(self.send(meta, "EXISTS", meta) for meta in metas))
        partitions = self.keys.partitions
        recorded = [int(field) for field in await self._found_in(0, partitions, self.seed)]
        if recorded != [partitions, FORMAT, self.seed]:
            same_keys = recorded[:2] == [partitions, FORMAT]
            raise NamespaceRefounded(self.namespace, partitions=recorded[0], seed=recorded[2], same_keys=same_keys)
        await asyncio.gather(*(self._found_in(number, partitions, self.seed) for number in range(1, partitions)))
        return not all(there)

    async def _found_in(self, partition: int, partitions: int, seed: int) -> list[bytes]:
        name = tag(self.namespace, partition)
        return listed(await self.link(name).call(SCRIPTS["found"], name, partitions, FORMAT, seed))

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        rehousing, self._rehousing = self._rehousing, None
        if rehousing is not None:
            rehousing.cancel()
            await asyncio.wait([rehousing])
            fail(self._homeless, ServerUnreachable(self.connector.url, "the connection was closed"))
        for link in self._links.values():
            await link.close()
        await self.connector.close()

    def link(self, name: str) -> Link:
        """Return the link of the node that serves a tag (or a key)."""
        node = self.connector.node(name)
        link = self._links.get(node)
        if link is None:
            link = self._links[node] = Link(
                lambda: self._open_at(node, name),
                url=self.connector.url,
                patience_s=self._patience_s,
                epochs=self._epochs,
            )
            link.on_restored = self.on_restored
            if self.connector.is_cluster:
                link.on_moved = self._moved
        return link

    async def _open_at(self, node: str, name: str) -> Lane:
        """Connect to a node, by any tag or key that it serves now: the one that it was found by may have moved."""
        for key in (name, *self.keys.tags, *self.keys.outside_partitions):
            if self.connector.node(key) == node:
                return await self.connector.open(key)
        raise RedisConnectionError(f"{node} serves none of the namespace's slots any more")

    def _moved(self, call: Call) -> None:
        """A call's slot moved, or its node is away: learn the topology, then send it to whoever serves the slot."""
        if self._closed:
            fail([call], ServerUnreachable(self.connector.url, "the connection was closed"))
            return
        self._homeless.append(call)
        _ = self._begin_rehousing()

    def _begin_rehousing(self) -> asyncio.Task[None]:
        if self._rehousing is None or self._rehousing.done():
            self._rehousing = asyncio.get_running_loop().create_task(self._rehouse(), name="topology")
        return self._rehousing

    async def learn_topology(self) -> None:
        """Learn anew who serves what, after a connection of one's own broke or was sent elsewhere."""
        if self.connector.is_cluster:
            await asyncio.shield(self._begin_rehousing())
            return
        with contextlib.suppress(*LOST, RedisError):
            await self.connector.refresh()

    async def _rehouse(self) -> None:
        await asyncio.sleep(REFRESH_S)
        with contextlib.suppress(*LOST, RedisError):
            await self.connector.refresh()
        now = asyncio.get_running_loop().time()
        calls, self._homeless = self._homeless, []
        for call in calls:
            call.since = call.since or now
            if self._patience_s is not None and now - call.since > self._patience_s:
                fail([call], ServerUnreachable(self.connector.url, "no node serves its slot"))
            else:
                _ = self.link(call.key).add(call)

    @property
    def links(self) -> tuple[Link, ...]:
        """All links in use."""
        return tuple(self._links.values())

    @property
    def stamp(self) -> int:
        """A number that changes whenever a connection breaks or is made."""
        return sum(link.epoch + link.opened for link in self._links.values())

    def call(self, name: str, key: str, *arguments: str | bytes | float) -> asyncio.Future[object]:
        """Call the script ``name`` on the slot of ``key``."""
        return self.link(key).call(SCRIPTS[name], key, *arguments)

    def call_if(self, stamp: int, name: str, key: str, *arguments: str | bytes | float) -> asyncio.Future[object]:
        """Call a script that relies on what was done or read since ``stamp`` was taken.

        If a connection broke or was made since, it fails with LinkChanged: a server that took another's place may not
        have all that was acknowledged.
        """
        return self.link(key).call(SCRIPTS[name], key, *arguments, holds=lambda: self.stamp == stamp)

    def actor_call(self, name: str, address: str, *arguments: str | bytes | float) -> asyncio.Future[object]:
        """Call the script ``name`` on an actor's partition."""
        key = self.keys.tag_of(address)
        return self.link(key).call(SCRIPTS[name], key, *arguments)

    def actor_call_if(
        self, stamp: int | None, name: str, address: str, *arguments: str | bytes | float
    ) -> asyncio.Future[object]:
        """Call a script on an actor's partition, as ``call_if``. None: it relies on nothing."""
        if stamp is None:
            return self.actor_call(name, address, *arguments)
        key = self.keys.tag_of(address)
        return self.link(key).call(SCRIPTS[name], key, *arguments, holds=lambda: self.stamp == stamp)

    def send(self, key: str, *words: str | bytes | float) -> asyncio.Future[object]:
        """Send a plain command that may be repeated to the node of ``key``."""
        return self.link(key).send(key, *words)

    async def open_lane(self, key: str) -> Lane:
        """Open a connection of one's own to the node of ``key``, for WATCH or a blocking read."""
        return await self.connector.open(key)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


__all__ = ["DEFAULT_PARTITIONS", "FORMAT", "Space", "Words", "draw_nonce", "repeatable_nonces"]
