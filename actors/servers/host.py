"""Host: what the servers of one worker share: its incarnation, hands, cache, store and code. It decides nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import structlog

from actors.definitions import DEFAULT_VERSION
from actors.servers.bands import band_names
from actors.servers.cache import Cache
from actors.servers.hands import Hands
from actors.servers.left import Left
from kernel import Begun, Command, KernelError, Refused, ServerRefused, ServerUnreachable, Store, is_damage, keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    from actors.determinism import Watch
    from actors.registry import Registry
    from actors.servers.auditor import Auditor
    from actors.servers.courier import Courier
    from actors.servers.delivery import Delivery
    from actors.servers.dispatcher import Dispatcher
    from actors.servers.gateway import Gateway
    from actors.servers.runner import Runner
    from actors.servers.settings import WorkerSettings
    from actors.servers.turner import Turner

log = structlog.get_logger(__name__)

RESUMED_MAX: Final = 1_000
"""Stopped instances of one workflow and partition that are tried at once; the oldest come first."""
PATIENCE_MS: Final = 500
"""Commands of a queue whose oldest entry has waited longer are not begun ahead of it."""


class Host:
    """One incarnation of a worker."""

    dispatcher: Dispatcher
    runner: Runner
    courier: Courier
    auditor: Auditor
    gateway: Gateway
    turner: Turner
    delivery: Delivery
    watch: Watch
    on_fenced: Callable[[], None]
    """To be told if this incarnation is found not to be among the living."""

    def __init__(self, *, store: Store, registry: Registry, settings: WorkerSettings, incarnation: str) -> None:
        """``incarnation``: a name that no other worker, and no earlier life of this one, has."""
        self.store = store
        self.registry = registry
        self.incarnation: Final = incarnation
        self.queue_names: Final = settings.queues
        self.bands: tuple[str, ...] = ()
        """Streams of the queues' steps that have a priority, as far as there are any; the highest first."""
        self.queues = f",{','.join(settings.queues)},"
        """The queues and bands as scripts take them: ``,default,``, or with bands ``!,default,default!7,``."""
        self.worker_timeout_s: Final = settings.worker_timeout_s
        self.journal_bytes_max: Final = settings.journal_bytes_max
        self.retention_ms: Final = settings.retention_ms
        self.deaths_max: Final = settings.deaths_max
        self.dead_retention_ms: Final = settings.dead_retention_ms
        self.jitter_seed: Final = settings.jitter_seed
        self.patience_ms: Final = PATIENCE_MS
        self.hands: Final = Hands(settings.concurrency)
        self.left: Final = Left()
        self.cache: Final = Cache(instances_max=settings.cache_instances, bytes_max=settings.cache_bytes)
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._over = False

    def now_ms(self) -> int:
        """Return the server's time as near as it is known."""
        return self.store.space.now_ms()

    def epoch(self, address: str) -> int:
        """Return how often the link to an actor's node has broken."""
        return self.store.space.link(self.store.space.keys.tag_of(address)).epoch

    def epoch_of(self, key: str) -> int:
        """Return how often the link to a key's node has broken."""
        return self.store.space.link(key).epoch

    async def learn_bands(self) -> bool:
        """Look which bands the queues have; True: there are new ones."""
        found = band_names(await self.store.custody.bands(), self.queue_names)
        if found == self.bands:
            return False
        self.bands = found
        self.queues = f"!,{','.join((*self.queue_names, *found))},"
        await self.store.custody.found(self.streams())
        return True

    async def declare_pools(self) -> None:
        """Say how many steps of each pool that the code knows may be under way at once."""
        for name, limit in self.registry.pools.items():
            try:
                await self.store.pools.declare(name, limit)
            except ServerRefused as error:
                if not is_damage(error):
                    raise
                log.error("what Redis has of a pool is damaged; its steps wait: see headrace doctor", pool=name)  # noqa: TRY400 - the reason is all there is to know

    async def recheck_pools(self) -> None:
        """Look after the pools that the code knows: what a failover that lost writes has left of them."""
        for name, limit in self.registry.pools.items():
            await self.store.pools.declare(name, limit, if_unknown=True)
            if freed := await self.store.pools.recheck(name):
                log.info("permits that nobody wanted any more were given back", pool=name, count=freed)

    def may_run_inline(self, command: Command) -> bool:
        """Tell whether a command is an inline step that this worker may begin in the turn that asks for it."""
        return command.scheduling.inline and self.hands.takes and self.registry.has_step(command.target)

    def start_step(self, begun: Begun) -> None:
        """Run a command that this worker was granted."""
        self.runner.start_step(begun)

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run something beside the loops. What it cannot finish is found again by the audit."""
        if self._over:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(self._guarded(work, name), name=name)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _guarded(self, work: Coroutine[Any, Any, None], name: str) -> None:
        try:
            await work
        except (Refused, ServerUnreachable) as error:
            log.debug("work ended early", work=name, reason=str(error))
        except KernelError as error:
            if not isinstance(error, ServerRefused) or self.store.space.throttle.due(f"{name} {error}"):
                log.warning("work was refused by Redis; it is taken up again", work=name, error=str(error))
        except Exception:
            log.exception("work failed; it is taken up again", work=name)

    async def cancel_tasks(self) -> None:
        """Break off everything spawned; nothing is spawned any more."""
        self._over = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)

    def stream_groups(self, *names: str) -> list[tuple[str, ...]]:
        """Return the streams of these names in all partitions, grouped as one read may take them."""
        space = self.store.space
        groups = [tuple(f"{tag}:{name}" for name in names) for tag in space.keys.tags]
        if space.connector.is_cluster:
            return groups
        return [tuple(stream for group in groups for stream in group)]

    @property
    def queue_streams(self) -> tuple[str, ...]:
        """Names of the streams of the queues that it serves, the highest priority first."""
        return tuple(f"q:{queue}" for queue in (*self.bands, *self.queue_names))

    def streams(self) -> list[tuple[str, str]]:
        """Return every stream that this worker reads, with its group."""
        found: list[tuple[str, str]] = [(self.store.space.keys.gateway, "gateways")]
        for tag in self.store.space.keys.tags:
            found += [(f"{tag}:ready", "dispatchers"), (f"{tag}:outbox", "couriers")]
            found += [(f"{tag}:{name}", "workers") for name in self.queue_streams]
        return found

    async def listen(self, *channels: str) -> AsyncIterator[None]:
        """Yield at every message on the channels, and whenever messages may have been missed."""
        async with self.store.hearing.listen(*channels) as ear:
            while True:
                await ear.heard()
                yield

    async def resume_stopped(self) -> None:
        """Let stopped instances of known workflows go on, whose code is no longer the code that stopped them."""
        code = {(workflow.name, workflow.version): workflow.fingerprint for workflow in self.registry.workflows}
        for name in dict.fromkeys(name for name, _ in code):
            for tag in self.store.space.keys.tags:
                index = keys.status_index(name, "stopped")
                (page,) = await self.store.instances.page(
                    tag, [index], before="+inf", after="-inf", count=RESUMED_MAX, newest_first=False
                )
                await asyncio.gather(*(self._resume(address, name, code) for address, _ in page))

    async def _resume(self, address: str, name: str, code: Mapping[tuple[str, str], str]) -> None:
        instances = self.store.instances
        version = (await instances.field(address, "", "version") or DEFAULT_VERSION.encode()).decode()
        fingerprint = code.get((name, version))
        if fingerprint is None:
            return
        try:
            await instances.resume(address, fingerprint=fingerprint)
            log.info("a stopped workflow goes on with mended code", workflow_id=keys.id_of(address))
        except Refused:
            pass
