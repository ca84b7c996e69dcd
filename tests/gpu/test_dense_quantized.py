"""Quantised matrix products by their GPU lowerings, beside numpy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from edgeflow.backends.webgpu import lower_quantized
from edgeflow.backends.webgpu.builder import GpuBuilder
from tests.gpu.driver import NotTaken, gpu, run_node
from tests.gpu.test_dense import filled, hardware
from tests.kernels.test_dense_quantized import run_contrib

__all__ = ['hardware']


def pack_codes(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes along the last dim as bytes, the first in the lowest bits."""
    if bits == 8:
        return codes.astype(np.uint8)
    if codes.shape[-1] % 2 != 0:
        codes = np.concatenate([codes, np.zeros_like(codes[..., :1])], -1)
    return (codes[..., 0::2] | codes[..., 1::2] << 4).astype(np.uint8)


def nbits_case(rng: np.random.Generator, m: int, n: int, k: int, block: int, bits: int, zeros: str) -> tuple[list[np.ndarray | None], np.ndarray]:
    """Inputs of MatMulNBits and the product."""
    blocks = -(-k // block)
    codes = rng.integers(0, 1 << bits, (n, blocks, block))
    scales = (rng.random((n, blocks)) * 0.1).astype(np.float32)
    shifts = rng.integers(0, 1 << bits, (n, blocks)) if zeros == 'codes' else rng.random((n, blocks)) * 9 if zeros == 'floats' else np.full((n, blocks), 1 << bits - 1)
    given_zeros = None if zeros == '' else pack_codes(shifts, bits) if zeros == 'codes' else shifts.astype(np.float32)
    matrix = ((codes - shifts[..., None]) * scales[..., None]).reshape(n, -1)[:, :k]
    a = filled(rng, [m, k])
    return [a, pack_codes(codes, bits), scales, given_zeros], (a @ matrix.T).astype(np.float32)


def check_nbits(m: int, n: int, k: int, block: int, bits: int, zeros: str, bias: bool = False) -> None:
    rng = np.random.default_rng(m + n + k)
    inputs, expected = nbits_case(rng, m, n, k, block, bits, zeros)
    if bias:
        extra = filled(rng, [n])
        inputs += [None, extra]
        expected = expected + extra
    [y] = run_node('com.microsoft:MatMulNBits', inputs, {'K': k, 'N': n, 'bits': bits, 'block_size': block}, weights=[1, 2, 3])
    assert y is not None
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-3)


NBITS = [(1, 8, 64, 32, 4, ''), (1, 9, 2304, 32, 4, 'codes'), (3, 8, 4096, 128, 4, ''), (1, 4, 20480, 32, 4, ''), (1, 4, 36864, 32, 4, ''), (1, 37, 96, 32, 4, 'codes'), (1, 20, 256, 16, 4, 'floats'), (1, 24, 100, 32, 4, 'codes'), (1, 16, 128, 128, 8, ''), (1, 9, 64, 32, 8, 'codes'), (1, 8, 112, 32, 4, ''), (2, 12, 2048, 32, 4, 'codes'),
         (3, 16, 64, 32, 4, 'codes'), (20, 40, 96, 32, 4, ''), (33, 130, 70, 16, 8, 'floats')]


@pytest.mark.parametrize(('m', 'n', 'k', 'block', 'bits', 'zeros'), NBITS)
def test_weights_in_blocks(m: int, n: int, k: int, block: int, bits: int, zeros: str) -> None:
    check_nbits(m, n, k, block, bits, zeros, bias=n % 2 == 0)


@pytest.mark.parametrize(('m', 'n', 'k', 'block', 'bits', 'zeros'), NBITS)
@pytest.mark.usefixtures('hardware')
def test_weights_in_blocks_as_on_a_real_gpu(m: int, n: int, k: int, block: int, bits: int, zeros: str) -> None:
    check_nbits(m, n, k, block, bits, zeros, bias=n % 2 == 1)


ROUNDED = [(9, 8, 64, 32, ''), (37, 68, 96, 32, 'codes'), (150, 70, 128, 64, ''), (9, 12, 76, 32, 'codes'), (16, 4, 100, 128, 'codes'), (1030, 1030, 64, 32, '')]


def test_threads_of_a_column_have_four_turns_if_there_are_so_many() -> None:
    for invocations, lanes in [(256, [192, 256, 128, 256]), (1024, [192, 352, 128, 256])]:
        b = GpuBuilder(None, dataclasses.replace(gpu().features, invocations=invocations))
        assert [lower_quantized.word_lanes(b, k // 8) for k in [5632, 11008, 2048, 28672]] == lanes


@pytest.mark.parametrize('zeros', ['', 'codes', 'floats'])
@pytest.mark.usefixtures('hardware')
def test_threads_of_a_column_that_are_no_power_of_two(zeros: str) -> None:
    check_nbits(2, 9, 5632, 32, 4, zeros)


@pytest.mark.parametrize(('m', 'n', 'k', 'block', 'zeros'), ROUNDED)
@pytest.mark.usefixtures('hardware')
def test_activations_of_eight_bits(m: int, n: int, k: int, block: int, zeros: str) -> None:
    """accuracy_level 4: each 32 elements of a row in steps of a 127th of the largest."""
    rng = np.random.default_rng(m)
    [a, codes, scales, given_zeros], _ = nbits_case(rng, m, n, k, block, 4, zeros)
    assert a is not None
    padded = np.pad(a, ((0, 0), (0, -k % 32))).reshape(m, -1, 32)
    step = np.abs(padded).max(-1, keepdims=True) / np.float32(127)
    rounded = (np.rint(padded / step) * step).reshape(m, -1)[:, :k]
    attributes = {'K': k, 'N': n, 'bits': 4, 'block_size': block}
    bias = filled(rng, [n])
    [plain] = run_node('com.microsoft:MatMulNBits', [rounded, codes, scales, given_zeros, None, bias], attributes, weights=[1, 2, 3])
    [y] = run_node('com.microsoft:MatMulNBits', [a, codes, scales, given_zeros, None, bias], {**attributes, 'accuracy_level': 4}, weights=[1, 2, 3])
    assert plain is not None and y is not None
    # A code at a border may be the one beside it.
    np.testing.assert_allclose(y, plain, rtol=1e-4, atol=2 * step.max())
    assert np.abs(y - plain).mean() < 1e-4


def test_two_bits_are_left_to_wasm() -> None:
    with pytest.raises(NotTaken):
        run_node('com.microsoft:MatMulNBits', [np.ones((1, 16), np.float32), np.zeros((2, 1, 4), np.uint8), np.ones(2, np.float32)],
                 {'K': 16, 'N': 2, 'bits': 2, 'block_size': 16}, weights=[1, 2])


@pytest.mark.parametrize('kind', [0, 1])
@pytest.mark.parametrize(('m', 'n', 'k', 'block'), [(1, 6, 48, 64), (5, 9, 36, 16)])
def test_weights_of_four_bits_by_a_table(m: int, n: int, k: int, block: int, kind: int) -> None:
    rng = np.random.default_rng(kind)
    codes, absmax = rng.integers(0, 256, n * k // 2, np.uint8), rng.uniform(0.5, 2, -(-n * k // block)).astype(np.float32)
    a = filled(rng, [m, k])
    node = helper.make_node('MatMulBnb4', ['a', 'b', 'm'], ['y'], domain='com.microsoft', K=k, N=n, block_size=block, quant_type=kind)
    [y] = run_node('com.microsoft:MatMulBnb4', [a, codes, absmax], {'K': k, 'N': n, 'block_size': block, 'quant_type': kind}, weights=[1, 2])
    np.testing.assert_allclose(y, run_contrib(node, {'a': a, 'b': codes, 'm': absmax}), rtol=1e-4, atol=1e-4)


def quantize(x: np.ndarray) -> tuple[np.ndarray, np.float32, np.uint8]:
    """DynamicQuantizeLinear."""
    low = np.float32(min(x.min(), 0))
    high = np.float32(max(x.max(), 0))
    scale = np.float32(1) if low == high else np.float32((high - low) / np.float32(255))
    zero = np.clip(np.rint(-low / scale), 0, 255).astype(np.uint8)
    return np.clip(np.rint(x / scale) + zero, 0, 255).astype(np.uint8), scale, zero


# GPUs may take what is below the normal numbers for 0.
BORDERS = st.floats(-5, 5).map(lambda x: 0.0 if abs(x) < 1e-30 else x)


@settings(max_examples=15)
@given(count=st.integers(1, 700), low=BORDERS, high=BORDERS)
def test_dynamic_quantisation(count: int, low: float, high: float) -> None:
    x = np.linspace(low, high, count).astype(np.float32)
    y, scale, zero = run_node('DynamicQuantizeLinear', [x], outputs=3)
    codes, expected_scale, expected_zero = quantize(x)
    assert y is not None and scale is not None and zero is not None
    assert scale == expected_scale and zero == expected_zero
    np.testing.assert_array_equal(y, codes)


EIGHT_BITS = [(5, 8, 32, True, True), (3, 7, 12, False, True), (1, 12, 9, True, False), (2, 9, 16, False, False), (70, 132, 37, True, True)]


def check_eight_bits(m: int, n: int, k: int, columns: bool, zeros: bool, given_codes: bool, kind: type) -> None:
    rng = np.random.default_rng(n)
    a = filled(rng, [m, k])
    codes, scale, zero = quantize(a)
    w = rng.integers(-128 if kind is np.int8 else 0, 128 if kind is np.int8 else 256, (k, n)).astype(kind)
    w_scale = (rng.random(n if columns else 1) * 0.02).astype(np.float32)
    w_zero = rng.integers(0, 20, n if columns else 1).astype(kind) if zeros else None
    bias = filled(rng, [n])
    skip = filled(rng, [m, n])
    plain = (codes.astype(np.int64) - int(zero)) @ (w.astype(np.int64) - (0 if w_zero is None else w_zero.astype(np.int64)))
    expected = np.maximum(plain.astype(np.float32) * (scale * w_scale) + bias, 0) + skip
    quantized: list[np.ndarray | None] = [codes, np.array(scale), np.array(zero)] if given_codes else []
    [y] = run_node('edgeflow:QMatMul', [a, w, w_scale, w_zero, bias, skip, *quantized], {'activation': 'relu'}, weights=[1, 2, 3])
    assert y is not None
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=4e-6)


@pytest.mark.parametrize('kind', [np.int8, np.uint8])
@pytest.mark.parametrize(('m', 'n', 'k', 'columns', 'zeros'), EIGHT_BITS)
@pytest.mark.parametrize('given_codes', [False, True])
def test_products_of_eight_bits(m: int, n: int, k: int, columns: bool, zeros: bool, given_codes: bool, kind: type) -> None:
    check_eight_bits(m, n, k, columns, zeros, given_codes, kind)


@pytest.mark.parametrize('kind', [np.int8, np.uint8])
@pytest.mark.parametrize(('m', 'n', 'k', 'columns', 'zeros'), EIGHT_BITS)
@pytest.mark.usefixtures('hardware')
def test_products_of_eight_bits_as_on_a_real_gpu(m: int, n: int, k: int, columns: bool, zeros: bool, kind: type) -> None:
    check_eight_bits(m, n, k, columns, zeros, False, kind)


TYPES = st.sampled_from([np.int8, np.uint8])


@settings(max_examples=25)
@given(m=st.integers(1, 9), n=st.sampled_from([1, 3, 4, 8, 36]), k=st.sampled_from([1, 2, 4, 7, 8, 33, 600]), a_type=TYPES, w_type=TYPES, weights=st.booleans(),
       a_zero=st.booleans(), w_zero=st.sampled_from([0, 1, 2]), packed=st.booleans(), seed=st.integers(0, 99))
def test_integer_products_are_exact(m: int, n: int, k: int, a_type: type, w_type: type, weights: bool, a_zero: bool, w_zero: int, packed: bool, seed: int) -> None:
    """MatMulInteger, codes at the ends of their range among them; packed: with dot4I8Packed."""
    rng = np.random.default_rng(seed)

    def codes(shape: list[int], kind: type) -> np.ndarray:
        ends = np.iinfo(kind)
        drawn = rng.integers(ends.min, ends.max + 1, shape)
        return np.where(rng.random(shape) < 0.5, rng.choice([ends.min, ends.max], shape), drawn).astype(kind)

    a, w = codes([2, m, k], a_type), codes([k, n], w_type)
    za, zw = codes([], a_type) if a_zero else None, codes([n] if w_zero == 2 else [], w_type) if w_zero else None
    features = gpu().features
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu(), 'features', dataclasses.replace(features, packed_dot=packed and features.packed_dot))
        [y] = run_node('MatMulInteger', [a, w, za, zw], weights=[1] if weights else [])
    wide = [x.astype(np.int64) for x in (a, w)]
    np.testing.assert_array_equal(y, (wide[0] - (0 if za is None else int(za))) @ (wide[1] - (0 if zw is None else zw.astype(np.int64))))


@settings(max_examples=25)
@given(m=st.integers(1, 9), n=st.sampled_from([1, 3, 4, 8]), k=st.sampled_from([1, 4, 7, 33]), dims=st.sampled_from([([], []), ([2], []), ([3], [3]), ([2, 3], [2, 3]), ([], [2]), ([2, 1], [3]), ([4], [1])]),
       rows=st.sampled_from(['one', 'rows', 'all']), columns=st.sampled_from(['one', 'columns', 'all']), a_type=TYPES, w_type=TYPES, seed=st.integers(0, 99))
def test_integer_products_with_zero_points_of_rows_and_of_columns(
    m: int, n: int, k: int, dims: tuple[list[int], list[int]], rows: str, columns: str, a_type: type, w_type: type, seed: int,
) -> None:
    """MatMulInteger of batches on both sides; zero points [M] or [..., M, 1] and [N] or [..., 1, N]."""
    rng = np.random.default_rng(seed)

    def codes(shape: list[int], kind: type) -> np.ndarray:
        return rng.integers(np.iinfo(kind).min, np.iinfo(kind).max + 1, shape).astype(kind)

    a, w = codes([*dims[0], m, k], a_type), codes([*dims[1], k, n], w_type)
    za, zw = codes({'one': [], 'rows': [m], 'all': [*dims[0], m, 1]}[rows], a_type), codes({'one': [], 'columns': [n], 'all': [*dims[1], 1, n]}[columns], w_type)
    [y] = run_node('MatMulInteger', [a, w, za, zw])
    by_rows = za[:, None] if rows == 'rows' else za
    np.testing.assert_array_equal(y, np.matmul(a.astype(np.int64) - by_rows, w.astype(np.int64) - zw))


@pytest.mark.parametrize(('a_shape', 'w_shape'), [([5], [5, 3]), ([2, 5], [5]), ([5], [5])])
def test_integer_products_of_vectors(a_shape: list[int], w_shape: list[int]) -> None:
    rng = np.random.default_rng(1)
    a, w = rng.integers(0, 256, a_shape).astype(np.uint8), rng.integers(-128, 128, w_shape).astype(np.int8)
    [y] = run_node('MatMulInteger', [a, w, np.array(3, np.uint8)])
    np.testing.assert_array_equal(y, np.matmul(a.astype(np.int64) - 3, w.astype(np.int64)))
