"""Options of ``with_options``: what may be said (TypedDicts for the checkers) and what it resolves to (frozen values).

Durations are timedeltas or seconds, times are aware datetimes; resolved they are whole milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypedDict, TypeVar, cast

from actors.errors import InvalidOption
from actors.policy import RetryPolicy
from actors.wording import nearest, shown
from kernel import keys

Duration = timedelta | float
"""A length of time: a timedelta, or seconds."""

NAME_BYTES_MAX: Final = 200
DURATION_MS_MAX: Final = 100 * 366 * 86_400_000
PRIORITY_MAX: Final = 9
TAGS_MAX: Final = 16

PARALLELISM_MAX: Final = 1_000_000
DEFAULT_POOL: Final = "default"
"""The pool of steps that name none, if the manager has a limit for all."""


class DefinitionOptions(TypedDict, total=False):
    """Options that a step may have from its definition on."""

    retry: RetryPolicy | bool
    """When its errors are retried; True: the manager's default policy; False: one attempt."""
    queue: str
    """Which workers may run it."""
    timeout: Duration | None
    """How long one attempt may take; None: as long as it likes."""
    schedule_timeout: Duration | None
    """How long it may wait for a worker, from being due until begun; then it fails as StepTimedOut, for good."""
    heartbeat_timeout: Duration | None
    """How long an attempt may stay without ``current_step().heartbeat()``; then it fails as StepTimedOut."""
    pool: str
    """Whose permit it needs while it is under way; see ``Workpool``."""
    priority: int
    """0 to 9: of what waits in a queue, or for a permit, the higher is begun first."""
    unstable_args: bool
    """Its arguments may differ on replay."""


class StepOptions(DefinitionOptions, total=False):
    """Options of one call of an action."""

    name: str
    """The step's label in listings and the journal; what runs stays the registered definition."""
    run_at: datetime | None
    """Not started before this time."""
    run_after: Duration | None
    """Not started before this long after it was asked for."""


class InlineDefinitionOptions(DefinitionOptions, total=False):
    """Options that a query or mutation may have from its definition on."""

    inline: bool
    """Run in the turn, by the worker that takes it: no queue, no slot."""


class InlineStepOptions(StepOptions, total=False):
    """Options of one call of a query or mutation."""

    inline: bool
    """Run in the turn, by the worker that takes it: no queue, no slot."""


class WorkflowDefinitionOptions(TypedDict, total=False):
    """Options that a workflow may have from its definition on."""

    timeout: Duration | None
    """How long an instance may take from its start to its end; None: as long as it likes."""
    retention: Duration
    """How long a finished instance is kept, in place of the manager's; a child: of its parent's."""
    tags: Mapping[str, str]
    """By which lists find it: at most 16 texts by name."""
    priority: int
    """0 to 9: that of its steps and children which state none. Not stated: its parent's, or 0."""


class WorkflowOptions(WorkflowDefinitionOptions, total=False):
    """Options of one start of a workflow."""

    id: str
    """The instance's id; the same id is the same instance, started once."""
    run_at: datetime | None
    """Not started before this time."""
    run_after: Duration | None
    """Not started before this long from now."""
    version: str
    """Under which version's code it runs, in place of the definition's own."""
    detached: bool
    """A child that is neither canceled nor cleaned up with its parent."""


@dataclass(frozen=True, slots=True)
class StepSettings:
    """Everything said about a step, resolved. Zero and empty mean: not said."""

    label: str = ""
    retry: RetryPolicy | bool | None = None
    """As said: None is not the same as False where the manager has a default."""
    queue: str = "default"
    run_at_ms: int = 0
    run_after_ms: int = 0
    timeout_ms: int = 0
    schedule_timeout_ms: int = 0
    heartbeat_timeout_ms: int = 0
    pool: str = ""
    priority: int = 0
    unstable_args: bool = False
    inline: bool = False

    def due_ms(self, now_ms: int) -> int:
        """Return the time, ms since the epoch, before which it must not start; 0: at once. Raises InvalidOption."""
        return now_ms + self.run_after_ms if self.run_after_ms else check_near("run_at", self.run_at_ms, now_ms=now_ms)


@dataclass(frozen=True, slots=True)
class WorkflowSettings:
    """Everything said about a workflow, resolved. Zero and empty mean: not said."""

    id: str = ""
    run_at_ms: int = 0
    run_after_ms: int = 0
    timeout_ms: int = 0
    version: str = ""
    retention_ms: int | None = None
    tags: tuple[tuple[str, str], ...] = ()
    """Sorted by key."""
    priority: int | None = None
    """None: not stated."""
    detached: bool = False
    on_complete: bytes = b""
    """What is called at the end, encoded; see ``actors.retrier.completion``."""

    def due_ms(self, now_ms: int) -> int:
        """Return the time, ms since the epoch, before which it must not start; 0: at once. Raises InvalidOption."""
        return now_ms + self.run_after_ms if self.run_after_ms else check_near("run_at", self.run_at_ms, now_ms=now_ms)


Settings = TypeVar("Settings", StepSettings, WorkflowSettings)


def resolve_options(
    settings: Settings,
    options: Mapping[str, object],
    *,
    kind: str,
    allowed: Sequence[str],
    elsewhere: Sequence[str] = (),
) -> Settings:
    """Return ``settings`` with ``options`` said on top of them.

    ``kind`` (``action``, ``workflow``, …) is for messages, and so are the options that the caller resolves itself
    (``elsewhere``). Raises InvalidOption for a name that is not allowed there, a wrong value, and options that exclude
    each other.
    """
    if "run_at" in options and "run_after" in options:
        raise InvalidOption("run_at and run_after exclude each other: give one of them")
    changes: dict[str, object] = {}
    for name, value in options.items():
        if name not in allowed:
            known = sorted({*allowed, *elsewhere})
            raise InvalidOption(
                f"{shown(name)} is no option of {_a(kind)}{nearest(name, known)}; its options are {', '.join(known)}"
            )
        if name in ("run_at", "run_after"):
            changes["run_at_ms"] = changes["run_after_ms"] = 0
        field, resolve = _RESOLVERS[name]
        changes[field] = resolve(name, value)
    changed = replace(settings, **cast("dict[str, Any]", changes))
    _check_together(changed)
    return changed


def _check_together(settings: StepSettings | WorkflowSettings) -> None:
    if isinstance(settings, StepSettings) and settings.inline and settings.pool:
        raise InvalidOption(
            f"inline=True and pool={shown(settings.pool)} exclude each other: an inline step runs in the turn, waiting "
            "for nothing. Leave one of them out"
        )


def merge_options(before: Mapping[str, object], later: Mapping[str, object]) -> dict[str, object]:
    """Return options said one after the other, as one: the later wins, and a start time takes the place of another."""
    replaced = _START_TIMES if not _START_TIMES.isdisjoint(later) else frozenset[str]()
    return {**{name: value for name, value in before.items() if name not in replaced}, **later}


_START_TIMES: Final = frozenset({"run_at", "run_after"})


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "action" else f"a {kind}"


def check_name(name: str, value: object) -> str:
    """Return ``value`` if it can stand in keys and listings: printable, no ``|``, 1 to 200 bytes."""
    if not isinstance(value, str):
        raise InvalidOption(f"{name}={shown(value)}: give a text")
    size = len(value.encode("utf-8", "surrogatepass"))
    if not value.isprintable() or "|" in value or not 1 <= size <= NAME_BYTES_MAX:
        raise InvalidOption(f"{name}={shown(value)}: give 1 to {NAME_BYTES_MAX} bytes of printable text without '|'")
    return value


def write_tags(tags: Iterable[tuple[str, str]]) -> str:
    """Return tags as a record holds them: ``key|value``, one a line."""
    return "\n".join(f"{key}|{value}" for key, value in tags)


def read_tags(text: bytes) -> dict[str, str]:
    """Return the tags in a record's field; nothing: none."""
    return dict(cast("tuple[str, str]", line.split("|", 1)) for line in text.decode().splitlines())


def duration_ms(name: str, value: object) -> int:
    """Return a timedelta or seconds as whole milliseconds, rounded up; ``name`` is for messages."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds * 1000 <= DURATION_MS_MAX:
        raise InvalidOption(f"{name}={shown(value)}: give a timedelta or seconds, from 0 to 100 years")
    return math.ceil(round(seconds * 1000, 3))


def time_ms(name: str, value: object) -> int:
    """Return an aware datetime as milliseconds since the epoch; ``name`` is for messages."""
    if not isinstance(value, datetime):
        raise InvalidOption(
            f"{name}={shown(value)}: give an aware datetime, such as datetime.now(UTC) + timedelta(hours=1)"
        )
    if value.utcoffset() is None:
        raise InvalidOption(
            f"{name}={shown(value)} has no time zone: give an aware datetime, such as datetime(…, tzinfo=UTC)"
        )
    return max(0, math.ceil((value - _EPOCH) / _MILLISECOND))


def check_near(name: str, at_ms: int, *, now_ms: int) -> int:
    """Return ``at_ms`` if it is no more than 100 years after ``now_ms``, as all durations. Raises InvalidOption."""
    if at_ms - now_ms > DURATION_MS_MAX:
        at = _EPOCH + min(at_ms, _LAST_MS) * _MILLISECOND
        raise InvalidOption(f"{name}={at:%Y-%m-%d}: give a time at most 100 years from now")
    return at_ms


_LAST_MS: Final = 253_402_300_799_999
"""The last millisecond that a datetime can hold."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def _optional_time_ms(name: str, value: object) -> int:
    return 0 if value is None else time_ms(name, value)


def _optional_duration_ms(name: str, value: object) -> int:
    return 0 if value is None else duration_ms(name, value)


def _limit_ms(name: str, value: object) -> int:
    limit = _optional_duration_ms(name, value)
    if value is not None and not limit:
        raise InvalidOption(f"{name}={shown(value)}: give more than 0 seconds, or None for no limit")
    return limit


def _retry(name: str, value: object) -> RetryPolicy | bool:
    if not isinstance(value, RetryPolicy | bool):
        raise InvalidOption(
            f"{name}={shown(value)}: give a RetryPolicy, True (the manager's policy) or False (one attempt)"
        )
    return value


def _queue(name: str, value: object) -> str:
    if not isinstance(value, str) or not keys.valid_queue(value):
        raise InvalidOption(f"{name}={shown(value)}: give 1 to 64 letters, digits, dots, dashes and underscores")
    return value


def check_pool(name: str, value: object) -> str:
    """Return ``value`` if it can be a pool's name. Raises InvalidOption."""
    return _queue(name, value)


def check_parallelism(name: str, value: object) -> int:
    """Return ``value`` if it can be a limit of a pool. Raises InvalidOption."""
    if type(value) is not int or not 0 <= value <= PARALLELISM_MAX:
        raise InvalidOption(f"{name}={shown(value)}: give a whole number from 0 to {PARALLELISM_MAX:,}")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidOption(f"{name}={shown(value)}: give True or False")
    return value


def _priority(name: str, value: object) -> int:
    if type(value) is not int or not 0 <= value <= PRIORITY_MAX:
        raise InvalidOption(f"{name}={shown(value)}: give a whole number from 0 to {PRIORITY_MAX}")
    return value


def _tags(name: str, value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping) or len(cast("Mapping[object, object]", value)) > TAGS_MAX:
        raise InvalidOption(f"{name}={shown(cast('Any', value))}: give a mapping of at most {TAGS_MAX} texts to texts")
    pairs = cast("Mapping[object, object]", value).items()
    return tuple(sorted((_tag_key(key), check_name("a tag's value", text)) for key, text in pairs))


def _tag_key(value: object) -> str:
    key = check_name("a tag's key", value)
    if "=" in key:
        raise InvalidOption(f"a tag's key={shown(key)}: leave '=' out of it")
    return key


_RESOLVERS: Final[dict[str, tuple[str, Callable[[str, object], object]]]] = {
    "name": ("label", check_name),
    "retry": ("retry", _retry),
    "queue": ("queue", _queue),
    "run_at": ("run_at_ms", _optional_time_ms),
    "run_after": ("run_after_ms", _optional_duration_ms),
    "timeout": ("timeout_ms", _limit_ms),
    "schedule_timeout": ("schedule_timeout_ms", _limit_ms),
    "heartbeat_timeout": ("heartbeat_timeout_ms", _limit_ms),
    "pool": ("pool", check_pool),
    "priority": ("priority", _priority),
    "unstable_args": ("unstable_args", _flag),
    "inline": ("inline", _flag),
    "id": ("id", check_name),
    "version": ("version", check_name),
    "retention": ("retention_ms", duration_ms),
    "tags": ("tags", _tags),
    "detached": ("detached", _flag),
}
