"""``WorkflowHandle``: one instance, from any service: its status, result, steps; watching and ending it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from actors.errors import WorkflowCanceled, WorkflowNotFound
from actors.options import Duration, duration_ms
from actors.payload import unpack
from actors.results import Canceled, Completed, Failed, InProgress, Status
from actors.starting import completion_address
from actors.views import (
    Snapshot,
    StepView,
    command_name,
    name_running,
    read_completion,
    read_snapshot,
    read_status,
    read_steps,
)
from kernel import Ended, Gone, NotFound, NotStopped, Running, keys

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from actors.definitions import Workflow
    from actors.manager import WorkflowManager
    from kernel import Store

R_co = TypeVar("R_co", covariant=True)

TERMINAL = frozenset({"completed", "failed", "canceled"})
NAMED_MAX: Final = 1_000
"""Open steps whose names a status looks up; the rest have none there."""


class WorkflowHandle(Generic[R_co]):
    """One instance. Making one asks nothing of Redis."""

    def __init__(self, manager: WorkflowManager, workflow_id: str, workflow: Workflow[..., R_co] | None) -> None:
        """``workflow``: whose results are decoded; None: plain values."""
        self._manager = manager
        self.id = workflow_id
        self._workflow = workflow

    def __repr__(self) -> str:
        """Show the id."""
        return f"<workflow {self.id!r}>"

    @property
    def address(self) -> str:
        """Its address as an actor."""
        return f"wf/{self.id}"

    async def status(self) -> Status[R_co]:
        """Return where it is now.

        Raises:
            WorkflowNotFound: there is no such instance, or it was cleaned up.
        """
        record, opened, result = await self._read("open", result=True)
        status = read_status(record, opened, result, self._decode)
        if isinstance(status, InProgress):
            status = await self._with_names(status)
        return cast("Status[R_co]", status)

    async def _with_names(self, status: InProgress) -> InProgress:
        instances = (await self._manager.store()).instances
        named = status.running[:NAMED_MAX]
        fields = await asyncio.gather(*(instances.field(self.address, "journal", f"c{step.seq}") for step in named))
        names = {step.seq: command_name(field) for step, field in zip(named, fields, strict=True) if field is not None}
        return name_running(status, names)

    async def steps(self) -> list[StepView]:
        """Return its steps in the order asked for, with attempts, errors, times and results.

        After its end also what was called by ``on_complete``, once for each time that it ended.
        """
        record, opened, _ = await self._read("open")
        instances = (await self._manager.store()).instances
        steps = read_steps(record, opened, await instances.read(self.address, "journal"), self._manager)
        for generation in record.get("completions", b"").decode().split():
            address = completion_address(self.address, generation)
            actor = await instances.record(address)
            opened, journal = await instances.read(address, "open"), await instances.read(address, "journal")
            asked = record["on_complete"]
            steps.append(read_completion(asked, actor, opened, journal, seq=len(steps) + 1, registry=self._manager))
        return steps

    async def result(self, timeout: Duration | None = None) -> R_co:
        """Wait until it has ended and return its result.

        Args:
            timeout: how long to wait, a timedelta or seconds; None: for ever.

        Raises:
            WorkflowFailed: it raised; type, message and traceback of that are in it.
            WorkflowCanceled: it was canceled.
            WorkflowNotFound: there is no such instance.
            TimeoutError: it has not ended by then; it goes on.
        """
        limit_s = None if timeout is None else duration_ms("timeout", timeout) / 1000
        async with asyncio.timeout(limit_s):
            ended = await self._ended()
        match ended:
            case Completed(result):
                return result
            case Failed(error):
                raise error.to_exception()
            case Canceled():
                raise WorkflowCanceled(f"workflow {self.id!r} was canceled")

    async def _ended(self) -> Completed[R_co] | Failed | Canceled:
        store = await self._manager.store()
        channel = keys.ended(store.space.keys.tag_of(self.address), self.address)
        if found := await self._outcome(store):
            return found
        async with store.hearing.listen(channel) as ear:
            while True:
                if found := await self._outcome(store):
                    return found
                await ear.heard()

    async def _outcome(self, store: Store) -> Completed[R_co] | Failed | Canceled | None:
        """Return how it ended; None while it has not."""
        status, result = await store.instances.ending(self.address)
        if status in ("", "gone"):
            raise self._not_found()
        if status not in TERMINAL or result is None:
            return None
        now = read_status({"status": status.encode()}, {}, result, self._decode)
        return cast("Completed[R_co] | Failed | Canceled", now)

    async def watch(self) -> AsyncGenerator[Snapshot, None]:
        """Yield a snapshot now and after every change; the last one is of its end."""
        store = await self._manager.store()
        tag = store.space.keys.tag_of(self.address)
        channels = (keys.changed(tag, self.address), keys.ended(tag, self.address))
        async with store.hearing.listen(*channels) as ear:
            last: Snapshot | None = None
            while True:
                snapshot = await self._snapshot(store)
                if snapshot != last:
                    yield snapshot
                last = snapshot
                if isinstance(snapshot.status, Completed | Failed | Canceled):
                    return
                await ear.heard()

    async def _snapshot(self, store: Store) -> Snapshot:
        record, opened, result = await self._read("open", result=True)
        return read_snapshot(
            self.id,
            record,
            opened,
            journal=await store.instances.read(self.address, "journal"),
            values=await store.instances.read(self.address, "values"),
            result=result,
            decode=self._decode,
            registry=self._manager,
        )

    async def value(self, key: str) -> Any:  # noqa: ANN401 - whatever the workflow published
        """Return what the workflow published under ``key`` by ``step.set_value``; None if it has not."""
        field = await (await self._manager.store()).instances.field(self.address, "values", key)
        return None if field is None else unpack(field)

    async def cancel(self, *, cleanup: bool = False) -> bool:
        """Cancel it; False: it had ended before.

        Nothing new runs, running async steps are cancelled, results of steps are dropped. With ``cleanup`` the
        workflow's code gets asyncio.CancelledError at its await, so that ``finally`` and compensations run first;
        cancelling a second time ends it at once, and so does cancelling what has not started yet.

        Raises:
            WorkflowNotFound: there is no such instance.
        """
        store = await self._manager.store()
        try:
            if cleanup and _may_clean_up(await store.instances.record(self.address)):
                await store.instances.append(self.address, kind="cancel_requested", name="", payload=b"")
            else:
                await store.instances.cancel(self.address, payload=b"")
        except Ended:
            return False
        except (NotFound, Gone):
            raise self._not_found() from None
        return True

    async def resume(self) -> bool:
        """Let a stopped instance try again; False: it is not stopped.

        Raises:
            WorkflowNotFound: there is no such instance.
        """
        try:
            await (await self._manager.store()).instances.resume(self.address)
        except NotStopped:
            return False
        except (NotFound, Gone):
            raise self._not_found() from None
        return True

    async def cleanup(self) -> bool:
        """Delete everything of it; False: it is unknown, or has not ended."""
        try:
            await (await self._manager.store()).instances.cleanup(self.address)
        except (NotFound, Gone, Running):
            return False
        return True

    async def _read(
        self, part: str, *, result: bool = False
    ) -> tuple[dict[str, bytes], dict[str, bytes], bytes | None]:
        instances = (await self._manager.store()).instances
        record = await instances.record(self.address)
        if not record or record.get("status") == b"gone":
            raise self._not_found()
        opened = await instances.read(self.address, part)
        found = None
        if result and record["status"].decode() in TERMINAL:
            found = await instances.result(self.address)
            if found is None:  # cleaned up since the record was read
                raise self._not_found()
        elif result and record["status"] == b"scheduled":
            found = await instances.field(self.address, "journal", "e1")
        return record, opened, found

    def _decode(self, payload: bytes) -> Any:  # noqa: ANN401 - of the workflow's type, or plain
        if self._workflow is not None:
            return self._workflow.decode_result(payload)
        return unpack(payload) if payload else None

    def _not_found(self) -> WorkflowNotFound:
        return WorkflowNotFound(
            f"there is no workflow {self.id!r} in namespace {self._manager.namespace!r}: see `headrace list`; it may "
            "have been cleaned up after its retention"
        )


def _may_clean_up(record: dict[str, bytes]) -> bool:
    """Whether a cancellation may be left to the workflow's code: it has begun, and was not asked before."""
    return record.get("status") not in {b"scheduled", b"canceling"} and "canceling" not in record
