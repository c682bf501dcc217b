"""Moments of a program: one write of the worker, and what is done to the program's instances then."""

from __future__ import annotations

import asyncio
import contextlib
import random
from contextvars import Context, copy_context
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Final, Literal, get_args

from actors import NoSuchStep, WorkflowBusy, WorkflowNotFound, WorkflowRunning
from actors.testing import WorkflowTester
from actors.testing.crashes import Life
from kernel import virtual_memory_time
from kernel.store.audit import audit
from tests.life.leftovers import TOMBSTONE_MS_MAX, keys_left, keys_of_instances, pending
from tests.model.comparing import END_MS
from tests.model.player import Performance
from tests.model.programs import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack

    from actors import WorkflowHandle, WorkflowManager
    from kernel import Store
    from tests.model.programs import Program

When = Literal["before", "after", "beside"]
"""A write: not sent yet; made, but its answer not read yet; sent while it happens. The first two hold the worker."""
What = Literal[
    "cancel",
    "cancel-cleanup",
    "cancel-restart",
    "restart-from",
    "cancel-delete",
    "restart-delete",
    "delete",
    "twice",
    "child",
]
"""``cancel-cleanup``: let it clean up. ``restart-from``: cancel, and restart from a label or number that is drawn.
``restart-delete``: cancel, restart, cancel, delete. ``delete``: does nothing before the end. ``twice``: cancel,
restart, cancel, restart or not, with pauses that are drawn. ``child``: one of the others, to a child that is drawn."""
WHENS: Final[tuple[When, ...]] = get_args(When)
WHATS: Final[tuple[What, ...]] = get_args(What)
OF_CHILDREN: Final[tuple[What, ...]] = ("cancel", "cancel-cleanup", "cancel-restart", "cancel-delete", "twice")
LAST: Final = frozenset({"cancel", "cancel-delete", "restart-delete", "delete"})
"""After these, done to the root, nothing more happens."""
DEEDS: Final[dict[What, tuple[str, ...]]] = {
    "cancel": ("cancel",),
    "cancel-cleanup": ("cleanup",),
    "cancel-restart": ("cancel", "restart"),
    "restart-from": ("cancel", "restart-from"),
    "cancel-delete": ("cancel", "delete"),
    "restart-delete": ("cancel", "restart", "cancel", "delete"),
    "delete": ("delete",),
}
HELD_S: Final = 0.005
"""How long a write is held back for what is done meanwhile, in virtual time; what takes time must not wait for it."""
AFTER_S: Final = TOMBSTONE_MS_MAX / 1000 + 1
ENDS_MAX: Final = 3
"""How often what lives is canceled: what ends may just have begun a child, and then does so no more."""
PAUSES_S: Final = (0, 0, 0, 0.02, 3)
CHILDREN_MAX: Final = 50


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """What is done to a program, and when."""

    number: int
    """Of the write, from 1; 0: nothing is done."""
    when: When = "beside"
    what: What = "cancel"

    def __str__(self) -> str:
        return f"{self.number}:{self.when}:{self.what}"

    @classmethod
    def read(cls, text: str) -> Moment:
        """Return what ``str`` has made a text of. Raises ValueError."""
        number, when, what = text.split(":")
        if int(number) < 1 or when not in WHENS or what not in WHATS:
            raise ValueError(text)
        return cls(int(number), when, what)


NEVER: Final = Moment(0)


def is_tame(program: Program) -> bool:
    """Tell whether no child outlives its parent."""
    return all(one.get("mode") != "detached" for one in statements(program.body))


class MomentLife(Life):
    """A worker's life, at one write of which something is done; it does not die."""

    def __init__(self, moment: Moment, act: Callable[[], asyncio.Task[None]]) -> None:
        """``act``: begins what is done."""
        super().__init__()
        self._moment, self._act = moment, act
        self.came = False
        """Whether the moment has come."""

    async def sending(self, number: int) -> None:
        """Begin what is done before the write, or beside it."""
        if number and self._moment.when != "after":
            await self._come(number)

    async def answered(self, number: int) -> None:
        """Begin what is done after the write; a read that has brought something is known for a write only now."""
        if number and not self.came:
            await self._come(number)

    async def _come(self, number: int) -> None:
        if number == self._moment.number:
            self.came = True
            task = self._act()
            if self._moment.when != "beside":
                await asyncio.wait([task], timeout=HELD_S)


class MomentTester(WorkflowTester):
    """A tester whose worker has one life, and in whose Redis keys expire on virtual time."""

    __test__ = False

    def __init__(self, manager: WorkflowManager, *, life: Life, seed: int, replay: Literal["always", "cached"]) -> None:
        """``life``: of its worker."""
        super().__init__(manager, strict=False, seed=seed, replay=replay)
        self._life = life

    async def _begin(self, stack: ExitStack) -> None:
        stack.enter_context(virtual_memory_time(self._clock.now_ms))
        await super()._begin(stack)

    def _lives(self) -> Iterator[Life]:
        return repeat(self._life)


class Disturbed(Performance):
    """A program that is disturbed at one moment, taken to its end, and deleted."""

    def __init__(self, program: Program, moment: Moment) -> None:
        """Of its script only what is told to it is done."""
        self.moment = moment
        self.life = MomentLife(moment, self._begin_act)
        self._random = random.Random(f"{program.seed} {moment}")
        self.many = not is_tame(program) or moment.what == "child"
        """Whether other instances than the root, and its children by it, have to be ended and deleted."""
        self.writes = 0
        """Of the worker, by the time that all was deleted."""
        self._begun = asyncio.Event()
        self.deleted = False
        self._acting: asyncio.Task[None] | None = None
        self._context: Context
        """The test's."""
        self._last: asyncio.Future[None]
        """Done when nothing more happens."""
        super().__init__(program)

    def make_tester(self, *, replay: Literal["always", "cached"]) -> WorkflowTester:
        """Return what the program is run in."""
        return MomentTester(self.stage.manager, life=self.life, seed=self.program.seed, replay=replay)

    @property
    def manager(self) -> WorkflowManager:
        """The tester's."""
        return self.tester.manager

    # ----------------------------------------------------------------------------------------------- what is done

    def _begin_act(self) -> asyncio.Task[None]:
        # In the test's context: what the worker waits for may not be worth moving the time.
        self._acting = asyncio.get_running_loop().create_task(self._act(), context=self._context)
        return self._acting

    async def _act(self) -> None:
        await self._begun.wait()  # the worker may make a write before the root is there
        what, handle = self.moment.what, self.manager.handle("main")
        if what == "child":
            what, handle = self._random.choice(OF_CHILDREN), await self._draw_child()
        for deed in self._deeds(what):
            with contextlib.suppress(WorkflowBusy, WorkflowRunning, WorkflowNotFound, NoSuchStep):
                await self._do_deed(deed, handle)
        if handle.id == "main" and (what == "cancel" or (what in LAST and self.deleted)):
            self._last.set_result(None)

    async def _draw_child(self) -> WorkflowHandle[object]:
        """Return one that has not ended, if there is one."""
        items = (await self.manager.list(limit=CHILDREN_MAX)).items
        live = [item.id for item in items if item.id != "main" and item.status == "in_progress"]
        ids = live or [item.id for item in items if item.id != "main"]
        return self.manager.handle(self._random.choice(sorted(ids)) if ids else "main")

    def _deeds(self, what: What) -> tuple[str, ...]:
        if what != "twice":
            return DEEDS[what]
        draw = self._random.choice
        cancels, restarts, pauses = ("cancel", "cleanup"), ("restart", "restart-from"), ("", "", "pause")
        last = (draw(("cancel", "cleanup", "delete")), draw((*restarts, "delete", "")))
        return (draw(cancels), draw(pauses), draw(restarts), draw(pauses), "cancel", draw(pauses), *last)

    async def _do_deed(self, deed: str, handle: WorkflowHandle[object]) -> None:
        match deed:
            case "cancel" | "cleanup":
                await handle.cancel(cleanup=deed == "cleanup")
            case "restart":
                await handle.restart()
            case "restart-from":
                await handle.restart(from_step=await self._draw_place(handle))
            case "delete":
                deleted = await handle.cleanup()
                self.deleted |= deleted and handle.id == "main"
            case "pause":
                await asyncio.sleep(self._random.choice(PAUSES_S))
            case _:
                pass

    async def _draw_place(self, handle: WorkflowHandle[object]) -> int | str:
        steps = await handle.steps()
        names = [step.name for step in steps if step.name]
        if names and self._random.random() < 0.5:
            return self._random.choice(names)
        return self._random.randint(1, len(steps) + 1)

    # ------------------------------------------------------------------------------------------------ its course

    def run(self) -> None:
        """Play all of it. Raises AssertionError: something is left."""

        async def scenario(_tester: WorkflowTester) -> None:
            self._last = asyncio.get_running_loop().create_future()
            self._context = copy_context()
            await self.begin()
            self._begun.set()
            await self.live()
            await self.end()
            assert self.life.came or not self.moment.number, "its moment did not come"

        self.tester.play(scenario)

    async def live(self) -> None:
        """Let it come to its end."""
        told = [one for one in self.program.script if one.do in {"event", "update"}]
        for happening in told:
            if await self._is_over_by(happening.at_ms):
                return
            await self.do(happening)
        await self._is_over_by(END_MS)

    async def _is_over_by(self, at_ms: int) -> bool:
        reaching = asyncio.ensure_future(self.reach(at_ms))
        await asyncio.wait({reaching, self._last}, return_when=asyncio.FIRST_COMPLETED)
        if not self._last.done():
            await reaching
            return False
        reaching.cancel()
        return True

    async def end(self) -> None:
        """End what has not ended, delete all, and see that nothing is left. Raises AssertionError."""
        await self.tester.advance(1)
        store = await self.manager.store()
        wrong = await audit(store.space)
        assert wrong == [], f"before it was ended: {wrong}"
        await self._cancel()
        await self._see_nothing(store, "ended")
        assert await self._delete() or self.deleted, "the root could not be deleted"
        assert (await self.manager.list(limit=CHILDREN_MAX)).items == (), "deleted, but still listed"
        await self._see_nothing(store, "deleted")
        left = await keys_left(store)
        assert left == [], f"deleted, and these keys do not expire: {left}"
        await self.tester.advance(AFTER_S)
        await self._see_nothing(store, "deleted an hour ago")
        left = await keys_of_instances(store)
        assert left == [], f"deleted an hour ago, and these keys are left: {left}"

    async def _cancel(self) -> None:
        """Cancel; once more what the disturbance has restarted after that, or if it has come only by that."""
        for task in self._updates:
            task.cancel()
        for _ in range(ENDS_MAX):
            if self._acting is not None:
                await self._acting
            if self.many:
                await self.manager.cancel_many()
            else:
                with contextlib.suppress(WorkflowNotFound):  # it was deleted
                    await self.manager.handle("main").cancel()
            await self.tester.advance(1)
            if (self._acting is None or self._acting.done()) and not await self._alive():
                return

    async def _delete(self) -> bool:
        deleted = await self.manager.handle("main").cleanup()
        if self.many:
            await self.manager.cleanup_many()
        await self.tester.advance(1)
        self.writes = self.life.writes
        if self._acting is not None and not self._acting.done():
            await self._acting
            await self.tester.advance(1)
        return deleted

    async def _alive(self) -> list[str]:
        return [item.id for item in (await self.manager.list(status="in_progress", limit=CHILDREN_MAX)).items]

    async def _see_nothing(self, store: Store, when: str) -> None:
        found = {
            "instances": await self._alive(),
            "steps whose code runs": self.stage.alive,
            "pending": await pending(store),
            "the audit": await audit(store.space),
        }
        assert not any(found.values()), f"{when}, but left are: { {key: one for key, one in found.items() if one} }"
