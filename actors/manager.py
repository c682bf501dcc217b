"""``WorkflowManager``: definitions by name, and the face for every service that starts, watches or ends workflows."""

from __future__ import annotations

import asyncio
import builtins  # noqa: TC003 - `list` is a method here
import os
import secrets
from collections.abc import Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar, cast, overload

from actors import bulk
from actors.dead import DeadLetters
from actors.doctoring import Doctoring
from actors.errors import IdInUse, InvalidOption, Misuse
from actors.handle import WorkflowHandle
from actors.listing import Order, Page, Selection, list_instances
from actors.options import Duration, duration_ms
from actors.registry import Registry
from actors.servers import Worker, WorkerSettings
from actors.short_forms import ShortForms
from actors.starting import beginning
from actors.wording import shown
from kernel import (
    EmbeddedServer,
    Misconfigured,
    Space,
    Store,
    connector,
    keys,
    read_created,
    replicated,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType
    from typing import Self, Unpack

    from actors.definitions import BoundWorkflow, Workflow
    from actors.policy import RetryPolicy
    from kernel import Codec

P = ParamSpec("P")
R = TypeVar("R")

KIND: Final = "wf"
"""Kind of actor that workflow instances are."""
START_CHUNK: Final = 500
"""Starts of ``start_many`` under way at once."""
EMBEDDED_FOLDER: Final = ".headrace"
EMBEDDED_PARTITIONS: Final = 1
DEFAULT_PARTITIONS: Final = 12
_NAMED_MAX: Final = 5
"""Ids in use that one error names."""


class WorkflowManager(ShortForms, Doctoring, Registry):
    """Definitions, and the connection to the Redis that their instances live in. Connects at the first use.

    What a handle can do, a manager can do by the instance's id: ``await manager.result("order-7")``.
    """

    founds = True
    """Whether a namespace that is not there is made by the first use; the commands that only look make none."""

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str = "default",
        partitions: int | None = None,
        default_retry: RetryPolicy | None = None,
        retry_actions_by_default: bool = False,
        max_parallelism: int | None = None,
        retention: Duration = timedelta(days=7),
        dead_retention: Duration = timedelta(days=30),
        worker_timeout: Duration = 5,
        value_bytes_max: int = 2**20,
        journal_bytes_max: int = 2**24,
        codec: Codec | None = None,
        durability: Literal["local", "replicated"] = "local",
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            url: redis://, rediss://, unix://, redis+sentinel://, redis+cluster:// or memory://. None: HEADRACE_URL, and
                without it a Redis server of this folder's own, below ``.headrace/``.
            namespace: keeps deployments in one Redis apart: letters, digits, dots, dashes, underscores.
            partitions: of a new namespace, 1 to 4096; None: as recorded, else 12 (embedded and in memory 1).
            default_retry: the policy behind ``retry=True``.
            retry_actions_by_default: whether actions without ``retry`` use it.
            max_parallelism: how many steps that name no pool may be under way at once, anywhere; see ``Workpool``.
            retention: how long ended instances are kept.
            dead_retention: how long what was set aside is kept, for a person to look at.
            worker_timeout: how long a worker may be silent before its work is taken over.
            value_bytes_max: limit of one call's arguments or one return value, encoded.
            journal_bytes_max: limit of one instance's journal.
            codec: what every payload passes through on its way to Redis and back; see ``actors.codecs``. The same for
                all services and workers of the namespace.
            durability: "replicated": nothing is answered, run or built upon before a replica has it (WAIT), so that a
                failover loses none of it; without a replica everything waits. For all services and workers alike.

        Raises:
            InvalidOption, InvalidUrl: with what to write instead.
        """
        super().__init__(
            default_retry=default_retry,
            retry_actions_by_default=retry_actions_by_default,
            value_bytes_max=value_bytes_max,
            max_parallelism=max_parallelism,
        )
        _check_place(url, namespace, partitions)
        if not duration_ms("worker_timeout", worker_timeout):
            raise InvalidOption(f"worker_timeout={shown(worker_timeout)}: give more than 0 seconds")
        if type(journal_bytes_max) is not int or journal_bytes_max < 1:
            raise InvalidOption(
                f"journal_bytes_max={shown(journal_bytes_max)}: give a whole number of bytes, 1 or more"
            )
        if durability not in ("local", "replicated"):
            raise InvalidOption(f'durability={shown(durability)}: give "local" or "replicated"')
        self.codec: Final = _checked_codec(codec)
        self.durability: Final = durability
        self.url = url if url is not None else os.environ.get("HEADRACE_URL") or None
        if self.url is not None:
            connector(self.url)
        self.namespace: Final = namespace
        self.retention_ms: Final = duration_ms("retention", retention)
        self.dead_retention_ms: Final = duration_ms("dead_retention", dead_retention)
        self.worker_timeout_s: Final = duration_ms("worker_timeout", worker_timeout) / 1000
        self.journal_bytes_max: Final = journal_bytes_max
        self._partitions = partitions
        self._embedded: EmbeddedServer | None = None
        self._store: Store | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Lock | None = None

    # -------------------------------------------------------------------------------------------- connection

    async def store(self) -> Store:
        """Return the open store of the running event loop, connected at the first call.

        Raises:
            ServerUnreachable, ServerTooOld, EvictingServer, NamespaceMismatch, RightMissing, NoServerBinary: with what
                to do.
            NamespaceMissing: it is not there, and none is to be made (``founds``).
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._store, self._opening = loop, None, asyncio.Lock()
        if self._store is None:
            assert self._opening is not None
            async with self._opening:
                if self._store is None:
                    self._store = await self._open(patience_s=10.0)
        return self._store

    async def _open(self, *, patience_s: float | None) -> Store:
        url = self.url
        small = url is None or url.startswith("memory://")
        if small and self.durability == "replicated":
            raise Misconfigured(
                'durability="replicated" needs a server with a replica; the embedded and the in-memory one have none:'
                ' give the URL of one that has (HEADRACE_URL), or take durability="local".'
            )
        if url is None:
            if self._embedded is None:
                self._embedded = await asyncio.to_thread(EmbeddedServer.open, Path(EMBEDDED_FOLDER))
            url = self._embedded.url
        space = Space(
            replicated(connector(url)) if self.durability == "replicated" else connector(url),
            namespace=self.namespace,
            partitions=self._partitions,
            patience_s=patience_s,
            default_partitions=EMBEDDED_PARTITIONS if small else DEFAULT_PARTITIONS,
            codec=self.codec,
            founds=self.founds,
            works=patience_s is None,
            allows_eviction=self.allows_eviction,
        )
        try:
            await space.open()
        except BaseException:
            await space.close()
            raise
        return Store(space)

    async def close(self) -> None:
        """Close every connection; an embedded server stops when its last user is gone."""
        store, self._store = self._store, None
        if store is not None and self._loop is asyncio.get_running_loop():
            await store.close()
        embedded, self._embedded = self._embedded, None
        if embedded is not None:
            await asyncio.to_thread(embedded.close)

    async def __aenter__(self) -> Self:
        """Connect."""
        await self.store()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    # ------------------------------------------------------------------------------------------------ starting

    async def start(self, workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> WorkflowHandle[R]:
        """Start an instance; durable when this returns.

        Under an id that is in use, that instance is meant, whatever arguments it was started with: these are not
        compared, and nothing is started. To have the id express them, make it of them (``f"order-{order}"``).

        Raises:
            InvalidArguments, PayloadTooLarge, InvalidOption: nothing was started.
        """
        bound = _checked_workflow(workflow).bind(*args, **kwargs)
        (handle,) = await self.start_many([bound])
        return handle

    async def start_many(self, calls: Iterable[BoundWorkflow[..., R]], /) -> builtins.list[WorkflowHandle[R]]:
        """Start an instance for each ``workflow.bind(…)``; the handles in the same order.

        Calls are taken 500 at a time, and those of a time started together. If the iterable raises, or holds what is no
        call of a workflow, nothing of that time is started, and those before it stand.

        Raises:
            Misuse: what is no call of a workflow.
            IdInUse: an id belongs to an instance of another workflow. The others of that time were started: the error
                says how many stand.
        """
        if not isinstance(cast("object", calls), Iterable):
            raise Misuse(f"start_many({calls!r}): give an iterable of calls, such as [workflow.bind(…), …]")
        store = await self.store()
        handles: builtins.list[WorkflowHandle[R]] = []
        remaining = iter(calls)
        while chunk := [_checked_call(call) for call in islice(remaining, START_CHUNK)]:
            started = [WorkflowHandle(self, call.workflow.options.id or new_id(), call.workflow) for call in chunk]
            asked = [self._ask(store, call, handle.id) for call, handle in zip(chunk, started, strict=True)]
            await self._await_created(asked, started, [call.workflow.name for call in chunk], before=len(handles))
            handles += started
        return handles

    def _ask(self, store: Store, call: BoundWorkflow[..., Any], workflow_id: str) -> asyncio.Future[object]:
        what = beginning(call, now_ms=store.space.now_ms(), retention_ms=self.retention_ms)
        return store.instances.ask_create(f"{KIND}/{workflow_id}", **what)

    @staticmethod
    async def _await_created(
        asked: builtins.list[asyncio.Future[object]],
        handles: builtins.list[WorkflowHandle[Any]],
        names: builtins.list[str],
        *,
        before: int,
    ) -> None:
        replies = await asyncio.gather(*asked, return_exceptions=True)
        taken: builtins.list[str] = []
        for reply, handle, name in zip(replies, handles, names, strict=True):
            if isinstance(reply, BaseException):
                raise reply
            there = read_created(reply).name
            if there not in {"", name}:
                taken.append(
                    f"id={handle.id!r} belongs to an instance of the workflow {there!r}, so {name!r} was not started: "
                    "choose another id, or clean the other instance up first"
                )
        if taken:
            raise IdInUse("; ".join([*taken[:_NAMED_MAX], _standing(before + len(asked), len(taken))]).rstrip("; "))

    # ----------------------------------------------------------------------------------------------- instances

    @overload
    def handle(self, workflow_id: str, /) -> WorkflowHandle[Any]: ...
    @overload
    def handle(self, workflow_id: str, workflow: Workflow[..., R] | None, /) -> WorkflowHandle[R]: ...
    def handle(self, workflow_id: str, workflow: Workflow[..., Any] | None = None, /) -> WorkflowHandle[Any]:
        """Return the handle of an instance; with its workflow, results have its type. Nothing is asked of Redis."""
        _check_id(workflow_id)
        if workflow is not None and getattr(workflow, "kind", None) != "workflow":
            raise InvalidOption(
                f"handle({workflow_id!r}, {shown(workflow)}): give the workflow, as decorated with @manager.workflow, "
                "or nothing besides the id"
            )
        return WorkflowHandle(self, workflow_id, workflow)

    @staticmethod
    def create_event() -> str:
        """Return a new event id: a name that nobody else has, to be handed out to whoever shall send the event.

        The workflow awaits it, as ``step.await_event(event_id)``; so give it as an argument. Inside workflow code use
        ``str(step.uuid4())``.
        """
        return f"event-{new_id()}"

    async def list(
        self,
        *,
        order: Order = "desc",
        limit: int = 100,
        cursor: str | None = None,
        **selection: Unpack[Selection],
    ) -> Page:
        """Return a page of instances, by the time of their start.

        What begins, ends, moves or is deleted between two pages shifts nothing: what was there all the time, and fits,
        is on one page.

        Args:
            order: "desc", the newest first, or "asc".
            limit: how many a page, 1 to 10,000.
            cursor: that of the page before, the other arguments being the same.
            selection: ``workflow``, ``status``, ``tags``, ``started_after``, ``started_before``: see ``Selection``.

        Raises:
            InvalidOption: with what to give instead.
        """
        return await list_instances(self.store, selection, order=order, limit=limit, cursor=cursor)

    async def cancel_many(self, *, cleanup: bool = False, **selection: Unpack[Selection]) -> int:
        """Cancel all that have not ended and fit the selection (that of ``list``); return how many were canceled.

        Without a selection that is everything that has not ended. What is started while this runs is left alone.

        Raises InvalidOption.
        """
        return await bulk.cancel_many(self, selection, cleanup=cleanup)

    async def restart_many(self, **selection: Unpack[Selection]) -> int:
        """Restart all that have ended and fit the selection (that of ``list``); return how many were restarted.

        Without a status those that failed or were canceled: a completed one has no unfinished step. What is still
        being cleared up is left alone. Raises InvalidOption.
        """
        return await bulk.restart_many(self, selection)

    async def cleanup_many(self, **selection: Unpack[Selection]) -> int:
        """Delete all that have ended and fit the selection (that of ``list``); return how many were.

        Raises InvalidOption.
        """
        return await bulk.cleanup_many(self, selection)

    # --------------------------------------------------------------------------------------------- looking after

    @property
    def dead(self) -> DeadLetters:
        """What was set aside for a person: messages to the gateway, and steps that took their workers down."""
        return DeadLetters(self)

    # ------------------------------------------------------------------------------------------------- working

    @asynccontextmanager
    async def worker(
        self,
        *,
        concurrency: int = 100,
        queues: Iterable[str] = ("default",),
        grace: Duration = 30,
        cache_instances: int = 10_000,
    ) -> AsyncGenerator[Worker, None]:
        """Run a worker in this process while the block runs; it drains at the end of the block.

        Args:
            concurrency: steps that may run at once.
            queues: which queues' steps it runs.
            grace: how long running steps may go on at the end. One in a thread cannot be ended: it sees
                ``current_step().canceled``, and a second later others have it; ``threads_running`` of the worker tells.
            cache_instances: instances kept in memory between turns; 0 replays at every turn.

        Raises:
            RightMissing: the server's user may not do what a worker does.
        """
        if isinstance(queues, str):
            raise Misuse(f"queues={shown(queues)}: give a sequence of names, such as ({shown(queues)},)")
        settings = WorkerSettings(
            concurrency=concurrency,
            queues=tuple(queues),
            grace_s=duration_ms("grace", grace) / 1000,
            worker_timeout_s=self.worker_timeout_s,
            cache_instances=cache_instances,
            journal_bytes_max=self.journal_bytes_max,
            retention_ms=self.retention_ms,
            dead_retention_ms=self.dead_retention_ms,
        )
        # A store of its own: its calls wait for a server that is away, and never fail the work in hand.
        await self.store()
        store = await self._open(patience_s=None)
        worker = Worker(store=store, registry=self, settings=settings)
        try:
            await worker.start()
            try:
                yield worker
            finally:
                await worker.stop()
        finally:
            await worker.kill()  # however it ended, nothing of it may be left running
            await store.close()


def _standing(asked: int, refused: int) -> str:
    """Return what to say of the others of a call that was refused in part; empty: there were none."""
    if asked == 1:
        return ""
    return (
        f"{asked - refused} of the {asked} calls that were sent so far stand started and {refused} could not be: call "
        "again with the rest mended; what has an id is not started twice"
    )


def _checked_codec(codec: Codec | None) -> Codec | None:
    if isinstance(codec, type):
        raise InvalidOption(f"codec={shown(codec)}: that is the class; give an object of it, such as Compression()")
    if codec is not None and not all(callable(getattr(codec, name, None)) for name in ("encode", "decode")):
        raise InvalidOption(f"codec={shown(codec)}: give an object with encode(bytes) and decode(bytes) -> bytes")
    return codec


def _check_id(workflow_id: object) -> None:
    if not isinstance(workflow_id, str) or not keys.valid_id(workflow_id):
        raise InvalidOption(f"{shown(workflow_id)} cannot be a workflow's id: give 1 to 200 bytes of printable text")


def _check_place(url: str | None, namespace: str, partitions: int | None) -> None:
    if not isinstance(cast("object", url), str | None):
        raise InvalidOption(f"url={shown(url)}: give a text such as redis://localhost:6379/0, or None")
    if not isinstance(cast("object", namespace), str) or not keys.valid_namespace(namespace):
        raise InvalidOption(f"namespace={shown(namespace)}: use 1 to 64 letters, digits, dots, dashes and underscores")
    if partitions is not None and (type(partitions) is not int or not 1 <= partitions <= 4096):  # noqa: PLR2004
        raise InvalidOption(f"partitions={shown(partitions)}: give a whole number from 1 to 4096, or None")


def _checked_workflow(workflow: Workflow[P, R]) -> Workflow[P, R]:
    if getattr(workflow, "kind", None) != "workflow":
        name = getattr(workflow, "__qualname__", repr(workflow))
        raise Misuse(f"{name} is no workflow: start what is decorated with @manager.workflow")
    return workflow


def _checked_call(call: BoundWorkflow[..., R]) -> BoundWorkflow[..., R]:
    if getattr(getattr(call, "definition", None), "kind", None) != "workflow":
        raise Misuse(f"{shown(call)} is no call of a workflow: give workflow.bind(…) for each instance to start")
    return call


def new_id() -> str:
    """Return a new instance's id: 16 characters, 80 random bits."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    bits = secrets.randbits(80)
    return "".join(alphabet[bits >> 5 * i & 31] for i in range(16))
