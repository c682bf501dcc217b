"""One running copy of a workflow's code, rebuilt by feeding it events. Sans-IO: no clock, no storage, no waiting.

The host feeds one event at a time, in the recorded order, and each runs the code until it is idle; how many events the
host had fetched at once is therefore never visible to the code. After that the host reads what the code asked for:
``commands``, ``canceled`` and ``answered`` only grow, so what is new since the last look is a slice.

Life of an instance, by what is fed and called:

==================  ======================================================================================
made                nothing runs; ``recorded`` holds what the journal has
``started`` fed     the workflow function runs to its first wait
events fed          each runs it on; while ``replaying``, every command is compared with ``recorded``
``check_complete``  all consumed events are fed: what is recorded and was not asked for is an error; live
``end`` set         the function has returned, raised, or can never go on; later events change nothing
``dispose``         nothing of it is left running; called by ``feed`` at the end
==================  ======================================================================================
"""

from __future__ import annotations

from asyncio import CancelledError
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from actors.calls import ContinueAsNew
from actors.errors import Failure
from actors.starting import DEFAULT_VERSION
from actors.workflow.commands import Commands
from actors.workflow.disposal import Disposed, dispose_loop
from actors.workflow.errors import Deadlocked, TurnTooLong
from actors.workflow.loop import WorkflowLoop
from actors.workflow.replay import describe_missing
from actors.workflow.step import Step
from actors.workflow.surroundings import Surroundings
from actors.workflow.updates import updates_of
from kernel import ZERO, End, Event, event_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from actors.definitions import Workflow
    from actors.workflow.tasks import WorkflowTask
    from kernel import Command, Kept


class Instance:
    """One running copy of a workflow's code. See the module's docstring."""

    __slots__ = (
        "_cancel_requested",
        "_commands",
        "_fed_bytes",
        "_loop",
        "_main",
        "_step",
        "_surroundings",
        "_workflow",
        "end",
        "fed",
    )

    def __init__(
        self,
        *,
        workflow: Workflow[..., Any],
        workflow_id: str,
        recorded: Sequence[Command] = (),
        restarts: Sequence[int] = (),
        kept: Mapping[int, Kept] = MappingProxyType({}),
    ) -> None:
        """``recorded``: the journal's commands. ``restarts``: what ``restarts_in`` finds among its events.

        ``kept``: what outcomes belong to that a restart has kept, by number, as ``History`` has it.
        """
        self._workflow = workflow
        self._commands = Commands(workflow_id, recorded, kept)
        # What asyncio calls abstract and is not written out there, `refuse_methods` puts in.
        self._loop = WorkflowLoop(self._commands)  # type: ignore[abstract]
        self._surroundings = Surroundings(
            self._commands, workflow.name, workflow.version, value_bytes_max=workflow.defaults.value_bytes_max
        )
        self._surroundings.restarts = restarts
        self._surroundings.step_defaults = workflow.step_defaults
        self._step = self._loop.step = Step(self._loop, self._surroundings)
        self._main: WorkflowTask[None] | None = None
        self._cancel_requested = False
        self._fed_bytes = 0
        self.fed = ZERO
        """Id of the last event fed; ``ZERO`` before the first. What comes after the end is not taken."""
        self.end: End | None = None
        """How it ended; None while it has not."""

    # ------------------------------------------------------------------------------------- what the host reads

    @property
    def commands(self) -> list[Command]:
        """Everything asked for so far; number ``seq`` is at ``seq - 1``."""
        return self._commands.asked

    @property
    def open(self) -> AbstractSet[int]:
        """Numbers asked for, no outcome fed, not canceled; in the order asked for."""
        return self._commands.pending.keys()

    @property
    def canceled(self) -> list[int]:
        """Numbers of all commands withdrawn so far, in that order."""
        return self._commands.canceled

    @property
    def answered(self) -> list[int]:
        """Numbers of all waits that an event has answered so far, in that order."""
        return self._commands.answered

    @property
    def answered_by(self) -> list[int]:
        """The numbers of the events that have answered those waits."""
        return self._commands.answered_by

    @property
    def untaken(self) -> list[Event]:
        """External events and updates fed that no wait and no handler has taken, oldest first."""
        kept = [event for events in self._commands.untaken.values() for event in events]
        updates = self._surroundings.updates
        if updates is not None:
            kept += updates.kept
        return sorted(kept, key=lambda event: event.number)

    @property
    def bytes(self) -> int:
        """Bytes of the payloads fed and of the arguments asked for."""
        return self._fed_bytes + self._commands.bytes

    @property
    def replaying(self) -> bool:
        """Whether the events fed now were consumed by an earlier turn; ends with ``check_complete``."""
        return self._commands.replaying

    # ---------------------------------------------------------------------------------------- what the host does

    def feed(self, event: Event) -> None:
        """Let the code go on with ``event`` until it is idle.

        Raises JournalMismatch (a NondeterminismError) when the code asks for something else than its journal holds,
        or than a kept outcome belongs to (also when not replaying);
        the instance must then be disposed of. KeyboardInterrupt passes through, the instance is disposed of.
        Whatever else the code raises ends it as failed.
        """
        if self.end is not None:
            return
        self.fed = event.id
        self._fed_bytes += len(event.payload)
        commands = self._commands
        commands.at = event_number(event.id)
        commands.now_ms = max(commands.now_ms, event.at_ms)
        try:
            self._take(event)
            self._loop.run()
        except KeyboardInterrupt:
            self.dispose()
            raise
        except (SystemExit, TurnTooLong) as error:
            self._fail(error)
        self._conclude()

    def check_complete(self) -> None:
        """Compare what was asked for with the whole journal, and be live from now on.

        To be called once all events that an earlier turn consumed are fed. Raises JournalMismatch for a recorded
        command that was not asked for; the instance must then be disposed of.
        """
        commands = self._commands
        if not commands.replaying:
            return
        commands.skip_markers()
        asked = len(commands.asked)
        if asked < len(commands.recorded):
            missing = commands.recorded[asked]
            ended, site = _how_it_ended(self.end), self._workflow.site
            raise describe_missing(commands.workflow_id, asked + 1, missing, ended=ended, site=site)
        commands.replaying = False

    def dispose(self) -> None:
        """Take the instance out of memory: nothing of it runs, now or later. Twice does no harm."""
        dispose_loop(self._loop)
        self._commands.pending.clear()

    # ----------------------------------------------------------------------------------------------- its own parts

    def _take(self, event: Event) -> None:
        match event.kind:
            case "outcome":
                commands = self._commands
                if event.status == "fired" and event.seq in commands.pending:
                    # Whatever a clock said: who slept until a time must not see an earlier one.
                    commands.now_ms = max(commands.now_ms, commands.asked[event.seq - 1].due_ms)
                commands.answer(event)
            case "event":
                self._commands.deliver(event)
            case "update":
                updates_of(self._loop, self._surroundings).deliver(event)
            case "started":
                self._start(event)
            case "cancel_requested":
                assert self._main is not None
                self._cancel_requested = True
                self._main.cancel()
            case "restarted":
                pass

    def _conclude(self) -> None:
        """Look at what the turn has come to, once the loop is idle."""
        commands = self._commands
        if commands.mismatch is not None:
            raise commands.mismatch
        if self.end is None:
            if commands.pending:
                return
            self._fail(Deadlocked(_DEADLOCKED))
        self.dispose()

    def _start(self, event: Event) -> None:
        assert self._main is None, "an instance starts once"
        loop = self._loop
        surroundings = self._surroundings
        surroundings.generation = event.id
        if event.name:  # in the journal, so that mended code with another default asks for nothing else
            surroundings.priority = int(event.name)
            surroundings.step_defaults = {"priority": surroundings.priority, **surroundings.step_defaults}
        self._main = loop.create_task(self._run(event), name=self._workflow.name, context=loop.context)

    async def _run(self, started: Event) -> None:
        """Run the workflow function; the moment it is done, so is the instance."""
        workflow = self._workflow
        try:
            args, kwargs = workflow.decode_arguments(started.payload)
            result = await workflow.function(self._step, *args, **kwargs)
            payload = workflow.encode_result(result)
        except (Disposed, KeyboardInterrupt):
            raise
        except CancelledError as error:
            if self._cancel_requested:
                self._finish(End("canceled", b""))
            else:
                self._fail(error)
        except BaseException as error:  # noqa: BLE001 - whatever the author's code raises fails the workflow
            if not self._loop.is_running():
                return  # closed, or found by the collector in the middle of anything: nobody is told of an end
            anew, rest = _split(error)
            if anew is not None and rest is None:
                self._finish(End("continued", anew.arguments, "" if anew.version == DEFAULT_VERSION else anew.version))
            else:
                self._fail(rest or error)
        else:
            self._finish(End("completed", payload))

    def _fail(self, error: BaseException) -> None:
        self._finish(End("failed", Failure.from_exception(error, kind="WorkflowFailed").encode()))

    def _finish(self, end: End) -> None:
        if self._commands.dead:
            return
        self.end = end
        if self._surroundings.updates is not None:
            self._surroundings.updates.close()
        self._commands.close()
        self._loop.kill()


def restarts_in(events: Iterable[Event]) -> tuple[int, ...]:
    """Return, for each restart in a journal, the number of the event after which everything was fed again."""
    found = (event for event in events if event.kind == "restarted")
    return tuple(int(event.name) if event.name else event.number - 1 for event in found)


def _split(error: BaseException) -> tuple[ContinueAsNew | None, BaseException | None]:
    """Part the wish to begin anew, which a task group may have wrapped, from errors that came with it."""
    if isinstance(error, ContinueAsNew):
        return error, None
    if not isinstance(error, BaseExceptionGroup):
        return None, error
    found, rest = cast("BaseExceptionGroup[BaseException]", error).split(ContinueAsNew)
    leaf: BaseException | None = found
    while isinstance(leaf, BaseExceptionGroup):
        leaf = cast("BaseExceptionGroup[BaseException]", leaf).exceptions[0]
    return (leaf if isinstance(leaf, ContinueAsNew) else None), rest


_DEADLOCKED = (
    "the workflow waits, but every step, timer and event that it asked for is answered, so nothing can wake it: "
    "look for an asyncio.Event, Queue or Future that nobody sets"
)


def _how_it_ended(end: End | None) -> str:
    """Return it as part of a sentence; nothing if it has not."""
    if end is None:
        return ""
    if end.status != "failed":
        return "ends"
    failure = Failure.decode(end.payload)
    return f"raises {failure.error_type}: {failure.message}"
