"""The dense kernels on 8, 4 and 2 bits against exact integers, onnx.reference and onnxruntime, in both binaries."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from onnx import NodeProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from tests.kernels.driver import VARIANTS, Kernels, Out, Packed, Scratch, kernels
from tests.kernels.reference import ACTIVATIONS, activation, close, few, floats, seeds, sizes, up

UINT8, INT8 = 2, 3

pytestmark = pytest.mark.parametrize('variant', VARIANTS)


def pack_i8(k: Kernels, b: np.ndarray, row: int, column: int, shape: tuple[int, int]) -> np.ndarray:
    size = 4 * up(shape[1], 8) * (64 + 8 * up(shape[0], 4))
    size += up(size, 64)
    kind = UINT8 if b.dtype == np.uint8 else INT8
    return k.run('pack_i8', b, Out(size, np.uint8, aligned=True), *shape, row, column, kind)[0].view(Packed)


WEIGHTS = {
    'int8': (np.int8, -128, 127),
    'int7': (np.int8, -64, 64),
    'uint8': (np.uint8, 0, 255),
    'uint7': (np.uint8, 0, 127),
    'extreme': (np.int8, -128, -128),
}


def weights(rng: np.random.Generator, kind: str, *shape: int) -> np.ndarray:
    dtype, low, high = WEIGHTS[kind]
    return rng.integers(low, high, shape, dtype, endpoint=True)


@few
@given(
    m=st.integers(0, 40),
    n=st.integers(0, 60),
    k=st.one_of(sizes, st.integers(100, 300)),
    seed=seeds,
    kind=st.sampled_from(sorted(WEIGHTS)),
    transposed=st.booleans(),
    a_signed=st.booleans(),
    a_zp=st.sampled_from(['', 'one', 'rows']),
    b_zp=st.sampled_from(['', 'one', 'columns']),
)
# What is brought near ends with the weights.
@example(m=26, n=9, k=145, seed=0, kind='int8', transposed=False, a_signed=True, a_zp='', b_zp='')
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
        'matmul_integer',
        a,
        INT8 if a_signed else UINT8,
        a_zero if a_zp else None,
        a_zero.size,
        packed,
        INT8 if b.dtype == np.int8 else UINT8,
        b_zero if b_zp else None,
        b_zero.size,
        Out((m, n), np.int32),
        m,
        n,
        k,
        Scratch(m * (12 * up(k, 4) + 8)),
    )[0]
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
    got = run.run(
        'matmul_integer',
        a,
        UINT8,
        None,
        1,
        packed,
        UINT8 if b.dtype == np.uint8 else INT8,
        None,
        1,
        Out((230, 19), np.int32),
        230,
        19,
        k,
        Scratch(230 * (12 * up(k, 4) + 8)),
    )[0]
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
    spread = np.maximum(x.max(), 0) - np.minimum(x.min(), 0)
    assume(spread == 0 or spread / np.float32(255) > 0)
    if spread == 0:  # the reference divides 0 by 0
        assert (scale[0], zero[0], y.any()) == (1, 0, False)
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
    m=st.integers(0, 20),
    n=st.integers(0, 60),
    k=sizes,
    seed=seeds,
    kind=st.sampled_from(sorted(WEIGHTS)),
    per_column=st.booleans(),
    name=st.sampled_from(ACTIVATIONS[:7]),
    extra=st.integers(0, 7),
)
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
        'gemm_i8',
        a,
        UINT8,
        a_scale,
        a_zero,
        pack_i8(run, b, n, 1, (k, n)),
        INT8 if b.dtype == np.int8 else UINT8,
        b_scale,
        count,
        b_zero if extra & 1 else None,
        count,
        bias if extra & 2 else None,
        residual if extra & 4 else None,
        Out((m, n)),
        m,
        n,
        k,
        ACTIVATIONS.index(name),
        Scratch(m * (12 * up(k, 4) + 8)),
    )[0]
    exact = (a.astype(np.int64) - int(a_zero[0])) @ (b.astype(np.int64) - (b_zero.astype(np.int64) if extra & 1 else 0))
    product = exact.astype(np.float32) * (a_scale * b_scale) + (bias if extra & 2 else 0)
    expected = activation(name, product) + (residual if extra & 4 else 0)
    if name == 'none':
        assert (got == expected.astype(np.float32)).all() or extra & 4
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


# weights in blocks of few bits


@few
@given(
    m=st.integers(0, 7),
    n=st.integers(0, 20),
    k=st.integers(1, 70),
    seed=seeds,
    bits=st.sampled_from([2, 4, 8]),
    block=st.sampled_from([16, 32, 64]),
    zeros=st.integers(0, 2),
    extra=st.integers(0, 3),
)
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
    given_zeros, zero = [
        (None, 1 << (bits - 1)),
        (packed_bits(points), points[..., None].astype(float)),
        (real_points, real_points[..., None]),
    ][zeros]
    dense = ((codes - np.float64(1) * zero) * scales[..., None]).reshape(n, blocks * block)[:, :k]
    a, bias, residual = floats(rng, m, k), floats(rng, n), floats(rng, m, n)
    size = up(n, 8) * blocks * ((64 if zeros else 32) + block * bits)
    packed = run.run(
        'pack_nbits', packed_bits(codes), scales, given_zeros, Out(size, np.uint8, aligned=True), n, k, block, bits, zeros
    )[0]
    got = run.run(
        'gemm_nbits',
        a,
        packed.view(Packed),
        Out((m, n)),
        bias if extra & 1 else None,
        residual if extra & 2 else None,
        m,
        n,
        k,
        k,
        n,
        n,
        block,
        bits,
        1,
        Scratch(32 * blocks * block),
        zeros,
        0,
    )[0]
    expected = np.maximum(a @ dense.T + (bias if extra & 1 else 0), 0) + (residual if extra & 2 else 0)
    close(got, expected, (1 << bits) * k**0.5)


@pytest.mark.parametrize('m', [2, 6])
@pytest.mark.parametrize(('bits', 'with_zeros'), [(4, False), (4, True), (8, True)])
def test_gemm_nbits_is_the_operator_of_onnxruntime(variant: str, m: int, bits: int, with_zeros: bool) -> None:
    rng = np.random.default_rng(bits)
    n, k, block = 11, 40, 16
    blob = block * bits // 8
    codes, scales = rng.integers(0, 256, (n, 3, blob), np.uint8), rng.uniform(0.01, 0.1, (n, 3)).astype(np.float32)
    zeros = rng.integers(0, 256, (n, up(3 * bits, 8)), np.uint8) if with_zeros else None
    a = floats(rng, m, k)
    feeds = {'a': a, 'b': codes, 's': scales, **({'z': zeros} if with_zeros else {})}
    node = helper.make_node('MatMulNBits', list(feeds), ['y'], domain='com.microsoft', K=k, N=n, bits=bits, block_size=block)
    expected = run_contrib(node, feeds)
    run = kernels(variant)
    packed = Out(up(n, 8) * 3 * ((64 if with_zeros else 32) + block * bits), np.uint8, aligned=True)
    b = run.run('pack_nbits', codes, scales, zeros, packed, n, k, block, bits, int(with_zeros))[0].view(Packed)
    got = run.run('gemm_nbits', a, b, Out((m, n)), None, None, m, n, k, k, n, 0, block, bits, 0, Scratch(32 * 3 * block), int(with_zeros), 0)[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('m', [1, 2, 3, 5, 8])
@pytest.mark.parametrize('block', [16, 32, 128])
@pytest.mark.parametrize('bits', [4, 8])
@pytest.mark.parametrize('with_zeros', [False, True])
def test_gemm_nbits_with_rounded_activations(variant: str, m: int, block: int, bits: int, with_zeros: bool) -> None:
    rng = np.random.default_rng(block + m)
    n, k = 19, 260
    blocks = up(k, block)
    codes, scales = rng.integers(0, 256, (n, blocks, block * bits // 8), np.uint8), rng.uniform(0.01, 0.1, (n, blocks)).astype(np.float32)
    zeros = rng.integers(0, 256, (n, up(blocks * bits, 8)), np.uint8) if with_zeros else None
    a = floats(rng, m, k)
    a[0, :block] = 0
    weights = codes if bits == 8 else np.stack([codes & 15, codes >> 4], -1)
    weights = weights.reshape(n, blocks, block).astype(np.float64)
    points: np.ndarray | float = 2.0 ** (bits - 1)
    if zeros is not None:
        points = (zeros if bits == 8 else np.stack([zeros & 15, zeros >> 4], -1)).reshape(n, -1)[:, :blocks, None].astype(np.float64)
    dense = ((weights - points) * scales[..., None]).reshape(n, -1)
    rows = np.pad(a, ((0, 0), (0, blocks * block - k))).reshape(m, blocks, block).astype(np.float64)
    step = np.abs(rows).max(-1, keepdims=True) / 127
    expected = (np.rint(rows / np.where(step == 0, 1, step)) * step).reshape(m, -1) @ dense.T
    run = kernels(variant)
    packed = Out(up(n, 8) * blocks * ((64 if with_zeros else 32) + block * bits), np.uint8, aligned=True)
    b = run.run('pack_nbits', codes, scales, zeros, packed, n, k, block, bits, int(with_zeros))[0].view(Packed)
    scratch = Scratch(m * blocks * (block + 8))
    got = run.run('gemm_nbits', a, b, Out((m, n)), None, None, m, n, k, k, n, 0, block, bits, 0, scratch, int(with_zeros), 1)[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def run_contrib(node: NodeProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """The float32 output of one com.microsoft operator, as onnxruntime gives it."""
    inputs = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for name, x in feeds.items()]
    graph = helper.make_graph([node], 'g', inputs, [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)])
    opsets = [helper.make_opsetid('', 17), helper.make_opsetid('com.microsoft', 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    return session.run(None, feeds)[0]


@pytest.mark.parametrize('kind', [0, 1])
@pytest.mark.parametrize(('n', 'k', 'block'), [(6, 48, 64), (5, 33, 16)])
def test_dequantize_bnb4_is_the_operator_of_onnxruntime(variant: str, kind: int, n: int, k: int, block: int) -> None:
    rng = np.random.default_rng(kind)
    codes, absmax = rng.integers(0, 256, up(n * k, 2), np.uint8), rng.uniform(0.5, 2, up(n * k, block)).astype(np.float32)
    node = helper.make_node(
        'MatMulBnb4', ['a', 'b', 'm'], ['y'], domain='com.microsoft', K=k, N=n, block_size=block, quant_type=kind
    )
    expected = run_contrib(node, {'a': np.eye(k, dtype=np.float32), 'b': codes, 'm': absmax})
    got = kernels(variant).run('dequantize_bnb4', codes, absmax, Out((n, k)), n * k, block, kind)[0]
    np.testing.assert_allclose(got, expected.T, rtol=1e-6)
