"""Fakes: what stands in for a step while a tester runs, and what it was called with."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard, cast

from actors.definitions import AsyncAction, Mutation, Query, StepDefinition
from actors.errors import Misuse

if TYPE_CHECKING:
    from collections.abc import Callable


class Call(NamedTuple):
    """One attempt of a step that was faked."""

    args: tuple[Any, ...]
    """Without the transaction of a query or mutation."""
    kwargs: dict[str, Any]


class Fake:
    """Stands in for a step. ``calls`` has every attempt, in order."""

    def __init__(
        self, step: StepDefinition[..., Any], outcomes: tuple[object, ...], *, verdicts: list[BaseException]
    ) -> None:
        """``outcomes``: one for each attempt, the last one for all further ones. ``verdicts``: see ``is_verdict``."""
        if not outcomes:
            raise Misuse(f"fake({step.name}): give a function, a value or an exception to stand in for it")
        self.name = step.name
        self.calls: list[Call] = []
        self._outcomes = outcomes
        self._verdicts = verdicts

    def __repr__(self) -> str:
        """Name the step."""
        return f"<fake of {self.name!r}, called {len(self.calls)} times>"

    async def run(self, *args: Any, **kwargs: Any) -> object:  # noqa: ANN401 - whatever the step takes
        """Note the call and do what was said for this attempt."""
        try:
            return await self._run(args, kwargs)
        except BaseException as error:
            if is_verdict(error):
                self._verdicts.append(error)
            raise

    async def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        outcome = self._outcomes[min(len(self.calls), len(self._outcomes) - 1)]
        self.calls.append(Call(args, kwargs))
        if isinstance(outcome, BaseException) or _is_exception_class(outcome):
            raise outcome
        if not callable(outcome):
            return outcome
        result = outcome(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result


def is_verdict(error: BaseException) -> bool:
    """Tell whether an error is pytest's on the test itself (``pytest.fail``, ``pytest.skip``), not one of the step."""
    outcomes = sys.modules.get("_pytest.outcomes")
    return outcomes is not None and isinstance(error, outcomes.OutcomeException)


def _is_exception_class(outcome: object) -> TypeGuard[type[BaseException]]:
    return isinstance(outcome, type) and issubclass(outcome, BaseException)


def replaced(step: StepDefinition[..., Any], function: Callable[..., Any]) -> StepDefinition[..., Any]:
    """Return a copy of a step that runs ``function``, a coroutine function, on the loop."""
    # Not copy.copy: a step that runs in a thread becomes one that does not.
    kind = type(step) if isinstance(step, Query | Mutation) else AsyncAction
    copy = cast("StepDefinition[..., Any]", object.__new__(kind))
    copy.__dict__.update(step.__dict__)
    copy.function = function
    return copy
