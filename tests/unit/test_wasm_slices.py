"""How a tape is cut into the parts that a run which can be cancelled is made of."""

from __future__ import annotations

import pytest

from edgeflow.backends.wasm.executable import PART_MS, next_stride
from edgeflow.backends.wasm.plans import step_ends
from edgeflow.plan.link import Tape


def test_steps_end_where_the_next_begin() -> None:
    assert step_ends(Tape([7, 2, 1, 1, 9, 0, 3, 1, 5, 99, 99], 9)) == [4, 6, 9]
    assert step_ends(Tape([], 0)) == []


@pytest.mark.parametrize('steps, took, expected', [
    (4, PART_MS, 4), (8, PART_MS * 2, 4), (4, PART_MS * 100, 1), (1, 1000.0, 1), (4, 0.0, 16), (4, PART_MS / 2, 8),
])
def test_parts_aim_at_a_time(steps: int, took: float, expected: int) -> None:
    assert next_stride(steps, took) == expected
