"""Randomness: in workflow code ``random.*`` and ``uuid.uuid4`` draw from the instance's own numbers.

They have the instance's id and the event that began it for a seed, so they are the same on every replay, and anybody
who knows both can compute them. What must be a secret (``secrets``, ``os.urandom``, ``SystemRandom``) is refused.
"""

from __future__ import annotations

import os
import random
import sys
import uuid
from typing import TYPE_CHECKING, Any, Final

from actors.calls import active_step
from actors.determinism.author import refuse
from actors.determinism.patch import Patch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

_SECRET: Final = "draw it in a function decorated with @manager.action and call step.run_action"  # noqa: S105 - no secret
_UUID: Final = "write `uuid.uuid4()` or `step.uuid4()`"
_UUID4_CODE: Final[CodeType] = uuid.uuid4.__code__


def random_patches() -> list[Patch]:
    """Return the patches of ``random``, ``uuid`` and ``os.urandom``."""
    shared = random._inst  # noqa: SLF001 - whose methods the module's functions are
    names = [name for name, value in vars(random).items() if getattr(value, "__self__", None) is shared]
    patches = [Patch(random, name, _drawing(name, vars(random)[name])) for name in names if name != "random"]
    patches.append(Patch(random, "random", _random(random.random)))
    patches.append(Patch(os, "urandom", _urandom(os.urandom)))
    # SystemRandom, and with it the module `secrets`, has it by value.
    patches.append(Patch(random, "_urandom", _urandom(os.urandom)))
    patches += [Patch(uuid, name, _refusing(name)) for name in ("uuid1", "uuid6", "uuid7") if hasattr(uuid, name)]
    return patches


def _drawing(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    active = active_step.get

    def draw(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - takes and returns what the real one does
        step = active()
        if step is None:
            return real(*args, **kwargs)
        return getattr(step.surroundings.stream("random.*"), name)(*args, **kwargs)

    return draw


def _random(real: Callable[[], float]) -> Callable[[], float]:
    # Apart from the others for its speed: libraries draw it often.
    active = active_step.get

    def draw() -> float:
        step = active()
        return real() if step is None else step.surroundings.stream("random.*").random()

    return draw


def _urandom(real: Callable[[int], bytes]) -> Callable[[int], bytes]:
    active = active_step.get

    def urandom(size: int, /) -> bytes:
        step = active()
        if step is None:
            return real(size)
        # Known by its caller, uuid4 is the same on every replay also where it was imported by name.
        if sys._getframe(1).f_code is not _UUID4_CODE:  # noqa: SLF001 - the documented way to a caller's frame
            refuse("drawing random bytes from the system", f"{_SECRET}; for random numbers use the module random")
        return step.surroundings.stream("uuid.uuid4").randbytes(size)

    return urandom


def _refusing(name: str) -> Callable[..., uuid.UUID]:
    active, real = active_step.get, getattr(uuid, name)

    def make(*args: Any, **kwargs: Any) -> uuid.UUID:  # noqa: ANN401 - as the real one
        if active() is not None:
            refuse(f"uuid.{name}(), which tells machine or time,", _UUID)
        made: uuid.UUID = real(*args, **kwargs)
        return made

    return make
