"""What a Redis server in this process allows beyond a real one: a look inside, its clock, its state of another moment.

Commands run here at once and whole, without the event loop in between: a ``Session`` is a connection on which a command
has been answered when the call returns. It is built on fakeredis' parts rather than on its clients, which would pack
and parse every command; and it compiles each script once.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import hashlib
import sys
import time
import weakref
from itertools import count
from typing import TYPE_CHECKING, Any, Final, cast

from fakeredis import FakeServer, FakeStrictRedis
from fakeredis._helpers import SimpleError
from fakeredis._socket._fakesocket import FakeSocket  # its clients cost ten times what the command does

from kernel.memory import memory_server

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence


GARBAGE_EVERY: Final = 200
"""Scripts between two collections of Lua's garbage."""

_checked: Final[set[bytes]] = set()
"""Scripts that have run fakeredis' way without an error, on whatever server of this process."""

_Socket: Any = FakeSocket
_SimpleError: Any = SimpleError
Snapshot = dict[bytes, Any]
"""A server's keys and values at one moment."""


class _FastSocket(_Socket):  # type: ignore[misc]
    """fakeredis' connection, but each script is compiled once and Lua's garbage collected now and then."""

    def _get_server_runtime(self, server: FakeServer) -> Any:  # noqa: ANN401 - fakeredis' own
        if "_lua_runtime" not in vars(server):
            _Socket._get_server_runtime(self, server)  # noqa: SLF001 - as fakeredis' own eval does
            _let_go(server)
        return cast("Any", server)._lua_runtime  # noqa: SLF001 - as above

    def eval(self, script: bytes, numkeys: int, *words: bytes) -> Any:  # noqa: ANN401 - fakeredis' own
        me = cast("Any", self)
        server: Any = me._server  # noqa: SLF001 - as fakeredis' own eval does
        runtime: Any = me._get_server_runtime(server)  # noqa: SLF001 - as above
        compiled: Any = server.__dict__.get("_compiled")
        if compiled is None:
            server._compiled = compiled = {}  # noqa: SLF001 - as above
            runtime.globals()[b"redis"][b"sha1hex"] = _sha1hex  # fakeredis lacks it
        function: Any = compiled.get(script)
        result: Any
        if function is None:
            compiled[script] = function = runtime.compile(script)
            if script not in _checked:
                # fakeredis' own way first: it checks the script, and says what is wrong with it.
                result = _Socket.eval(self, script, numkeys, *words)
                _checked.add(script)
                return result
        server._lua_current_socket[0] = self  # noqa: SLF001 - as fakeredis' own eval does
        self._script_resp: Any = 2
        server._lua_set_keys_argv(runtime.table_from(words[:numkeys]), runtime.table_from(words[numkeys:]))  # noqa: SLF001
        try:
            result = function()
        except _SimpleError:
            raise
        except Exception as error:
            raise _SimpleError(f"ERR {error}") from error
        finally:
            self._script_resp = None
            server._scripts_run = vars(server).get("_scripts_run", 0) + 1  # noqa: SLF001
            if server._scripts_run % GARBAGE_EVERY == 0:  # noqa: SLF001
                runtime.execute("collectgarbage()")
        return me._convert_lua_result(result, nested=False)  # noqa: SLF001 - as above


def _let_go(server: Any) -> None:  # noqa: ANN401 - what it looks into, fakeredis does not declare
    """Let a server's Lua call back without holding on to the server.

    What Lua holds no collector of Python's sees: by fakeredis' own callbacks each server, its Lua and all that it
    stores would stay for as long as the process lives.
    """
    there = weakref.ref(server)
    runtime = server._lua_runtime  # noqa: SLF001 - fakeredis has no other way in; here and below

    def call(op: bytes, *args: Any) -> Any:  # noqa: ANN401 - Lua's values
        now: Any = there()
        return now._lua_current_socket[0]._lua_redis_call(now._lua_runtime, now._lua_expected_globals, op, *args)  # noqa: SLF001

    def protected_call(op: bytes, *args: Any) -> Any:  # noqa: ANN401 - as above
        now: Any = there()
        return now._lua_current_socket[0]._lua_redis_pcall(now._lua_runtime, now._lua_expected_globals, op, *args)  # noqa: SLF001

    def set_answers(*args: Any) -> None:  # noqa: ANN401 - as above
        now: Any = there()
        now._lua_current_socket[0]._lua_setresp(now._lua_runtime, now._lua_expected_globals, *args)  # noqa: SLF001

    def rebound(partial: functools.partial[Any]) -> Callable[..., Any]:
        """Return the same without the runtime, which is its first argument."""
        function, bound = partial.func, partial.args[1:]
        return lambda *args: function(cast("Any", there())._lua_runtime, *bound, *args)  # noqa: SLF001

    server._lua_redis_call_wrapper, server._lua_redis_pcall_wrapper = call, protected_call  # noqa: SLF001
    server._lua_setresp_wrapper = set_answers  # noqa: SLF001
    for name in ("_lua_log_partial", "_lua_cjson_encode_partial", "_lua_cjson_decode_partial"):
        setattr(server, name, rebound(getattr(server, name)))
    runtime.eval(
        "function(call, pcall, setresp, log, encode, decode) redis.call, redis.pcall, redis.setresp = call, pcall, "
        "setresp; redis.log, cjson.encode, cjson.decode = log, encode, decode end"
    )(
        call,
        protected_call,
        set_answers,
        server._lua_log_partial,  # noqa: SLF001
        server._lua_cjson_encode_partial,  # noqa: SLF001
        server._lua_cjson_decode_partial,  # noqa: SLF001
    )
    runtime.execute("collectgarbage()")  # takes the first callbacks away


@functools.cache
def _loadable(script: str) -> tuple[bytes, bytes]:
    """Return a script's hash, as EVALSHA takes it, and the script."""
    body = script.encode()
    return hashlib.sha1(body, usedforsecurity=False).hexdigest().encode(), body


class Session:
    """One connection whose commands are answered when the call returns. WATCH belongs to it."""

    def __init__(self, server: FakeServer) -> None:
        """Connect."""
        self._socket: Any = _FastSocket(server, 0, None, FakeStrictRedis)

    def run(self, words: Sequence[str | bytes | int | float]) -> object:
        """Run one command, not a blocking one; an error reply is a value."""
        socket = self._socket
        if words[0] == "SCRIPT" and words[1] == "LOAD":
            # All scripts, by each new connection: encoded and hashed once a process.
            digest, body = _loadable(str(words[2]))
            socket._server.script_cache[digest] = body  # noqa: SLF001 - as fakeredis' own command does
            return digest
        socket._process_command([_encoded(word) for word in words])  # noqa: SLF001 - past packing and parsing
        reply: Any = socket.responses.get_nowait()
        # Python's sets have another order in each process, and runs should be alike.
        return sorted(cast("list[bytes]", reply)) if words[0] == "SMEMBERS" else cast("object", reply)

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()


def _sha1hex(text: bytes) -> bytes:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()


def _encoded(word: str | bytes | float) -> bytes:
    if isinstance(word, bytes):
        return word
    return word.encode() if isinstance(word, str) else str(word).encode()


class MemoryServer:
    """One server in this process. All users of its URL share this object."""

    def __init__(self, server: FakeServer) -> None:
        """Look after a server of fakeredis."""
        self._server: Any = server
        self._waiting: dict[asyncio.Future[None], tuple[int, tuple[bytes, ...], tuple[object, ...]]] = {}
        self._arrivals = count()
        self._listeners: dict[bytes, dict[_Listener, None]] = {}

    @classmethod
    def at(cls, url: str) -> MemoryServer:
        """Return the server that a ``memory://`` URL names."""
        return cls.of(memory_server(url))

    @classmethod
    def of(cls, server: FakeServer) -> MemoryServer:
        """Return the one object of a server of fakeredis."""
        # On the server itself: whoever kept it elsewhere would keep the server too, which it refers to.
        found: MemoryServer | None = vars(server).get("_looked_after")
        if found is None:
            found = vars(server)["_looked_after"] = cls(server)
        return found

    def session(self) -> Session:
        """Return a new connection."""
        return Session(self._server)

    # ---------------------------------------------------------------------------------------------- blocked reads

    def wait(self, streams: Sequence[bytes]) -> asyncio.Future[None]:
        """Return what is done when one of the streams has got something new; ``forget`` it afterwards."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        streams = tuple(streams)
        self._waiting[future] = (next(self._arrivals), streams, self._marks(streams))
        return future

    def forget(self, future: asyncio.Future[None]) -> None:
        """Wait no more."""
        self._waiting.pop(future, None)

    def wake(self) -> None:
        """Wake whoever waits for a stream that has changed; as on a real server, the first come is served first."""
        if not self._waiting:
            return
        for future, (_, streams, marks) in list(self._waiting.items()):
            if self._marks(streams) != marks:
                del self._waiting[future]
                future.get_loop().call_soon_threadsafe(_done, future)

    def _marks(self, streams: tuple[bytes, ...]) -> tuple[object, ...]:
        keys = self._server.dbs[0]._dict  # noqa: SLF001 - a command for each would cost as much as what is waited for
        return tuple(
            (id(keys[stream].value), keys[stream].value.entries_added) if stream in keys else None for stream in streams
        )

    # ---------------------------------------------------------------------------------------------- what is said

    def listen(self, channel: bytes, heard: Callable[[bytes, bytes], None]) -> Callable[[], None]:
        """Call ``heard(channel, message)`` for all that is published; return what ends that."""
        listener = _Listener(heard)
        self._server.subscribers.setdefault(channel, _Ordered()).add(listener)
        return lambda: self._server.subscribers[channel].discard(listener)

    # ------------------------------------------------------------------------------------------------- its state

    def names(self) -> list[bytes]:
        """Return the names of all keys that it holds, in the order of the alphabet."""
        return sorted(self._server.dbs[0]._dict)  # noqa: SLF001 - a look that must not change anything

    def snapshot(self, *, of: Callable[[bytes], bool] | None = None) -> Snapshot:
        """Return a copy of all that it holds. ``of``: whether a key is meant; None: each is."""
        held = self._server.dbs[0]._dict  # noqa: SLF001 - it has no other way
        return copy.deepcopy({key: item for key, item in held.items() if of is None or of(key)})

    def restore(self, snapshot: Snapshot, *, of: Callable[[bytes], bool] | None = None) -> None:
        """Hold again what it held then, and know no script: another server has taken its place.

        ``of``: as of ``snapshot``; the other keys stay as they are, as if they lay on another server.
        """
        database = self._server.dbs[0]
        kept = {key: item for key, item in database._dict.items() if of is not None and not of(key)}  # noqa: SLF001 - as above
        kept |= copy.deepcopy(snapshot)
        database._dict = kept  # noqa: SLF001 - as above
        database._expiry_heap[:] = sorted((item.expireat, key) for key, item in kept.items() if item.expireat)  # noqa: SLF001
        self._server.script_cache = {}
        self.wake()


class _Listener:
    """Stands where fakeredis expects a subscribed connection."""

    def __init__(self, heard: Callable[[bytes, bytes], None]) -> None:
        self._heard = heard

    def put_response(self, message: list[bytes]) -> None:
        _, channel, said = message
        self._heard(channel, said)


class _Ordered(dict[object, None]):
    """A set that keeps its order, in place of fakeredis' weak one: who listened first is told first."""

    def add(self, one: object) -> None:
        self[one] = None

    def discard(self, one: object) -> None:
        self.pop(one, None)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _Time:
    """Stands in for the module ``time``: another time of day, all else as it is."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms

    def time(self) -> float:
        return self._now_ms() / 1000

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)


@contextlib.contextmanager
def virtual_time(now_ms: Callable[[], int]) -> Generator[None]:
    """Let all in-memory servers of this process live at another time: TIME, the ids of entries, what expires."""
    changed = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("fakeredis.") and vars(module).get("time") is time
    ]
    stand_in = _Time(now_ms)
    for module in changed:
        vars(module)["time"] = stand_in
    try:
        yield
    finally:
        for module in changed:
            vars(module)["time"] = time
