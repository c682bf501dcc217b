"""``WorkflowTester``: workflows of a manager on virtual time, in memory, on a whole worker. A month takes milliseconds.

What is tested is the engine itself: the same scripts, queues, timers and turns as in production, over a Redis in this
process. Only time is another (see ``clock``), and steps may be replaced (see ``fakes``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar, overload

from actors.errors import Misuse
from actors.options import Duration, duration_ms
from actors.servers import WorkerSettings
from actors.testing.checking import (
    BEFORE,
    USED,
    check_flag,
    check_manager,
    check_number,
    check_start,
    checked_queues,
    id_of,
    refuse_in_loop,
)
from actors.testing.clock import VirtualClock
from actors.testing.crashes import lives
from actors.testing.fakes import Fake
from actors.testing.handle import TestedHandle
from actors.testing.recording import RecordedHistory, record_history
from actors.testing.replaying import replay_history
from actors.testing.strict import strictly
from actors.testing.twin import Twin
from actors.testing.workforce import Workforce
from actors.wording import shown
from kernel import drop_memory, next_due, repeatable_nonces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from actors.definitions import StepDefinition, Workflow
    from actors.events import EventType
    from actors.handle import WorkflowHandle
    from actors.manager import WorkflowManager
    from actors.testing.crashes import Life

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When virtual time begins, unless something else is said."""

_names: Final = count(1)


class WorkflowTester:
    """Runs workflows on virtual time. See the module's docstring.

    Within ``async with`` the running loop's time is virtual: it stands still while anything runs, and jumps to the next
    timer when all wait, the test included. So ``await handle.result()`` takes a workflow through a month at once, and
    ``await tester.advance(3600)``, or ``asyncio.sleep``, lets just an hour pass. Without a loop use ``with`` and the
    methods ``run`` and ``play``. The clock of the operating system (``time.time``) goes on as ever.
    """

    def __init__(
        self,
        manager: WorkflowManager,
        *,
        now: datetime | None = None,
        crash_seed: int | None = None,
        replay: Literal["cached", "always"] = "cached",
        strict: bool = True,
        seed: int = 0,
        concurrency: int = 100,
        queues: Iterable[str] = (),
    ) -> None:
        """Prepare; nothing runs before the block is entered.

        Args:
            manager: whose definitions are run. Its own Redis is left alone; what steps do with it (``manager.start``)
                happens in the tester.
            now: when virtual time begins; None: the first of January 2026, UTC.
            crash_seed: the worker dies at moments drawn from this seed, twelve times, before or after one of its
                writes, and another takes over at once. Actions that may run once only then become OutcomeUnknown, as in
                life.
            replay: "always" keeps no instance in memory: every turn begins with a replay.
            strict: calls in workflow code that no replay can repeat raise DeterminismViolation, also those that only
                helpers in other modules make.
            seed: of all that is drawn at random by the engine: the same seed gives the same journal.
            concurrency: steps that may run at once.
            queues: further queues than "default" and those that definitions name.

        Raises:
            InvalidOption, Misuse: with what to give instead.
        """
        check_manager(manager, name=type(self).__name__)
        check_start(now)
        check_number("crash_seed", crash_seed, or_none="for a worker that lives")
        check_number("seed", seed)
        check_flag("strict", strict)
        named_queues = checked_queues(queues)
        if replay not in ("cached", "always"):
            raise Misuse(f'replay={shown(replay)}: give "cached" or "always"')
        self._manager = manager
        self._clock: Final = self._make_clock(now or START)
        self._url: Final = f"memory://tester-{next(_names)}"
        self._twin = Twin.of(manager, url=self._url, clock=self._clock)
        self._strict, self._seed, self._crash_seed = strict, seed, crash_seed
        named = {step.options.queue for step in manager.step_definitions}
        self._settings = WorkerSettings(
            concurrency=concurrency,
            queues=tuple(sorted({"default", *named, *named_queues})),
            worker_timeout_s=manager.worker_timeout_s,
            cache_instances=0 if replay == "always" else 10_000,
            journal_bytes_max=manager.journal_bytes_max,
            deaths_max=3 if crash_seed is None else 1_000,  # the step is not to blame for these deaths
            jitter_seed=seed,
        )
        self._workforce: Workforce | None = None
        self._stack: ExitStack | None = None
        self._runner: asyncio.Runner | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self._verdicts: list[BaseException] = []
        self._started = 0
        self._over = False

    def _make_clock(self, start: datetime) -> VirtualClock:
        return VirtualClock(start)

    # ------------------------------------------------------------------------------------------ beginning and end

    async def __aenter__(self) -> Self:
        """Make the loop's time virtual and begin to work."""
        if self._stack is not None:
            raise Misuse(USED.format(name=type(self).__name__))
        with ExitStack() as stack:
            self._clock.install()
            stack.callback(self._clock.uninstall)
            stack.callback(drop_memory, self._url)
            stack.enter_context(repeatable_nonces(self._seed))
            if self._strict:
                stack.enter_context(strictly())
            await self._begin(stack)
            self._stack = stack.pop_all()
        return self

    async def _begin(self, stack: ExitStack) -> None:
        store = await self._twin.store()
        client = store.space.connector.blocking_client()
        stack.callback(client.close)
        self._clock.due_ms = lambda: next_due(store.space, client)
        self._clock.on_stuck = self._wake_waiting
        self._lend_store(stack)
        self._workforce = Workforce(self._twin, self._settings, self._lives())
        await self._workforce.start()

    def _lives(self) -> Iterator[Life]:
        return lives(self._crash_seed)

    def _lend_store(self, stack: ExitStack) -> None:
        """Let what steps do with the manager itself happen here."""
        fields = vars(self._manager)
        if "store" in fields:
            raise Misuse("another WorkflowTester uses this manager: leave its block first")
        fields["store"] = self._twin.store
        stack.callback(fields.pop, "store")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End everything and give the loop its own time back."""
        assert self._stack is not None
        self._over = True
        with self._stack:
            try:
                if self._workforce is not None:
                    await self._workforce.stop()
            finally:
                await self._twin.close()
        if error is None:
            self._raise_verdict()

    def __enter__(self) -> Self:
        """Do the same without a loop: ``run`` and ``play`` use one of the tester's own."""
        refuse_in_loop(type(self).__name__)
        self._runner = runner = asyncio.Runner()
        runner.__enter__()
        try:
            return runner.run(self.__aenter__())
        except BaseException:
            self._runner = None
            runner.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End everything."""
        self.close()

    def close(self) -> None:
        """Leave the block of ``with``, if it was entered and not left."""
        runner, self._runner = self._runner, None
        if runner is not None:
            try:
                runner.run(self.__aexit__(None, None, None))
            finally:
                runner.close()

    # ------------------------------------------------------------------------------------------------ without await

    def run(self, workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Start a workflow, take it to its end, return its result. For tests that are no coroutines.

        Raises:
            WorkflowFailed, WorkflowCanceled: as ``handle.result`` does.
            NothingHappens: it waits for what nobody brings.
            Misuse: it was used before, or a loop runs here: then await ``start`` and ``handle.result``.
        """

        async def play(_tester: WorkflowTester) -> R:
            handle = await self.start(workflow, *args, **kwargs)
            return await handle.result()

        return self.play(play)

    def play(self, scenario: Callable[[WorkflowTester], Awaitable[T]]) -> T:
        """Run a coroutine function on virtual time; it is given the tester. For tests that are no coroutines.

        Raises Misuse as ``run``.
        """
        if self._over:
            raise Misuse(USED.format(name=type(self).__name__))
        refuse_in_loop(type(self).__name__)
        if self._runner is None:
            with self:
                return self.play(scenario)
        return self._runner.run(_awaited(scenario(self)))

    # ------------------------------------------------------------------------------------------------------- time

    @property
    def now(self) -> datetime:
        """The virtual time, in UTC."""
        return self._clock.now

    async def advance(self, duration: Duration) -> None:
        """Let time pass, a timedelta or seconds, and wait until all that fell due meanwhile has been done."""
        self._require_open()
        await asyncio.sleep(duration_ms("duration", duration) / 1000)
        await self._clock.settle()

    async def settle(self) -> None:
        """Wait until nothing more happens without time, or without what the test does next."""
        self._require_open()
        await self._clock.settle()

    # -------------------------------------------------------------------------------------------------- workflows

    @property
    def manager(self) -> WorkflowManager:
        """The manager's twin in the tester: whatever a manager does, it does here."""
        return self._twin

    @property
    def crashes(self) -> int:
        """How many workers have died so far."""
        return self._workforce.deaths if self._workforce is not None else 0

    async def start(self, workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> TestedHandle[R]:
        """Start an instance. Without an id of its own it is called ``<name>-<number>``.

        Raises what ``manager.start`` does, and Misuse outside of the block.
        """
        self._require_open()
        options = getattr(workflow, "options", None)
        if options is not None and not options.id:
            self._started += 1
            workflow = workflow.with_options(id=f"{workflow.name}-{self._started}")
        handle = await self._twin.start(workflow, *args, **kwargs)
        return self.handle(handle.id, workflow)

    @overload
    def handle(self, workflow_id: str, /) -> TestedHandle[Any]: ...
    @overload
    def handle(self, workflow_id: str, workflow: Workflow[..., R], /) -> TestedHandle[R]: ...
    def handle(self, workflow_id: str, workflow: Workflow[..., Any] | None = None, /) -> TestedHandle[Any]:
        """Return the handle of an instance."""
        return TestedHandle(self._twin, workflow_id, workflow, unless_stuck=self._unless_stuck)

    @overload
    async def send_event(
        self, instance: WorkflowHandle[Any] | str, event: EventType[T], value: T, /, *, id: str | None = None
    ) -> None: ...
    @overload
    async def send_event(
        self, instance: WorkflowHandle[Any] | str, event: EventType[None], /, *, id: str | None = None
    ) -> None: ...
    @overload
    async def send_event(
        self, instance: WorkflowHandle[Any] | str, event: str, value: object = None, /, *, id: str | None = None
    ) -> None: ...
    @overload
    async def send_event(
        self,
        instance: WorkflowHandle[Any] | str,
        event: EventType[Any] | str,
        /,
        *,
        error: str | Exception,
        id: str | None = None,
    ) -> None: ...
    async def send_event(self, instance: WorkflowHandle[Any] | str, event: Any, /, *value: Any, **options: Any) -> None:
        """Send an event to an instance, given by its handle or id; see ``WorkflowHandle.send_event``."""
        self._require_open()
        await self._twin.send_event(id_of(instance), event, *value, **options)

    def fake(self, step: StepDefinition[..., Any], /, *outcomes: object) -> Fake:
        """Let something stand in for a step; the record that is returned has every call.

        Args:
            step: the query, mutation or action.
            outcomes: what an attempt does: a function, called with the step's arguments (without the transaction) and
                awaited if it returns an awaitable; an exception, raised; or a value, returned. With several, each
                attempt takes the next, and the last stays. Returned values are validated as the step's are.
                ``pytest.fail`` and the like in a function fail the step, and then the test: what waits for a result
                raises it, at the latest the end of the block.
        """
        if getattr(step, "kind", None) not in ("query", "mutation", "action"):
            raise Misuse(f"fake({step!r}, …): give a query, a mutation or an action, as decorated")
        fake = self._twin.fakes[step.name] = Fake(step, outcomes, verdicts=self._verdicts)
        return fake

    # -------------------------------------------------------------------------------------------------- histories

    async def history(self, instance: WorkflowHandle[Any] | str) -> RecordedHistory:
        """Return an instance's journal as a value. Raises WorkflowNotFound."""
        self._require_open()
        recorded = await record_history(await self._twin.store(), id_of(instance))
        return replace(recorded, seed=0)  # it ran in this process, whatever the namespace's workers would run under

    async def export(self, instance: WorkflowHandle[Any] | str, path: str | Path) -> None:
        """Write an instance's journal to a file, for ``replay``. Raises WorkflowNotFound."""
        (await self.history(instance)).write(path)

    def replay(self, history: RecordedHistory | str | Path) -> None:
        """Replay a recorded history against the code of the manager; see ``replay_history``."""
        replay_history(self._manager, history, strict=self._strict)

    # --------------------------------------------------------------------------------------------------- waiting

    async def _unless_stuck(self, work: Awaitable[T], explain: Callable[[], Awaitable[BaseException]]) -> T:
        """Wait for something within the block; raise what ``explain`` returns when nothing more will ever happen."""
        try:
            self._require_open()
        except Misuse:
            if isinstance(work, Coroutine):
                work.close()
            raise
        loop = asyncio.get_running_loop()
        stuck: asyncio.Future[None] = loop.create_future()
        task = asyncio.ensure_future(work)
        waited: set[asyncio.Future[Any]] = {task, stuck}
        self._waiting.add(stuck)
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting.discard(stuck)
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        if self._verdicts and not task.cancelled():
            task.exception()  # seen: the verdict takes its place
        self._raise_verdict()
        if not task.cancelled():
            return task.result()
        raise await explain()

    def _raise_verdict(self) -> None:
        """Raise what a fake has said about the test itself, once."""
        verdicts, self._verdicts[:] = list(self._verdicts), []
        if verdicts:
            raise verdicts[0]

    def _require_open(self) -> None:
        """Raise Misuse outside of the block."""
        if self._over or self._stack is None:
            raise Misuse((USED if self._over else BEFORE).format(name=type(self).__name__))

    def _wake_waiting(self) -> bool:
        waiting = [future for future in self._waiting if not future.done()]
        for future in waiting:
            future.set_result(None)
        return bool(waiting)


async def _awaited(work: Awaitable[T]) -> T:
    return await work
