"""Checking: what a tester was given, and when it is used. Every refusal says what to write instead."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

from actors.errors import InvalidOption, Misuse
from actors.handle import WorkflowHandle
from actors.manager import WorkflowManager
from actors.wording import shown

if TYPE_CHECKING:
    from collections.abc import Collection

USED: Final = "this {name} has been used: make another one"
IN_A_LOOP: Final = (
    "{name}.run() and play() are for tests that are no coroutines, and a loop runs here. In a coroutine write: "
    "async with {name}(manager) as tester: handle = await tester.start(flow, …); result = await handle.result()"
)
BEFORE: Final = "{name} runs nothing yet: use it within `async with {name}(manager) as tester`, or use tester.run(…)"


def check_manager(manager: object, *, name: str) -> None:
    """Refuse what is no manager. ``name``: of the class that was given it."""
    if not isinstance(manager, WorkflowManager):
        raise Misuse(f"{name}({shown(manager)}): give the WorkflowManager whose workflows are to run")


def check_number(option: str, value: object, *, or_none: str = "") -> None:
    """Refuse what is no whole number; ``or_none``: what None means, where it may be given."""
    if type(value) is int or (value is None and or_none):
        return
    raise InvalidOption(f"{option}={shown(value)}: give a whole number{f', or None {or_none}' if or_none else ''}")


def check_flag(option: str, value: object) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool):
        raise InvalidOption(f"{option}={shown(value)}: give True or False")


def check_start(now: object) -> None:
    """Refuse what is no aware time."""
    if now is not None and (not isinstance(now, datetime) or now.utcoffset() is None):
        raise Misuse(f"now={shown(now)}: give an aware datetime, such as datetime(2026, 1, 1, tzinfo=UTC)")


def checked_queues(queues: object) -> tuple[str, ...]:
    """Return names of queues. Raises Misuse for what is no sequence of names."""
    named: list[Any] = (
        [] if isinstance(queues, str | bytes) or not isinstance(queues, Iterable) else [*cast("Any", queues)]
    )
    if (
        not isinstance(queues, Iterable)
        or isinstance(queues, str | bytes)
        or not all(isinstance(q, str) for q in named)
    ):
        raise Misuse(f"queues={shown(cast('Any', queues))}: give a sequence of names, such as ('gpu',)")
    return tuple(named)


def check_kind(option: str, value: object, kinds: tuple[type, ...], *, instead: str) -> None:
    """Refuse what is neither None nor of one of these classes."""
    if value is not None and not isinstance(value, kinds):
        raise InvalidOption(f"{option}={shown(value)}: give {instead}")


def check_names(options: Mapping[str, Any], allowed: Collection[str], *, name: str) -> None:
    """Refuse options that there are not."""
    for option in options:
        if option not in allowed:
            raise InvalidOption(f"{shown(option)} is no option of {name}; further ones are {', '.join(allowed)}")


def refuse_in_loop(name: str) -> None:
    """Raise Misuse where an event loop runs, in which another cannot."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise Misuse(IN_A_LOOP.format(name=name))


def id_of(instance: object) -> str:
    """Return the id of an instance that is given by its handle or its id. Raises Misuse."""
    if isinstance(instance, WorkflowHandle):
        return str(cast("Any", instance).id)
    if not isinstance(instance, str):
        raise Misuse(f"{shown(instance)} is no instance: give a handle, as tester.start(…) returns it, or an id")
    return instance
