"""A page of ordinary workflows: nothing in it may be complained of, at definition or by ``headrace check``."""

# It is written as people write.
# ruff: noqa: ASYNC110, PLC0208, PTH118, PTH122, PTH123
from __future__ import annotations

import asyncio
import calendar
import json
import logging
import math
import os.path
import random
import re
import subprocess
import time
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from urllib.parse import urlencode, urljoin

import structlog
from pydantic import BaseModel, Field

from actors import StepFailed
from actors.registry import Registry
from actors.workflow import Step

registry = Registry()
log = structlog.get_logger()
logger = logging.getLogger(__name__)

RATES = {"EUR": Decimal("1.0"), "USD": Decimal("1.1")}
ALLOWED = frozenset({"book", "pen"})
WORDS = re.compile(r"\w+")


class Kind(Enum):
    """Of an order."""

    OPEN = "open"
    NOW = "now"


class Order(BaseModel):
    """What a customer wants."""

    items: list[str]
    tags: set[str] = Field(default_factory=set)
    kind: Kind = Kind.OPEN
    placed: datetime | None = None


@dataclass
class Basket:
    """Of one instance."""

    items: list[str] = field(default_factory=list[str])
    opened: bool = False

    def open(self) -> None:
        """Open it."""
        self.opened = True


@registry.action
async def charge(amount: Decimal) -> str:
    """Talk to a payment service."""
    await asyncio.sleep(0)
    return f"{datetime.now(UTC):%c} {amount}"


@registry.action
def convert(path: str) -> str:
    """Run a program; in an action that is as it should be."""
    time.sleep(0)
    with open(path) as file:
        return subprocess.run(["true"], input=file.read(), text=True, check=False).stdout


def total(items: list[str]) -> Decimal:
    """Return what the items cost."""
    counted = Counter(items)
    return sum((Decimal(len(name)) * count for name, count in counted.items()), Decimal(0))


def deadline(begun: datetime, days: int) -> date:
    """Return the day by which to pay."""
    last = calendar.monthrange(begun.year, begun.month)[1]
    return (begun + timedelta(days=min(days, last))).date()


@registry.workflow
async def checkout(step: Step, order: Order) -> str:
    """Charge, and give up after a day."""
    if not all(item in ALLOWED for item in set(order.items)):
        return "refused"
    for tag in sorted(order.tags):
        step.set_value(tag, value=True)
    begun = step.now()
    amount = total(order.items) * RATES["EUR"]
    try:
        async with asyncio.timeout(86_400):
            receipt = await step.run_action(charge, amount)
    except TimeoutError:
        return "too late"
    except StepFailed as error:
        log.warning("charge failed", error=str(error))
        logger.warning("charge failed: %s", error)
        return "failed"
    return f"{receipt} by {deadline(begun, 30)} {datetime.fromtimestamp(0, UTC)} {date(2024, 1, 1)}"


@registry.workflow
async def fan_out(step: Step, paths: list[str]) -> dict[str, int]:
    """Convert side by side."""
    sizes: dict[str, int] = defaultdict(int)
    seen: set[str] = set()
    unique = list(dict.fromkeys(path for path in paths if path not in seen))
    seen.update(unique)
    tasks = [asyncio.create_task(_one(step, path)) for path in unique]
    done, pending = await asyncio.wait(tasks, timeout=60)
    for task in pending:
        task.cancel()
    for path, text in await asyncio.gather(*done):
        sizes[path] += len(text)
    longest = max({len(path) for path in paths}, default=0)
    letters = sum(1 for _ in {letter for path in paths for letter in path})
    for item in {*seen}:
        sizes.pop(item, None)
    sizes.setdefault("letters", letters + longest)
    return dict(sorted(sizes.items()))


async def _one(step: Step, path: str) -> tuple[str, str]:
    name = PurePosixPath(path).name
    if os.path.splitext(name)[1] in {".txt", ".md"}:
        return path, await step.run_action(convert, os.path.join("in", name))
    return path, ""


@registry.workflow
async def waits(step: Step, limit: timedelta) -> str:
    """Use the clock and random numbers that a worker makes stable."""
    began = time.monotonic()
    number = random.randint(1, 6) + step.random.choice([1, 2]) + random.Random(7).random()
    token = uuid.uuid4()
    while time.time() - began < limit.total_seconds():
        await asyncio.sleep(1.5**number + math.floor(number))
    basket = Basket()
    basket.open()
    basket.items.append(json.dumps({"token": str(token), "url": urljoin("http://x", urlencode({"a": 1}))}))
    return replace(basket, opened=False).items[0].replace("a", "b")


@registry.workflow
async def shadows(step: Step, open: bool, input: str, time: float) -> str:  # noqa: A002 - what it is about
    """Have parameters and variables with the names of what is refused."""
    now = step.now()
    today, sleep = now.date(), step.sleep
    await sleep(time)

    def run(get: str) -> str:
        return f"{get}{today}{open}"

    random = {"choice": input}
    for number in {1, 2, 3}:
        await step.sleep(number)
    counter = 0

    async def count() -> None:
        nonlocal counter
        counter += 1
        await step.sleep(1)

    await count()
    return run(random["choice"]) + Kind.NOW.name
