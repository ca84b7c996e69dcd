"""Matrix products, norms, softmax and activations as single nodes, beside onnxruntime on the same model."""

from __future__ import annotations

import numpy as np
import pytest

from edgeflow.errors import EdgeflowError
from tests.engine.node_models import check_node

RANDOM = np.random.default_rng(1)


def real(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


MATMULS = [
    ([5, 7], [7, 9]), ([1, 33], [33, 17]), ([2, 3, 8], [8, 5]), ([2, 3, 4, 8], [8, 16]), ([2, 3, 4, 8], [2, 3, 8, 6]),
    ([3, 1, 4, 5], [2, 5, 6]), ([2, 1, 2, 3, 4], [3, 1, 4, 5]), ([1, 2, 1, 2, 3, 4], [3, 1, 3, 1, 4, 5]), ([7], [7]), ([7], [7, 4]), ([4, 7], [7]),
    ([2, 4, 7], [7]), ([7], [2, 7, 4]), ([0, 7], [7, 4]), ([3, 0], [0, 4]), ([3, 4], [4, 0]), ([0, 3, 4], [0, 4, 5]), ([1, 1], [1, 1]),
]


@pytest.mark.parametrize('a, b', MATMULS, ids=str)
@pytest.mark.parametrize('constant', [[], [1]], ids=['both given', 'B constant'])
async def test_matmul(a: list[int], b: list[int], constant: list[int]) -> None:
    await check_node('MatMul', [real(*a), real(*b)], ['float32'], constant)


@pytest.mark.parametrize('trans_a', [0, 1])
@pytest.mark.parametrize('trans_b', [0, 1])
@pytest.mark.parametrize('c', [None, [], [1], [6], [1, 6], [5, 1], [5, 6], [1, 1]], ids=str)
@pytest.mark.parametrize('constant', [[], [1], [1, 2]], ids=str)
async def test_gemm(trans_a: int, trans_b: int, c: list[int] | None, constant: list[int]) -> None:
    a = real(4, 5) if trans_a else real(5, 4)
    b = real(6, 4) if trans_b else real(4, 6)
    inputs = [a, b] if c is None else [a, b, real(*c)]
    await check_node('Gemm', inputs, ['float32'], [i for i in constant if i < len(inputs)], transA=trans_a, transB=trans_b)


@pytest.mark.parametrize('alpha, beta', [(1.0, 0.5), (0.25, 1.0), (2.0, -1.5), (1.0, 0.0)])
@pytest.mark.parametrize('c', [[6], [5, 1], [5, 6]], ids=str)
async def test_gemm_with_factors(alpha: float, beta: float, c: list[int]) -> None:
    await check_node('Gemm', [real(5, 4), real(4, 6), real(*c)], ['float32'], [1], alpha=alpha, beta=beta)


@pytest.mark.parametrize('op', ['Softmax', 'LogSoftmax'])
@pytest.mark.parametrize('opset', [11, 17])
@pytest.mark.parametrize('axis', [None, 0, 1, -1, -2])
@pytest.mark.parametrize('shape', [[3, 5], [2, 3, 4], [2, 0, 3]], ids=str)
async def test_softmax(op: str, opset: int, axis: int | None, shape: list[int]) -> None:
    attributes = {} if axis is None else {'axis': axis}
    await check_node(op, [real(*shape)], ['float32'], opset=opset, **attributes)


@pytest.mark.parametrize('axis', [-1, 1, -2])
@pytest.mark.parametrize('with_bias', [True, False])
async def test_layer_norm(axis: int, with_bias: bool) -> None:
    x = real(2, 3, 5)
    size = x.shape[axis:] if axis < 0 else x.shape[axis:]
    inputs = [x, real(*size)] + ([real(*size)] if with_bias else [])
    await check_node('LayerNormalization', inputs, ['float32'], [1, 2][:len(inputs) - 1], axis=axis, epsilon=1e-6)


@pytest.mark.parametrize('approximate', ['none', 'tanh'])
async def test_gelu(approximate: str) -> None:
    await check_node('Gelu', [real(3, 7) * 3], ['float32'], opset=20, approximate=approximate)


async def test_float16_at_the_border_is_float32_inside() -> None:
    a, b = real(5, 16).astype(np.float16), real(16, 9).astype(np.float16)
    await check_node('MatMul', [a, b], ['float16'], [1], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize('n', [1, 3, 8, 257])
async def test_dynamic_quantize(n: int) -> None:
    await check_node('DynamicQuantizeLinear', [real(n)], ['uint8', 'float32', 'uint8'], rtol=0, atol=0)


# onnxruntime has no kernel for int8 times uint8; one zero point for each column goes with one matrix.
BYTE_TYPES = [(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8)]
BYTE_SHAPES = [([5, 7], [7, 9], 'columns'), ([2, 3, 33], [33, 16], 'columns'), ([2, 3, 4], [2, 4, 5], 'one')]
BYTE_CASES = [
    (a, b, zeros) for a, b, most in BYTE_SHAPES for zeros in ['none', 'one', 'columns'] if zeros != 'columns' or most == 'columns'
]


@pytest.mark.parametrize('a_type, b_type', BYTE_TYPES)
@pytest.mark.parametrize('constant', [[], [1], [1, 3]], ids=str)
@pytest.mark.parametrize('a, b, zeros', BYTE_CASES, ids=str)
async def test_matmul_integer(a_type: type, b_type: type, constant: list[int], zeros: str, a: list[int], b: list[int]) -> None:
    low = {np.uint8: 0, np.int8: -128}
    inputs: list[np.ndarray | None] = [
        RANDOM.integers(low[a_type], low[a_type] + 256, a).astype(a_type),
        RANDOM.integers(low[b_type], low[b_type] + 256, b).astype(b_type),
    ]
    if zeros != 'none':
        inputs.append(np.array(low[a_type] + 130, a_type))
        columns = b[-1:] if zeros == 'columns' else []
        inputs.append(RANDOM.integers(low[b_type], low[b_type] + 256, columns).astype(b_type).reshape(columns))
    given = [i for i in constant if i < len(inputs)]
    await check_node('MatMulInteger', inputs, ['int32'], given, rtol=0, atol=0)


async def test_integer_matmul_of_whole_numbers() -> None:
    await check_node('MatMul', [np.ones((2, 2), np.int32), np.ones((2, 2), np.int32)], ['int32'])
