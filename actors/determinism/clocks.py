"""Clocks: in workflow code ``time.*`` tell the recorded time of the event being fed, the same on every replay."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from actors.calls import active_step
from actors.determinism.author import refuse
from actors.determinism.patch import Patch

if TYPE_CHECKING:
    from collections.abc import Callable

_CLOCKS: Final = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
_BY_NUMBER: Final = (("clock_gettime", 1e-3), ("clock_gettime_ns", 1_000_000))
_CALENDAR: Final = ("localtime", "gmtime", "ctime")
"""Functions of one optional argument, seconds since the epoch, which means now when it is not given."""


def clock_patches() -> list[Patch]:
    """Return the patches of the module ``time``."""
    patches = [Patch(time, name, _seconds(getattr(time, name))) for name in _present(_CLOCKS)]
    patches += [
        Patch(time, name, _nanoseconds(getattr(time, name))) for name in _present(f"{name}_ns" for name in _CLOCKS)
    ]
    patches += [
        Patch(time, name, _by_number(getattr(time, name), unit)) for name, unit in _BY_NUMBER if hasattr(time, name)
    ]
    patches += [Patch(time, name, _calendar(getattr(time, name))) for name in _CALENDAR]
    patches += [Patch(time, "asctime", _asctime(time.asctime, time.localtime))]
    patches += [Patch(time, "strftime", _strftime(time.strftime, time.localtime))]
    patches += [Patch(time, "sleep", _sleep(time.sleep))]
    return patches


def _present(names: Any) -> list[str]:  # noqa: ANN401 - any iterable of names
    return [name for name in names if hasattr(time, name)]


def _seconds(real: Callable[[], float]) -> Callable[[], float]:
    active = active_step.get

    def clock() -> float:
        step = active()
        return real() if step is None else step.surroundings.now_ms / 1000

    return clock


def _nanoseconds(real: Callable[[], int]) -> Callable[[], int]:
    active = active_step.get

    def clock() -> int:
        step = active()
        return real() if step is None else step.surroundings.now_ms * 1_000_000

    return clock


def _by_number(real: Callable[[int], float], unit: float) -> Callable[[int], float]:
    active = active_step.get

    def clock(number: int) -> float:
        step = active()
        return real(number) if step is None else step.surroundings.now_ms * unit

    return clock


def _calendar(real: Callable[[float | None], object]) -> Callable[[float | None], object]:
    active = active_step.get

    def calendar(seconds: float | None = None) -> object:
        if seconds is None and (step := active()) is not None:
            seconds = step.surroundings.now_ms / 1000
        return real(seconds)

    return calendar


def _asctime(real: Callable[..., str], localtime: Callable[[float | None], time.struct_time]) -> Callable[..., str]:
    active = active_step.get

    def asctime(*moment: Any) -> str:  # noqa: ANN401 - what the real one takes, or refuses
        if not moment and (step := active()) is not None:
            moment = (localtime(step.surroundings.now_ms / 1000),)
        return real(*moment)

    return asctime


def _strftime(real: Callable[..., str], localtime: Callable[[float | None], time.struct_time]) -> Callable[..., str]:
    active = active_step.get

    def strftime(pattern: str, *moment: Any) -> str:  # noqa: ANN401 - as above
        if not moment and (step := active()) is not None:
            moment = (localtime(step.surroundings.now_ms / 1000),)
        return real(pattern, *moment)

    return strftime


def _sleep(real: Callable[[float], None]) -> Callable[[float], None]:
    active = active_step.get

    def sleep(seconds: float, /) -> None:
        if active() is not None:
            refuse("time.sleep()", "write `await step.sleep(seconds)` or `await asyncio.sleep(seconds)`")
        real(seconds)

    return sleep
