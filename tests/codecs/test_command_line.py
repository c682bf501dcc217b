"""The command line reads through the codec that it is told of."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from actors import WorkflowManager
from actors.cli import loading
from actors.cli.errors import CommandError
from actors.codecs import Encryption

SEALED = Encryption({"k": bytes(32)}, current="k")


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of a user's, as ``load`` finds it."""
    names = SimpleNamespace(codec=SEALED, manager=WorkflowManager("memory://", codec=SEALED), other=5)

    def load(path: str) -> tuple[object, object]:
        return names, getattr(names, path.partition(":")[2])

    monkeypatch.setattr(loading, "load", load)


@pytest.mark.parametrize("name", ["codec", "manager"])
def test_a_codec_is_named_itself_or_by_a_manager_that_has_it(name: str) -> None:
    assert loading.load_codec(f"shop:{name}") is SEALED


def test_what_is_neither_is_refused() -> None:
    with pytest.raises(CommandError, match="name a codec"):
        loading.load_codec("shop:other")
