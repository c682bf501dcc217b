"""Cancel, restart and cleanup at any write of random programs: nothing runs, nothing is pending, no key is left."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Final, Literal

import pytest

from actors import WorkflowBusy, WorkflowNotFound, WorkflowRunning
from actors.testing import tester as testers
from actors.testing.crashes import Life
from kernel.store.audit import audit
from tests.life.leftovers import keys_left, pending
from tests.model.comparing import END_MS, quiet
from tests.model.player import Performance
from tests.model.programs import Program, draw, statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kernel import Store

PROGRAMS: Final = 8
MOMENTS: Final = 2
"""Of each program and each thing that is done."""
What = Literal["cancel", "cancel and let it clean up", "cancel and restart", "cancel and delete"]
AT_ONCE: Final = frozenset({"cancel", "cancel and delete"})
"""After these nothing is left to wait for."""
WHATS: Final[tuple[What, ...]] = ("cancel", "cancel and let it clean up", "cancel and restart", "cancel and delete")


class Moment(Life):
    """A worker's life, at one write of which something happens; it does not die."""

    def __init__(self, number: int, act: Callable[[], None]) -> None:
        """``number``: of the write, from 1; 0: none."""
        super().__init__()
        self._number, self._act = number, act

    def is_last(self) -> bool:
        """Count a write."""
        super().is_last()
        if self.armed and self.writes == self._number:
            self._act()
        return False


class Disturbed(Performance):
    """A program of which the root is disturbed at one of the worker's writes."""

    def __init__(self, program: Program, moment: int, what: What, patch: pytest.MonkeyPatch) -> None:
        """Nothing else is done from outside."""
        super().__init__(program)
        self.life = Moment(moment, self._disturb)
        patch.setattr(testers, "lives", self._lives)
        self._what = what
        self.writes = 0
        """Of a program that was left alone."""
        self._disturbing: asyncio.Task[None] | None = None

    def _lives(self, _seed: int | None) -> Iterator[Life]:
        yield self.life

    async def begin(self) -> None:
        """Start the root."""
        self._happened = asyncio.get_running_loop().create_future()
        await super().begin()

    def _disturb(self) -> None:
        self._disturbing = asyncio.get_running_loop().create_task(self._act())
        self._happened.set_result(None)

    async def _act(self) -> None:
        handle = self.tester.manager.handle("main")
        while True:
            try:
                await handle.cancel(cleanup=self._what == "cancel and let it clean up")
                break
            except WorkflowNotFound:  # the worker has made a write before the root was there
                await asyncio.sleep(0)
        if self._what == "cancel and delete":
            await handle.cleanup()
        elif self._what == "cancel and restart":
            with contextlib.suppress(WorkflowBusy, WorkflowRunning):
                await handle.restart()

    async def live(self) -> None:
        """Let it come to its end, and end it if it does not."""
        for happening in self.program.script:
            if happening.do in {"event", "update"}:
                if await self._is_over_by(happening.at_ms):
                    break
                await self.do(happening)
        if await self._is_over_by(END_MS):
            await self.tester.advance(1)
            return
        await self._cancel()
        self.writes = self.life.writes
        if self._disturbing is not None:  # perhaps only by what the cancellation has caused
            await self._disturbing
            await self._cancel()

    async def _cancel(self) -> None:
        with contextlib.suppress(WorkflowNotFound):  # it was deleted
            await self._handle.cancel()
        await self.tester.advance(1)

    async def _is_over_by(self, at_ms: int) -> bool:
        reaching = asyncio.ensure_future(self.reach(at_ms))
        await asyncio.wait({reaching, self._happened}, return_when=asyncio.FIRST_COMPLETED)
        if self._disturbing is None or self._what not in AT_ONCE:
            await reaching
            return False
        reaching.cancel()
        await self._disturbing
        return True


def tame(program: Program) -> Program:
    """Let no child outlive its parent, and what is done from outside only tell."""
    for statement in statements(program.body):
        if statement.get("mode") == "detached":
            statement["mode"] = "left"
    return program


async def check(performance: Disturbed, *, deleted: bool) -> None:
    store: Store = await performance.tester.manager.store()
    alive = [item.id for item in (await performance.tester.manager.list(status="in_progress", limit=50)).items]
    assert alive == []
    assert performance.stage.alive == 0
    assert await pending(store) == []
    assert await audit(store.space) == []
    if not deleted:
        assert await performance.tester.manager.handle("main").cleanup()
        await performance.tester.advance(1)
    assert (await performance.tester.manager.list(limit=50)).items == ()
    assert await pending(store) == []
    assert await audit(store.space) == []
    assert await keys_left(store) == []


def writes(program: Program, patch: pytest.MonkeyPatch) -> int:
    """Return how many writes a program takes that is left alone."""
    performance = Disturbed(program, 0, "cancel", patch)

    async def scenario(_: object) -> None:
        await performance.begin()
        await performance.live()

    performance.tester.play(scenario)
    return performance.writes


@pytest.mark.parametrize("what", WHATS)
def test_at_any_write(what: What, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(what)
    with quiet():
        for seed in range(PROGRAMS):
            program = tame(draw(seed))
            most = writes(program, monkeypatch)
            for moment in sorted(rng.sample(range(1, most + 1), min(MOMENTS, most))):
                play(program, moment, what, monkeypatch)


def play(program: Program, moment: int, what: What, patch: pytest.MonkeyPatch) -> None:
    performance = Disturbed(program, moment, what, patch)

    async def scenario(_: object) -> None:
        await performance.begin()
        await performance.live()
        assert performance.life.writes >= moment, "its moment did not come"
        await check(performance, deleted=what == "cancel and delete")

    try:
        performance.tester.play(scenario)
    except AssertionError as error:
        raise AssertionError(f"program {program.seed}, write {moment}, {what}: {error}") from error
