"""Every exception of the author's and the client's face, and ``Failure``, the value that journals hold of one.

Sorted by what the catcher must do:

::

    HeadraceError
    ├── Misuse                    mend the call or the definition; nothing was started or written
    │   ├── InvalidArguments      the arguments do not fit the function's annotations
    │   ├── InvalidOption         an option has a wrong name, type or value, or is not available
    │   ├── InvalidDefinition     what was decorated cannot be a query, mutation, action or workflow
    │   ├── DuplicateDefinition   two definitions under one name and version
    │   ├── UnknownDefinition     nothing is registered under that name
    │   ├── IdInUse               the id is of an instance of another workflow, or of another update
    │   ├── NoSuchStep            the workflow has asked for no step of that number or name
    │   ├── PayloadTooLarge       one value is over its limit: pass a reference, or raise the limit
    │   ├── CallNotAllowed        called directly in workflow code what must be run as a step
    │   ├── ReadOnly              a query tried to write
    │   ├── TransactionError …    a transaction was misused; see ``actors.transaction``
    │   └── DeterminismViolation  workflow code asked for what replay cannot repeat (clock, I/O, threads)
    ├── NondeterminismError       the code no longer fits its journal: put it right, the instance goes on
    ├── RemoteFailure             something ran and ended badly; type, message and traceback tell what
    │   ├── StepFailed            a step raised: compensate, or let it fail the workflow
    │   │   ├── StepTimedOut      one attempt took longer than its ``timeout``
    │   │   ├── OutcomeUnknown    it may or may not have happened: check before doing it again
    │   │   ├── InvalidReturn     it ran, but what it returned does not fit its annotation
    │   │   ├── StepCanceled      it was canceled
    │   │   ├── WorkerDied        its workers died too often: it probably kills them
    │   │   ├── EventFailed       an event was sent with an error
    │   │   └── MutationBroken    Redis refused one of its writes after others were applied: repair by hand
    │   ├── UpdateFailed          an update's handler raised
    │   └── WorkflowFailed        a workflow raised
    ├── WorkflowCanceled          there is no result, and there will be none
    ├── WorkflowEnded             it takes no more events and updates: look at its status
    ├── WorkflowNotFound          no such instance: wrong id, or cleaned up
    ├── WorkflowRunning           it has not ended: wait for it, or cancel it first
    ├── InstanceDamaged           what is stored of it was deleted or overwritten in part: run headrace doctor
    ├── WorkflowBusy              it has ended and is still being cleared up: ask again soon
    ├── DeadLetterNotFound        nothing was set aside under that id
    ├── DeadLetterStale           what was set aside cannot be tried again from there: its instance went another way
    ├── NonRetryable              raise it in a step: no more attempts
    └── RetryAfter                raise it in a step: the next attempt after exactly this delay

What a server, its place or a payload lacks is told by the kernel's tree (``KernelError``: ``ServerUnreachable``,
``Misconfigured``, ``PayloadUnusable``). All that users meet can be imported from ``actors``.
"""

from __future__ import annotations

import asyncio
import traceback as tracebacks
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Literal, cast

from actors.packing import packb, unpackb


class HeadraceError(Exception):
    """Base of everything raised on purpose by this package."""


class Misuse(HeadraceError):
    """The caller's mistake: nothing was started or written. Never retried."""


class InvalidArguments(Misuse):
    """The arguments do not fit the function's annotations."""


class InvalidOption(Misuse):
    """An option has a wrong name, type or value, or is not available yet."""


class InvalidDefinition(Misuse):
    """What was decorated cannot be a definition of that kind."""


class DuplicateDefinition(Misuse):
    """Two definitions under one name and version."""


class UnknownDefinition(Misuse):
    """Nothing is registered under that name."""


class IdInUse(Misuse):
    """The id that was given is in use: by an instance of another workflow, another event, an update of another handler.

    What it was given to was not started or sent.
    """


class NoSuchStep(Misuse):
    """The workflow has asked for no step of that number or name."""


class PayloadTooLarge(Misuse):
    """One value is over ``value_bytes_max``."""

    def __init__(self, what: str, *, size: int, limit: int) -> None:
        """``what`` names the argument or return value; ``size`` and ``limit`` are in bytes, encoded."""
        super().__init__(what, size, limit)
        self.what = what
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        """Say what is too large, by how much, and what to do."""
        return (
            f"{self.what} takes {self.size:,} bytes encoded, the limit for one value is {self.limit:,}: store it "
            "elsewhere and pass a reference (a key, path or URL), or raise value_bytes_max of the WorkflowManager"
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Support pickling in spite of the keyword-only fields."""
        return _rebuild_too_large, (self.what, self.size, self.limit)


def _rebuild_too_large(what: str, size: int, limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(what, size=size, limit=limit)


class CallNotAllowed(Misuse):
    """A plain ``def`` action, a query or a mutation was called directly in workflow code."""


class ReadOnly(Misuse):
    """A query tried to write."""


class DeterminismViolation(Misuse):
    """Workflow code asked for something that a replay cannot repeat."""


class NondeterminismError(HeadraceError):
    """The workflow's code asks for other things than its journal holds. Put right, the instance goes on."""

    def __init__(self, message: str, *, seq: int = 0, was: str = "", now: str = "", site: str = "") -> None:
        """All but ``message`` may be unknown."""
        super().__init__(message)
        self.seq = seq
        """Number of the first command that differs; one more than there are for the end; 0: not known."""
        self.was = was
        """What the journal has there, in words."""
        self.now = now
        """What the code does instead, in words."""
        self.site = site
        """``file:line`` of the author's code, perhaps ``in function``."""


class RemoteTraceback(Exception):
    """Carries a traceback from another process as text: the cause of a ``RemoteFailure``."""

    def __init__(self, text: str) -> None:
        """``text`` is a traceback as Python prints it."""
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        """Return the text, set off from the local traceback around it."""
        return f'\n"""\n{self.text.rstrip()}\n"""'


class RemoteFailure(HeadraceError):
    """Something ran elsewhere, or earlier, and ended badly."""

    def __init__(self, message: str, *, error_type: str = "", traceback: str = "", attempts: int = 1) -> None:
        """``error_type`` is the name of the original exception's class; ``traceback`` its remote text, or empty."""
        super().__init__(message)
        self.message = message
        self.error_type = error_type or type(self).__name__
        self.traceback = traceback
        self.attempts = attempts
        if traceback:
            self.__cause__ = RemoteTraceback(traceback)

    def __str__(self) -> str:
        """Return ``Type: message`` of the original exception."""
        said = self.message if self.error_type == type(self).__name__ else f"{self.error_type}: {self.message}"
        return f"{said} (after {self.attempts} attempts)" if self.attempts > 1 else said

    def __reduce__(self) -> tuple[object, ...]:
        """Support pickling in spite of the keyword-only fields."""
        return _rebuild_remote, (type(self), self.message, self.error_type, self.traceback, self.attempts)


def _rebuild_remote(
    kind: type[RemoteFailure], message: str, error_type: str, traceback: str, attempts: int
) -> RemoteFailure:
    return kind(message, error_type=error_type, traceback=traceback, attempts=attempts)


class StepFailed(RemoteFailure):
    """A step raised, and no attempt is left."""


class StepTimedOut(StepFailed):
    """One attempt of the step took longer than its ``timeout``."""


class OutcomeUnknown(StepFailed):
    """The step was started and its worker lost: it may or may not have happened."""


class InvalidReturn(StepFailed):
    """The step (or workflow) returned something that does not fit its annotation."""


class StepCanceled(StepFailed):
    """The step was canceled before it ended."""


class WorkerDied(StepFailed):
    """Several workers died while running the step; it is not tried again. ``attempts``: how many died."""

    def __str__(self) -> str:
        """Return the message, which has the number: a death is no attempt of the step's own."""
        return self.message


class MutationBroken(StepFailed):
    """Redis refused one of the mutation's writes after others were applied."""


class EventFailed(StepFailed):
    """An event was sent with an error."""


class UpdateFailed(RemoteFailure):
    """An update's handler raised, or the workflow ended before the handler had returned."""


class WorkflowFailed(RemoteFailure):
    """A workflow raised."""


class WorkflowCanceled(HeadraceError):
    """The workflow was canceled."""


class WorkflowNotFound(HeadraceError):
    """There is no instance of that id."""


class WorkflowEnded(HeadraceError):
    """The instance has ended: nobody takes what is sent to it."""


class WorkflowRunning(HeadraceError):
    """The instance has not ended."""


class WorkflowBusy(HeadraceError):
    """The instance has ended, but messages of it are on their way, or what it left open is still being cleared up."""


class InstanceDamaged(HeadraceError):
    """Something of what Redis has of the instance is missing or makes no sense: run ``headrace doctor``."""


class DeadLetterNotFound(HeadraceError):
    """Nothing was set aside under that id, or it was requeued or dropped since."""


class DeadLetterStale(HeadraceError):
    """What was set aside cannot be tried again from there: its instance began anew since, or it has none of its own."""


class NonRetryable(HeadraceError):
    """Raise it in a step to say that another attempt would be pointless."""


class RetryAfter(HeadraceError):
    """Raise it in a step to say when the next attempt makes sense; attempts are still counted."""

    def __init__(self, delay: timedelta | float, message: str = "") -> None:
        """``delay`` is a timedelta or seconds, not negative."""
        seconds = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
        if not 0 <= seconds < float("inf"):
            raise InvalidOption(f"RetryAfter({delay!r}): give a delay of 0 seconds or more")
        super().__init__(message or f"try again after {seconds:g} s")
        self.seconds = seconds

    def __reduce__(self) -> tuple[object, ...]:
        """Support pickling: the delay is no part of ``args``."""
        return RetryAfter, (self.seconds, *self.args)


FailureKind = Literal[
    "StepFailed",
    "StepTimedOut",
    "OutcomeUnknown",
    "InvalidReturn",
    "StepCanceled",
    "WorkerDied",
    "MutationBroken",
    "EventFailed",
    "UpdateFailed",
    "WorkflowFailed",
]
"""The exception class as which the failure arrives."""

_KINDS: Final[dict[str, type[StepFailed | UpdateFailed | WorkflowFailed]]] = {
    kind.__name__: kind
    for kind in (
        StepFailed,
        StepTimedOut,
        OutcomeUnknown,
        InvalidReturn,
        StepCanceled,
        WorkerDied,
        MutationBroken,
        EventFailed,
        UpdateFailed,
        WorkflowFailed,
    )
}

_CARRIERS: Final = frozenset({StepFailed, EventFailed, UpdateFailed, WorkflowFailed})
"""Failures that say no more than that something raised: what it raised is the news."""

_LEAVES_MAX: Final = 10
"""How many of a group's exceptions its message tells."""
MESSAGE_CHARACTERS_MAX: Final = 8_192
TRACEBACK_CHARACTERS_MAX: Final = 32_768

_HERE: Final = __file__.rpartition("/")[0] + "/"
_INTERNAL: Final = (_HERE, _HERE.removesuffix("actors/") + "kernel/", asyncio.__file__.rpartition("/")[0] + "/")
"""Folders whose frames say nothing to the author: this package, the kernel, asyncio."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How a step or workflow failed. Encoded as the msgpack array of its fields, in their order."""

    kind: FailureKind
    error_type: str
    """Name of the original exception's class, without its module."""
    message: str
    traceback: str = ""
    """As Python prints it, without this library's frames; empty when there was no exception."""
    attempts: int = 1
    """Attempts made, the failing one included."""

    def encode(self) -> bytes:
        """Return the payload for the journal."""
        fields = (self.kind, self.error_type, self.message, self.traceback, self.attempts)
        return packb(fields, unicode_errors="backslashreplace")

    @classmethod
    def decode(cls, data: bytes) -> Failure:
        """Return the failure in a payload; fields appended by a newer version are ignored."""
        kind, error_type, message, traceback, attempts, *_ = unpackb(data)
        return cls(kind if kind in _KINDS else "StepFailed", error_type, message, traceback, attempts)

    @classmethod
    def from_exception(cls, error: BaseException, *, attempts: int = 1, kind: FailureKind | None = None) -> Failure:
        """Return the value of ``error``.

        Without ``kind`` a ``StepFailed`` stays what it is and any other exception becomes the original of one. With it,
        a failure that only carries an exception of a step or child hands it on: type, message and attempts are those
        of the original, the traceback has both. One whose class says what happened (a timeout, an unknown outcome)
        is the original itself, as is any other exception. A group of exceptions, such as a task group raises, that
        comes down to a single one of these is that one; any other group tells what is in it.
        """
        alone = _alone_in(error) if kind is not None else error
        if alone is not error:
            found = cls.from_exception(alone, attempts=attempts, kind=kind)
            return replace(found, traceback=format_traceback(error))
        if kind is None and isinstance(error, StepFailed):
            text = error.traceback or format_traceback(error)
            return cls(_kind(error), error.error_type, _shorten(error.message), text, max(attempts, error.attempts))
        if kind is not None and isinstance(error, RemoteFailure):
            error_type = error.error_type if type(error) in _CARRIERS else type(error).__name__
            attempts = max(attempts, error.attempts)
            return cls(kind, error_type, _shorten(error.message), format_traceback(error), attempts)
        message = _shorten(_message(error))
        return cls(kind or "StepFailed", type(error).__name__, message, format_traceback(error), attempts)

    def to_exception(self) -> StepFailed | UpdateFailed | WorkflowFailed:
        """Return the exception that the waiting code gets, the remote traceback chained as its cause."""
        return _KINDS[self.kind](
            self.message, error_type=self.error_type, traceback=self.traceback, attempts=self.attempts
        )


def format_traceback(error: BaseException) -> str:
    """Return the traceback of ``error`` and its causes as text, with the author's frames only where there are any."""
    formatted = tracebacks.TracebackException.from_exception(error)
    _keep_frames_of_the_author(formatted, seen=set())
    if isinstance(error, HeadraceError) and all(_is_internal(frame) for frame in formatted.stack):
        formatted.stack = tracebacks.StackSummary.from_list([])  # its message says it all
    return _shorten_middle("".join(formatted.format()), TRACEBACK_CHARACTERS_MAX)


def _keep_frames_of_the_author(part: tracebacks.TracebackException | None, *, seen: set[int]) -> None:
    if part is None or id(part) in seen:
        return
    seen.add(id(part))
    kept = [frame for frame in part.stack if not _is_internal(frame)]
    if kept:
        part.stack = tracebacks.StackSummary.from_list(kept)
    for further in (part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())):
        _keep_frames_of_the_author(further, seen=seen)


def _is_internal(frame: tracebacks.FrameSummary) -> bool:
    return frame.filename.startswith(_INTERNAL)


def _kind(error: StepFailed) -> FailureKind:
    names = (base.__name__ for base in type(error).__mro__)
    return cast("FailureKind", next((name for name in names if name in _KINDS), "StepFailed"))


def _message(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception as broken:  # noqa: BLE001 - an author's __str__ may raise anything; the failure must still be told
        return f"<str() of {type(error).__name__} raised {type(broken).__name__}>"
    if isinstance(error, BaseExceptionGroup):
        leaves = _leaves(cast("BaseExceptionGroup[BaseException]", error))
        told = "; ".join(_told(leaf) for leaf in leaves[:_LEAVES_MAX])
        return f"{said}: {told}" if len(leaves) <= _LEAVES_MAX else f"{said}: {told}; …"
    return said


def _told(leaf: BaseException) -> str:
    """Return a line for one of several exceptions; what came from a step or child begins with its original type."""
    message = _message(leaf)
    name = type(leaf).__name__
    known = isinstance(leaf, RemoteFailure) and leaf.error_type != name
    return message if known else f"{name}: {message}" if message else name


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for inner in group.exceptions:
        if isinstance(inner, BaseExceptionGroup):
            found += _leaves(cast("BaseExceptionGroup[BaseException]", inner))
        else:
            found.append(inner)
    return found


def _alone_in(error: BaseException) -> BaseException:
    """Return the failure of a step or child that is all there is in a group of exceptions, else what is given."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    first, *others = _leaves(group)
    return group if others or not isinstance(first, RemoteFailure) else first


def _shorten(text: str) -> str:
    return _shorten_middle(text, MESSAGE_CHARACTERS_MAX)


def _shorten_middle(text: str, characters_max: int) -> str:
    if len(text) <= characters_max:
        return text
    half = characters_max // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[-half:]}"
