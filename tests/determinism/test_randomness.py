"""Random numbers, UUIDs and secrets in workflow code."""

# What is called must be looked up where it is called.
# ruff: noqa: PLW0108
from __future__ import annotations

import os
import random
import secrets
import uuid
from random import SystemRandom
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from actors.errors import DeterminismViolation
from actors.registry import Registry
from actors.workflow import Step
from tests.workflow.host import Host

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.determinism.conftest import Call
    from tests.workflow.host import Code

DRAWS: dict[str, Callable[[], Any]] = {
    "random": lambda: random.random(),
    "randint": lambda: random.randint(1, 1_000_000),
    "choice": lambda: random.choice(range(1_000_000)),
    "sample": lambda: random.sample(range(1000), 20),
    "gauss": lambda: random.gauss(0, 1),
    "randbytes": lambda: random.randbytes(8),
    "uuid.uuid4": lambda: uuid.uuid4(),
    "uuid4 imported by name": lambda: uuid4(),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_what_is_drawn_is_the_same_on_every_replay(inside: Call, draw: Callable[[], Any]) -> None:
    assert not isinstance(inside(draw), Exception)  # `inside` compares
    assert draw() != draw()


def test_an_unguarded_replay_draws_something_else() -> None:
    drawn: list[float] = []

    async def flow(_step: Step) -> None:
        drawn.append(random.random())

    Host(Registry().workflow(name="flow")(flow)).rebuilt()
    assert drawn[0] != drawn[1]


def test_two_draws_and_two_instances_differ(guards: None) -> None:
    async def flow(_step: Step) -> list[float]:
        return [random.random(), random.random()]

    workflow = Registry().workflow(name="flow")(flow)
    drawn = {number for name in ("a", "b") for number in Host(workflow, workflow_id=name).result}
    assert len(drawn) == 4


def test_a_uuid_is_a_uuid_of_version_4(inside: Call) -> None:
    assert inside(uuid4).version == 4


def test_what_a_library_draws_does_not_disturb_the_step(start: Callable[[Code], Host]) -> None:
    async def quiet(step: Step) -> list[object]:
        return [step.random.random(), str(step.uuid4())]

    async def noisy(step: Step) -> list[object]:
        random.random()
        uuid4()
        return [step.random.random(), str(step.uuid4())]

    assert start(quiet).result == start(noisy).result


def test_seeding_in_workflow_code_leaves_the_process_alone(inside: Call) -> None:
    random.seed(1)
    expected = random.random()
    random.seed(1)

    def seeded() -> float:
        random.seed(7)
        return random.random()

    assert inside(seeded) == random.Random(7).random()
    assert random.random() == expected


@pytest.mark.parametrize(
    "draw", [lambda: secrets.token_hex(), lambda: os.urandom(4), lambda: SystemRandom().random(), lambda: uuid.uuid1()]
)
def test_what_must_be_secret_or_names_the_machine_is_refused(inside: Call, draw: Callable[[], Any]) -> None:
    error = inside(draw)
    assert isinstance(error, DeterminismViolation)
    assert __file__ in str(error)
    assert draw()
