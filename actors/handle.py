"""``WorkflowHandle``: one instance, from any service: its status, result, steps; watching and ending it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, overload

from actors import ending
from actors.damaged import damaged, naming_damage, reading
from actors.errors import InvalidOption, WorkflowCanceled, WorkflowNotFound
from actors.events import EventType, encode_error, encode_event, name_of
from actors.history import HistoryEntry, read_history
from actors.obstacles import code_missing, step_code_missing, steps_waiting_for_worker
from actors.options import Duration, check_name, duration_ms
from actors.payload import checked_codec, unpack
from actors.results import Canceled, Completed, Failed, InProgress, Status
from actors.starting import completion_address
from actors.telling import (
    Told,
    ask_update,
    encode_update,
    event_dedupe,
    missing,
    not_found,
    read_answer,
    tell,
    typed,
    update_dedupe,
)
from actors.views import (
    CODEC_ADVICE,
    Snapshot,
    StepView,
    command_name,
    mark_unreadable,
    name_running,
    read_completion,
    read_snapshot,
    read_status,
    read_steps,
    unreadable,
)
from kernel import EVENT_FAILED, check_record, keys

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

    from actors.definitions import Workflow
    from actors.manager import WorkflowManager
    from kernel import Command, Store

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

TERMINAL = frozenset({"completed", "failed", "canceled"})
UNDER_WAY = frozenset({"scheduled", "running", "canceling", "stopped"})
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
            InstanceDamaged: what Redis has of it makes no sense.
        """
        record, opened, result = await self._read("open", result=True)
        with reading(self.address):
            status = read_status(record, opened, result, self._decode)
        if isinstance(status, InProgress):
            fields = await self._asked(status)
            with reading(self.address):
                names = {seq: command_name(field) for seq, field in fields.items() if field is not None}
                waiting = await self._waiting(record, list(steps_waiting_for_worker(opened, fields)))
                status = replace(name_running(status, names), waiting=waiting)
        return cast("Status[R_co]", status)

    async def _asked(self, status: InProgress) -> dict[int, bytes | None]:
        """Return the journal's fields of the first open steps, by number."""
        instances = (await self._manager.store()).instances
        numbers = [step.seq for step in status.running[:NAMED_MAX]]
        with naming_damage(self.address):
            found = await asyncio.gather(
                *(instances.field(self.address, "journal", f"c{seq}", stored=True) for seq in numbers)
            )
        return dict(zip(numbers, found, strict=True))

    async def _waiting(self, record: dict[str, bytes], steps: list[Command]) -> str:
        if record["appended"] == record["consumed"] and not steps:
            return ""
        custody = (await self._manager.store()).custody
        living, described = await asyncio.gather(custody.living(), custody.about())
        about = [described[beat.worker] for beat in living if beat.worker in described]
        if missing := code_missing(record, about):
            return missing
        if why := unreadable(record):
            return f"{why}: {CODEC_ADVICE}"
        return next((why for step in steps if (why := step_code_missing(step, about))), "")

    async def steps(self) -> list[StepView]:
        """Return its steps in the order asked for, with attempts, errors, times and results.

        After its end also what was called by ``on_complete``, once for each time that it ended. In place of what the
        manager's codec cannot read stands a text that begins with ``<unreadable:`` and says what and why.

        Raises:
            WorkflowNotFound: there is no such instance, or it was cleaned up.
            InstanceDamaged: what Redis has of it, or of what was called on its completion, makes no sense.
        """
        record, opened, _ = await self._read("open")
        instances = (await self._manager.store()).instances
        with naming_damage(self.address):
            journal = await instances.read(self.address, "journal", instead=mark_unreadable)
        with reading(self.address):
            steps = read_steps(record, opened, journal, self._manager)
            completions = [
                (completion_address(self.address, generation), record["on_complete"])
                for generation in record.get("completions", b"").decode().split()
            ]
        for address, asked in completions:
            with naming_damage(address):
                actor = await instances.record(address)
                opened = await instances.read(address, "open")
                journal = await instances.read(address, "journal", instead=mark_unreadable)
            with reading(address):
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
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                ended = await self._ended()
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(
                f"workflow {self.id!r} has not ended within {limit_s:g} s; it goes on: wait again, see `headrace show "
                f"{self.id}` for what it waits for, and whether a worker runs"
            ) from None
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
        with naming_damage(self.address):
            status, result = await store.instances.ending(self.address)
            if status in ("", "gone"):
                raise await missing(store, self.address)
        if status not in TERMINAL | UNDER_WAY:
            raise damaged(self.address, f"its status is {status!r}")
        if status not in TERMINAL or result is None:
            return None
        with reading(self.address):
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
        with naming_damage(self.address):
            journal = await store.instances.read(self.address, "journal", instead=mark_unreadable)
            values = await store.instances.read(self.address, "values", instead=mark_unreadable)
        with reading(self.address):
            return read_snapshot(
                self.id,
                record,
                opened,
                journal=journal,
                values=values,
                result=result,
                decode=self._decode,
                registry=self._manager,
            )

    @overload
    async def value(self, key: str, *, type: type[T]) -> T | None: ...
    @overload
    async def value(self, key: str, *, type: None = None) -> Any: ...  # noqa: ANN401 - whatever was published
    async def value(self, key: str, *, type: Any = None) -> Any:  # noqa: A002 - the word for it
        """Return what the workflow published under ``key`` by ``step.set_value``; None if it has not.

        ``type``: of the value, a class or a generic such as ``list[Model]``; None: a plain value.

        Raises:
            InvalidOption: ``key`` cannot be one, ``type`` is no type of values.
            InvalidReturn: the value is not of ``type``.
            WorkflowNotFound: there is no such instance, or it was cleaned up.
            InstanceDamaged: what Redis has of it makes no sense.
        """
        check_name("key", key)
        codec = None if type is None else checked_codec(type)
        instances = (await self._manager.store()).instances
        with naming_damage(self.address):
            field = await instances.field(self.address, "values", key)
            if field is None and (await instances.record(self.address)).get("status", b"gone") == b"gone":
                raise self._not_found()
        if field is not None:
            with reading(self.address):
                value: object = unpack(field)
            return typed(value, codec, f"the value {key!r}")
        return None

    async def history(self) -> list[HistoryEntry]:
        """Return everything that was recorded of it, in order.

        Those are events, also the ones that no wait has taken, updates, what its code asked for, outcomes, and its end.
        Earlier attempts of steps are in ``steps()``. What the manager's codec cannot read is marked as there.

        Raises:
            WorkflowNotFound: there is no such instance, or it was cleaned up.
        """
        record, _, _ = await self._read("open")
        instances = (await self._manager.store()).instances
        with naming_damage(self.address):
            journal = await instances.read(self.address, "journal", instead=mark_unreadable)
        with reading(self.address):
            return read_history(record, journal)

    @overload
    async def send_event(self, event: EventType[T], value: T, /, *, id: str | None = None) -> None: ...
    @overload
    async def send_event(self, event: EventType[None], /, *, id: str | None = None) -> None: ...
    @overload
    async def send_event(self, event: str, value: object = None, /, *, id: str | None = None) -> None: ...
    @overload
    async def send_event(
        self, event: EventType[Any] | str, /, *, error: str | Exception, id: str | None = None
    ) -> None: ...
    async def send_event(
        self,
        event: EventType[Any] | str,
        value: object = None,
        /,
        *,
        error: str | Exception | None = None,
        id: str | None = None,  # noqa: A002 - the word for it
    ) -> None:
        """Tell it an event, which one ``step.await_event`` of that name takes, now or later. Durable when this returns.

        Args:
            event: its name, or what ``manager.event`` or ``manager.create_event`` returned.
            value: whatever can be encoded; of a typed event, a value of its type.
            error: instead of a value: the wait raises EventFailed with this text.
            id: an event that was sent to the instance under this id before is not sent again, whatever its value: the
                first stands. Without it one is drawn, so that a call whose reply was lost still tells it once.

        Raises:
            InvalidArguments, PayloadTooLarge, InvalidOption: nothing was sent.
            IdInUse: under this id an event of another name was sent before, or an error where this is a value, or the
                other way round; nothing was sent.
            WorkflowEnded: it has ended.
            WorkflowNotFound: there is no such instance.
        """
        limit = self._manager.defaults.value_bytes_max
        if error is None:
            told = Told("event", name_of(event), encode_event(event, value, bytes_max=limit))
        elif value is None:
            told = Told(EVENT_FAILED, name_of(event), encode_error(error))
        else:
            raise InvalidOption("send_event(…, value, error=…): give a value or an error, not both")
        await tell(await self._manager.store(), self.address, told, dedupe=event_dedupe(id), said=id or "")

    @overload
    async def update(
        self,
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
        name: str,
        /,
        *args: object,
        type: None = None,
        timeout: Duration | None = None,
        id: str | None = None,
        **named: object,
    ) -> Any: ...  # noqa: ANN401 - whatever the handler returns
    async def update(
        self,
        name: str,
        /,
        *args: object,
        type: Any = None,  # noqa: A002 - the word for it
        timeout: Duration | None = None,
        id: str | None = None,  # noqa: A002 - as above
        **named: object,
    ) -> Any:
        """Call an update handler of the running workflow and return its value.

        Durable once it is sent: it is answered whatever dies meanwhile, and if no handler of that name is registered
        yet, as soon as one is.

        Args:
            name: of the handler, see ``step.update_handler``.
            args: its arguments by position.
            named: its arguments by name; those called ``type``, ``timeout`` or ``id`` go by position.
            type: of its value, a class or a generic such as ``list[Model]``; None: a plain value.
            timeout: how long to wait for the answer, a timedelta or seconds; None: for ever.
            id: the same id is the same update, carried out once: called again with it, this returns the same answer.
                For another handler of the instance give another id.

        Raises:
            InvalidArguments: the arguments do not fit the handler's annotations; no code of the workflow has run.
            UpdateFailed: the handler raised; type, message and traceback of that are in it.
            InvalidReturn: the value is not of ``type``.
            PayloadTooLarge, InvalidOption: nothing was sent.
            IdInUse: another handler was called under this id before; nothing was sent.
            WorkflowEnded: it has ended, or did so before it answered.
            WorkflowNotFound: there is no such instance.
            TimeoutError: there was no answer by then; the update stays sent.
        """
        store, limit = await self._manager.store(), self._manager.defaults.value_bytes_max
        told = Told("update", check_name("name", name), encode_update(name, args, named, bytes_max=limit))
        codec = None if type is None else checked_codec(type)
        limit_s = None if timeout is None else duration_ms("timeout", timeout) / 1000
        work = ask_update(store, self.address, told, dedupe=update_dedupe(id), limit_s=limit_s, said=id or "")
        return read_answer(await self._while_waiting(work), name, codec)

    async def _while_waiting(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something that the workflow brings about; for testers to watch over."""
        return await work

    async def cancel(self, *, cleanup: bool = False) -> bool:
        """Cancel it; False: it had ended before.

        Nothing new runs, running async steps are cancelled, results of steps are dropped. With ``cleanup`` the
        workflow's code gets asyncio.CancelledError at its await, so that ``finally`` and compensations run first. While
        they do, a further call with ``cleanup`` changes nothing; one without ends it at once, and they are dropped.
        What has not started yet ends at once.

        Raises:
            WorkflowNotFound: there is no such instance.
        """
        return await ending.cancel(await self._manager.store(), self.address, cleanup=cleanup)

    async def restart(self, *, from_step: int | str | None = None) -> None:
        """Let it run again from one of its steps, when it has ended.

        Outcomes of earlier steps are kept; events that came later are fed again; children of the part that is redone
        are deleted. A request to cancel is undone. The result that it had is gone.

        Args:
            from_step: number or name (the first of that name) as in ``steps()``; None: the first that failed or is
                unfinished, and if there is none, what follows the last step.

        Raises:
            WorkflowRunning: it has not ended.
            WorkflowBusy: it is still being cleared up after 5 s; messages of it wait for a worker, if none is running.
            NoSuchStep: it has asked for no such step.
            InstanceDamaged: its journal cannot be read, or an earlier step would be done again whose outcome is lost.
            WorkflowNotFound: there is no such instance.
        """
        await ending.restart(await self._manager.store(), self.address, from_step=from_step)

    async def resume(self) -> bool:
        """Let a stopped instance try again; False: it is not stopped.

        Raises:
            WorkflowNotFound: there is no such instance.
        """
        return await ending.resume(await self._manager.store(), self.address)

    async def cleanup(self) -> bool:
        """Delete everything of it; False: it is unknown, or has not ended."""
        return await ending.clean_up(await self._manager.store(), self.address)

    async def _read(
        self, part: str, *, result: bool = False
    ) -> tuple[dict[str, bytes], dict[str, bytes], bytes | None]:
        instances = (await self._manager.store()).instances
        with naming_damage(self.address):
            record = await instances.record(self.address)
            if not record or record.get("status") == b"gone":
                raise self._not_found()
            check_record(self.address, record)
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
        return not_found(self.address, self._manager.namespace)
