from __future__ import annotations

import asyncio

import pytest

from kernel.errors import InvalidUrl
from kernel.memory import drop_memory_server, memory_client, memory_server


async def put(url: str, value: bytes) -> None:
    client = memory_client(url)
    await client.set("key", value)
    await client.aclose()


async def get(url: str) -> object:
    client = memory_client(url)
    value: object = await client.get("key")
    await client.aclose()
    return value


def test_clients_of_a_name_share_a_server_and_others_do_not() -> None:
    asyncio.run(put("memory://shared", b"1"))

    assert asyncio.run(get("memory://shared")) == b"1"
    assert asyncio.run(get("memory://other")) is None


def test_a_dropped_server_is_empty_when_it_is_asked_for_again() -> None:
    asyncio.run(put("memory://dropped", b"1"))

    drop_memory_server("memory://dropped")

    assert asyncio.run(get("memory://dropped")) is None


def test_without_a_name_there_is_one_server() -> None:
    assert memory_server("memory://") is memory_server("memory://")


def test_scripts_run() -> None:
    async def run() -> object:
        client = memory_client("memory://scripts")
        answer: object = await client.eval("return redis.call('incr', KEYS[1])", 1, "key")
        await client.aclose()
        return answer

    assert asyncio.run(run()) == 1


@pytest.mark.parametrize("url", ["redis://host", "memory://name/1", "memory://name?db=1", "memory"])
def test_any_other_url_is_refused_with_the_form_that_is_right(url: str) -> None:
    with pytest.raises(InvalidUrl, match="memory://name"):
        memory_server(url)
