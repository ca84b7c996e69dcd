"""The operators that our passes make, given directly, beside numpy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from edgeflow.backends.contract import Feed
from edgeflow.backends.rests import Rests
from edgeflow.backends.wasm.load import load_wasm
from edgeflow.ir.graph import Attribute, Graph, Node, TensorData, ValueInfo
from edgeflow.ir.pooled import MASK, pooled_name
from edgeflow.pipelines.pooling import first_pooled, mean_pooled, normalized
from edgeflow.runtime.tensor import Tensor

RANDOM = np.random.default_rng(3)


def real(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


async def run_node(
    op: str, inputs: list[np.ndarray | None], constant: list[int], attributes: dict[str, Attribute], outputs: int = 1,
) -> list[np.ndarray]:
    """Run one node of domain 'edgeflow'; the inputs in `constant` are initializers."""
    names = ['' if x is None else f'x{i}' for i, x in enumerate(inputs)]
    made = [f'y{i}' for i in range(outputs)]
    given = {f'x{i}': x for i, x in enumerate(inputs) if x is not None}
    fixed = {f'x{i}' for i in constant}
    graph = Graph(
        'one', [ValueInfo(name, str(x.dtype), list(x.shape)) for name, x in given.items() if name not in fixed],
        [ValueInfo(name, 'float32', None) for name in made], [Node(op, 'edgeflow', 'it', names, made, attributes)],
        {name: TensorData(str(x.dtype), list(x.shape), memoryview(x.tobytes())) for name, x in given.items() if name in fixed},
        {'': 17, 'edgeflow': 1})
    executable = await load_wasm(graph, Rests(lambda: False, 'loading'))
    feeds = {name: Feed(str(x.dtype), list(x.shape), x.reshape(-1)) for name, x in given.items() if name not in fixed}
    results = await executable.run(feeds, made)
    executable.dispose()
    return [results[name].data.reshape(results[name].shape) for name in made]


def erf(x: np.ndarray) -> np.ndarray:
    """The error function of the standard library, element by element."""
    return np.vectorize(math.erf)(x)


ACTIVATIONS = {
    '': lambda x: x,
    'relu': lambda x: np.maximum(x, 0),
    'gelu': lambda x: x * 0.5 * (1 + erf(x / np.sqrt(2))),
    'gelu_tanh': lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    'tanh': np.tanh,
    'sigmoid': lambda x: 1 / (1 + np.exp(-x)),
    'silu': lambda x: x / (1 + np.exp(-x)),
}


@pytest.mark.parametrize('activation', sorted(ACTIVATIONS))
@pytest.mark.parametrize('bias, residual', list(itertools.product([True, False], repeat=2)))
@pytest.mark.parametrize('constant', [[], [1, 2]], ids=str)
async def test_matmul(activation: str, bias: bool, residual: bool, constant: list[int]) -> None:
    a, b = real(2, 5, 7), real(7, 9)
    extra, rest = real(9) if bias else None, real(2, 5, 9) if residual else None
    (got,) = await run_node('MatMul', [a, b, extra, rest], [i for i in constant if i != 2 or bias], {'activation': activation, 'alpha': 0.5})
    product = 0.5 * (a.astype(np.float64) @ b) + (0 if extra is None else extra)
    expected = ACTIVATIONS[activation](product) + (0 if rest is None else rest)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('trans_a, trans_b', list(itertools.product([0, 1], repeat=2)))
@pytest.mark.parametrize('lead', [[], [3], [2, 3]], ids=str)
@pytest.mark.parametrize('constant', [[], [1]], ids=str)
async def test_matmul_of_transposed_matrices(trans_a: int, trans_b: int, lead: list[int], constant: list[int]) -> None:
    a, b = real(*lead, 5, 7), real(*(lead if not constant else []), 7, 9)
    given_a = np.ascontiguousarray(np.swapaxes(a, -1, -2)) if trans_a else a
    given_b = np.ascontiguousarray(np.swapaxes(b, -1, -2)) if trans_b else b
    (got,) = await run_node('MatMul', [given_a, given_b], constant, {'trans_a': trans_a, 'trans_b': trans_b})
    np.testing.assert_allclose(got, a @ b, rtol=1e-5, atol=1e-5)


def softmax(x: np.ndarray) -> np.ndarray:
    with np.errstate(invalid='ignore'):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)


def by_perm(x: np.ndarray, perm: list[int]) -> np.ndarray:
    """The tensor that `perm` brings to x."""
    return np.ascontiguousarray(np.transpose(x, np.argsort(perm)))


SAME, BSHD, KT = [0, 1, 2, 3], [0, 2, 1, 3], [0, 1, 3, 2]


@pytest.mark.parametrize('perms', [[SAME] * 4, [BSHD] * 4, [BSHD, KT, SAME, BSHD], [[1, 2, 0, 3], [2, 0, 3, 1], BSHD, [2, 1, 0, 3]]], ids=str)
@pytest.mark.parametrize('mask', [None, [2, 1, 1, 9], [5, 9], [2, 4, 5, 9], [1, 4, 1, 9], [9]], ids=str)
@pytest.mark.parametrize('boolean', [False, True], ids=['added', 'boolean'])
@pytest.mark.parametrize('groups', [4, 2, 1])
async def test_sdpa(perms: list[list[int]], mask: list[int] | None, boolean: bool, groups: int) -> None:
    q, k, v = real(2, 4, 5, 6), real(2, groups, 9, 6), real(2, groups, 9, 7)
    bias = None if mask is None else (RANDOM.random(mask) > 0.3 if boolean else real(*mask))
    if bias is not None and boolean:
        bias[..., 0] = True
    inputs = [by_perm(q, perms[0]), by_perm(k, perms[1]), by_perm(v, perms[2]), bias]
    names = ['q_perm', 'k_perm', 'v_perm', 'out_perm']
    (got,) = await run_node('Sdpa', inputs if mask is not None else inputs[:3], [], {'scale': 0.3, **dict(zip(names, perms, strict=True))})
    wide = [np.repeat(x, 4 // groups, axis=1).astype(np.float64) for x in (k, v)]
    scores = 0.3 * q @ np.swapaxes(wide[0], -1, -2)
    if bias is not None:
        scores = np.where(bias, scores, -np.inf) if boolean else scores + bias
    expected = np.transpose(softmax(scores) @ wide[1], perms[3])
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


async def test_sdpa_of_no_tokens_gives_an_empty_result() -> None:
    (got,) = await run_node('Sdpa', [real(1, 2, 0, 4), real(1, 2, 3, 4), real(1, 2, 3, 5)], [], {})
    assert got.shape == (1, 2, 0, 5)


@pytest.mark.parametrize('skip', [[2, 5, 8], [1, 5, 8], [5, 8], [8]], ids=str)
@pytest.mark.parametrize('beta, bias', list(itertools.product([True, False], repeat=2)))
@pytest.mark.parametrize('outputs', [1, 2])
async def test_skip_layer_norm(skip: list[int], beta: bool, bias: bool, outputs: int) -> None:
    x, s, gamma = real(2, 5, 8), real(*skip), real(8)
    shift, extra = real(8) if beta else None, real(8) if bias else None
    got = await run_node('SkipLayerNorm', [x, s, gamma, shift, extra], [2], {'epsilon': 1e-6}, outputs)
    total = x.astype(np.float64) + s + (0 if extra is None else extra)
    centered = total - total.mean(axis=-1, keepdims=True)
    expected = centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + 1e-6) * gamma + (0 if shift is None else shift)
    np.testing.assert_allclose(got[0], expected, rtol=1e-5, atol=1e-5)
    if outputs == 2:
        np.testing.assert_allclose(got[1], total, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('kind', [np.int8, np.uint8])
@pytest.mark.parametrize('scales', [1, 9])
@pytest.mark.parametrize('zeros', [0, 1, 9])
@pytest.mark.parametrize('bias, residual', list(itertools.product([True, False], repeat=2)))
@pytest.mark.parametrize('quantized', [False, True])
@pytest.mark.parametrize('constant', [[], [1, 2, 3]], ids=str)
async def test_qmatmul(kind: type, scales: int, zeros: int, bias: bool, residual: bool, quantized: bool, constant: list[int]) -> None:
    a = real(2, 5, 16)
    low = np.iinfo(kind).min
    b = RANDOM.integers(low, low + 256, (16, 9)).astype(kind)
    b_scale = np.abs(real(scales)) / 50
    b_zero = RANDOM.integers(low, low + 256, zeros).astype(kind) if zeros else None
    extra, rest = real(9) if bias else None, real(2, 5, 9) if residual else None
    # ONNX DynamicQuantizeLinear
    top, bottom = max(a.max(), np.float32(0)), min(a.min(), np.float32(0))
    scale = np.float32((top - bottom) / np.float32(255))
    zero = np.uint8(np.clip(np.rint(-bottom / scale), 0, 255))
    codes = np.clip(np.rint(a / scale) + zero, 0, 255).astype(np.uint8)
    inputs: list[np.ndarray | None] = [a, b, b_scale, b_zero, extra, rest]
    if quantized:
        inputs += [codes, np.array(scale), np.array(zero)]
    (got,) = await run_node('QMatMul', inputs, [i for i in constant if inputs[i] is not None], {'activation': 'relu'})
    whole = (codes.astype(np.int64) - int(zero)) @ (b.astype(np.int64) - (0 if b_zero is None else b_zero.astype(np.int64)))
    product = whole * (float(scale) * b_scale.astype(np.float64)) + (0 if extra is None else extra)
    expected = np.maximum(product, 0) + (0 if rest is None else rest)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize('approximate', ['none', 'tanh'])
async def test_gelu(approximate: str) -> None:
    x = 3 * real(5, 7)
    (got,) = await run_node('Gelu', [x], [], {'approximate': approximate})
    np.testing.assert_allclose(got, ACTIVATIONS['gelu' if approximate == 'none' else 'gelu_tanh'](x.astype(np.float64)), atol=1e-5)


async def test_bias_act() -> None:
    x, bias = real(5, 7), real(7)
    (got,) = await run_node('BiasAct', [x, bias], [1], {'activation': 'silu'})
    np.testing.assert_allclose(got, ACTIVATIONS['silu'](x.astype(np.float64) + bias), atol=1e-5)


@pytest.mark.parametrize('angles', [[2, 1, 5, 12], [1, 1, 5, 12], [2, 3, 5, 12]], ids=str)
async def test_rotary(angles: list[int]) -> None:
    x, cos, sin = real(2, 3, 5, 12), real(*angles), real(*angles)
    (got,) = await run_node('Rotary', [x, cos, sin], [], {'half': 6})
    np.testing.assert_allclose(got, x * cos + np.concatenate([-x[..., 6:], x[..., :6]], -1) * sin, rtol=1e-5, atol=1e-5)


POOLED_MASKS = [[1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]]


def pooled_on_the_page(hidden: np.ndarray, mask: list[list[int]], first: bool, unit: bool) -> np.ndarray:
    pooled = (first_pooled if first else mean_pooled)(Tensor('float32', list(hidden.shape), hidden.reshape(-1)), mask)
    return np.asarray((normalized(pooled) if unit else pooled).data).reshape(pooled.shape)


@pytest.mark.parametrize('first', [False, True], ids=['mean', 'first'])
@pytest.mark.parametrize('unit', [False, True], ids=['', 'unit'])
async def test_pool_tokens_gives_what_the_page_makes_of_all_vectors_to_the_bit(first: bool, unit: bool) -> None:
    hidden = real(4, 4, 7)
    mask = np.array(POOLED_MASKS, np.float32)
    (got,) = await run_node('PoolTokens', [hidden, mask], [], {'flags': first + 2 * unit})
    np.testing.assert_array_equal(got, pooled_on_the_page(hidden, POOLED_MASKS, first, unit))


@pytest.mark.parametrize('dtype', ['float32', 'float16'])
async def test_graphs_that_are_interpreted_pool_too(dtype: str) -> None:
    """Given a shape that depends on data, when something pooled is wanted after something else, then it is made."""
    hidden, name = real(4, 4, 7).astype(dtype), pooled_name('hidden', False, True)
    graph = Graph(
        'interpreted', [ValueInfo('x', dtype, [112]), ValueInfo('dims', 'int64', [3]), ValueInfo(MASK, 'int64', [4, 4])], [ValueInfo('hidden', dtype, None)],
        [Node('Reshape', '', 'it', ['x', 'dims'], ['hidden'])], {}, {'': 17})
    executable = await load_wasm(graph, Rests(lambda: False, 'loading'))
    feeds = {
        'x': Feed(dtype, [112], hidden.reshape(-1)), 'dims': Feed('int64', [3], np.array([4, 4, 7], np.int64)),
        MASK: Feed('int64', [4, 4], np.array(POOLED_MASKS, np.int64).reshape(-1))}
    assert (await executable.run(feeds, ['hidden']))['hidden'].shape == [4, 4, 7]
    result = (await executable.run(feeds, [name]))[name]
    executable.dispose()
    assert (result.dtype, result.shape) == ('float32', [4, 7])
    np.testing.assert_array_equal(result.data, pooled_on_the_page(hidden.astype(np.float32), POOLED_MASKS, False, True).reshape(-1))
