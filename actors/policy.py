"""When a failed step is tried again: a pure decision over the attempt's number and its error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from actors.errors import InvalidOption, InvalidReturn, Misuse, MutationBroken, NonRetryable, RetryAfter
from actors.packing import packb, unpackb
from actors.wording import shown

if TYPE_CHECKING:
    from random import Random

    from kernel import Command

ErrorNames = tuple["type[BaseException] | str", ...]
"""Exception classes, or their qualified names such as ``builtins.ValueError``."""

_HOPELESS: Final = (NonRetryable, Misuse, InvalidReturn, MutationBroken)
"""Errors that another attempt cannot mend, whatever the policy says."""

_DELAY_MS_MAX: Final = 100 * 366 * 86_400_000
_ATTEMPTS_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and after what delays a step is tried again. Durations are timedeltas or seconds, kept as seconds.

    The delay after attempt n is ``initial_backoff * base ** (n - 1)``, at most ``max_backoff``; with ``jitter`` a
    random part of it, between half and all.
    """

    max_attempts: int = 3
    """Attempts in all, the first included."""
    initial_backoff: timedelta | float = 0.5
    base: float = 2
    max_backoff: timedelta | float = 3600
    jitter: bool = True
    retry_on: ErrorNames = (Exception,)
    """Only these errors and their subclasses are retried; kept as qualified names."""
    stop_on: ErrorNames = ()
    """These errors and their subclasses are not, even if ``retry_on`` has them."""

    def __post_init__(self) -> None:
        """Refuse wrong fields; bring durations and classes into their kept form."""
        attempts = cast("object", self.max_attempts)
        if type(attempts) is not int or not 1 <= attempts <= _ATTEMPTS_MAX:
            raise InvalidOption(
                f"RetryPolicy(max_attempts={shown(attempts)}): give a whole number from 1 to {_ATTEMPTS_MAX:,}"
            )
        if not _is_number(self.base) or not self.base >= 1 or math.isinf(self.base):
            raise InvalidOption(f"RetryPolicy(base={shown(self.base)}): give a number of 1 or more")
        if not isinstance(cast("object", self.jitter), bool):
            raise InvalidOption(f"RetryPolicy(jitter={shown(self.jitter)}): give True or False")
        object.__setattr__(self, "initial_backoff", _seconds("initial_backoff", self.initial_backoff))
        object.__setattr__(self, "max_backoff", _seconds("max_backoff", self.max_backoff))
        object.__setattr__(self, "retry_on", _qualified_names("retry_on", self.retry_on))
        object.__setattr__(self, "stop_on", _qualified_names("stop_on", self.stop_on))

    def decide(self, attempt: int, error: BaseException, *, random: Random) -> int | None:
        """Return the delay in ms before the next attempt, or None if ``error`` is final.

        ``attempt`` is the number, from 1, of the one that ended in ``error``. ``RetryAfter`` dictates its delay.
        """
        if attempt >= self.max_attempts or isinstance(error, _HOPELESS):
            return None
        names = {qualified_name(kind) for kind in type(error).__mro__}
        if not names.isdisjoint(cast("tuple[str, ...]", self.stop_on)):
            return None
        if isinstance(error, RetryAfter):
            return min(math.ceil(error.seconds * 1000), _DELAY_MS_MAX)
        if names.isdisjoint(cast("tuple[str, ...]", self.retry_on)):
            return None
        return self._backoff_ms(attempt, random)

    def _backoff_ms(self, attempt: int, random: Random) -> int:
        initial, ceiling = cast("float", self.initial_backoff), cast("float", self.max_backoff)
        try:
            delay = min(initial * self.base ** (attempt - 1), ceiling)
        except OverflowError:
            delay = ceiling
        return round(delay * 1000 * (random.uniform(0.5, 1) if self.jitter else 1))

    def encode(self) -> bytes:
        """Return the policy as the msgpack array of its fields, in their order."""
        fields = (
            self.max_attempts,
            self.initial_backoff,
            self.base,
            self.max_backoff,
            self.jitter,
            self.retry_on,
            self.stop_on,
        )
        return packb(fields)

    @classmethod
    def decode(cls, data: bytes) -> RetryPolicy | None:
        """Return the policy in a step's options; None when there is none. Further array items are ignored."""
        if not data:
            return None
        fields = cast("list[Any]", unpackb(data))
        max_attempts, initial_backoff, base, max_backoff, jitter, retry_on, stop_on, *_ = fields
        return cls(max_attempts, initial_backoff, base, max_backoff, jitter, tuple(retry_on), tuple(stop_on))


_FIELDS: Final = 7
"""Of an encoded policy; what follows is the interval of a query that is polled."""


def polling(command: Command, interval_ms: int) -> Command:
    """Return a query's command that is run again, ``interval_ms`` later, as long as its value is falsy."""
    options = command.options or RetryPolicy(max_attempts=1).encode()
    return command._replace(options=packb([*cast("list[Any]", unpackb(options))[:_FIELDS], interval_ms]))


def polling_ms(options: bytes) -> int:
    """Return the interval at which a step with these options is polled, ms; 0: it is not."""
    fields = cast("list[Any]", unpackb(options)) if options else []
    return fields[_FIELDS] if len(fields) > _FIELDS else 0


def qualified_name(kind: type) -> str:
    """Return ``module.QualName``, by which error classes are matched across processes."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _seconds(field: str, value: object) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds * 1000 <= _DELAY_MS_MAX:
        raise InvalidOption(f"RetryPolicy({field}={shown(value)}): give a timedelta or seconds, from 0 to 100 years")
    return seconds


def _qualified_names(field: str, kinds: object) -> tuple[str, ...]:
    if isinstance(kinds, type | str):
        kinds = (kinds,)
    if not isinstance(kinds, tuple | list | set | frozenset):
        raise InvalidOption(f"RetryPolicy({field}={shown(kinds)}): give a tuple of exception classes")
    return tuple(_qualified(field, kind) for kind in cast("tuple[object, ...]", kinds))


def _qualified(field: str, kind: object) -> str:
    if isinstance(kind, type) and issubclass(kind, BaseException):
        return qualified_name(kind)
    if isinstance(kind, str) and "." in kind:
        return kind
    raise InvalidOption(
        f"RetryPolicy({field}=…): {shown(cast('Any', kind))} is no exception class; give a tuple of them"
    )
