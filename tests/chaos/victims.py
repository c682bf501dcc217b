"""Victims: which worker an injection hits. No death that a run brings about may convict a step that is innocent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from actors.names import worker_name
from kernel import Held, KernelError, OpenCommand, keys
from tests.chaos.oracle import STARTS_OF_TOXIC, TOXIC

if TYPE_CHECKING:
    from kernel import Store
    from tests.chaos.crew import Hand
    from tests.chaos.stage import Stage

SUSPECT_AT: Final = STARTS_OF_TOXIC - 1
"""Of a step with which so many workers died before, the next death is the one that convicts it."""
LOOK_PART_MAX: Final = 0.25
"""Part of the worker timeout for which a worker stands still at most while it is looked at."""


class InHand(NamedTuple):
    """A step that Redis says a process holds."""

    workflow_id: str
    seq: int
    crashes: int
    """Workers that died while they held it."""

    @property
    def is_spared(self) -> bool:
        """Whether its worker must not be hit.

        A third death would rightly convict the step, and it is no step's fault. And what kills its worker itself must
        do so as often as it takes: the oracle counts.
        """
        return self.crashes >= SUSPECT_AT or self.workflow_id.partition("-")[0] in TOXIC


async def take_victim(stage: Stage) -> Hand | None:
    """Stop the worker that has most in hand, and return it; None: there is none that may be hit.

    It is stopped before it is looked at, so that what it holds stays what it is. Redis is asked, not the trace: a death
    counts for all that the worker held, also for what it had taken and not begun to run.
    """
    for hand in sorted(stage.crew.hands, key=lambda hand: -len(stage.in_hand(hand.pid))):
        if not hand.runs or hand.paused:
            continue
        stage.crew.pause(hand)
        if await _may_be_hit(stage, hand):
            return hand
        stage.crew.resume(hand)
    stage.say(f"{time.time() - stage.began_s:6.1f} s  no worker may be hit now; this injection is left out")
    return None


async def _may_be_hit(stage: Stage, hand: Hand) -> bool:
    """Look at a worker that was told to stop; if nobody can tell what it holds, it may not be hit."""
    with contextlib.suppress(KernelError, TimeoutError):
        async with asyncio.timeout(LOOK_PART_MAX * stage.settings.worker_timeout_s):
            await stage.ask(lambda: _await_stopped(hand.pid))
            return not any(step.is_spared for step in await in_hand(await stage.app.manager.store(), hand.pid))
    return False


def _await_stopped(pid: int) -> None:
    """Wait until a process has stopped: the signal alone says that it will. One that has ended does nothing either."""
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


async def in_hand(store: Store, pid: int) -> list[InHand]:
    """Return what Redis says a process of this machine holds: each of it loses a worker if the process dies now."""
    tags = store.space.keys.tags
    pages = await asyncio.gather(*(store.space.send(tag, "ZRANGE", keys.shared(tag, "held"), 0, -1) for tag in tags))
    members = [Held.of(member.decode()) for page in pages for member in cast("list[bytes]", page)]
    mine = [held for held in members if worker_name(held.worker).startswith(f"process {pid} on ")]
    fields = await asyncio.gather(
        *(store.instances.field(held.address, "open", str(held.seq), stored=True) for held in mine)
    )
    return [
        InHand(keys.id_of(held.address), held.seq, OpenCommand.of(field.decode()).crashes)
        for held, field in zip(mine, fields, strict=True)
        if field is not None
    ]
