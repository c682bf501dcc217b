from __future__ import annotations

from datetime import timedelta

from actors.testing.plugin import MakeTester
from examples.reminder import manager, remind, send_mail


async def test_nobody_is_reminded_before_a_month_is_over(workflow_tester: MakeTester) -> None:
    async with workflow_tester(manager) as tester:
        mails = tester.fake(send_mail, None)
        handle = await tester.start(remind, "ann", "water the plants")
        await tester.advance(timedelta(days=30) - timedelta(seconds=1))
        assert mails.calls == []
        await tester.advance(1)
        assert [call.args for call in mails.calls] == [("ann", "Please water the plants (1 of 3)")]
        await tester.advance(timedelta(days=8))
        assert len(mails.calls) == 2
        await tester.send_event(handle, "done")
        assert await handle.result() == 2


async def test_what_is_done_needs_no_reminder(workflow_tester: MakeTester) -> None:
    async with workflow_tester(manager) as tester:
        mails = tester.fake(send_mail, None)
        handle = await tester.start(remind, "ann", "water the plants")
        await tester.advance(timedelta(days=3))
        await tester.send_event(handle, "done")
        assert await handle.result() == 0
        assert mails.calls == []


def test_after_three_mails_nobody_is_bothered_any_more(workflow_tester: MakeTester) -> None:
    tester = workflow_tester(manager)
    mails = tester.fake(send_mail, ConnectionError("mail server away"), None)
    assert tester.run(remind, "ann", "water the plants") == 3
    assert len(mails.calls) == 4
    assert tester.now > tester.now.replace(2026, 2, 14, 0, 0, 0)
