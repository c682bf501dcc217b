"""Obstacles: why an instance that could go on does not, as far as the workers that live say it. No I/O."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from actors.definitions import DEFAULT_VERSION
from kernel import read_command

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kernel import Command


def code_missing(record: Mapping[str, bytes], workers: Iterable[str]) -> str:
    """Return why an instance that could go on does not: none of the workers has its code. Empty: nothing is in the way.

    ``workers``: what each worker that lives says of itself. One that does not say what it has may have it.
    """
    if record["appended"] == record["consumed"]:
        return ""
    name, version = record["name"].decode(), record.get("version", DEFAULT_VERSION.encode()).decode()
    known = [json.loads(about).get("workflows") for about in workers]
    if any(workflows is None or [name, version] in workflows for workflows in known):
        return ""
    said = sorted({repr(has) for workflows in known for other, has in workflows if other == name})
    others = f"those at work have {', '.join(said)}" if said else "none has any version of it"
    return (
        f"no worker has version {version!r} of the workflow {name!r} ({others}): start a worker with the code "
        "that the instance began under, or cancel it"
    )


def step_code_missing(command: Command, workers: Iterable[str]) -> str:
    """Return why a step that waits for a worker is not begun: none that serves its queue has it. Empty: one may.

    ``workers``: as of ``code_missing``.
    """
    said = [json.loads(about) for about in workers]
    serving = [one.get("steps") for one in said if one.get("queues") is None or command.queue in one["queues"]]
    if not serving or any(steps is None or command.target in steps for steps in serving):
        return ""
    return (
        f"no worker of the queue {command.queue!r} has the step {command.target!r}: start a worker of the manager that "
        "defines it, on this namespace, or define it in the workers' own"
    )


def waits_for_worker(place: str) -> bool:
    """Tell whether what has this place in the open table is due and waits for a worker that takes it."""
    return place.startswith(("q:", "delayed:release"))


def steps_waiting_for_worker(opened: Mapping[str, bytes], fields: Mapping[int, bytes | None]) -> Iterator[Command]:
    """Yield the steps of an open table that wait for a worker; ``fields``: the journal's of their numbers, if known."""
    for seq, value in opened.items():
        field = fields.get(int(seq))
        if field is not None and waits_for_worker(value.decode().split("|")[3]):
            yield read_command(field)
