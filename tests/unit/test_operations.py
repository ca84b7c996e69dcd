"""Tensor operations: their meaning by example. All types and shapes against numpy: tests/memory/test_operations_numpy.py."""

from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_of
from edgeflow.runtime.creation import arange, eye, full, linspace, ones, randn, random
from edgeflow.runtime.memory import memory_stats
from edgeflow.runtime.operations import (
    add, argmax, concat, div, load_operations, matmul, mean, mul, relu, reshape, sigmoid, slice, softmax, sub, sum, tanh, transpose,
)
from edgeflow.runtime.scope import MemoryScope, memory_scope, with_memory_scope
from edgeflow.runtime.tensor import Tensor, tensor, zeros


def refused(work: object) -> EdgeflowError:
    with pytest.raises(EdgeflowError) as e:
        work()
    return e.value


async def test_arithmetic_broadcasts() -> None:
    await load_operations()
    with memory_scope():
        a = tensor([[1, 2], [3, 4]])
        b = tensor([10, 20])
        assert add(a, b).tolist() == [[11, 22], [13, 24]]
        assert sub(a, b).tolist() == [[-9, -18], [-7, -16]]
        assert mul(a, tensor([[2], [3]])).tolist() == [[2, 4], [9, 12]]
        assert div(b, tensor([[1, 2], [4, 5]])).tolist() == [[10, 10], [2.5, 4]]
        assert add(a, 1).tolist() == [[2, 3], [4, 5]]
        assert sub(1, a).tolist() == [[0, -1], [-2, -3]]
        assert add(1, 2).tolist() == 3


async def test_types_meet_as_in_numpy() -> None:
    await load_operations()
    with memory_scope():
        small = tensor([1, 2], None, 'int8')
        flags = tensor([True, False])
        assert add(small, tensor([1, 2], None, 'uint8')).dtype == 'int16'
        assert add(small, tensor([1, 2])).dtype == 'float32'
        assert add(tensor([1, 2], None, 'int32'), tensor([1, 2])).dtype == 'float64'
        assert div(small, small).dtype == 'float64'
        assert add(small, 100).dtype == 'int8'
        assert add(small, 0.5).dtype == 'float64'
        assert add(flags, flags).tolist() == [True, False]
        assert mul(flags, tensor([True, True])).tolist() == [True, False]
        assert sum(flags).tolist() == 1
        assert sum(small).dtype == 'int64'
        assert mean(small).dtype == 'float64'
        assert tanh(small).dtype == 'float16'
        assert refused(lambda: sub(flags, flags)).code == 'invalid-argument'
        assert 'int8' in refused(lambda: add(small, 300)).message


async def test_integers_wrap_and_divide() -> None:
    await load_operations()
    with memory_scope():
        assert add(tensor([127], None, 'int8'), tensor([1], None, 'int8')).tolist() == [-128]
        assert div(tensor([1, -1], None, 'int32'), tensor([0, 0], None, 'int32')).tolist() == [float('inf'), float('-inf')]


async def test_matrix_products() -> None:
    await load_operations()
    with memory_scope():
        a = tensor([[1, 2], [3, 4]])
        assert matmul(a, a).tolist() == [[7, 10], [15, 22]]
        assert matmul(a, tensor([1, 1])).tolist() == [3, 7]
        assert matmul(tensor([1, 1]), a).tolist() == [4, 6]
        assert matmul(tensor([1, 2]), tensor([3, 4])).tolist() == 11
        assert matmul(ones([2, 1, 2, 3]), ones([4, 3, 1])).shape == [2, 4, 2, 1]
        whole = tensor([[1, 2], [3, 4]], None, 'int64')
        assert matmul(whole, whole).tolist() == [[7, 10], [15, 22]]
        assert matmul(whole, whole).dtype == 'int64'
        assert matmul(tensor([True, False]), tensor([False, True])).tolist() is False
        assert refused(lambda: matmul(a, tensor([1, 2, 3]))).code == 'invalid-argument'
        assert refused(lambda: matmul(whole, tensor([1, 2, 3], None, 'int64'))).code == 'invalid-argument'
        assert refused(lambda: matmul(a, tensor(1))).code == 'invalid-argument'


async def test_functions() -> None:
    await load_operations()
    with memory_scope():
        x = tensor([-1, 0, 2])
        assert relu(x).tolist() == [0, 0, 2]
        assert relu(tensor([1, 2], None, 'uint8')).dtype == 'uint8'
        assert sigmoid(x).tolist() == pytest.approx([0.2689414, 0.5, 0.8807971], abs=1e-6)
        assert tanh(x).tolist() == pytest.approx([-0.7615942, 0, 0.9640276], abs=1e-6)
        assert softmax(tensor([1000, 1000])).tolist() == [0.5, 0.5]
        assert softmax(tensor([[0, 0], [1, 3]]), 0).tolist()[0] == pytest.approx([0.2689414, 0.0474259], abs=1e-6)


async def test_reductions() -> None:
    await load_operations()
    with memory_scope():
        x = tensor([[1, 2, 3], [4, 5, 6]])
        assert sum(x).tolist() == 21
        assert sum(x, 0).tolist() == [5, 7, 9]
        assert sum(x, -1, keepdims=True).tolist() == [[6], [15]]
        assert sum(x, [0, 1]).tolist() == 21
        assert sum(x, []).tolist() == x.tolist()
        assert mean(x, 1).tolist() == [2, 5]
        assert sum(zeros([0, 3]), 0).tolist() == [0, 0, 0]
        nothing = mean(zeros([0])).tolist()
        assert nothing != nothing
        assert argmax(x).tolist() == 5
        assert argmax(x, 0).tolist() == [1, 1, 1]
        assert argmax(x, keepdims=True).shape == [1, 1]
        assert argmax(tensor([3, 1, 3])).tolist() == 0
        assert refused(lambda: sum(x, 2)).code == 'invalid-argument'
        assert refused(lambda: argmax(zeros([0]))).code == 'invalid-argument'


async def test_shapes() -> None:
    await load_operations()
    with memory_scope():
        x = tensor([[1, 2, 3], [4, 5, 6]])
        assert concat([x, x]).shape == [4, 3]
        assert concat([x, tensor([[7], [8]])], 1).tolist() == [[1, 2, 3, 7], [4, 5, 6, 8]]
        assert concat([x, tensor([9])], None).tolist() == [1, 2, 3, 4, 5, 6, 9]
        assert reshape(x, [3, -1]).tolist() == [[1, 2], [3, 4], [5, 6]]
        assert reshape(x, 6).shape == [6]
        assert transpose(x).tolist() == [[1, 4], [2, 5], [3, 6]]
        assert transpose(ones([1, 2, 3]), [2, 0, 1]).shape == [3, 1, 2]
        assert slice(x, [0, 1]).tolist() == [[2, 3], [5, 6]]
        assert slice(x, [None, -2], [1, None]).tolist() == [[2, 3]]
        assert slice(x, [None, None], [None, None], [-1, -2]).tolist() == [[6, 4], [3, 1]]
        assert refused(lambda: reshape(x, [4, -1])).details == {'expected': 6, 'got': [4, -1]}
        assert refused(lambda: reshape(x, [-1, -1])).code == 'invalid-argument'
        assert refused(lambda: transpose(x, [0, 0])).code == 'invalid-argument'
        assert refused(lambda: slice(x, [0, 0, 0])).code == 'invalid-argument'
        assert refused(lambda: slice(x, [0], [1], [0])).code == 'invalid-argument'
        assert refused(lambda: concat([])).code == 'invalid-argument'
        assert refused(lambda: concat([x, tensor([1])])).code == 'invalid-argument'
        assert refused(lambda: add(x, tensor([1, 2]))).code == 'invalid-argument'


async def test_creation() -> None:
    await load_operations()
    with memory_scope():
        assert zeros([2, 1]).tolist() == [[0], [0]]
        assert ones(3, 'int64').tolist() == [1, 1, 1]
        assert full([], 2.5).tolist() == 2.5
        assert full([2], True, 'bool').tolist() == [True, True]
        assert arange(4).tolist() == [0, 1, 2, 3]
        assert arange(5, 1, -2, 'int32').tolist() == [5, 3]
        assert arange(1, 1).shape == [0]
        assert linspace(0, 1, 5).tolist() == [0, 0.25, 0.5, 0.75, 1]
        assert linspace(3, 9, 1).tolist() == [3]
        assert eye(2).tolist() == [[1, 0], [0, 1]]
        assert eye(2, 3, 1, 'bool').tolist() == [[False, True, False], [False, False, True]]
        assert refused(lambda: zeros([-1])).code == 'invalid-argument'
        assert refused(lambda: ones([1.5])).code == 'invalid-argument'
        assert refused(lambda: zeros([1], 'flaot32')).code == 'invalid-argument'
        assert refused(lambda: arange(0, 1, 0)).code == 'invalid-argument'
        assert refused(lambda: arange(0, float('inf'))).code == 'invalid-argument'


async def test_chance_is_the_same_everywhere() -> None:
    await load_operations()
    with memory_scope():
        assert random([2, 2], seed=1).tolist() == [[0.8005026578903198, 0.03539210557937622], [0.9812409281730652, 0.6387306451797485]]
        assert random([3], seed=2).tolist() != random([3], seed=3).tolist()
        assert random([3]).tolist() != random([3]).tolist()
        assert randn([2, 3], seed=5).shape == [2, 3]
        assert random([0]).shape == [0]
        assert random([2], dtype='float64').dtype == 'float64'
        assert refused(lambda: random([1], seed=0.5)).code == 'invalid-argument'


async def test_scopes_tidy_up_after_operations() -> None:
    await load_operations()
    x = tensor([[1, 2], [3, 4]])
    before = memory_stats()

    def work(scope: MemoryScope) -> Tensor:
        hidden = relu(add(matmul(x, x), 1))
        return scope.keep(softmax(hidden))

    kept = with_memory_scope(work)
    assert memory_stats().tensors == before.tensors + 1
    assert kept.shape == [2, 2]
    kept.dispose()
    x.dispose()
    assert refused(lambda: relu(x)).code == 'disposed'
    assert 'tensor operations' in [model.name for model in memory_stats().models]


async def test_a_reshaped_tensor_lives_on_its_own() -> None:
    await load_operations()
    x = tensor(array_of('float32', [1, 2]))
    y = reshape(x, [2, 1])
    x.dispose()
    assert y.tolist() == [[1], [2]]
    y.dispose()


async def test_many_shapes_take_no_more_memory() -> None:
    """Plans are forgotten, and their memory used again."""
    await load_operations()

    def work(scope: MemoryScope) -> None:
        for i in range(300):
            slice(ones([3, 40 + i % 60]), [0, i % 30])

    with_memory_scope(work)
    size = memory_stats().wasm.size
    with_memory_scope(work)
    with_memory_scope(work)
    assert memory_stats().wasm.size == size


def test_what_is_no_tensor_is_refused() -> None:
    assert refused(lambda: relu([1, 2])).code == 'invalid-argument'
    assert refused(lambda: add('a', 1)).code == 'invalid-argument'
