"""What a worker remembers of the commands that it has begun."""

from __future__ import annotations

import pytest

from actors.servers import hands as module
from actors.servers.hands import Hands
from kernel import Begun, Command, Held


def _begun(seq: int, token: str = "t") -> Begun:
    command = Command("step", "work", "work", b"%d" % seq)
    return Begun(Held("wf/a", "1-1", seq, 1, "w", token), command, 0, 0, b"")


def test_a_command_that_comes_again_under_another_token_was_begun_before() -> None:
    hands = Hands(1)
    assert hands.started(_begun(1))
    assert not hands.started(_begun(1, "another"))
    assert hands.was_started(_begun(1).held)
    assert not hands.was_started(_begun(1, "another").held)


def test_begun_commands_are_remembered_until_many_others_were_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_MIN", 2)
    hands = Hands(1)
    assert [hands.started(_begun(seq)) for seq in (1, 2, 3, 4)] == [True] * 4
    for seq in (1, 2, 3, 4):  # two generations
        assert not hands.started(_begun(seq))
        assert hands.was_started(_begun(seq).held)
    assert hands.started(_begun(5))
    assert not hands.was_started(_begun(1).held), "what is forgotten last is forgotten in the end"
    assert hands.was_started(_begun(3).held)
