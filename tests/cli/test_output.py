"""What the commands write can be read by programs, whatever the value is."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import pytest

from actors.cli.output import as_json


@dataclass
class Reading:
    """A result with a number that JSON does not have."""

    value: float


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        ({"a": [1.5, (-math.inf,)]}, {"a": [1.5, ["-Infinity"]]}),
        ({math.inf: 1}, {"inf": 1}),
        (Reading(math.nan), {"value": "NaN"}),
        ({"result": {2.5}}, {"result": [2.5]}),
        ([True, None, 0], [True, None, 0]),
    ],
)
def test_numbers_that_json_does_not_have_are_written_as_texts(value: object, read: object) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(as_json(value), parse_constant=refuse) == read
