"""Norms, softmax and activations against numpy (in double precision), in both binaries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.driver import VARIANTS, KernelFailed, Out, kernels, real
from tests.kernels.reference import ACTIVATIONS, activation, close, few, floats, seeds, softmax

pytestmark = pytest.mark.parametrize('variant', VARIANTS)


@few
@given(
    rows=st.integers(0, 7),
    n=st.integers(1, 40),
    seed=seeds,
    extra=st.integers(0, 31),
    rms=st.booleans(),
    period=st.integers(1, 3),
)
def test_norms_add_skip_and_bias_first(variant: str, rows: int, n: int, seed: int, extra: int, rms: bool, period: int) -> None:
    rng = np.random.default_rng(seed)
    x, skip, bias, gamma, beta = (
        3 * floats(rng, rows, n) + 5,
        floats(rng, period, n),
        floats(rng, n),
        floats(rng, n),
        floats(rng, n),
    )
    has = [extra >> bit & 1 for bit in range(5)]
    results = kernels(variant).run(
        'rms_norm_f32' if rms else 'layer_norm_f32',
        x,
        skip if has[0] else None,
        bias if has[1] else None,
        gamma if has[2] else None,
        beta if has[3] else None,
        Out((rows, n)),
        Out((rows, n)) if has[4] else None,
        rows,
        n,
        period,
        real(1e-5),
    )
    total = x.astype(np.float64) + (skip[np.arange(rows) % period] if has[0] else 0) + (bias if has[1] else 0)
    mean = 0 if rms else total.mean(1, keepdims=True)
    y = (total - mean) / np.sqrt(((total - mean) ** 2).mean(1, keepdims=True) + 1e-5)
    y = y * (gamma if has[2] else 1) + (beta if has[3] else 0)
    np.testing.assert_allclose(results[0], y, rtol=1e-3, atol=1e-3 if n == 1 else 1e-4)
    if has[4]:
        close(results[1], total)


def test_embed_norm_sums_rows_of_tables(variant: str) -> None:
    rng = np.random.default_rng(0)
    words, positions, segments, gamma, beta = (
        floats(rng, 9, 10),
        floats(rng, 4, 10),
        floats(rng, 2, 10),
        floats(rng, 10),
        floats(rng, 10),
    )
    ids, kinds = np.array([1, 8, -1, 0, 3, 2], np.int64), np.array([0, 1, 1, 0, 0, 1], np.int32)
    run = kernels(variant)
    y, total = run.run(
        'embed_norm_f32',
        ids,
        7,
        words,
        9,
        None,
        0,
        positions,
        4,
        kinds,
        6,
        segments,
        2,
        gamma,
        beta,
        Out((6, 10)),
        Out((6, 10)),
        6,
        10,
        3,
        real(1e-6),
    )
    expected = words[ids] + positions[[0, 1, 2, 0, 1, 2]] + segments[kinds]
    close(total, expected)
    close(y, (expected - expected.mean(1, keepdims=True)) / np.sqrt(expected.var(1, keepdims=True) + 1e-6) * gamma + beta)
    for bad in (9, -10, 2**40):
        ids[2] = bad
        with pytest.raises(KernelFailed) as failure:
            run.run(
                'embed_norm_f32',
                ids,
                7,
                words,
                9,
                None,
                0,
                None,
                0,
                None,
                0,
                None,
                0,
                None,
                None,
                Out((6, 10)),
                None,
                6,
                10,
                3,
                real(1e-6),
            )
        assert failure.value.error == 1


@few
@given(
    outer=st.integers(0, 5),
    n=st.integers(0, 30),
    inner=st.sampled_from([1, 1, 2, 3, 4, 7]),
    seed=seeds,
    spread=st.sampled_from([1.0, 30.0]),
    log=st.booleans(),
)
def test_softmax_runs_along_the_middle(variant: str, outer: int, n: int, inner: int, seed: int, spread: float, log: bool) -> None:
    x = spread * floats(np.random.default_rng(seed), outer, n, inner)
    got = kernels(variant).run('log_softmax_f32' if log else 'softmax_f32', x, Out(x.shape), outer, n, inner)[0]
    if n == 0:
        return
    wide = x.astype(np.float64)
    top = wide.max(1, keepdims=True)
    expected = wide - top - np.log(np.exp(wide - top).sum(1, keepdims=True)) if log else softmax(wide, 1)
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-6 if log else 1e-9)


@pytest.mark.parametrize('log', [False, True])
@pytest.mark.parametrize('inner', [1, 3])
def test_softmax_of_nan_and_infinity_is_as_in_numpy(variant: str, inner: int, log: bool) -> None:
    rows = np.array(
        [[0, -np.inf, 1, 2, 3], [np.nan, 1, 2, 3, 4], [-np.inf] * 5, [np.inf, 1, 2, 3, 4], [1, 2, 3, 4, np.nan]], np.float32
    )
    x = np.repeat(rows[..., None], inner, -1)
    got = kernels(variant).run('log_softmax_f32' if log else 'softmax_f32', x, Out(x.shape), 5, 5, inner)[0]
    with np.errstate(all='ignore'):
        moved = x.astype(np.float64) - x.max(1, keepdims=True)
        expected = moved - np.log(np.exp(moved).sum(1, keepdims=True)) if log else softmax(x.astype(np.float64), 1)
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-6)


ERRORS = {
    'gelu': 1e-6,
    'gelu_tanh': 1e-6,
    'tanh': 5e-7,
    'sigmoid': 5e-7,
    'silu': 1e-6,
    'erf': 5e-7,
    'exp': 3e-7,
    'relu': 0,
    'quick_gelu': 3e-6,
}


@pytest.mark.parametrize('name', sorted(ERRORS))
def test_activations_are_accurate(variant: str, name: str) -> None:
    x = np.concatenate([np.linspace(-12, 12, 20011), np.geomspace(1e-30, 1e-3, 503)]).astype(np.float32)
    got = kernels(variant).run('activation_f32', ACTIVATIONS.index(name), x, None, Out(x.shape), x.size, 0)[0]
    expected = activation(name, x)
    # Where 1 + erf or 1 + tanh cancels, what counts is the error beside x, as it does for float32 numpy.
    unit = np.abs(expected) if 'gelu' not in name or name == 'quick_gelu' else np.maximum(np.abs(expected), np.abs(x) / 2)
    assert (np.abs(got - expected) / np.maximum(unit, 1e-30)).max() <= ERRORS[name]


@pytest.mark.parametrize('name', sorted(ERRORS))
def test_activations_of_nan_infinity_and_the_largest_numbers_are_as_in_numpy(variant: str, name: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0, 3e38, -3e38, 89, -104, -90, 120, -120], np.float32)
    got = kernels(variant).run('activation_f32', ACTIVATIONS.index(name), x, None, Out(x.shape), x.size, 0)[0]
    with np.errstate(all='ignore'):
        expected = np.array([activation(name, value)[()] for value in x]).astype(np.float32)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-37)


@few
@given(rows=st.integers(0, 5), n=st.sampled_from([1, 3, 64, 701, 2500]), seed=seeds)
def test_activation_adds_a_repeating_bias(variant: str, rows: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, bias = floats(rng, rows, n), floats(rng, n)
    got = kernels(variant).run('activation_f32', 1, x, bias, Out(x.shape), rows * n, n)[0]
    assert (got == np.maximum(x + bias, 0)).all()
