"""Short forms: the methods of a handle by an instance's id. Each makes the handle and calls it; there is no other code.

``manager.result("order-7")`` is ``manager.handle("order-7").result()``, with the same errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from actors.definitions import Workflow
    from actors.events import EventType
    from actors.handle import WorkflowHandle
    from actors.history import HistoryEntry
    from actors.options import Duration
    from actors.results import Status
    from actors.views import Snapshot, StepView

R = TypeVar("R")
T = TypeVar("T")


class ShortForms:
    """What a manager can do with one instance, given its id. Where the result's type counts, its workflow goes second.

    Every method raises InvalidOption for what cannot be an id, and else what the handle's method of its name does.
    """

    if TYPE_CHECKING:

        @overload
        def handle(self, workflow_id: str, /) -> WorkflowHandle[Any]: ...
        @overload
        def handle(self, workflow_id: str, workflow: Workflow[..., R] | None, /) -> WorkflowHandle[R]: ...
        def handle(self, workflow_id: str, workflow: Workflow[..., Any] | None = None, /) -> WorkflowHandle[Any]:
            """Return the handle of an instance."""
            ...

    @overload
    async def status(self, workflow_id: str, /) -> Status[Any]: ...
    @overload
    async def status(self, workflow_id: str, workflow: Workflow[..., R], /) -> Status[R]: ...
    async def status(self, workflow_id: str, workflow: Workflow[..., Any] | None = None, /) -> Status[Any]:
        """Return where an instance is now; see ``WorkflowHandle.status``."""
        return await self.handle(workflow_id, workflow).status()

    @overload
    async def result(self, workflow_id: str, /, *, timeout: Duration | None = None) -> Any: ...  # noqa: ANN401
    @overload
    async def result(
        self, workflow_id: str, workflow: Workflow[..., R], /, *, timeout: Duration | None = None
    ) -> R: ...
    async def result(
        self, workflow_id: str, workflow: Workflow[..., Any] | None = None, /, *, timeout: Duration | None = None
    ) -> Any:
        """Wait until an instance has ended and return its result; see ``WorkflowHandle.result``."""
        return await self.handle(workflow_id, workflow).result(timeout)

    def watch(self, workflow_id: str, /) -> AsyncGenerator[Snapshot, None]:
        """Yield a snapshot of an instance now and after every change; see ``WorkflowHandle.watch``."""
        return self.handle(workflow_id).watch()

    async def steps(self, workflow_id: str, /) -> list[StepView]:
        """Return an instance's steps; see ``WorkflowHandle.steps``."""
        return await self.handle(workflow_id).steps()

    async def history(self, workflow_id: str, /) -> list[HistoryEntry]:
        """Return everything that was recorded of an instance; see ``WorkflowHandle.history``."""
        return await self.handle(workflow_id).history()

    @overload
    async def value(self, workflow_id: str, key: str, /, *, type: type[T]) -> T | None: ...
    @overload
    async def value(self, workflow_id: str, key: str, /, *, type: None = None) -> Any: ...  # noqa: ANN401 - whatever was published
    async def value(self, workflow_id: str, key: str, /, *, type: Any = None) -> Any:  # noqa: A002 - the word for it
        """Return what an instance published under ``key``; see ``WorkflowHandle.value``."""
        return await self.handle(workflow_id).value(key, type=type)

    @overload
    async def send_event(
        self, workflow_id: str, event: EventType[T], value: T, /, *, id: str | None = None
    ) -> None: ...
    @overload
    async def send_event(self, workflow_id: str, event: EventType[None], /, *, id: str | None = None) -> None: ...
    @overload
    async def send_event(
        self, workflow_id: str, event: str, value: object = None, /, *, id: str | None = None
    ) -> None: ...
    @overload
    async def send_event(
        self, workflow_id: str, event: EventType[Any] | str, /, *, error: str | Exception, id: str | None = None
    ) -> None: ...
    async def send_event(self, workflow_id: str, event: Any, /, *value: Any, **options: Any) -> None:
        """Tell an instance an event; see ``WorkflowHandle.send_event``."""
        await self.handle(workflow_id).send_event(event, *value, **options)

    @overload
    async def update(
        self,
        workflow_id: str,
        name: str,
        /,
        *args: object,
        type: type[T],
        timeout: Duration | None = None,
        id: str | None = None,
        **named: object,
    ) -> T: ...
    @overload
    async def update(
        self,
        workflow_id: str,
        name: str,
        /,
        *args: object,
        type: None = None,
        timeout: Duration | None = None,
        id: str | None = None,
        **named: object,
    ) -> Any: ...  # noqa: ANN401 - whatever the handler returns
    async def update(self, workflow_id: str, name: str, /, *args: object, **options: Any) -> Any:
        """Call an update handler of an instance and return its value; see ``WorkflowHandle.update``."""
        return await self.handle(workflow_id).update(name, *args, **options)

    async def cancel(self, workflow_id: str, /, *, cleanup: bool = False) -> bool:
        """Cancel an instance; see ``WorkflowHandle.cancel``."""
        return await self.handle(workflow_id).cancel(cleanup=cleanup)

    async def restart(self, workflow_id: str, /, *, from_step: int | str | None = None) -> None:
        """Let an ended instance run again; see ``WorkflowHandle.restart``."""
        await self.handle(workflow_id).restart(from_step=from_step)

    async def resume(self, workflow_id: str, /) -> bool:
        """Let a stopped instance try again; see ``WorkflowHandle.resume``."""
        return await self.handle(workflow_id).resume()

    async def cleanup(self, workflow_id: str, /) -> bool:
        """Delete everything of an ended instance; see ``WorkflowHandle.cleanup``."""
        return await self.handle(workflow_id).cleanup()
