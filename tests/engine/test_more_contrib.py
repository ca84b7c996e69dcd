"""com.microsoft's rarer operators through the whole engine, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

from edgeflow.runtime.model import create_model
from tests.engine.node_models import by_edgeflow, check_node, node_model
from tests.engine.test_more_numeric import real, scalar

MICROSOFT = 'com.microsoft'
ROWS, HIDDEN, INNER, EXPERTS = 5, 32, 64, 4


def packed(weights: np.ndarray, bits: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """The codes and scales of a layer of each expert."""
    groups = weights.reshape(*weights.shape[:2], -1, block or weights.shape[2])
    scales = np.abs(groups).max(-1) / (2 ** (bits - 1) - 1)
    codes = (np.rint(groups / scales[..., None]) + 2 ** (bits - 1)).astype(np.uint8).reshape(weights.shape)
    if bits == 4:
        codes = codes[..., 0::2] | codes[..., 1::2] << 4
    return codes, scales if block else scales[..., 0]


@pytest.mark.parametrize('activation, k, normalized', [
    ('relu', 1, 0), ('gelu', 2, 1), ('silu', 3, 0), ('identity', 4, 1), ('swiglu', 2, 0), ('swiglu', 2, 1),
])
async def test_mixture_of_experts(activation: str, k: int, normalized: int) -> None:
    gated = activation == 'swiglu'
    made = 2 * INNER if gated else INNER
    inputs = [real(ROWS, HIDDEN), real(ROWS, EXPERTS), real(EXPERTS, made, HIDDEN) / 4, real(EXPERTS, made), real(EXPERTS, HIDDEN, INNER) / 4,
              real(EXPERTS, HIDDEN)]
    gate = {'swiglu_fusion': 1, 'activation_alpha': 1.702, 'activation_beta': 1.0, 'swiglu_limit': 1.5} if gated else {}
    await check_node('MoE', inputs, ['float32'], [2, 3, 4, 5], domain=MICROSOFT, activation_type=activation, k=k, normalize_routing_weights=normalized,
                     rtol=1e-3, atol=1e-3, **gate)


@pytest.mark.parametrize('bits', [4, 8])
@pytest.mark.parametrize('block', [0, 32])
async def test_mixture_of_quantized_experts(bits: int, block: int) -> None:
    first, first_scales = packed(real(EXPERTS, INNER, HIDDEN), bits, block)
    second, second_scales = packed(real(EXPERTS, HIDDEN, INNER), bits, block)
    sizes = {'block_size': block} if block else {}
    inputs = [real(ROWS, HIDDEN), real(ROWS, EXPERTS), first, first_scales, real(EXPERTS, INNER), second, second_scales, real(EXPERTS, HIDDEN)]
    # As inputs: onnxruntime rounds what it multiplies with weights that it may pack.
    await check_node('QMoE', inputs, ['float32'], [], domain=MICROSOFT, activation_type='silu', k=2, expert_weight_bits=bits,
                     rtol=1e-3, atol=1e-3, **sizes)


@pytest.mark.parametrize('attributes', [{}, {'activation': 'Relu'}, {'activation': 'Clip', 'activation_params': [-0.5, 0.5]},
                                        {'activation': 'LeakyRelu', 'activation_params': [0.3]}])
async def test_fused_convolutions(attributes: dict) -> None:
    x, w, bias = real(1, 3, 6, 6), real(4, 3, 3, 3), real(4)
    if attributes:
        await check_node('FusedConv', [x, w, bias, real(1, 4, 6, 6)], ['float32'], [1, 2], domain=MICROSOFT, pads=[1, 1, 1, 1], atol=1e-4, **attributes)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    nhwc = await by_edgeflow(node_model('NhwcConv', [last, w, bias], ['float32'], [1, 2], MICROSOFT, pads=[1, 1, 1, 1]), {'x0': last})
    plain = await by_edgeflow(node_model('Conv', [x, w, bias], ['float32'], [1, 2], pads=[1, 1, 1, 1]), {'x0': x})
    np.testing.assert_allclose(nhwc['y0'], plain['y0'].transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('attributes', [{'activation': 'Relu'}, {'activation': 'LeakyRelu', 'activation_alpha': 0.3},
                                        {'activation': 'HardSigmoid', 'activation_alpha': 0.3, 'activation_beta': 0.4}])
async def test_fused_gemm(attributes: dict) -> None:
    await check_node('FusedGemm', [real(3, 5), real(4, 5), real(4)], ['float32'], [1, 2], domain=MICROSOFT, transB=1, alpha=0.5, **attributes)


async def test_a_fused_product_is_one_of_ai_onnx_to_passes() -> None:
    model = await create_model(memoryview(node_model('FusedGemm', [real(3, 5), real(5, 4)], ['float32'], [1], MICROSOFT, activation='Relu')), {}, 'wasm')
    plan = await model.describe_plan({'x0': [3, 5]})
    model.dispose()
    assert 'gemm_f32' in plan and 'activation' not in plan


@pytest.mark.parametrize('dtype', [np.uint8, np.int16])
async def test_quantizers_of_16_bits(dtype: type) -> None:
    scale, zero = scalar(0.01), scalar(3, dtype)
    await check_node('QuantizeLinear', [real(3, 5), scale, zero], [np.dtype(dtype).name], [1, 2], domain=MICROSOFT)
    await check_node('DequantizeLinear', [np.arange(-4, 4).astype(dtype), scale, zero], ['float32'], [1, 2], domain=MICROSOFT)


async def test_operators_that_ai_onnx_has_too() -> None:
    for arguments in [(2, 9), (2, 9, 3), (9, 2, -2)]:
        inputs = [scalar(x, np.int64) for x in arguments]
        await check_node('Range', inputs, ['int64'], list(range(len(inputs))), domain=MICROSOFT)
        reals = [scalar(x / 2) for x in arguments]
        await check_node('Range', reals, ['float32'], list(range(len(inputs))), domain=MICROSOFT)
    await check_node('Trilu', [real(2, 4, 5), scalar(1, np.int64)], ['float32'], domain=MICROSOFT, upper=0)
