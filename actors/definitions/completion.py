"""``CompletionHandler``: what may be called when a workflow has ended, as type checkers see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from actors.results import Result

R_contra = TypeVar("R_contra", contravariant=True)
C_contra = TypeVar("C_contra", contravariant=True)


class CompletionHandler(Protocol[R_contra, C_contra]):
    """A mutation or action that is called as ``f(workflow_id, result, context)``.

    ``R_contra`` is what the workflow returns, ``C_contra`` the type of the handler's third parameter.
    """

    @property
    def step_kind(self) -> Literal["action", "mutation"]:
        """What tells it from queries, workflows and plain functions."""
        ...

    def _called_on_completion(self, workflow_id: str, result: Result[R_contra], context: C_contra, /) -> object: ...
