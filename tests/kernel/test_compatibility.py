from __future__ import annotations

import pytest

from kernel.compatibility import check_server, parse_version
from kernel.errors import EvictingServer, Misconfigured, ServerTooOld


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("7.0.15", (7, 0, 15)),
        ("Redis server v=6.2.14 sha=00000000:0", (6, 2, 14)),
        ("8", (8,)),
        ("unknown", ()),
        ("255.255.255", (255, 255, 255)),
    ],
)
def test_the_first_dotted_number_is_the_version(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("version", ["6.2", "6.2.0", "6.10.1", "7.0.15", "8.0.1"])
def test_a_server_of_6_2_or_newer_that_evicts_nothing_is_accepted(version: str) -> None:
    check_server(version=version, eviction_policy="noeviction")
    check_server(version=version, eviction_policy="")


@pytest.mark.parametrize("version", ["5.0.14", "6.0.20", "6.1.240", ""])
def test_an_older_server_is_refused_with_what_is_needed(version: str) -> None:
    with pytest.raises(ServerTooOld, match=r"6\.2 or newer is needed") as caught:
        check_server(version=version, eviction_policy="noeviction")

    assert caught.value.version == version
    assert isinstance(caught.value, Misconfigured)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_may_evict_is_refused_with_the_command_that_mends_it(policy: str) -> None:
    with pytest.raises(EvictingServer, match="CONFIG SET maxmemory-policy noeviction") as caught:
        check_server(version="7.0.15", eviction_policy=policy)

    assert caught.value.policy == policy
