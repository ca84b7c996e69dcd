"""Quotients that are rounded next (wgsl/snippets/quotient.wgsl), beside numpy's: to the last bit, whatever the adapter's division gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeflow.backends.webgpu import lower_elementwise
from tests.gpu.driver import run_node

NUMBERS = st.lists(st.floats(2.0**-60, 2.0**60, width=32), min_size=8, max_size=8)
ENDS = np.arange(200, dtype=np.float32) * np.float32(2.0**-23)


def divided(x: np.ndarray, y: np.ndarray, off: int) -> np.ndarray:
    """x / y by the snippet, from a division that is `off` units beside what the adapter gives; WGSL allows 2.5."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(lower_elementwise.ARITHMETIC, 'Div', f'nearest(bitcast<F>(bitcast<U>(%0 / %1) + U({off % 2**32}u)), %0, %1)')
        [quotient] = run_node('Div', [x, y])
    assert quotient is not None
    return quotient


@settings(max_examples=25)
@given(x=NUMBERS, y=NUMBERS, off=st.integers(-3, 3), sign=st.sampled_from([-1, 1]), seed=st.integers(0, 99))
def test_quotients_are_those_of_numpy(x: list[float], y: list[float], off: int, sign: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    below = np.concatenate([np.array(y), rng.random(400) + 1e-3, 2 - ENDS, 1 + ENDS]).astype(np.float32)
    above = np.concatenate([np.array(x), rng.standard_normal(400), 1 + ENDS, 2 - ENDS]).astype(np.float32) * np.float32(sign)
    # What a quantiser meets: nearly whole and nearly half numbers of steps.
    steps = (below * (np.rint(above / below * 4) / 8).astype(np.float32)).astype(np.float32)
    steps[steps == 0] = 1
    for numerators in [above, steps, below]:
        np.testing.assert_array_equal(divided(numerators, below, off), numerators / below)


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
def test_what_is_no_number_infinite_or_zero() -> None:
    special = np.array([0, -0.0, 1, -3, np.inf, -np.inf, np.nan, 8e37, 2e-38], np.float32)  # by more than 2^126 WGSL need not divide
    x, y = (grid.reshape(-1) for grid in np.meshgrid(special, special))
    expected = x / y
    normal = ~((np.abs(expected) > 0) & (np.abs(expected) < 1.2e-38))
    np.testing.assert_array_equal(divided(x, y, 0)[normal], expected[normal])
