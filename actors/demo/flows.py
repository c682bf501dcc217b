"""What the demo's workers run: one workflow a document. A worker loads it as ``actors.demo.flows:manager``.

The document itself stays where it is; what is passed on is its path, and a digest by which a change is noticed.
Nothing here is special: this is how any project's module of workflows looks.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from actors import NonRetryable, RetryPolicy, Step, Transaction, WorkflowManager
from actors.demo.figures import Structure, reading_s, structure_of, words_in
from actors.demo.settings import NAMESPACE, PACE, SLEEP_S, WORKER_TIMEOUT_S

manager: Final = WorkflowManager(
    namespace=os.environ.get(NAMESPACE, "demo"),
    # Every action here may run twice, so a worker's death is no reason to ask anybody.
    retry_actions_by_default=True,
    worker_timeout=WORKER_TIMEOUT_S,
    retention=timedelta(hours=1),
)

PACE_S: Final = float(os.environ.get(PACE, "0.5"))
FAILURES: Final = 0.35
"""How often the search index does not answer."""

FIGURES: Final = ("documents", "bytes", "words", "headings", "links", "reading_s")
"""What is counted, over all documents."""


@dataclass(frozen=True)
class Document:
    """A file, as it was when it was read first."""

    path: str
    size: int
    """Bytes."""
    digest: str


@dataclass(frozen=True)
class Summary:
    """The figures of one document."""

    path: str
    bytes: int
    words: int
    headings: int
    links: int
    reading_s: int


@manager.action
async def read_document(path: str) -> Document:
    """Find out what there is to read."""
    content = await asyncio.to_thread(Path(path).read_bytes)
    await asyncio.sleep(0.3 * PACE_S)
    return Document(path, len(content), hashlib.sha256(content).hexdigest())


@manager.action
async def count_words(document: Document) -> int:
    """Count what is not white space."""
    return words_in(await _text(document))


@manager.action
async def find_structure(document: Document) -> Structure:
    """Count headings and links."""
    return structure_of(await _text(document))


@manager.action
def estimate_reading_time(document: Document) -> int:
    """Return the seconds that reading it takes. A plain function: it runs in a thread."""
    time.sleep(_length_s())
    return reading_s(_read(document))


@manager.action(retry=RetryPolicy(max_attempts=25, initial_backoff=0.1, base=1.5, max_backoff=0.5))
async def add_to_search_index(document: Document) -> None:
    """Stand for a service that does not always answer."""
    await asyncio.sleep(0.3 * PACE_S)
    if random.random() < FAILURES:  # noqa: S311 - no secret
        raise ConnectionError(f"the search index did not answer about {document.path}")


@manager.mutation
async def add_to_totals(tx: Transaction, summary: Summary) -> None:
    """Add one document to the totals: exactly once, whatever dies."""
    totals = tx.key("totals")
    tx.hincrby(totals, "documents", 1)
    for figure in FIGURES[1:]:
        tx.hincrby(totals, figure, getattr(summary, figure))
    tx.hincrby(tx.key("counted"), summary.path, 1)


@manager.query
async def read_totals(tx: Transaction) -> dict[str, int]:
    """Return the totals."""
    return {name.decode(): int(value) for name, value in (await tx.hgetall(tx.key("totals"))).items()}


@manager.query
async def read_counted(tx: Transaction) -> dict[str, int]:
    """Return how often each document was counted."""
    return {path.decode(): int(value) for path, value in (await tx.hgetall(tx.key("counted"))).items()}


@manager.workflow
async def analyse_document(step: Step, path: str) -> Summary:
    """Read, analyse in three ways at once, tell a service, sleep, count, summarise."""
    document = await step.run_action(read_document, path)
    words, structure, seconds = await asyncio.gather(
        step.run_action(count_words, document),
        step.run_action(find_structure, document),
        step.run_action(estimate_reading_time, document),
    )
    await step.run_action(add_to_search_index, document)
    await step.sleep(SLEEP_S)
    summary = Summary(path, document.size, words, structure.headings, structure.links, seconds)
    await step.run_mutation(add_to_totals, summary)
    return summary


@manager.workflow
async def sum_up(step: Step) -> tuple[dict[str, int], dict[str, int]]:
    """Return the totals, and how often each document was counted."""
    return await step.run_query(read_totals), await step.run_query(read_counted)


STEPS: Final = 7
"""Steps of ``analyse_document``."""


async def _text(document: Document) -> str:
    """Read the document again, and take as long over it as the demo wants."""
    await asyncio.sleep(_length_s())
    return await asyncio.to_thread(_read, document)


def _read(document: Document) -> str:
    content = Path(document.path).read_bytes()
    if hashlib.sha256(content).hexdigest() != document.digest:
        raise NonRetryable(f"{document.path} was changed while the demo ran: run it again")
    return content.decode()


def _length_s() -> float:
    return PACE_S * random.uniform(0.7, 1.3)  # noqa: S311 - no secret
