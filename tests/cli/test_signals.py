"""What counts as a second signal: one that somebody sent on purpose, not the first one's echo."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from actors.cli import lifeline


def heard(*numbers: signal.Signals) -> list[str]:
    """Return what is called when this process gets these signals, one right after the other."""
    calls: list[str] = []

    async def listen() -> None:
        all_came = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, all_came.set)
        with lifeline.on_signals(lambda: calls.append("first"), again=lambda: calls.append("again")):
            for number in (*numbers, signal.SIGUSR1):
                os.kill(os.getpid(), number)
            await all_came.wait()

    asyncio.run(listen())
    return calls


def test_a_second_signal_that_comes_at_once_is_the_first_once_more() -> None:
    assert heard(signal.SIGTERM, signal.SIGTERM, signal.SIGINT) == ["first"]


def test_every_signal_that_comes_later_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifeline, "ECHO_S", -1.0)

    assert heard(signal.SIGTERM, signal.SIGTERM, signal.SIGINT) == ["first", "again", "again"]
