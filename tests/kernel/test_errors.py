"""What the kernel's errors say."""

from __future__ import annotations

import pytest

from kernel import InvalidUrl, ServerUnreachable, connector


@pytest.mark.parametrize("url", ["redis://ann:secret@host:6379/0", "unix://:secret@/run/redis.sock"])
def test_no_error_shows_the_password_of_a_url(url: str) -> None:
    for error in (ServerUnreachable(url, "timed out"), InvalidUrl(url, "it ends too early")):
        assert "secret" not in str(error)
        assert "***" in str(error)


@pytest.mark.parametrize("reason", ["Authentication required.", "WRONGPASS invalid username-password pair"])
def test_a_refused_login_is_told_from_a_server_that_is_away(reason: str) -> None:
    message = str(ServerUnreachable("redis://host", reason))
    assert "refuses the login" in message
    assert "No Redis server answers" not in message


@pytest.mark.parametrize("url", ["redis://host/abc", "rediss://host:6379/0/1", "redis://host:6379/-1"])
def test_a_database_that_is_no_number_is_not_taken_for_the_first_one(url: str) -> None:
    with pytest.raises(InvalidUrl, match="no number of a database"):
        connector(url)
