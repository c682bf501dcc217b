"""The tester sends events as a handle does."""

from __future__ import annotations

from typing import Any

import pytest

from actors import EventFailed, InvalidArguments, InvalidOption, Step, WorkflowEnded, WorkflowManager, WorkflowNotFound
from actors.testing import WorkflowTester


async def test_events_are_sent_as_by_a_handle(manager: WorkflowManager) -> None:
    number = manager.event("number", int)

    @manager.workflow
    async def gather(step: Step) -> list[Any]:
        found: list[Any] = []
        while len(found) < 3:
            try:
                found.append(await step.await_event(number))
            except EventFailed as failed:
                found.append(failed.message)
        return found

    async with WorkflowTester(manager) as tester:
        handle = await tester.start(gather)
        await tester.send_event(handle, number, 1, id="once")
        await tester.send_event(handle.id, number, 1, id="once")
        await tester.send_event(handle, number, error="none left")
        with pytest.raises(InvalidArguments):
            await tester.send_event(handle, number, "two")  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]
        with pytest.raises(InvalidOption):
            await tester.send_event(handle, "two words|")
        with pytest.raises(WorkflowNotFound):
            await tester.send_event("nobody", number, 2)
        await tester.send_event(handle, "number", 3)

        assert await handle.result() == [1, "none left", 3]
        with pytest.raises(WorkflowEnded):
            await tester.send_event(handle, number, 4)
