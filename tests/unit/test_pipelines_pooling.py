"""One vector a text from the vectors of its tokens."""

from __future__ import annotations

import math

from edgeflow.pipelines.pooling import first_pooled, mean_pooled, normalized
from edgeflow.runtime.tensor import Tensor, tensor


def hidden() -> Tensor:
    return tensor([[[1.0, 2.0], [3.0, 4.0], [90.0, 90.0]], [[5.0, 6.0], [7.0, 8.0], [9.0, 1.0]]])


def test_the_mean_leaves_padding_out() -> None:
    pooled = mean_pooled(hidden(), [[1, 1, 0], [1, 1, 1]])
    assert pooled.shape == [2, 2]
    assert pooled.dtype == 'float32'
    assert pooled.tolist() == [[2.0, 3.0], [7.0, 5.0]]


def test_the_mean_of_no_token_is_zero() -> None:
    assert mean_pooled(hidden(), [[0, 0, 0], [0, 1, 0]]).tolist() == [[0.0, 0.0], [7.0, 8.0]]


def test_the_first_token_is_the_first_that_is_no_padding() -> None:
    assert first_pooled(hidden(), [[1, 1, 0], [1, 1, 1]]).tolist() == [[1.0, 2.0], [5.0, 6.0]]
    assert first_pooled(hidden(), [[0, 1, 1], [0, 0, 1]]).tolist() == [[3.0, 4.0], [9.0, 1.0]]


def test_normalized_vectors_have_length_one_and_zero_stays_zero() -> None:
    unit = normalized(tensor([[3.0, 4.0], [0.0, 0.0], [-5.0, 0.0]]))
    assert unit.shape == [3, 2]
    values: list[float] = unit.tolist()[0]
    assert math.fabs(values[0] - 0.6) < 1e-6
    assert math.fabs(values[1] - 0.8) < 1e-6
    assert unit.tolist()[1] == [0.0, 0.0]
    assert unit.tolist()[2] == [-1.0, 0.0]


def test_half_precision_is_widened() -> None:
    half = tensor([[[3.0, 4.0], [5.0, 0.0]]], None, 'float16')
    pooled = mean_pooled(half, [[1, 1]])
    assert pooled.dtype == 'float32'
    assert pooled.tolist() == [[4.0, 2.0]]
    assert normalized(first_pooled(half, [[0, 1]])).tolist() == [[1.0, 0.0]]


def test_every_token_is_normalized_when_nothing_is_pooled() -> None:
    unit = normalized(tensor([[[3.0, 4.0], [6.0, 8.0]]]))
    assert unit.shape == [1, 2, 2]
    assert unit.tolist()[0][0] == unit.tolist()[0][1]
