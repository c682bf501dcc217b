"""Workflows in which ``headrace check`` finds something in every line that says so. Imported while checks collect."""

# It is wrong on purpose.
# ruff: noqa: ASYNC240, C416, DTZ003, DTZ005, PLW0603
from __future__ import annotations

import asyncio
import os
import random
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from actors.registry import Registry
from actors.workflow import Step
from tests.determinism import elsewhere

registry = Registry()
seen: dict[str, int] = {}
total = 0


class _Settings:
    verbose = False


settings = _Settings()


@registry.workflow
async def mistaken(step: Step, tags: set[str], numbers: set[int]) -> None:
    """Do everything wrong once."""
    global total  # finding
    total += 1
    seen["mistaken"] = 1  # finding
    seen.update(other=2)  # finding
    settings.verbose = True  # finding
    for tag in tags:  # finding
        await step.sleep(len(tag))
    for number in numbers:
        await step.sleep(number)
    names = {"a", "b"} | tags
    ordered = list(names)  # finding
    picked = [name for name in names]  # finding
    await asyncio.gather(*{step.sleep(1) for _ in ordered})  # finding
    tags.pop()  # finding
    random.Random().random()  # finding
    secrets.token_hex()  # finding
    os.environ.get("HOME")  # finding
    threading.Lock()  # finding
    ThreadPoolExecutor()  # finding
    await asyncio.to_thread(print)  # finding
    Path("x").read_text()  # finding
    datetime.now()  # finding
    datetime.now()  # headrace: ok
    elsewhere.reads_the_clock()
    _helper(picked)


def _helper(picked: list[str]) -> None:
    now = datetime.utcnow()  # type: ignore[deprecated]  # finding  # pyright: ignore[reportDeprecated]
    picked.append(str(now))
