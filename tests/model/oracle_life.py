"""One instance of the oracle: what it was told, what it has asked for, and what a cancel or a restart makes of that."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from tests.model.oracle_code import Code, Remote, ending, split
from tests.model.oracle_loop import Loop
from tests.model.oracle_steps import attempt
from tests.model.oracle_told import Asked, AskedKind, Kind, Reply, Told, answer
from tests.model.programs import CHILD

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.model.oracle import World
    from tests.model.programs import Body, Statement


class Life:
    """One instance. Its code runs only while it is told something."""

    def __init__(
        self, world: World, name: str, body: Body, *, timeout_ms: int = 0, owner: tuple[Life, Asked] | None = None
    ) -> None:
        """``owner``: the parent, and what it asked for there."""
        self.world, self.id, self.body, self.timeout_ms, self.owner = world, name, body, timeout_ms, owner
        self.waiters = [owner] if owner else []
        self.status = "scheduled"
        self.result: Any = None
        self.values: dict[str, Any] = {}
        self.generation = 0
        self.run = 0
        """Counts beginnings of any sort."""
        self.last = 0
        self.told: list[Told] = []
        self.known: set[str] = set()
        """Ids of events."""
        self.unordered = False
        world.lives[name] = self
        world.all_lives.append(self)
        self._reset()

    def _reset(self) -> None:
        self.loop = Loop(self)
        self.asked: list[Asked] = []
        self.fed = 0
        self.time_ms = 0
        self.over = False
        self.ended: tuple[str, Any] | None = None
        self.waits: dict[str, deque[Asked]] = {}
        self.kept: dict[str, deque[Told]] = {}
        self.answering: list[Told] = []
        self.main: asyncio.Task[None] | None = None
        self.code = Code(self)

    # ------------------------------------------------------------------------------------- what the code asks for

    def _ask(self, kind: AskedKind, label: str, it: Statement) -> Asked:
        asked = Asked(len(self.asked) + 1, kind, label, it, self.fed, self.time_ms, self.loop.create_future())
        if not self.over:
            self.asked.append(asked)
        return asked

    def step(self, it: Statement) -> asyncio.Future[Any]:
        return self._ask("step", it["label"], it).future

    def child(self, it: Statement) -> asyncio.Future[Any]:
        return self._ask("child", CHILD, it).future

    def publish(self, name: str, value: str) -> None:
        self._ask("value", name, {"value": value})

    def timer(self, length_ms: int, act: Callable[[], None]) -> Callable[[], None]:
        """Ask for a timer; what is returned takes it back."""
        asked = self._ask("timer", "timer", {"ms": length_ms, "act": act})

        def take_back() -> None:
            asked.withdrawn = asked.withdrawn or not asked.future.done()

        return take_back

    def wait(self, name: str, limit_ms: int) -> asyncio.Future[Any]:
        """Ask for an event."""
        asked = self._ask("wait", name, {})
        future = asked.future
        if self.over:
            return future  # code that is dropped with its instance takes nothing any more
        if kept := self.kept.get(name):
            answer(future, kept.popleft())
        else:
            self.waits.setdefault(name, deque()).append(asked)
        if limit_ms and not future.done():

            def expire() -> None:
                if not future.done():
                    future.set_exception(TimeoutError())

            take_back = self.timer(limit_ms, expire)
            future.add_done_callback(lambda _: take_back())
        return future

    # ---------------------------------------------------------------------------------------------- being told

    def _tell(self, kind: Kind, **fields: Any) -> None:  # noqa: ANN401 - of Told
        self.world.touch()
        self.last += 1
        told = Told(self.last, self.world.now_ms, kind, **fields)
        self.told.append(told)
        self._feed(told)
        self._conclude()

    def _feed(self, told: Told, *, at_ms: int = 0) -> None:
        if self.ended is not None:
            return
        self.fed, self.time_ms = told.number, max(self.time_ms, told.at_ms, at_ms)
        match told.kind:
            case "started":
                self.main = self.loop.create_task(self._main())
            case "outcome":
                asked = self.asked[told.seq - 1]
                if asked.kind == "timer":
                    if not asked.withdrawn and not asked.future.done():
                        asked.future.set_result(None)
                        asked.it["act"]()
                else:
                    answer(asked.future, told)
            case "event":
                self._deliver(told)
            case "update":
                self.answering.append(told)
                _ = self.loop.create_task(self._update(told))
            case "cancel":
                assert self.main is not None
                self.main.cancel()
            case "restarted":
                pass
        self.loop.settle()

    def _deliver(self, told: Told) -> None:
        waits = self.waits.get(told.name, deque())
        while waits:
            asked = waits.popleft()
            if not asked.future.done():
                answer(asked.future, told)
                return
        self.kept.setdefault(told.name, deque()).append(told)

    async def _update(self, told: Told) -> None:
        try:
            value = await self.code.answer(told.name, told.value)
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - whatever its code raises is the reply
            value = "failed"
        if not self.over:
            self.answering.remove(told)
            self._ask("reply", told.name, {})
            told.reply.say(value)

    async def _main(self) -> None:
        try:
            value = await self.code.run()
        except asyncio.CancelledError as error:
            asked = any(told.kind == "cancel" and told.number <= self.fed for told in self.told)
            ended: tuple[str, Any] = ("canceled", None) if asked else ("failed", ending(error))
        except BaseException as error:  # noqa: BLE001 - whatever its code raises is how it ends
            anew, rest = split(error)
            ended = ("anew", None) if anew and rest is None else ("failed", ending(rest or error))
        else:
            ended = ("completed", list(value))
        if not self.over:
            self.over, self.ended = True, ended

    def _conclude(self) -> None:
        """Begin what was asked for, take back what is no longer wanted, and end if the code has."""
        if self.ended is not None:
            self._end(*self.ended)
            return
        for asked in self.asked:
            if not asked.placed:
                asked.placed = True
                if not asked.unwanted and not asked.future.done():
                    self._place(asked)
            elif asked.open and (asked.unwanted or asked.future.done()):
                self._take_back(asked)

    # --------------------------------------------------------------------------------------------- carrying out

    def _place(self, asked: Asked) -> None:
        world, it = self.world, asked.it
        asked.open = True
        match asked.kind:
            case "value":
                asked.open = False
                self.values[asked.label] = it["value"]
            case "timer":
                world.at(asked.time_ms + it["ms"], lambda: self.outcome(asked, None))
            case "wait":
                pass
            case "reply":
                asked.open = False
            case "child":
                self._start_child(asked)
            case "step" if "unserved_ms" in it:
                error = Remote("StepTimedOut", "ScheduleTimeout", "", 0)
                due_ms = asked.time_ms + it.get("after_ms", 0) + it["unserved_ms"]
                world.at(due_ms, lambda: self.outcome(asked, None, error))
            case "step":
                world.at(asked.time_ms + it.get("after_ms", 0), lambda: attempt(self, asked, 1))

    def _start_child(self, asked: Asked) -> None:
        world, it = self.world, asked.it
        name = f"{self.id}/{it['label']}" if it["id"] else f"{self.id}/{asked.seq}.{world.draw()}"

        def start() -> None:
            life = asked.child or world.lives.get(name)
            if life is None:
                life = Life(world, name, it["body"], timeout_ms=it.get("limit_ms", 0), owner=(self, asked))
                life.create(asked.time_ms + it.get("after_ms", 0))
            else:
                life.waiters.append((self, asked))
                life.tell_waiters([(self, asked)])
            asked.child = life

        world.at(world.now_ms, start)

    def outcome(self, asked: Asked, value: object, error: BaseException | None = None) -> None:
        """Tell the code what came of something, unless it is no longer open."""
        if self.wants(asked):
            asked.open = False
            self._tell("outcome", seq=asked.seq, value=value, error=error)

    def wants(self, asked: Asked) -> bool:
        """Tell whether it is still open; taken back on this very ms, it might have been the other way round."""
        if not asked.open and asked.closed_ms == self.world.now_ms:
            self.world.touch()
        return asked.open

    def _take_back(self, asked: Asked) -> None:
        asked.open, asked.closed, asked.closed_ms = False, self.fed, self.world.now_ms
        if asked.kind == "child" and asked.it["mode"] != "detached":
            self.world.at(self.world.now_ms, lambda: self._of(asked, Life.hard_cancel))

    def _of(self, asked: Asked, act: Callable[[Life], None]) -> None:
        """Do something to the child that was asked for, if it is one's own."""
        if asked.child is not None and asked.child.owner == (self, asked):
            act(asked.child)

    # ---------------------------------------------------------------------------------------- beginning and end

    def create(self, at_ms: int) -> None:
        """Begin at a time; a limit counts from now on."""
        run = self.run
        self.world.at(at_ms, lambda: self.begin(run))

    def begin(self, run: int) -> None:
        if self.run == run and self.status == "scheduled":
            self._arm()
            self._go()

    def _go(self) -> None:
        self.status = "running"
        self._tell("started")

    def _arm(self) -> None:
        self.run += 1
        run = self.run
        if self.timeout_ms:
            self.world.at(self.world.now_ms + self.timeout_ms, lambda: self._time_out(run))

    def _time_out(self, run: int) -> None:
        if self.run == run and self.status in {"running", "canceling"}:
            self.world.touch()
            self._end("failed", ["WorkflowTimedOut", ""], hard=True)

    def _end(self, status: str, result: object, *, hard: bool = False) -> None:
        self.over = True
        for asked in self.asked:
            if not asked.placed and not hard:
                asked.placed = True
                late = asked.kind == "child" and asked.it["mode"] == "detached" and not asked.unwanted
                if late or asked.kind == "value":
                    self._place(asked)
                elif not asked.future.done():
                    asked.withdrawn, asked.closed = True, self.fed
            if asked.open:
                self._take_back(asked)
                asked.withdrawn = asked.withdrawn or not (hard or asked.it.get("mode") == "detached")
        for told in self.answering:
            told.reply.say("ended" if hard else "failed")
        if status == "anew":
            self._begin_anew()
            return
        self.status, self.result = status, result
        self.run += 1
        self.world.at(self.world.now_ms, lambda: self.tell_waiters(self.waiters))

    def _begin_anew(self) -> None:
        for asked in self.asked:
            self._dismiss(asked)
        carried = self.untaken()
        self.dispose()
        self._reset()
        self.generation += 1
        self.told = []
        self._arm()
        self._go()
        for told in carried:
            self.last += 1
            again = Told(self.last, self.world.now_ms, "event", name=told.name, value=told.value, error=told.error)
            self.told.append(again)
            self._feed(again)
            self._conclude()

    def _dismiss(self, asked: Asked) -> None:
        if asked.kind == "child" and asked.it["mode"] != "detached":
            self.world.at(self.world.now_ms, lambda: self._of(asked, Life.remove))

    def tell_waiters(self, waiters: list[tuple[Life, Asked]]) -> None:
        """Tell those who wait how it has ended."""
        for parent, asked in waiters:
            match self.status:
                case "completed":
                    parent.outcome(asked, self.result)
                case "failed":
                    parent.outcome(asked, None, Remote("WorkflowFailed", *self.result))
                case "canceled":
                    parent.outcome(asked, None, Remote("StepCanceled", "StepCanceled", ""))
                case _:
                    pass

    def untaken(self) -> list[Told]:
        """Return the events that no wait has taken."""
        fed = {told.number for kept in self.kept.values() for told in kept}
        return [told for told in self.told if told.kind == "event" and (told.number in fed or told.number > self.fed)]

    # ---------------------------------------------------------------------------------------------- from outside

    def send(self, name: str, value: object, *, error: bool, key: str) -> None:
        if self.status not in {"running", "canceling"} or (key and key in self.known):
            return
        self.known.add(key)
        failure = Remote("EventFailed", "EventFailed", f"told {value}") if error else None
        self._tell("event", name=name, value=value, error=failure)

    def update(self, name: str, value: object, reply: Reply) -> None:
        if self.status in {"running", "canceling"}:
            self._tell("update", name=name, value=value, reply=reply)
        else:
            reply.say("ended")

    def cancel(self, *, cleanup: bool) -> None:
        if cleanup and self.status == "running":
            self.status = "canceling"
            self._tell("cancel")
        elif not cleanup or self.status != "canceling":
            self.hard_cancel()

    def hard_cancel(self) -> None:
        """End at once."""
        if self.status in {"running", "canceling", "scheduled"}:
            self.world.touch()
            self._end("canceled", None, hard=True)

    def remove(self) -> None:
        """Delete it and its children."""
        self.waiters = []
        self.hard_cancel()
        self.world.touch()
        self.world.lives.pop(self.id, None)
        for asked in self.asked:
            self._dismiss(asked)

    def restart(self, label: str) -> None:
        """Run again from a label, or from the first that is unfinished."""
        if self.status in {"running", "canceling", "scheduled"}:
            return
        outcomes = {told.seq: told for told in self.told if told.kind == "outcome"}
        start = _first(self.asked, outcomes, label)
        if start is None:
            return
        self.world.tied |= self.unordered
        requests = [told.number for told in self.told if told.kind == "cancel"]
        if requests:
            start = min([start, *(asked.seq for asked in self.asked if asked.at >= requests[0])])
        at = min([self.asked[min(start, len(self.asked)) - 1].at if self.asked else 0, *requests])
        for asked in self.asked:
            stays = asked.seq in outcomes or (asked.unwanted and asked.closed < at)
            if asked.seq >= start or not stays:
                self._dismiss(asked)
        children = [one for one in self.asked[: start - 1] if one.seq in outcomes or one.it.get("mode") == "detached"]
        kept = [told for told in self.told if self._is_kept(told, start, at)]
        self.dispose()
        self._reset()
        self._arm()
        self.status, self.result, self.told = "running", None, kept
        self.last += 1
        self.told.append(Told(self.last, self.world.now_ms, "restarted"))
        for told in list(self.told):
            self._feed(told, at_ms=self.world.now_ms if told.number >= at else 0)
        for was in children:
            self._adopt(was)
        self._conclude()
        # A timer that was over before fires now, and what is begun now may be taken back by that before it has begun.
        due_now = {one.kind for one in self.asked if one.open and self._due_ms(one) <= self.world.now_ms}
        self.world.tied |= {"timer", "step"} <= due_now

    @staticmethod
    def _due_ms(asked: Asked) -> int:
        length_ms: int = asked.it.get("ms" if asked.kind == "timer" else "after_ms", 0)
        return asked.time_ms + length_ms

    def _is_kept(self, told: Told, start: int, at: int) -> bool:
        if told.kind != "outcome":
            return told.kind != "cancel"
        asked = self.asked[told.seq - 1]
        return told.seq < start and (asked.kind != "timer" or asked.at < at)

    def _adopt(self, was: Asked) -> None:
        """Keep a child of the part that is not redone."""
        child = was.child
        if child is not None and self.world.lives.get(child.id) is child and was.seq <= len(self.asked):
            asked = self.asked[was.seq - 1]
            asked.child = child
            if child.owner == (self, was):
                child.owner = (self, asked)

    def dispose(self) -> None:
        """Let nothing of its code be left."""
        self.over = True
        while tasks := [task for task in asyncio.all_tasks(self.loop) if not task.done()]:
            for task in tasks:
                task.cancel()
            self.loop.settle()
        self.loop.close()


def _first(asked: list[Asked], outcomes: dict[int, Told], label: str) -> int | None:
    if label:
        return next((one.seq for one in asked if one.label == label), None)
    for one in asked:
        if one.kind in {"step", "child"}:
            told = outcomes.get(one.seq)
            lives = one.it.get("mode") == "detached"
            if (told is None and not one.unwanted and not lives) or (told is not None and told.error is not None):
                return one.seq
    return len(asked) + 1
