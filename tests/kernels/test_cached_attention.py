"""cached_attention and rotary beside numpy, in both binaries. Sessions' pages are tested with models (tests/engine/test_generation.py)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.driver import Out, Scratch, kernels, real
from tests.kernels.reference import few


def up(n: int) -> int:
    return -(-n // 8) * 8


def strides(x: np.ndarray) -> list[int]:
    return [step // x.itemsize for step in x.strides]


@pytest.mark.parametrize('variant', ['simd', 'relaxed'])
@few
@given(
    batch=st.integers(1, 2), groups=st.integers(1, 3), each=st.integers(1, 3), rows=st.integers(1, 60), past=st.integers(0, 70),
    d=st.integers(1, 20), dv=st.integers(1, 20), window=st.sampled_from([0, 0, 5]), softcap=st.sampled_from([0.0, 3.0]),
    causal=st.booleans(), masked=st.booleans(), seed=st.integers(0, 2**32 - 1),
)
def test_attention_over_past_and_new_keys(
    variant: str, batch: int, groups: int, each: int, rows: int, past: int, d: int, dv: int, window: int, softcap: float, causal: bool,
    masked: bool, seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    heads, total = groups * each, past + rows
    shapes = [(batch, heads, rows, d), (batch, groups, rows, d), (batch, groups, rows, dv), (batch, groups, past, d), (batch, groups, past, dv)]
    q, k, v, past_k, past_v = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    mask = rng.standard_normal((batch, 1, rows, total)).astype(np.float32) if masked else None
    all_k, all_v = np.concatenate([past_k, k], 2), np.concatenate([past_v, v], 2)
    scores = 0.3 * q.astype(np.float64) @ np.repeat(all_k, each, 1).swapaxes(2, 3)
    if softcap:
        scores = softcap * np.tanh(scores / softcap)
    if mask is not None:
        scores = scores + mask
    keys, queries = np.arange(total), np.arange(rows)[:, None] + past
    if causal:
        scores = np.where(keys <= queries, scores, -np.inf)
    if window:
        seen = queries + 1 if causal else np.full((rows, 1), total)
        scores = np.where(keys >= seen - window, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = weights / weights.sum(-1, keepdims=True) @ np.repeat(all_v, each, 1)
    m, block = rows * each, min(rows * each, 48)
    scratch = 4 * (m * d + block * (up(total) + up(dv)) + up(d) + up(total) * (d + up(dv)))
    out, present_k, present_v = Out((batch, heads, rows, dv)), Out(all_k.shape), Out(all_v.shape)
    results = kernels(variant).run(
        'cached_attention', q, k, v, past_k, past_v, present_k, present_v, out, mask, None, 0, 0, batch, heads, groups, rows, d, dv, past,
        total, *strides(q), *strides(k), *strides(v), heads * rows * dv, rows * dv, dv, 1,
        *([rows * total, 0, total, 1, 1] if masked else [0] * 5), None, None, None, 0, 0, 0, real(0.3), real(softcap) if softcap else 0,
        int(causal), window, None, None, real(1e-6), 0, Scratch(scratch))
    np.testing.assert_array_equal(results[0], all_k)
    np.testing.assert_array_equal(results[1], all_v)
    np.testing.assert_allclose(results[2], expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize('variant', ['simd', 'relaxed'])
@pytest.mark.parametrize('half', [1, 3, 4, 10])
def test_rotary_in_halves(variant: str, half: int) -> None:
    rng = np.random.default_rng(half)
    x, cos, sin = (rng.standard_normal(shape).astype(np.float32) for shape in [(2, 3, 5, 2 * half), (2, 1, 5, 2 * half), (1, 1, 5, 2 * half)])
    (got,) = kernels(variant).run('rotary_halves', x, cos, sin, Out(x.shape), *x.shape, 10 * half, 0, 2 * half, 0, 0, 2 * half)
    turned = np.concatenate([-x[..., half:], x[..., :half]], -1)
    np.testing.assert_allclose(got, x * cos + turned * sin, rtol=1e-5, atol=1e-5)
