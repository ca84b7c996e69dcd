"""The dense float32 kernels against numpy (in double precision), in both binaries."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.kernels.driver import VARIANTS, At, InOut, Kernels, Out, Packed, Scratch, kernels, real
from tests.kernels.reference import ACTIVATIONS, activation, close, few, floats, seeds, sizes, softmax, up

pytestmark = pytest.mark.parametrize('variant', VARIANTS)


def pack_f32(
    k: Kernels, b: np.ndarray, row: int | None = None, column: int = 1, shape: tuple[int, int] | None = None
) -> np.ndarray:
    rows, columns = shape or b.shape
    size = 8 * up(columns, 8) * rows
    return k.run('pack_f32', b, Out(size, aligned=True), rows, columns, columns if row is None else row, column, None)[0].view(Packed)


def pack_with_lines(k: Kernels, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """b packed, and the first byte of each of its lines."""
    rows, columns = b.shape
    size = 8 * up(columns, 8) * rows
    packed, lines = k.run('pack_f32', b, Out(size, aligned=True), rows, columns, columns, 1, Out(up(4 * size, 64), np.uint8))
    return packed.view(Packed), lines


# float32 products


@few
@given(
    m=sizes,
    n=sizes,
    k=sizes,
    seed=seeds,
    name=st.sampled_from(ACTIVATIONS[:8]),
    alpha=st.sampled_from([1.0, 0.25]),
    extra=st.integers(0, 7),
)
def test_gemm_applies_alpha_bias_activation_and_residual(
    variant: str, m: int, n: int, k: int, seed: int, name: str, alpha: float, extra: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b, bias, residual = floats(rng, m, k + 3), floats(rng, k, n), floats(rng, n), floats(rng, m, n + 2)
    run = kernels(variant)
    packed = pack_f32(run, b)
    arguments = [m, n, k, k + 3, n + 2, n + 2, real(alpha), ACTIVATIONS.index(name), None]
    bias_given, residual_given, in_place = extra & 1, extra & 2, extra == 6
    c = np.full((m, n + 2), 7, np.float32)
    if in_place:
        address = InOut(residual.copy())
        # The residual is C itself: one address twice.
        got = run.run('gemm_f32', a, packed, address, bias if bias_given else None, address, *arguments)[-1]
        c[:, n:] = residual[:, n:]
    else:
        got = run.run(
            'gemm_f32', a, packed, InOut(c), bias if bias_given else None, residual if residual_given else None, *arguments
        )[0]
    expected = activation(name, alpha * (a[:, :k].astype(np.float64) @ b) + (bias if bias_given else 0))
    if residual_given:
        expected = expected + residual[:, :n]
    close(got[:, :n], expected, k**0.5)
    assert (got[:, n:] == c[:, n:]).all()


@pytest.mark.parametrize(('m', 'n', 'k'), [(1, 64, 1537), (200, 17, 700), (33, 9, 2000), (300, 8, 20)])
def test_gemm_blocks_large_dims(variant: str, m: int, n: int, k: int) -> None:
    rng = np.random.default_rng(m)
    a, b = floats(rng, m, k), floats(rng, k, n)
    run = kernels(variant)
    got = run.run('gemm_f32', a, pack_f32(run, b), Out((m, n)), None, None, m, n, k, k, n, 0, real(1), 0, None)[0]
    close(got, a.astype(np.float64) @ b, k**0.5)


@few
@given(m=st.integers(4, 70), n=st.integers(1, 80), k=st.integers(1, 600), name=st.sampled_from(['none', 'gelu']), alpha=st.sampled_from([1.0, 0.25]), seed=seeds)
def test_a_row_does_not_depend_on_the_tile_it_is_in(variant: str, m: int, n: int, k: int, name: str, alpha: float, seed: int) -> None:
    # All rows are in one block. A tile of 2 rows, which only the simple binary makes of the rest, has two sums for each element.
    if variant == 'simd':
        m -= m % 4
    rng = np.random.default_rng(seed)
    a, b, bias = floats(rng, m, k), floats(rng, k, n), floats(rng, n)
    run = kernels(variant)
    packed = pack_f32(run, b)

    def product(rows: np.ndarray) -> np.ndarray:
        words = [len(rows), n, k, k, n, 0, real(alpha), ACTIVATIONS.index(name), None]
        return run.run('gemm_f32', rows, packed, Out((len(rows), n)), bias, None, *words)[0]

    whole = product(a)
    for first in [*range(0, m - 4, 4), m - 4]:
        assert (product(a[first : first + 4]) == whole[first : first + 4]).all()


@few
@given(m=st.integers(1, 110), n=st.integers(1, 80), k=st.integers(1, 1100), low=st.integers(0, 60), seed=seeds)
# What is brought near ends with the weights.
@example(m=32, n=16, k=64, low=0, seed=0)
def test_lines_are_written_as_they_are(variant: str, m: int, n: int, k: int, low: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = floats(rng, m, k), floats(rng, k, n)
    run = kernels(variant)
    packed, lines = pack_with_lines(run, b)
    assert (lines == packed.view(np.uint8)[::64]).all()
    out = Out((m, n))
    words = [out, None, None, m, n, k, k, n, 0, real(1), 0]
    plain = run.run('gemm_f32', a, packed, *words, None)[0]
    # That the weights stay as they are the driver checks of every input.
    assert (run.run('gemm_f32', a, packed, *words, lines)[0] == plain).all()
    # The last rows only, from one at which a line begins.
    first = 2 * min(low, (k - 1) // 2)
    words[5] = words[6] = k - first
    got = run.run('gemm_rows_f32', a[:, first:], At(packed, 32 * first), *words, At(lines, first // 2), k)[0]
    close(got, a[:, first:].astype(np.float64) @ b[first:], k**0.5)


@few
@given(m=st.integers(1, 110), n=st.integers(1, 80), unit=st.sampled_from([8, 40]), units=st.integers(4, 30), rest=st.integers(0, 7), parts=st.integers(2, 4),
       alpha=st.sampled_from([1.0, 0.5]), residual_given=st.booleans(), seed=seeds)
@example(m=32, n=384, unit=8, units=192, rest=0, parts=2, alpha=1.0, residual_given=True, seed=0)
def test_a_product_in_parts_is_those_of_its_rows_added(
    variant: str, m: int, n: int, unit: int, units: int, rest: int, parts: int, alpha: float, residual_given: bool, seed: int,
) -> None:
    k = unit * units + rest
    rng = np.random.default_rng(seed)
    a, b, bias, residual = floats(rng, m, k), floats(rng, k, n), floats(rng, n), floats(rng, m, n)
    run = kernels(variant)
    packed = pack_f32(run, b)
    words = [n, n, real(alpha), 0, None]
    given_residual = residual if residual_given else None
    got = run.run('gemm_parts_f32', a, packed, Out((m, n)), bias, given_residual, m, n, k, k, *words, parts, units, unit)[0]
    starts = [units * i // parts * unit for i in range(parts)] + [k]
    expected = given_residual
    for low, high in pairwise(starts):
        dims = [m, n, high - low, k - low]
        expected = run.run('gemm_rows_f32', a[:, low:], At(packed, 32 * low), Out((m, n)), bias if low == 0 else None, expected, *dims, *words, k)[0]
    assert (got == expected).all()
    close(got, alpha * (a.astype(np.float64) @ b) + bias + (residual if residual_given else 0), k**0.5)


def test_weights_packed_side_by_side_are_one_matrix(variant: str) -> None:
    rng = np.random.default_rng(1)
    a, first, second = floats(rng, 5, 12), floats(rng, 12, 16), floats(rng, 12, 11)
    run = kernels(variant)
    packed = np.concatenate([pack_f32(run, first), pack_f32(run, second)]).view(Packed)
    got = run.run('gemm_f32', a, packed, Out((5, 27)), None, None, 5, 27, 12, 12, 27, 0, real(1), 0, None)[0]
    close(got, a @ np.concatenate([first, second], 1))


def test_gemm_carries_nan_and_infinity(variant: str) -> None:
    a = np.ones((3, 8), np.float32)
    a[0, 3], a[1, 5] = np.nan, np.inf
    run = kernels(variant)
    for name in ('none', 'relu', 'gelu', 'sigmoid'):
        got = run.run(
            'gemm_f32',
            a,
            pack_f32(run, np.ones((8, 9), np.float32)),
            Out((3, 9)),
            None,
            None,
            3,
            9,
            8,
            8,
            9,
            0,
            real(1),
            ACTIVATIONS.index(name),
            None,
        )[0]
        assert np.isnan(got[0]).all()
        assert (got[1] == (1 if name == 'sigmoid' else np.inf)).all()
        assert np.isfinite(got[2]).all()


@few
@given(
    m=st.integers(0, 14),
    n=sizes,
    k=sizes,
    seed=seeds,
    a_columns=st.booleans(),
    b_columns=st.booleans(),
    spread=st.integers(1, 2),
    batch=st.sampled_from([(1, 1, 1, 1), (2, 1, 1, 3), (3, 1, 3, 1), (2, 2, 3, 3), (0, 1, 1, 1), (1, 3, 2, 2)]),
    extra=st.integers(0, 7),
)
def test_matmul_takes_any_strides_and_broadcast_batches(
    variant: str,
    m: int,
    n: int,
    k: int,
    seed: int,
    a_columns: bool,
    b_columns: bool,
    spread: int,
    batch: tuple[int, int, int, int],
    extra: int,
) -> None:
    rng = np.random.default_rng(seed)
    a1, b1, a2, b2 = batch
    one, two = (0 if 0 in (a1, b1) else max(a1, b1)), max(a2, b2)
    a_shape, b_shape = ((k, m) if a_columns else (m, k)), ((n, k) if b_columns else (k, n))
    a, b = floats(rng, a1, a2, a_shape[0], a_shape[1] * spread), floats(rng, b1, b2, b_shape[0], b_shape[1] * spread)
    a_view, b_view = a[..., ::spread], b[..., ::spread]
    a_view, b_view = (a_view.swapaxes(2, 3) if a_columns else a_view), (b_view.swapaxes(2, 3) if b_columns else b_view)
    bias, residual = floats(rng, n), floats(rng, one, two, m, n)

    def steps(x: np.ndarray) -> list[int]:
        return [0 if dim == 1 and axis < 2 else s // 4 for axis, (dim, s) in enumerate(zip(x.shape, x.strides, strict=True))]

    sa, sb = steps(a_view), steps(b_view)
    alpha = 0.5 if extra & 4 else 1.0
    got = kernels(variant).run(
        'matmul_f32',
        a,
        b,
        Out((one, two, m, n)),
        bias if extra & 1 else None,
        residual if extra & 2 else None,
        m,
        n,
        k,
        sa[2],
        sa[3],
        sb[2],
        sb[3],
        n,
        real(alpha),
        1,
        Scratch(4 * (8 * up(n, 8) * k + m * k)),
        one,
        sa[0],
        sb[0],
        two * m * n,
        two,
        sa[1],
        sb[1],
        m * n,
    )[0]
    expected = np.maximum(alpha * (a_view.astype(np.float64) @ b_view) + (bias if extra & 1 else 0), 0) + (
        residual if extra & 2 else 0
    )
    close(got, expected.reshape(got.shape), k**0.5)


# attention


PERMS = [(0, 1, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2)]


@few
@given(
    b=st.integers(1, 2),
    kv_heads=st.integers(1, 2),
    group=st.integers(1, 2),
    s=st.sampled_from([0, 1, 3, 8, 50]),
    t=st.integers(1, 20),
    d=st.integers(1, 12),
    dv=st.integers(1, 12),
    seed=seeds,
    perm=st.sampled_from(PERMS),
    mask_type=st.integers(0, 4),
    mask_dims=st.integers(0, 15),
    causal=st.booleans(),
    softcap=st.sampled_from([0.0, 2.0]),
)
def test_sdpa_is_softmax_of_scores_times_values(
    variant: str,
    b: int,
    kv_heads: int,
    group: int,
    s: int,
    t: int,
    d: int,
    dv: int,
    seed: int,
    perm: tuple[int, ...],
    mask_type: int,
    mask_dims: int,
    causal: bool,
    softcap: float,
) -> None:
    rng = np.random.default_rng(seed)
    heads = kv_heads * group

    def stored(*shape: int) -> tuple[np.ndarray, np.ndarray]:
        """An array laid out in the order of perm, and its view as [B, H, S, D]."""
        data = floats(rng, *(shape[axis] for axis in perm))
        return data, data.transpose(np.argsort(perm))

    def steps(x: np.ndarray) -> list[int]:
        return [step // x.itemsize for step in x.strides]

    (q, q_view), (k, k_view), (v, v_view), (out, out_view) = (
        stored(b, heads, s, d),
        stored(b, kv_heads, t, d),
        stored(b, kv_heads, t, dv),
        stored(b, heads, s, dv),
    )
    mask_shape = [dim if mask_dims >> axis & 1 else 1 for axis, dim in enumerate((b, heads, s, t))]
    mask: np.ndarray | None = None
    scores = q_view.astype(np.float64) @ np.repeat(k_view, group, 1).swapaxes(2, 3) * 0.3
    if softcap:
        scores = softcap * np.tanh(scores / softcap)
    fill = -50.0
    if mask_type == 1:
        mask = floats(rng, *mask_shape)
        scores = scores + mask
    elif mask_type:
        mask = rng.random(mask_shape) < 0.5
        scores = [np.where(mask, scores, fill), np.where(mask, fill, scores), scores + np.where(mask, 0, fill)][mask_type - 2]
    offset = max(t - s, 0)
    if causal:
        scores = np.where(np.arange(t) <= np.arange(s)[:, None] + offset, scores, -np.inf)
    expected = softmax(scores) @ np.repeat(v_view, group, 1)
    mask_steps = (
        [0 if dim == 1 else step for dim, step in zip(mask_shape, steps(mask), strict=True)] if mask is not None else [0] * 4
    )
    rows, t8, dv8 = min(s, 48), 8 * up(t, 8), 8 * up(dv, 8)
    got = kernels(variant).run(
        'sdpa_f32',
        q,
        k,
        v,
        mask,
        Out(out.shape),
        b,
        heads,
        s,
        t,
        d,
        dv,
        group,
        *steps(q_view),
        *steps(k_view),
        *steps(v_view),
        *steps(out_view),
        *mask_steps,
        mask_type,
        real(fill),
        real(0.3),
        real(softcap),
        int(causal),
        offset,
        0,
        Scratch(4 * (t8 * d + dv8 * t + rows * (t8 + d + dv8))),
    )[0]
    close(got.transpose(np.argsort(perm)), expected)


@pytest.mark.parametrize('masked', [-np.inf, np.finfo(np.float32).min])
def test_sdpa_treats_masked_rows_as_softmax_does(variant: str, masked: float) -> None:
    rng = np.random.default_rng(0)
    q, k, v = floats(rng, 2, 4), floats(rng, 5, 4), floats(rng, 5, 4)
    mask = np.zeros((2, 5), np.float32)
    mask[0], mask[1, 2:] = masked, masked
    same = [20, 20, 4, 1]
    got = kernels(variant).run(
        'sdpa_f32',
        q,
        k,
        v,
        mask,
        Out((2, 4)),
        1,
        1,
        2,
        5,
        4,
        4,
        1,
        8,
        8,
        4,
        1,
        *same,
        *same,
        8,
        8,
        4,
        1,
        0,
        0,
        5,
        1,
        1,
        0,
        real(1),
        0,
        0,
        0,
        0,
        Scratch(4000),
    )[0]
    with np.errstate(all='ignore'):
        expected = softmax(q @ k.T + mask) @ v
    close(got, expected)
    assert np.isnan(got[0]).all() == np.isinf(masked)


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('guard', [0, 1])
def test_sdpa_gives_nan_to_a_query_that_sees_no_key_or_0_if_guarded(variant: str, masked: bool, guard: int) -> None:
    rng = np.random.default_rng(0)
    q, k, v = floats(rng, 3, 4), floats(rng, 5, 4), floats(rng, 5, 4)
    mask = np.zeros(5, np.float32) if masked else None
    steps = [20, 20, 4, 1]
    layout = [12, 12, 4, 1, *steps, *steps, 12, 12, 4, 1, 0, 0, 0, 1]
    words = [int(masked), 0, real(1), 0, 1, -1, guard, Scratch(4000)]
    got = kernels(variant).run('sdpa_f32', q, k, v, mask, Out((3, 4)), 1, 1, 3, 5, 4, 4, 1, *layout, *words)[0]
    assert (got[0] == 0).all() if guard else np.isnan(got[0]).all()
    close(got[1:], softmax(np.where(np.arange(5) <= [[0], [1]], q[1:] @ k.T, -np.inf)) @ v)
