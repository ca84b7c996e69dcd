"""Operators of com.microsoft as single nodes, beside onnxruntime on the same model."""

from __future__ import annotations

import numpy as np
import pytest

from edgeflow.errors import EdgeflowError
from tests.engine.node_models import check_node

RANDOM = np.random.default_rng(2)


def real(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def contrib(op: str) -> dict[str, str]:
    return {'op': op, 'domain': 'com.microsoft'}


MASKS: list[tuple[str, np.ndarray | None]] = [
    ('none', None),
    ('left and right', np.array([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1]], np.int32)),
    ('lengths', np.array([3, 5], np.int32)),
    ('for each query', np.tril(np.ones((2, 5, 5), np.int32))),
]


@pytest.mark.parametrize('mask', [mask for _, mask in MASKS], ids=[name for name, _ in MASKS])
@pytest.mark.parametrize('attributes', [
    {}, {'unidirectional': 1}, {'mask_filter_value': -3.4028234663852886e38}, {'scale': 0.7}, {'qkv_hidden_sizes': [12, 12, 8]},
], ids=str)
@pytest.mark.parametrize('with_bias', [True, False])
async def test_attention(mask: np.ndarray | None, attributes: dict, with_bias: bool) -> None:
    width = sum(attributes.get('qkv_hidden_sizes', [12, 12, 12]))
    inputs = [real(2, 5, 10), real(10, width), real(width) if with_bias else None, mask]
    while inputs[-1] is None:
        inputs.pop()
    await check_node(**contrib('Attention'), inputs=inputs, outputs=['float32'], constant=[1, 2] if with_bias else [1], num_heads=4, **attributes)


async def test_attention_with_added_bias() -> None:
    inputs = [real(2, 5, 12), real(12, 36), real(36), None, None, real(2, 4, 5, 5)]
    await check_node(**contrib('Attention'), inputs=inputs, outputs=['float32'], constant=[1, 2], num_heads=4)


async def test_attention_with_past_is_refused() -> None:
    inputs = [real(1, 1, 12), real(12, 36), real(36), None, real(2, 1, 4, 3, 3)]
    with pytest.raises(EdgeflowError, match='past and present') as e:
        await check_node(**contrib('Attention'), inputs=inputs, outputs=['float32', 'float32'], constant=[1, 2], num_heads=4)
    assert e.value.code == 'unsupported-op'


@pytest.mark.parametrize('with_mask', [True, False])
@pytest.mark.parametrize('with_segments', [True, False])
async def test_embed_layer_norm(with_mask: bool, with_segments: bool) -> None:
    ids = RANDOM.integers(0, 20, (2, 5)).astype(np.int32)
    segments = RANDOM.integers(0, 2, (2, 5)).astype(np.int32) if with_segments else None
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32) if with_mask else None
    inputs = [ids, segments, real(20, 8), real(16, 8), real(2, 8) if with_segments else None, real(8), real(8), mask]
    if mask is None:
        inputs.pop()
    await check_node(**contrib('EmbedLayerNormalization'), inputs=inputs, outputs=['float32', 'int32'], constant=[2, 3, 4, 5, 6], epsilon=1e-12)


@pytest.mark.parametrize('batch', [1, 3])
async def test_embed_layer_norm_with_the_same_positions_in_every_row(batch: int) -> None:
    """As the optimizer of onnxruntime writes DistilBERT."""
    ids = RANDOM.integers(0, 20, (3, 5)).astype(np.int32)
    positions = RANDOM.integers(0, 16, (batch, 5)).astype(np.int32)
    inputs = [ids, None, real(20, 8), real(16, 8), None, real(8), real(8), None, positions]
    await check_node(**contrib('EmbedLayerNormalization'), inputs=inputs, outputs=['float32', 'int32'], constant=[2, 3, 5, 6], epsilon=1e-12)


@pytest.mark.parametrize('with_beta', [True, False])
@pytest.mark.parametrize('with_bias', [True, False])
@pytest.mark.parametrize('skip', [[2, 5, 8], [1, 5, 8], [5, 8]], ids=str)
@pytest.mark.parametrize('with_sum', [True, False])
async def test_skip_layer_norm(with_beta: bool, with_bias: bool, skip: list[int], with_sum: bool) -> None:
    inputs = [real(2, 5, 8), real(*skip), real(8), real(8) if with_beta else None, real(8) if with_bias else None]
    while inputs[-1] is None:
        inputs.pop()
    outputs = ['float32', '', '', 'float32'] if with_sum else ['float32']
    await check_node(**contrib('SkipLayerNormalization'), inputs=inputs, outputs=outputs, constant=[2, 3, 4], epsilon=1e-5)


@pytest.mark.parametrize('alpha', [1.0, 1.702, 0.5])
async def test_quick_gelu(alpha: float) -> None:
    """With 1 it is SiLU, which onnxruntime's optimizer writes so."""
    await check_node(**contrib('QuickGelu'), inputs=[real(3, 17)], outputs=['float32'], alpha=alpha)


@pytest.mark.parametrize('op, with_bias', [('BiasGelu', True), ('FastGelu', True), ('FastGelu', False), ('Gelu', False), ('QuickGelu', False)])
async def test_gelus(op: str, with_bias: bool) -> None:
    await check_node(**contrib(op), inputs=[real(3, 9) * 3] + ([real(9)] if with_bias else []), outputs=['float32'], atol=5e-5)


@pytest.mark.parametrize('bits', [4, 8])
@pytest.mark.parametrize('block', [16, 32])
@pytest.mark.parametrize('rows', [1, 3, 9])
@pytest.mark.parametrize('zeros', [True, False])
@pytest.mark.parametrize('constant', [True, False])
async def test_matmul_nbits(bits: int, block: int, rows: int, zeros: bool, constant: bool) -> None:
    k, n = 48, 10
    blocks = -(-k // block)
    weights = RANDOM.integers(0, 256, (n, blocks, block * bits // 8)).astype(np.uint8)
    inputs = [real(2, rows, k), weights, np.abs(real(n * blocks)) / 8]
    if zeros:
        inputs.append(RANDOM.integers(0, 256, n * -(-blocks * bits // 8)).astype(np.uint8))
    await check_node(**contrib('MatMulNBits'), inputs=inputs, outputs=['float32'], constant=[1, 2, 3][:len(inputs) - 1] if constant else [],
                     rtol=1e-4, atol=2e-4, K=k, N=n, bits=bits, block_size=block)


@pytest.mark.parametrize('quant_type', [0, 1])
@pytest.mark.parametrize('block', [16, 64])
async def test_matmul_bnb4(quant_type: int, block: int) -> None:
    k, n = 64, 10
    weights = RANDOM.integers(0, 256, n * k // 2).astype(np.uint8)
    inputs = [real(2, 3, k), weights, np.abs(real(n * k // block))]
    await check_node(**contrib('MatMulBnb4'), inputs=inputs, outputs=['float32'], constant=[1, 2], rtol=1e-4, atol=1e-4,
                     K=k, N=n, block_size=block, quant_type=quant_type)


@pytest.mark.parametrize('trans_a', [0, 1])
@pytest.mark.parametrize('trans_b', [0, 1])
@pytest.mark.parametrize('lead', [[], [2, 3]], ids=str)
@pytest.mark.parametrize('constant', [[], [1]], ids=str)
async def test_fused_matmul(trans_a: int, trans_b: int, lead: list[int], constant: list[int]) -> None:
    a = real(*lead, 7, 5) if trans_a else real(*lead, 5, 7)
    b = real(9, 7) if trans_b else real(7, 9)
    await check_node(**contrib('FusedMatMul'), inputs=[a, b], outputs=['float32'], constant=constant, transA=trans_a, transB=trans_b, alpha=0.25)
