"""Collapsing loops must not change which elements they visit, nor in which order."""

from __future__ import annotations

import pytest

from edgeflow.backends.wasm.strides import broadcast_strides, collapse, row_major


def places(dims: list[int], strides: list[int]) -> list[int]:
    """The offsets that nested loops visit, in order."""
    found = [0]
    for i in range(len(dims)):
        longer: list[int] = []
        for place in found:
            for k in range(dims[i]):
                longer.append(place + k * strides[i])
        found = longer
    return found


@pytest.mark.parametrize('shape, output, dims', [
    ([2, 3, 4], [2, 3, 4], [24]), ([4], [2, 3, 4], [6, 4]), ([2, 3, 1], [2, 3, 4], [6, 4]), ([2, 1, 4], [2, 3, 4], [2, 3, 4]),
    ([], [2, 3], [6]), ([1, 1], [1, 1], [1]), ([], [], [1]), ([3, 1, 1, 5], [3, 2, 2, 5], [3, 4, 5]), ([0, 2], [0, 2], [0]), ([2, 1], [2, 0], [2, 0]),
])
def test_broadcast_loops_are_collapsed(shape: list[int], output: list[int], dims: list[int]) -> None:
    strides = broadcast_strides(shape, output)
    loops = collapse(output, [strides, row_major(output)])
    assert loops.dims == dims
    assert places(loops.dims, loops.strides[0]) == places(output, strides)
    assert places(loops.dims, loops.strides[1]) == places(output, row_major(output))


def test_transposed_and_reversed_loops() -> None:
    assert collapse([4, 2, 3], [[1, 12, 4], [6, 3, 1]]).dims == [4, 6]
    reversed_rows = collapse([4, 3], [[-3, 1], [3, 1]])
    assert reversed_rows.dims == [4, 3]
    assert reversed_rows.strides == [[-3, 1], [3, 1]]
