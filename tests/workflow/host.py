"""A host for tests of the replay core: it plays journal, workers and clock, and rebuilds instances from scratch."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from actors.errors import Failure
from actors.payload import pack, unpack
from actors.registry import Registry
from actors.workflow import Instance, Step
from kernel import Event, event_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.definitions import Workflow
    from kernel import Command

START_MS = 1_700_000_000_000

Code = Callable[[Step], Coroutine[Any, Any, Any]]
"""A workflow function without arguments."""

steps = Registry()


@steps.action
async def work(name: str) -> Any:  # noqa: ANN401 - a test answers with what it likes
    """Stands for any step; its body must never run in these tests."""
    raise AssertionError(f"the body of {name!r} ran")


class Host:
    """One workflow instance with its journal. ``instance`` is the warm copy."""

    made: ClassVar[list[Host]] = []
    """By the test that runs: their instances are disposed of after it, as every instance has to be."""

    def __init__(
        self,
        workflow: Workflow[..., Any],
        *args: object,
        workflow_id: str = "w-1",
        enter: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        """Start it with ``args``. ``enter`` calls what it is given, in the surroundings that a test wants."""
        self.made.append(self)
        self.workflow = workflow
        self.workflow_id = workflow_id
        self.enter = enter
        self.now_ms = START_MS
        self.events: list[Event] = []
        self.instance = Instance(workflow=workflow, workflow_id=workflow_id)
        self.feed("started", payload=workflow.encode_arguments(args, {}))

    def feed(
        self,
        kind: Literal["started", "outcome", "event", "update", "cancel_requested", "restarted"],
        *,
        seq: int = 0,
        status: str = "",
        name: str = "",
        payload: bytes = b"",
    ) -> None:
        """Record an event, 1 ms after the one before, and feed it to the warm copy."""
        self.now_ms += 1
        event = Event(event_id(len(self.events) + 1, 7), kind, self.now_ms, seq, status, name, payload)
        self.events.append(event)
        if self.enter is None:
            self.instance.feed(event)
        else:
            self.enter(lambda: self.instance.feed(event))

    def answer(self, step: int | str, value: object = None) -> None:
        """The step, named by its number or by ``work``'s argument, ended well."""
        self.feed("outcome", seq=self.seq(step), status="ok", payload=pack(value))

    def fail(self, step: int | str, error: Exception) -> None:
        """The step raised."""
        payload = Failure.from_exception(error).encode()
        self.feed("outcome", seq=self.seq(step), status="failed", payload=payload)

    def fire(self, timer: int | str) -> None:
        """The timer is due: time moves on to it."""
        seq = self.seq(timer)
        self.now_ms = max(self.now_ms, self.instance.commands[seq - 1].due_ms - 1)
        self.feed("outcome", seq=seq, status="fired")

    def send(self, name: str, value: object = None) -> None:
        """Somebody sent an event."""
        self.feed("event", name=name, payload=pack(value))

    def cancel(self) -> None:
        """Somebody canceled the workflow, with cleanup."""
        self.feed("cancel_requested")

    def seq(self, asked: int | str) -> int:
        """Return the number of what was last asked for in these words."""
        if isinstance(asked, int):
            return asked
        return len(self.asked) - self.asked[::-1].index(asked)

    @property
    def asked(self) -> list[str]:
        """What the warm copy asked for."""
        return [words(command) for command in self.instance.commands]

    @property
    def open(self) -> list[str]:
        """What it asked for and has no outcome of."""
        return [self.asked[seq - 1] for seq in self.instance.open]

    @property
    def canceled(self) -> list[str]:
        """What it withdrew, in that order."""
        return [self.asked[seq - 1] for seq in self.instance.canceled]

    @property
    def result(self) -> Any:  # noqa: ANN401
        """What the workflow returned; fails the test if it has not."""
        end = self.instance.end
        assert end is not None, f"still waiting for {self.open}"
        assert end.status == "completed", Failure.decode(end.payload) if end.payload else end
        return unpack(end.payload)

    @property
    def failure(self) -> Failure:
        """How the workflow failed; fails the test if it has not."""
        end = self.instance.end
        assert end is not None, f"still waiting for {self.open}"
        assert end.status == "failed", end
        return Failure.decode(end.payload)

    def rebuilt(self, workflow: Workflow[..., Any] | None = None) -> Instance:
        """Return a copy made from scratch by replay, with this or another workflow's code."""
        return replay(workflow or self.workflow, self.workflow_id, self.events, self.instance.commands)


Starter = Callable[[Code], Host]
"""Starts a function as a workflow."""


def words(command: Command) -> str:  # noqa: PLR0911 - one a kind
    """Return ``work``'s argument, a timer's length, ``?event``, ``=key``, or the label of anything else."""
    match command.kind:
        case "timer":
            return f"{command.arguments.decode()} ms"
        case "wait":
            return f"?{command.target}"
        case "value":
            return f"={command.target}"
        case "handler":
            return f"@{command.target}"
        case "reply":
            return f"!{command.label} {command.target}"
        case _:
            if command.target != "work":
                return command.label
            return str(unpack(command.arguments)[0][0])


def replay(
    workflow: Workflow[..., Any], workflow_id: str, events: Sequence[Event], recorded: Sequence[Command]
) -> Instance:
    """Return an instance fed with consumed ``events``, live."""
    instance = Instance(workflow=workflow, workflow_id=workflow_id, recorded=tuple(recorded))
    try:
        for event in events:
            instance.feed(event)
        instance.check_complete()
    except BaseException:
        instance.dispose()
        raise
    return instance


def observed(instance: Instance) -> tuple[object, ...]:
    """Return all that a host can see of an instance, for comparison."""
    return (
        instance.fed,
        list(instance.commands),
        list(instance.open),
        list(instance.canceled),
        list(instance.answered),
        list(instance.answered_by),
        [event.id for event in instance.untaken],
        instance.end,
        instance.bytes,
    )
