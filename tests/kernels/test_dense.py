"""The dense kernels against numpy (in double precision) and onnx.reference, in both binaries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from tests.kernels.driver import VARIANTS, InOut, KernelFailed, Kernels, Out, Packed, Scratch, kernels, real

ACTIVATIONS = ['none', 'relu', 'gelu', 'gelu_tanh', 'tanh', 'sigmoid', 'silu', 'erf', 'exp', 'quick_gelu']
UINT8, INT8 = 2, 3

pytestmark = pytest.mark.parametrize('variant', VARIANTS)
few = settings(max_examples=25, deadline=None)
sizes = st.integers(0, 40)
seeds = st.integers(0, 2**32 - 1)


def up(a: int, b: int) -> int:
    return -(-a // b)


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def activation(name: str, x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    erf = np.vectorize(math.erf, otypes=[np.float64])
    with np.errstate(all='ignore'):
        match name:
            case 'none':
                return x
            case 'relu':
                return np.maximum(x, 0)
            case 'gelu':
                return 0.5 * x * (1 + erf(x / math.sqrt(2)))
            case 'gelu_tanh':
                return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
            case 'tanh':
                return np.tanh(x)
            case 'sigmoid':
                return 1 / (1 + np.exp(-x))
            case 'silu':
                return x / (1 + np.exp(-x)) if np.isfinite(x).all() else x * (1 / (1 + np.exp(-x)))
            case 'erf':
                return erf(x)
            case 'exp':
                return np.exp(x)
            case _:
                return x * (1 / (1 + np.exp(-1.702 * x)))


def close(got: np.ndarray, expected: np.ndarray, scale: float = 1.0) -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-5 * max(scale, 1.0))


def pack_f32(k: Kernels, b: np.ndarray, row: int | None = None, column: int = 1, shape: tuple[int, int] | None = None) -> np.ndarray:
    rows, columns = shape or b.shape
    size = 8 * up(columns, 8) * rows
    return k.run('pack_f32', b, Out(size, aligned=True), rows, columns, columns if row is None else row, column)[0].view(Packed)


# float32 products


@few
@given(m=sizes, n=sizes, k=sizes, seed=seeds, name=st.sampled_from(ACTIVATIONS[:8]), alpha=st.sampled_from([1.0, 0.25]), extra=st.integers(0, 7))
def test_gemm_applies_alpha_bias_activation_and_residual(variant: str, m: int, n: int, k: int, seed: int, name: str, alpha: float, extra: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, bias, residual = floats(rng, m, k + 3), floats(rng, k, n), floats(rng, n), floats(rng, m, n + 2)
    run = kernels(variant)
    packed = pack_f32(run, b)
    arguments = [m, n, k, k + 3, n + 2, n + 2, real(alpha), ACTIVATIONS.index(name)]
    bias_given, residual_given, in_place = extra & 1, extra & 2, extra == 6
    c = np.full((m, n + 2), 7, np.float32)
    if in_place:
        address = InOut(residual.copy())
        # The residual is C itself: one address twice.
        got = run.run('gemm_f32', a, packed, address, bias if bias_given else None, address, *arguments)[-1]
        c[:, n:] = residual[:, n:]
    else:
        got = run.run('gemm_f32', a, packed, InOut(c), bias if bias_given else None, residual if residual_given else None, *arguments)[0]
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
    got = run.run('gemm_f32', a, pack_f32(run, b), Out((m, n)), None, None, m, n, k, k, n, 0, real(1), 0)[0]
    close(got, a.astype(np.float64) @ b, k**0.5)


def test_weights_packed_side_by_side_are_one_matrix(variant: str) -> None:
    rng = np.random.default_rng(1)
    a, first, second = floats(rng, 5, 12), floats(rng, 12, 16), floats(rng, 12, 11)
    run = kernels(variant)
    packed = np.concatenate([pack_f32(run, first), pack_f32(run, second)]).view(Packed)
    got = run.run('gemm_f32', a, packed, Out((5, 27)), None, None, 5, 27, 12, 12, 27, 0, real(1), 0)[0]
    close(got, a @ np.concatenate([first, second], 1))


def test_gemm_carries_nan_and_infinity(variant: str) -> None:
    a = np.ones((3, 8), np.float32)
    a[0, 3], a[1, 5] = np.nan, np.inf
    run = kernels(variant)
    for name in ('none', 'relu', 'gelu', 'sigmoid'):
        got = run.run('gemm_f32', a, pack_f32(run, np.ones((8, 9), np.float32)), Out((3, 9)), None, None, 3, 9, 8, 8, 9, 0, real(1), ACTIVATIONS.index(name))[0]
        assert np.isnan(got[0]).all()
        assert (got[1] == (1 if name == 'sigmoid' else np.inf)).all()
        assert np.isfinite(got[2]).all()


@few
@given(
    m=st.integers(0, 14), n=sizes, k=sizes, seed=seeds, a_columns=st.booleans(), b_columns=st.booleans(), spread=st.integers(1, 2),
    batch=st.sampled_from([(1, 1, 1, 1), (2, 1, 1, 3), (3, 1, 3, 1), (2, 2, 3, 3), (0, 1, 1, 1), (1, 3, 2, 2)]), extra=st.integers(0, 7),
)  # fmt: skip
def test_matmul_takes_any_strides_and_broadcast_batches(
    variant: str, m: int, n: int, k: int, seed: int, a_columns: bool, b_columns: bool, spread: int, batch: tuple[int, int, int, int], extra: int
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
        'matmul_f32', a, b, Out((one, two, m, n)), bias if extra & 1 else None, residual if extra & 2 else None, m, n, k,
        sa[2], sa[3], sb[2], sb[3], n, real(alpha), 1, Scratch(4 * (8 * up(n, 8) * k + m * k)),
        one, sa[0], sb[0], two * m * n, two, sa[1], sb[1], m * n,
    )[0]  # fmt: skip
    expected = np.maximum(alpha * (a_view.astype(np.float64) @ b_view) + (bias if extra & 1 else 0), 0) + (residual if extra & 2 else 0)
    close(got, expected.reshape(got.shape), k**0.5)


# 8-bit integers


def pack_i8(k: Kernels, b: np.ndarray, row: int, column: int, shape: tuple[int, int]) -> np.ndarray:
    size = 4 * up(shape[1], 8) * (64 + 8 * up(shape[0], 4))
    kind = UINT8 if b.dtype == np.uint8 else INT8
    return k.run('pack_i8', b, Out(size, np.uint8, aligned=True), *shape, row, column, kind)[0].view(Packed)


WEIGHTS = {'int8': (np.int8, -128, 127), 'int7': (np.int8, -64, 64), 'uint8': (np.uint8, 0, 255), 'uint7': (np.uint8, 0, 127), 'extreme': (np.int8, -128, -128)}


def weights(rng: np.random.Generator, kind: str, *shape: int) -> np.ndarray:
    dtype, low, high = WEIGHTS[kind]
    return rng.integers(low, high, shape, dtype, endpoint=True)


@few
@given(
    m=st.integers(0, 14), n=st.integers(0, 30), k=sizes, seed=seeds, kind=st.sampled_from(sorted(WEIGHTS)), transposed=st.booleans(),
    a_signed=st.booleans(), a_zp=st.sampled_from(['', 'one', 'rows']), b_zp=st.sampled_from(['', 'one', 'columns']),
)  # fmt: skip
def test_matmul_integer_is_exact(
    variant: str, m: int, n: int, k: int, seed: int, kind: str, transposed: bool, a_signed: bool, a_zp: str, b_zp: str
) -> None:
    rng = np.random.default_rng(seed)
    a = weights(rng, 'int8' if a_signed else 'uint8', m, k)
    b = weights(rng, kind, n, k).T if transposed else weights(rng, kind, k, n)
    a_zero = weights(rng, 'int8' if a_signed else 'uint8', m if a_zp == 'rows' else 1)
    b_zero = weights(rng, kind, n if b_zp == 'columns' else 1)
    run = kernels(variant)
    packed = pack_i8(run, np.ascontiguousarray(b.T if transposed else b), 1 if transposed else n, k if transposed else 1, (k, n))
    got = run.run(
        'matmul_integer', a, INT8 if a_signed else UINT8, a_zero if a_zp else None, a_zero.size, packed, INT8 if b.dtype == np.int8 else UINT8,
        b_zero if b_zp else None, b_zero.size, Out((m, n), np.int32), m, n, k, Scratch(m * (12 * up(k, 4) + 8)),
    )[0]  # fmt: skip
    wide_a = a.astype(np.int64) - (a_zero.astype(np.int64)[:, None] if a_zp else 0)
    wide_b = b.astype(np.int64) - (b_zero.astype(np.int64) if b_zp else 0)
    assert (got == wide_a @ wide_b).all()


@pytest.mark.parametrize('kind', sorted(WEIGHTS))
def test_matmul_integer_is_exact_at_the_ends_of_the_range(variant: str, kind: str) -> None:
    run = kernels(variant)
    _, low, high = WEIGHTS[kind]
    k = 1031
    b = np.where(np.arange(k * 19).reshape(k, 19) % 3 == 0, low, high).astype(WEIGHTS[kind][0])
    a = np.where(np.arange(230 * k).reshape(230, k) % 5 == 0, 0, 255).astype(np.uint8)
    packed = pack_i8(run, b, 19, 1, (k, 19))
    got = run.run('matmul_integer', a, UINT8, None, 1, packed, UINT8 if b.dtype == np.uint8 else INT8, None, 1, Out((230, 19), np.int32), 230, 19, k, Scratch(230 * (12 * up(k, 4) + 8)))[0]
    assert (got == a.astype(np.int64) @ b.astype(np.int64)).all()


def quantize(k: Kernels, x: np.ndarray) -> list[np.ndarray]:
    return k.run('quantize_dynamic', x, Out(x.shape, np.uint8), Out(1), Out(1, np.uint8), x.size)


@few
@given(values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50))
def test_quantize_dynamic_is_the_operator(variant: str, values: list[float]) -> None:
    x = np.array(values, np.float32)
    y, scale, zero = quantize(kernels(variant), x)
    node = helper.make_node('DynamicQuantizeLinear', ['x'], ['y', 's', 'z'])
    outputs = [helper.make_tensor_value_info(name, 0, None) for name in 'ysz']
    graph = helper.make_graph([node], 'g', [helper.make_tensor_value_info('x', TensorProto.FLOAT, ['n'])], outputs)
    if max(x.max(), 0) == min(x.min(), 0) or (max(x.max(), 0) - min(x.min(), 0)) / np.float32(255) < 1e-37:
        assert (y == zero).all() or not x.any()
        return
    expected = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 21)])).run(None, {'x': x})
    assert scale[0] == expected[1]
    assert zero[0] == expected[2]
    assert (y == expected[0]).all()


def test_quantize_dynamic_rounds_half_to_even_and_survives_any_float(variant: str) -> None:
    y, scale, zero = quantize(kernels(variant), np.array([0.5, 1.5, 2.5, 255, 0, 253.5], np.float32))
    assert (scale[0], zero[0], y.tolist()) == (1, 0, [0, 2, 2, 255, 0, 254])
    assert quantize(kernels(variant), np.zeros(5, np.float32))[0].tolist() == [0] * 5
    quantize(kernels(variant), np.array([np.nan, np.inf, -np.inf, 1, 2], np.float32))
    assert quantize(kernels(variant), np.zeros(0, np.float32))[1][0] == 1


@few
@given(
    m=st.integers(0, 9), n=st.integers(0, 30), k=sizes, seed=seeds, kind=st.sampled_from(sorted(WEIGHTS)), per_column=st.booleans(),
    name=st.sampled_from(ACTIVATIONS[:7]), extra=st.integers(0, 7),
)  # fmt: skip
def test_gemm_i8_is_the_chain_of_onnx_operators(
    variant: str, m: int, n: int, k: int, seed: int, kind: str, per_column: bool, name: str, extra: int
) -> None:
    rng = np.random.default_rng(seed)
    run = kernels(variant)
    x, b = floats(rng, m, k), weights(rng, kind, k, n)
    a, a_scale, a_zero = quantize(run, x)
    count = n if per_column else 1
    b_scale, b_zero = rng.uniform(0.01, 0.1, count).astype(np.float32), weights(rng, kind, count)
    bias, residual = floats(rng, n), floats(rng, m, n)
    got = run.run(
        'gemm_i8', a, UINT8, a_scale, a_zero, pack_i8(run, b, n, 1, (k, n)), INT8 if b.dtype == np.int8 else UINT8, b_scale, count,
        b_zero if extra & 1 else None, count, bias if extra & 2 else None, residual if extra & 4 else None, Out((m, n)), m, n, k,
        ACTIVATIONS.index(name), Scratch(m * (12 * up(k, 4) + 8)),
    )[0]  # fmt: skip
    exact = (a.astype(np.int64) - int(a_zero[0])) @ (b.astype(np.int64) - (b_zero.astype(np.int64) if extra & 1 else 0))
    product = exact.astype(np.float32) * (a_scale * b_scale) + (bias if extra & 2 else 0)
    expected = activation(name, product) + (residual if extra & 4 else 0)
    if name == 'none':
        assert (got == expected.astype(np.float32)).all() or extra & 4
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


# weights in blocks of few bits


@few
@given(
    m=st.integers(0, 7), n=st.integers(0, 20), k=st.integers(1, 70), seed=seeds, bits=st.sampled_from([2, 4, 8]), block=st.sampled_from([16, 32, 64]),
    zeros=st.integers(0, 2), extra=st.integers(0, 3),
)  # fmt: skip
def test_gemm_nbits_multiplies_dequantized_weights(
    variant: str, m: int, n: int, k: int, seed: int, bits: int, block: int, zeros: int, extra: int
) -> None:
    rng = np.random.default_rng(seed)
    run = kernels(variant)
    blocks = up(k, block)
    codes = rng.integers(0, 1 << bits, (n, blocks, block), np.uint8)
    points = rng.integers(0, 1 << bits, (n, blocks), np.uint8)

    def packed_bits(x: np.ndarray) -> np.ndarray:
        per_byte = 8 // bits
        x = np.concatenate([x, np.zeros((*x.shape[:-1], -x.shape[-1] % per_byte), np.uint8)], -1)
        x = x.reshape(*x.shape[:-1], up(x.shape[-1], per_byte), per_byte)
        return np.bitwise_or.reduce(x << (bits * np.arange(per_byte, dtype=np.uint8)), -1).astype(np.uint8)

    scales, real_points = rng.uniform(0.5, 1.5, (n, blocks)).astype(np.float32), floats(rng, n, blocks)
    given_zeros, zero = [(None, 1 << (bits - 1)), (packed_bits(points), points[..., None].astype(float)), (real_points, real_points[..., None])][zeros]
    dense = ((codes - np.float64(1) * zero) * scales[..., None]).reshape(n, blocks * block)[:, :k]
    a, bias, residual = floats(rng, m, k), floats(rng, n), floats(rng, m, n)
    size = up(n, 8) * blocks * (64 + block * bits)
    packed = run.run('pack_nbits', packed_bits(codes), scales, given_zeros, Out(size, np.uint8, aligned=True), n, k, block, bits, zeros)[0]
    got = run.run(
        'gemm_nbits', a, packed.view(Packed), Out((m, n)), bias if extra & 1 else None, residual if extra & 2 else None, m, n, k, k, n, n, block, bits,
        1, Scratch(32 * blocks * block),
    )[0]  # fmt: skip
    expected = np.maximum(a @ dense.T + (bias if extra & 1 else 0), 0) + (residual if extra & 2 else 0)
    close(got, expected, (1 << bits) * k**0.5)


@pytest.mark.parametrize('kind', [0, 1])
@pytest.mark.parametrize(('n', 'k', 'block'), [(6, 48, 64), (5, 33, 16)])
def test_dequantize_bnb4_is_the_operator_of_onnxruntime(variant: str, kind: int, n: int, k: int, block: int) -> None:
    import onnxruntime

    rng = np.random.default_rng(kind)
    codes, absmax = rng.integers(0, 256, up(n * k, 2), np.uint8), rng.uniform(0.5, 2, up(n * k, block)).astype(np.float32)
    node = helper.make_node('MatMulBnb4', ['a', 'b', 'm'], ['y'], domain='com.microsoft', K=k, N=n, block_size=block, quant_type=kind)
    inputs = [
        helper.make_tensor_value_info('a', TensorProto.FLOAT, [k, k]),
        helper.make_tensor_value_info('b', TensorProto.UINT8, codes.shape),
        helper.make_tensor_value_info('m', TensorProto.FLOAT, absmax.shape),
    ]
    graph = helper.make_graph([node], 'g', inputs, [helper.make_tensor_value_info('y', TensorProto.FLOAT, [k, n])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17), helper.make_opsetid('com.microsoft', 1)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    expected = session.run(None, {'a': np.eye(k, dtype=np.float32), 'b': codes, 'm': absmax})[0]
    got = kernels(variant).run('dequantize_bnb4', codes, absmax, Out((n, k)), n * k, block, kind)[0]
    np.testing.assert_allclose(got, expected.T, rtol=1e-6)


# attention


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    with np.errstate(all='ignore'):
        e = np.exp(x - x.max(axis, keepdims=True, initial=-np.inf))
        return e / e.sum(axis, keepdims=True)


PERMS = [(0, 1, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2)]


@few
@given(
    b=st.integers(1, 2), kv_heads=st.integers(1, 2), group=st.integers(1, 2), s=st.sampled_from([0, 1, 3, 8, 50]), t=st.integers(1, 20), d=st.integers(1, 12),
    dv=st.integers(1, 12), seed=seeds, perm=st.sampled_from(PERMS), mask_type=st.integers(0, 4), mask_dims=st.integers(0, 15), causal=st.booleans(),
    softcap=st.sampled_from([0.0, 2.0]),
)  # fmt: skip
def test_sdpa_is_softmax_of_scores_times_values(
    variant: str, b: int, kv_heads: int, group: int, s: int, t: int, d: int, dv: int, seed: int, perm: tuple[int, ...], mask_type: int, mask_dims: int,
    causal: bool, softcap: float,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    heads = kv_heads * group

    def stored(*shape: int) -> tuple[np.ndarray, np.ndarray]:
        """An array laid out in the order of perm, and its view as [B, H, S, D]."""
        data = floats(rng, *(shape[axis] for axis in perm))
        return data, data.transpose(np.argsort(perm))

    def steps(x: np.ndarray) -> list[int]:
        return [step // x.itemsize for step in x.strides]

    (q, q_view), (k, k_view), (v, v_view), (out, out_view) = stored(b, heads, s, d), stored(b, kv_heads, t, d), stored(b, kv_heads, t, dv), stored(b, heads, s, dv)
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
    mask_steps = [0 if dim == 1 else step for dim, step in zip(mask_shape, steps(mask), strict=True)] if mask is not None else [0] * 4
    rows, t8, dv8 = min(s, 48), 8 * up(t, 8), 8 * up(dv, 8)
    got = kernels(variant).run(
        'sdpa_f32', q, k, v, mask, Out(out.shape), b, heads, s, t, d, dv, group, *steps(q_view), *steps(k_view), *steps(v_view), *steps(out_view), *mask_steps,
        mask_type, real(fill), real(0.3), real(softcap), int(causal), offset, Scratch(4 * (t8 * d + dv8 * t + rows * (t8 + d + dv8))),
    )[0]  # fmt: skip
    close(got.transpose(np.argsort(perm)), expected)


@pytest.mark.parametrize('masked', [-np.inf, np.finfo(np.float32).min])
def test_sdpa_treats_masked_rows_as_softmax_does(variant: str, masked: float) -> None:
    rng = np.random.default_rng(0)
    q, k, v = floats(rng, 2, 4), floats(rng, 5, 4), floats(rng, 5, 4)
    mask = np.zeros((2, 5), np.float32)
    mask[0], mask[1, 2:] = masked, masked
    same = [20, 20, 4, 1]
    got = kernels(variant).run(
        'sdpa_f32', q, k, v, mask, Out((2, 4)), 1, 1, 2, 5, 4, 4, 1, 8, 8, 4, 1, *same, *same, 8, 8, 4, 1, 0, 0, 5, 1, 1, 0, real(1), 0, 0, 0, Scratch(4000)
    )[0]  # fmt: skip
    with np.errstate(all='ignore'):
        expected = softmax(q @ k.T + mask) @ v
    close(got, expected)
    assert np.isnan(got[0]).all() == np.isinf(masked)


# norms, softmax, activations


@few
@given(rows=st.integers(0, 7), n=st.integers(1, 40), seed=seeds, extra=st.integers(0, 31), rms=st.booleans(), period=st.integers(1, 3))
def test_norms_add_skip_and_bias_first(variant: str, rows: int, n: int, seed: int, extra: int, rms: bool, period: int) -> None:
    rng = np.random.default_rng(seed)
    x, skip, bias, gamma, beta = 3 * floats(rng, rows, n) + 5, floats(rng, period, n), floats(rng, n), floats(rng, n), floats(rng, n)
    has = [extra >> bit & 1 for bit in range(5)]
    results = kernels(variant).run(
        'rms_norm_f32' if rms else 'layer_norm_f32', x, skip if has[0] else None, bias if has[1] else None, gamma if has[2] else None,
        beta if has[3] else None, Out((rows, n)), Out((rows, n)) if has[4] else None, rows, n, period, real(1e-5),
    )  # fmt: skip
    total = x.astype(np.float64) + (skip[np.arange(rows) % period] if has[0] else 0) + (bias if has[1] else 0)
    mean = 0 if rms else total.mean(1, keepdims=True)
    y = (total - mean) / np.sqrt(((total - mean) ** 2).mean(1, keepdims=True) + 1e-5)
    y = y * (gamma if has[2] else 1) + (beta if has[3] else 0)
    np.testing.assert_allclose(results[0], y, rtol=1e-3, atol=1e-3 if n == 1 else 1e-4)
    if has[4]:
        close(results[1], total)


def test_embed_norm_sums_rows_of_tables(variant: str) -> None:
    rng = np.random.default_rng(0)
    words, positions, segments, gamma, beta = floats(rng, 9, 10), floats(rng, 4, 10), floats(rng, 2, 10), floats(rng, 10), floats(rng, 10)
    ids, kinds = np.array([1, 8, -1, 0, 3, 2], np.int64), np.array([0, 1, 1, 0, 0, 1], np.int32)
    run = kernels(variant)
    y, total = run.run('embed_norm_f32', ids, 7, words, 9, None, 0, positions, 4, kinds, 6, segments, 2, gamma, beta, Out((6, 10)), Out((6, 10)), 6, 10, 3, real(1e-6))
    expected = words[ids] + positions[[0, 1, 2, 0, 1, 2]] + segments[kinds]
    close(total, expected)
    close(y, (expected - expected.mean(1, keepdims=True)) / np.sqrt(expected.var(1, keepdims=True) + 1e-6) * gamma + beta)
    for bad in (9, -10, 2**40):
        ids[2] = bad
        with pytest.raises(KernelFailed) as failure:
            run.run('embed_norm_f32', ids, 7, words, 9, None, 0, None, 0, None, 0, None, 0, None, None, Out((6, 10)), None, 6, 10, 3, real(1e-6))
        assert failure.value.error == 1


@few
@given(outer=st.integers(0, 5), n=st.integers(0, 30), inner=st.sampled_from([1, 1, 2, 3, 4, 7]), seed=seeds, spread=st.sampled_from([1.0, 30.0]), log=st.booleans())
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
    rows = np.array([[0, -np.inf, 1, 2, 3], [np.nan, 1, 2, 3, 4], [-np.inf] * 5, [np.inf, 1, 2, 3, 4], [1, 2, 3, 4, np.nan]], np.float32)
    x = np.repeat(rows[..., None], inner, -1)
    got = kernels(variant).run('log_softmax_f32' if log else 'softmax_f32', x, Out(x.shape), 5, 5, inner)[0]
    with np.errstate(all='ignore'):
        moved = x.astype(np.float64) - x.max(1, keepdims=True)
        expected = moved - np.log(np.exp(moved).sum(1, keepdims=True)) if log else softmax(x.astype(np.float64), 1)
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-6)


ERRORS = {'gelu': 1e-6, 'gelu_tanh': 1e-6, 'tanh': 5e-7, 'sigmoid': 5e-7, 'silu': 1e-6, 'erf': 5e-7, 'exp': 3e-7, 'relu': 0, 'quick_gelu': 3e-6}


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
@given(rows=st.integers(0, 5), n=st.integers(1, 700), seed=seeds)
def test_activation_adds_a_repeating_bias(variant: str, rows: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, bias = floats(rng, rows, n), floats(rng, n)
    got = kernels(variant).run('activation_f32', 1, x, bias, Out(x.shape), rows * n, n)[0]
    assert (got == np.maximum(x + bias, 0)).all()
