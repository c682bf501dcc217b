"""Which namespace a command means; one that is not there is told, and not made by looking for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from actors import WorkflowManager

if TYPE_CHECKING:
    from tests.cli.processes import Run

pytestmark = pytest.mark.server

LOOKING = [
    "list", "show order-7", "history order-7", "watch order-7", "cancel order-7", "restart order-7", "resume order-7",
    "cleanup order-7", "cancel --workflow flow --yes", "send-event order-7 go", "queues", "workers", "doctor",
    "doctor --repair", "dead list", "key order-7", "replay shop.flows:manager --id order-7",
]  # fmt: skip


async def found(url: str, *namespaces: str) -> None:
    for namespace in namespaces:
        async with WorkflowManager(url, namespace=namespace, partitions=2):
            pass


@pytest.mark.parametrize("words", LOOKING)
def test_a_command_that_looks_makes_no_namespace(run: Run, url: str, words: str) -> None:
    done = run(*words.split())

    assert (done.code, done.out) == (1, "")
    assert "There is no namespace 'default' at" in done.error
    assert "nor any other: is it the right server" in done.error
    assert run("redis", "DBSIZE").out == "0\n"


def test_the_namespaces_of_the_server_are_named(run: Run, url: str) -> None:
    asyncio.run(found(url, "shop", "stock"))
    run("redis", "SET", "{no namespace:0}:meta", "x")

    done = run("list")

    assert "there is 'shop', 'stock': name the one that is meant (--namespace, HEADRACE_NAMESPACE)" in done.error


def test_of_many_namespaces_ten_are_named(run: Run, url: str) -> None:
    asyncio.run(found(url, *(f"n{number:02}" for number in range(12))))

    assert "'n08', 'n09', …: name the one" in run("list").error


def test_the_environment_names_the_namespace_and_an_option_another(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(found(url, "shop", "stock"))
    monkeypatch.setenv("HEADRACE_NAMESPACE", "shop")

    assert run("list").out == "no workflows in 'shop'\n"
    assert run("list", "--namespace", "stock").out == "no workflows in 'stock'\n"
    assert WorkflowManager(url).namespace == "default", "code says where it belongs"
