"""The oracle's reading of a program: plain asyncio, with its own exceptions. It shares no code with the engine."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, cast

from tests.model.programs import GENERATIONS_MAX

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType
    from typing import Self

    from tests.model.oracle_life import Life
    from tests.model.programs import Body, Statement

RAISED = {"ValueError": ValueError, "IndexError": IndexError, "OSError": OSError}


class Remote(Exception):
    """Something that ran elsewhere ended badly."""

    def __init__(self, kind: str, error_type: str, message: str, attempts: int = 1) -> None:
        super().__init__(message)
        self.kind, self.error_type, self.message, self.attempts = kind, error_type, message, attempts

    def __str__(self) -> str:
        said = self.message if self.error_type == self.kind else f"{self.error_type}: {self.message}"
        return f"{said} (after {self.attempts} attempts)" if self.attempts > 1 else said


class ContinueAsNew(BaseException):
    """The program begins anew."""


def told(text: str) -> str:
    """Return a text if it is of the program; the engine's own words are nobody's business here.

    Of a group's, that is what the program's errors in it say, in whatever order.
    """
    if "unhandled errors" in text:
        return " ".join(sorted(re.findall(r"told \w+", text)))
    return text if "told" in text else ""


def described(error: BaseException) -> list[Any]:
    """Return what a program can tell of an error."""
    if isinstance(error, Remote):
        return [error.kind, error.error_type, told(error.message), error.attempts]
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return ["group", *sorted((described(one) for one in inner), key=str)]
    return [type(error).__name__, told(str(error))]


def leaves(error: BaseException) -> list[BaseException]:
    """Return the errors in a group, however deep."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
    return [leaf for one in inner for leaf in leaves(one)]


def ending(error: BaseException) -> tuple[str, str, int]:
    """Return as what an error ends its workflow: type, message, attempts of the step that raised it."""
    found = leaves(error)
    if len(found) == 1 and isinstance(found[0], Remote):
        error = found[0]
    elif found != [error]:
        return type(error).__name__, told(f"unhandled errors: {'; '.join(str(one) for one in found)}"), 1
    if not isinstance(error, Remote):
        return type(error).__name__, told(str(error)), 1
    carries = error.kind in {"StepFailed", "EventFailed", "WorkflowFailed"}
    return error.error_type if carries else error.kind, told(error.message), max(1, error.attempts)


class Code:
    """One run of a program's code."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.trace: list[Any] = []
        self.counted = 0

    async def run(self) -> list[Any]:
        await self.body(self.life.body)
        return self.trace

    async def body(self, body: Body) -> None:
        for statement in body:
            await getattr(self, f"_{statement['do']}")(statement)

    async def answer(self, name: str, value: int) -> object:
        if name == "work":
            return await self.life.step({"label": "w", "kind": "action", "ms": 777})
        self.counted += value
        return self.counted

    # ------------------------------------------------------------------------------------------------------ plain

    async def _step(self, it: Statement) -> None:
        self.trace.append(await self.life.step(it))

    async def _sleep(self, it: Statement) -> None:
        await asyncio.sleep(it["ms"] / 1000)
        self.trace.append(it["label"])

    async def _event(self, it: Statement) -> None:
        self.trace.append([it["label"], await self.life.wait(it["name"], it["limit_ms"])])

    async def _set(self, it: Statement) -> None:
        self.life.publish(it["name"], it["label"])

    async def _raise(self, it: Statement) -> None:
        raise RAISED[it["error"]](f"told {it['label']}")

    async def _anew(self, it: Statement) -> None:
        if self.life.generation < GENERATIONS_MAX:
            raise ContinueAsNew

    # ----------------------------------------------------------------------------------------------------- nested

    async def _gather(self, it: Statement) -> None:
        found: list[Any] = await asyncio.gather(*map(self.body, it["bodies"]), return_exceptions=it["whole"])
        said = [described(one) if isinstance(one, BaseException) else "" for one in found]
        self.trace.append([it["label"], *said])

    async def _group(self, it: Statement) -> None:
        async with Group(self.life) as group:
            for body in it["bodies"]:
                group.create_task(self.body(body))

    async def _race(self, it: Statement) -> None:
        tasks = [asyncio.create_task(self.body(body)) for body in it["bodies"]]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        late = [task for task in tasks if task not in done]
        for task in late:
            task.cancel()
        if it["waits"]:
            await asyncio.gather(*late, return_exceptions=True)
        self.trace.append([it["label"], *(n for n, task in enumerate(tasks) if task in done)])
        for task in tasks:
            if task in done:
                await task

    async def _timeout(self, it: Statement) -> None:
        async with asyncio.timeout(it["ms"] / 1000):
            await self.body(it["body"])

    async def _child(self, it: Statement) -> None:
        future = self.life.child(it)
        if it["mode"] == "await":
            self.trace.append([it["label"], await future])

    async def _try(self, it: Statement) -> None:
        try:
            await self.body(it["body"])
        except Exception as error:
            if "handler" not in it:
                raise
            self.trace.append([it["label"], described(error)])
            await self.body(it["handler"])
        finally:
            if "final" in it:
                await self.body(it["final"])

    async def _saga(self, it: Statement) -> None:
        undos: list[Statement] = []
        failed: list[str] = []
        try:
            for statement, undo in zip(it["body"], it["undos"], strict=True):
                undos.append(undo)
                await self.body([statement])
        except BaseException as error:
            if not self.life.over and not _is_anew(error):
                await self._undone(undos, failed, error)
            raise
        finally:
            self.trace += [f"{it['label']} undo failed"] * len(failed)

    async def _undone(self, undos: list[Statement], failed: list[str], error: BaseException) -> None:
        undoing = asyncio.create_task(self._undo(undos, failed))
        canceled: BaseException | None = None
        while not undoing.done():
            try:
                await asyncio.shield(undoing)
            except asyncio.CancelledError as again:
                canceled = again
                if self.life.over:
                    break
        if canceled is not None and not isinstance(error, asyncio.CancelledError):
            raise canceled

    async def _undo(self, undos: list[Statement], failed: list[str]) -> None:
        for undo in reversed(undos):
            try:
                await self.life.step(undo)
            except Remote:
                failed.append(undo["label"])


def _is_anew(error: BaseException) -> bool:
    return split(error) == (True, None)


def split(error: BaseException) -> tuple[bool, BaseException | None]:
    """Part the wish to begin anew from errors that came with it."""
    if isinstance(error, ContinueAsNew):
        return True, None
    if isinstance(error, BaseExceptionGroup):
        found, rest = cast("BaseExceptionGroup[BaseException]", error).split(ContinueAsNew)
        return found is not None, rest
    return False, error


class Group:
    """A task group as Python 3.13 has it, on every Python. It notes where several tasks are canceled: in which order is
    not defined.
    """

    def __init__(self, life: Life) -> None:
        self._life = life
        self._tasks: list[asyncio.Task[None]] = []
        self._errors: list[BaseException] = []
        self._aborting = False
        self._asked_parent = False
        self._idle: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        self._parent = cast("asyncio.Task[Any]", asyncio.current_task())
        return self

    def create_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._done)

    def _abort(self) -> None:
        self._aborting = True
        self._life.unordered |= len(self._tasks) > 1
        for task in self._tasks:
            task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.remove(task)
        if not self._tasks and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self._errors.append(error)
        if not self._aborting:
            self._abort()
            self._asked_parent = True
            self._parent.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        canceled = error if isinstance(error, asyncio.CancelledError) else None
        if error is not None and not self._aborting:
            self._abort()
        while self._tasks:
            self._idle = asyncio.get_running_loop().create_future()
            try:
                await self._idle
            except asyncio.CancelledError as again:
                if not self._aborting:
                    canceled = again
                    self._abort()
        if self._asked_parent and self._parent.uncancel() == 0:
            canceled = None
        if canceled is not None and not self._errors:
            raise canceled
        if error is not None and not isinstance(error, asyncio.CancelledError):
            self._errors.append(error)
        if self._errors:
            if self._parent.cancelling():  # a cancellation from outside is not lost because the group fails
                self._parent.uncancel()
                self._parent.cancel()
            raise BaseExceptionGroup("unhandled errors in a TaskGroup", self._errors)
