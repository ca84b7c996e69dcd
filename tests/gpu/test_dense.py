"""Float matrix products by their GPU lowerings, beside numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeflow.backends.webgpu.builder import GpuFeatures
from edgeflow.backends.webgpu.products import ACROSS_DIVISIONS, DIVISIONS
from tests.gpu.driver import gpu, run_node

ACTIVATIONS = {
    '': lambda x: x, 'relu': lambda x: np.maximum(x, 0), 'gelu': lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    'gelu_tanh': lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))), 'tanh': np.tanh,
    'sigmoid': lambda x: 1 / (1 + np.exp(-x)), 'silu': lambda x: x / (1 + np.exp(-x)), 'quick_gelu': lambda x: x / (1 + np.exp(-1.702 * x)),
}


def filled(rng: np.random.Generator, shape: list[int] | tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def check(key: str, inputs: list[np.ndarray | None], attributes: dict[str, object], expected: np.ndarray, **options: object) -> None:
    [y] = run_node(key, inputs, attributes, **options)
    assert y is not None and y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=2e-4, atol=2e-4)


@pytest.fixture
def hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lowerings choose as for a real GPU."""
    features = gpu().features
    monkeypatch.setattr(gpu(), 'features', GpuFeatures(**{**features.__dict__, 'software': False}))


SIZES = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 12, 17, 32, 33, 64])


@settings(max_examples=25)
@given(m=SIZES, n=SIZES, k=SIZES, batch=st.sampled_from([[], [1], [3], [2, 3]]), trans_a=st.booleans(), trans_b=st.booleans(),
       activation=st.sampled_from(sorted(ACTIVATIONS)), bias=st.booleans(), residual=st.booleans(), seed=st.integers(0, 99))
def test_products_with_what_is_fused(
    m: int, n: int, k: int, batch: list[int], trans_a: bool, trans_b: bool, activation: str, bias: bool, residual: bool, seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    a = filled(rng, batch + [m, k])
    w = filled(rng, [k, n])
    extra = filled(rng, [n]) if bias else None
    skip = filled(rng, batch + [m, n]) if residual else None
    expected = ACTIVATIONS[activation](0.5 * (a @ w) + (0 if extra is None else extra)) + (0 if skip is None else skip)
    given_a = np.ascontiguousarray(a.swapaxes(-1, -2)) if trans_a else a
    given_w = np.ascontiguousarray(w.T) if trans_b else w
    check('edgeflow:MatMul', [given_a, given_w, extra, skip], {'trans_a': int(trans_a), 'trans_b': int(trans_b), 'alpha': 0.5, 'activation': activation},
          expected)


# Shapes that meet every division of a real GPU, with whole and broken tiles.
SHAPES = [(1, 64, 512), (1, 70, 33), (2, 36, 256), (3, 64, 40), (4, 31, 12), (9, 64, 64), (30, 70, 36), (32, 96, 256), (61, 129, 37), (130, 260, 20)]


@pytest.mark.parametrize(('m', 'n', 'k'), SHAPES)
@pytest.mark.parametrize('trans_b', [False, True])
@pytest.mark.usefixtures('hardware')
def test_divisions_of_a_real_gpu(m: int, n: int, k: int, trans_b: bool) -> None:
    rng = np.random.default_rng(m)
    a = filled(rng, [m, k])
    w = filled(rng, [n, k] if trans_b else [k, n])
    bias = filled(rng, [n])
    check('edgeflow:MatMul', [a, w, bias], {'trans_b': int(trans_b)}, a @ (w.T if trans_b else w) + bias)


@pytest.mark.parametrize('trans_b', [False, True])
@pytest.mark.parametrize('number', range(len(DIVISIONS)))
@pytest.mark.parametrize(('m', 'n', 'k'), [(70, 132, 48), (33, 65, 21)])
def test_each_division(m: int, n: int, k: int, number: int, trans_b: bool, hardware: None, monkeypatch: pytest.MonkeyPatch) -> None:
    table = ACROSS_DIVISIONS if trans_b else DIVISIONS
    if number >= len(table):
        return
    monkeypatch.setattr('edgeflow.backends.webgpu.products.ACROSS_DIVISIONS' if trans_b else 'edgeflow.backends.webgpu.products.DIVISIONS',
                        [(table[number][0], 0)])
    rng = np.random.default_rng(number)
    a = filled(rng, [2, m, k])
    w = filled(rng, [2, n, k] if trans_b else [2, k, n])
    skip = filled(rng, [2, m, n])
    check('edgeflow:MatMul', [a, w, None, skip], {'trans_b': int(trans_b)}, a @ (w.swapaxes(1, 2) if trans_b else w) + skip)


@pytest.mark.parametrize(('a', 'b'), [
    ([5], [5]), ([5], [5, 3]), ([2, 5], [5]), ([4, 2, 5], [5]), ([5], [4, 5, 3]), ([2, 1, 3, 5], [4, 5, 2]), ([4, 3, 5], [2, 1, 5, 6]),
    ([2, 1, 2, 3, 5], [1, 3, 1, 5, 4]), ([0, 5], [5, 3]), ([2, 0], [0, 3]), ([3, 4, 8], [3, 8, 4]),
])
def test_shapes_as_numpy_pairs_them(a: list[int], b: list[int]) -> None:
    rng = np.random.default_rng(1)
    x = filled(rng, a)
    y = filled(rng, b)
    check('MatMul', [x, y], {}, np.matmul(x, y))


@pytest.mark.parametrize('shape', [(), (1,), (6,), (4, 6), (4, 1), (1, 6)])
@pytest.mark.parametrize(('trans_a', 'trans_b', 'beta'), [(0, 0, 1.0), (1, 0, 0.5), (0, 1, 2.0), (1, 1, 1.0), (0, 1, 0.0)])
def test_gemm(shape: tuple[int, ...], trans_a: int, trans_b: int, beta: float) -> None:
    rng = np.random.default_rng(2)
    a = filled(rng, [4, 5])
    w = filled(rng, [5, 6])
    c = filled(rng, shape)
    check('Gemm', [a.T.copy() if trans_a else a, w.T.copy() if trans_b else w, c], {'transA': trans_a, 'transB': trans_b, 'alpha': 1.5, 'beta': beta},
          (1.5 * (a @ w) + beta * c).astype(np.float32))


def test_contrib_matmul() -> None:
    rng = np.random.default_rng(3)
    a = filled(rng, [2, 6, 3])
    w = filled(rng, [2, 6, 5])
    check('com.microsoft:FusedMatMul', [a, w], {'transA': 1, 'alpha': 0.25}, 0.25 * (a.swapaxes(1, 2) @ w))


@pytest.mark.parametrize(('m', 'k', 'n'), [(3, 5, 6), (3, 8, 8)])
@pytest.mark.parametrize('trans_b', [0, 1])
def test_what_is_no_number_stays_in_its_row_and_column(m: int, k: int, n: int, trans_b: int) -> None:
    a = np.ones((m, k), np.float32)
    w = np.ones((k, n), np.float32)
    a[1, k - 1] = np.nan
    a[2, 0] = np.inf
    w[0, n - 1] = -np.inf
    with np.errstate(invalid='ignore'):
        expected = a @ w
    check('edgeflow:MatMul', [a, w.T.copy() if trans_b else w], {'trans_b': trans_b, 'activation': 'relu'}, np.where(np.isnan(expected), expected, np.maximum(expected, 0)))


def test_half_weights() -> None:
    rng = np.random.default_rng(4)
    a = filled(rng, [3, 16]).astype(np.float16)
    w = filled(rng, [16, 8]).astype(np.float16)
    check('MatMul', [a, w], {}, a.astype(np.float32) @ w.astype(np.float32), weights=[1])
