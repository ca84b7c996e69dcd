"""Every decoder of tests/models, in CPython through wasmtime, against what onnxruntime gave."""

from __future__ import annotations

import numpy as np
import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.runtime.tensor import tensor
from tests.engine.cases import Case, assert_close, check_case, decoder_cases, load, tolerance_of
from tests.engine.node_models import check_node

RANDOM = np.random.default_rng(5)


def real(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def test_there_are_cases() -> None:
    assert len(decoder_cases()) >= 90


@pytest.mark.parametrize('case', decoder_cases(), ids=str)
async def test_outputs_are_those_of_onnxruntime(case: Case) -> None:
    await check_case(case, tolerance_of(case))


async def test_a_merged_decoder_plans_each_branch_once_and_checks_the_batch() -> None:
    cases = [case for case in decoder_cases() if case.model == 'gpt2-mini/onnx/decoder_model_merged.onnx']
    model = await load(cases[0].model)
    for case in [cases[0], cases[1], cases[0], cases[1]]:
        results = await model.run(case.inputs())
        for name, array in case.arrays('out:').items():
            assert_close('fp32', results[name].data.reshape(array.shape), array)
    inputs = cases[1].inputs()
    inputs['position_ids'] = tensor(np.zeros((7, 1), np.int64))
    with pytest.raises(EdgeflowError, match='batch_size') as e:
        await model.run(inputs)
    assert e.value.code == 'invalid-input'


@pytest.mark.parametrize('bits, block, rows', [(4, 32, 1), (4, 16, 3), (4, 64, 9), (4, 128, 2), (8, 32, 5)])
@pytest.mark.parametrize('zeros', [True, False])
async def test_products_with_rounded_activations(bits: int, block: int, rows: int, zeros: bool) -> None:
    k, n = 200, 18
    blocks = -(-k // block)
    inputs = [real(rows, k), RANDOM.integers(0, 256, (n, blocks, block * bits // 8)).astype(np.uint8), np.abs(real(n * blocks)) / 8]
    if zeros:
        inputs.append(RANDOM.integers(0, 256, n * -(-blocks * bits // 8)).astype(np.uint8))
    await check_node('MatMulNBits', inputs, ['float32'], [1, 2, 3][:len(inputs) - 1], domain='com.microsoft', rtol=1e-4,
                     atol=5e-4 if bits == 4 else 1e-2, K=k, N=n, bits=bits, block_size=block, accuracy_level=4)


@pytest.mark.parametrize('interleaved', [0, 1])
@pytest.mark.parametrize('shape', [[2, 5, 24], [2, 3, 5, 8]], ids=str)
@pytest.mark.parametrize('offset', [True, False])
async def test_rotary_embedding(interleaved: int, shape: list[int], offset: bool) -> None:
    positions = np.array([3], np.int64) if offset else RANDOM.integers(0, 12, (2, 5)).astype(np.int64)
    await check_node('RotaryEmbedding', [real(*shape), positions, real(12, 4), real(12, 4)], ['float32'], [2, 3], domain='com.microsoft',
                     interleaved=interleaved)


@pytest.mark.parametrize('past', [0, 3])
@pytest.mark.parametrize('bias', [True, False])
async def test_multi_head_attention(past: int, bias: bool) -> None:
    heads, d, rows = 3, 8, 4
    inputs: list[np.ndarray | None] = [real(2, rows, heads * d), real(2, rows, heads * d), real(2, rows, heads * d), None, None]
    inputs.append(real(2, heads, rows, past + rows) if bias else None)
    inputs += [real(2, heads, past, d), real(2, heads, past, d)]
    await check_node('MultiHeadAttention', inputs, ['float32', 'float32', 'float32'], domain='com.microsoft', num_heads=heads)
