"""How the batches of a broadcast matrix product are told to a kernel with two levels of batch."""

from __future__ import annotations

import pytest

from edgeflow.backends.wasm.batches import Batch, batches


def pairs(found: list[Batch]) -> list[str]:
    """Every (A, B, C) start that the kernel visits, as text."""
    visited: list[str] = []
    for part in found:
        for i in range(part.outer):
            for j in range(part.inner):
                a = part.a_start + i * part.outer_a + j * part.inner_a
                b = part.b_start + i * part.outer_b + j * part.inner_b
                c = part.c_start + i * part.outer_c + j * part.inner_c
                visited.append(f'{a} {b} {c}')
    return sorted(visited)


def expected(shape: list[int], a_dims: list[int], b_dims: list[int]) -> list[str]:
    """The same by numpy's rule, index by index; matrices of 10, 100 and 1000 elements."""
    count = 1
    for dim in shape:
        count = count * dim
    starts: list[str] = []
    for flat in range(count):
        rest = flat
        a = 0
        b = 0
        a_step = 10
        b_step = 100
        for i in range(len(shape)):
            axis = len(shape) - 1 - i
            index = rest % shape[axis]
            rest = rest // shape[axis]
            a_dim = a_dims[len(a_dims) - 1 - i] if i < len(a_dims) else 1
            b_dim = b_dims[len(b_dims) - 1 - i] if i < len(b_dims) else 1
            a = a + (0 if a_dim == 1 else index * a_step)
            b = b + (0 if b_dim == 1 else index * b_step)
            a_step = a_step * a_dim
            b_step = b_step * b_dim
        starts.append(f'{a} {b} {1000 * flat}')
    return sorted(starts)


@pytest.mark.parametrize('shape, a_dims, b_dims', [
    ([], [], []), ([3], [3], []), ([3], [], [3]), ([2, 3], [2, 3], [2, 3]), ([2, 3], [2, 1], [1, 3]), ([2, 3], [1, 3], [2, 1]),
    ([4, 2, 3], [4, 1, 3], [2, 1]), ([2, 3, 2, 3], [2, 1, 2, 1], [1, 3, 1, 3]), ([2, 1, 3], [2, 1, 3], [3]), ([0, 3], [0, 3], [3]),
    ([2, 0], [2, 1], [2, 0]),
])
def test_every_pair_of_matrices_is_visited_once(shape: list[int], a_dims: list[int], b_dims: list[int]) -> None:
    assert pairs(batches(a_dims, b_dims, 10, 100, 1000)) == expected(shape, a_dims, b_dims)


def test_dims_that_step_evenly_become_one_level() -> None:
    found = batches([2, 3, 4], [2, 3, 4], 10, 100, 1000)
    assert len(found) == 1
    assert found[0].words() == [1, 0, 0, 0, 24, 10, 100, 1000]
