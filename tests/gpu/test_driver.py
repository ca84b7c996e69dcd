"""The driver of these tests, on the simplest operator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gpu.driver import NotTaken, run_node


@settings(max_examples=20)
@given(size=st.integers(0, 300))
def test_relu_of_any_length(size: int) -> None:
    x = np.linspace(-3, 3, size).astype(np.float32)
    [y] = run_node('Relu', [x])
    assert (y == np.maximum(x, 0)).all()


def test_relu_of_what_is_no_number() -> None:
    [y] = run_node('Relu', [np.array([np.nan, np.inf, -np.inf], np.float32)])
    assert np.isnan(y[0]) and y[1] == np.inf and y[2] == 0


def test_a_type_without_a_kernel_is_left_to_wasm() -> None:
    with pytest.raises(NotTaken):
        run_node('Relu', [np.array([1, 2], np.int8)])
