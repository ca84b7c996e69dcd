"""Quantized operators through the whole engine, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.node_models import by_edgeflow, check_node, node_model
from tests.engine.test_more_numeric import codes, real, scalar

X_SCALE, Y_SCALE, Z_SCALE = scalar(0.02), scalar(0.05), scalar(0.08)


def zero(x: int, dtype: type = np.uint8) -> np.ndarray:
    return np.array(x, dtype)


@pytest.mark.parametrize('dtype', [np.uint8, np.int8])
async def test_qlinear_matmul(dtype: type) -> None:
    point = zero(7, dtype)
    for a, b in [((3, 8), (8, 5)), ((2, 3, 8), (2, 8, 5)), ((2, 3, 8), (8, 5))]:
        x, y = codes(*a, dtype=dtype), codes(*b, dtype=dtype)
        await check_node('QLinearMatMul', [x, X_SCALE, point, y, Y_SCALE, point, scalar(0.7), point], [x.dtype.name], [3])


@pytest.mark.parametrize('shape, weights, attributes', [
    ((1, 4, 7, 7), (6, 4, 3, 3), {'pads': [1, 1, 1, 1]}), ((2, 4, 8, 6), (6, 2, 3, 2), {'group': 2, 'strides': [2, 1]}),
    ((1, 4, 9), (4, 1, 3), {'group': 4, 'dilations': [2]}), ((1, 2, 6, 6), (3, 2, 3, 3), {'auto_pad': 'SAME_UPPER', 'strides': [2, 2]}),
    ((1, 300, 3, 3), (2, 300, 3, 3), {}),
])
async def test_integer_convolutions(shape: tuple[int, ...], weights: tuple[int, ...], attributes: dict) -> None:
    x, w = codes(*shape), codes(*weights)
    if len(shape) == 4:
        await check_node('ConvInteger', [x, w, zero(120), zero(3)], ['int32'], [1, 3], **attributes)
    signed = codes(*weights, dtype=np.int8)
    bias = np.arange(weights[0]).astype(np.int32) * 50
    each = np.linspace(0.01, 0.03, weights[0]).astype(np.float32)
    for scale, point in [(scalar(0.02), zero(0, np.int8)), (each, np.zeros(weights[0], np.int8))]:
        await check_node('QLinearConv', [x, X_SCALE, zero(120), signed, scale, point, scalar(0.9), zero(100), bias], ['uint8'], [3, 4, 5, 8],
                         atol=1, **attributes)


CONTRIB = {'domain': 'com.microsoft', 'atol': 1}


@pytest.mark.parametrize('op', ['QLinearAdd', 'QLinearMul'])
async def test_qlinear_pairs(op: str) -> None:
    for a, b in [((3, 4), (3, 4)), ((2, 3, 4), (4,)), ((3, 4), ())]:
        await check_node(op, [codes(*a), X_SCALE, zero(100), codes(*b), Y_SCALE, zero(120), Z_SCALE, zero(90)], ['uint8'], **CONTRIB)


async def test_qlinear_functions() -> None:
    x = codes(3, 20)
    out = [scalar(0.004), zero(1)]
    await check_node('QLinearSigmoid', [x, X_SCALE, zero(100), *out], ['uint8'], [1, 2, 3, 4], **CONTRIB)
    await check_node('QLinearLeakyRelu', [x, X_SCALE, zero(100), Y_SCALE, zero(30)], ['uint8'], [1, 2, 3, 4], alpha=0.1, **CONTRIB)
    # onnxruntime wants an attribute 'opset' here, which node_model() cannot give.
    got = await by_edgeflow(node_model('QLinearSoftmax', [x, X_SCALE, zero(100), *out], ['uint8'], [1, 2, 3, 4], 'com.microsoft', axis=-1), {'x0': x})
    powers = np.exp((x.astype(np.float32) - 100) * X_SCALE)
    expected = np.rint(powers / powers.sum(-1, keepdims=True) / out[0]) + 1
    np.testing.assert_allclose(got['y0'].astype(np.float32), expected.clip(0, 255), atol=1)


@pytest.mark.parametrize('last', [0, 1])
async def test_qlinear_pools(last: int) -> None:
    x = codes(2, 6, 8, 4) if last else codes(2, 4, 6, 8)
    inputs = [x, X_SCALE, zero(100), Y_SCALE, zero(90)]
    await check_node('QLinearGlobalAveragePool', inputs, ['uint8'], [1, 2, 3, 4], channels_last=last, **CONTRIB)
    await check_node('QLinearAveragePool', inputs, ['uint8'], [1, 2, 3, 4], channels_last=last, kernel_shape=[2, 3], strides=[2, 1], **CONTRIB)


async def test_qlinear_concat_where_and_mean() -> None:
    a, b = codes(2, 3), codes(2, 5)
    await check_node('QLinearConcat', [Z_SCALE, zero(90), a, X_SCALE, zero(100), b, Y_SCALE, zero(120)], ['uint8'], [0, 1, 3, 4, 6, 7], axis=1, **CONTRIB)
    chosen = np.array([[True, False, True], [False, False, True]])
    await check_node('QLinearWhere', [chosen, a, X_SCALE, zero(100), codes(2, 3), Y_SCALE, zero(120), Z_SCALE, zero(90)], ['uint8'], [2, 3, 5, 6, 7, 8],
                     **CONTRIB)


@pytest.mark.parametrize('quantized', [True, False])
async def test_qgemm(quantized: bool) -> None:
    bias = np.arange(5).astype(np.int32) * 100
    inputs = [codes(4, 8), X_SCALE, zero(100), codes(5, 8), Y_SCALE, zero(120), bias, *([scalar(0.9), zero(90)] if quantized else [])]
    await check_node('QGemm', inputs, ['uint8' if quantized else 'float32'], [3], transB=1, domain='com.microsoft', atol=1 if quantized else 1e-4)


@pytest.mark.parametrize('dtype', [np.uint8, np.int8])
async def test_products_with_quantized_weights(dtype: type) -> None:
    weights, point, bias = codes(8, 5, dtype=dtype), zero(3, dtype), real(5)
    await check_node('DynamicQuantizeMatMul', [real(4, 8), weights, Y_SCALE, point, bias], ['float32'], [1, 2, 3, 4], domain='com.microsoft',
                     rtol=1e-4, atol=1e-4)
    await check_node('MatMulIntegerToFloat', [codes(4, 8), weights, X_SCALE, Y_SCALE, zero(100), point, bias], ['float32'], [1],
                     domain='com.microsoft', rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('causal', [0, 1])
async def test_quantized_attention(causal: int) -> None:
    inputs = [codes(2, 4, 8), codes(8, 24), real(24), X_SCALE, scalar(0.01), np.array([4, 3], np.int32), zero(100), zero(120)]
    await check_node('QAttention', inputs, ['float32'], [1], num_heads=2, unidirectional=causal, domain='com.microsoft', rtol=1e-3, atol=1e-4)
