"""Quantised matrix products by their GPU lowerings, beside numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gpu.driver import NotTaken, run_node
from tests.gpu.test_dense import filled, hardware

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


NBITS = [(1, 8, 64, 32, 4, ''), (1, 37, 96, 32, 4, 'codes'), (1, 20, 256, 16, 4, 'floats'), (1, 24, 100, 32, 4, 'codes'), (1, 16, 128, 128, 8, ''), (1, 9, 64, 32, 8, 'codes'), (1, 8, 112, 32, 4, ''), (2, 12, 2048, 32, 4, 'codes'),
         (3, 16, 64, 32, 4, 'codes'), (20, 40, 96, 32, 4, ''), (33, 130, 70, 16, 8, 'floats')]


@pytest.mark.parametrize(('m', 'n', 'k', 'block', 'bits', 'zeros'), NBITS)
def test_weights_in_blocks(m: int, n: int, k: int, block: int, bits: int, zeros: str) -> None:
    check_nbits(m, n, k, block, bits, zeros, bias=n % 2 == 0)


@pytest.mark.parametrize(('m', 'n', 'k', 'block', 'bits', 'zeros'), NBITS)
@pytest.mark.usefixtures('hardware')
def test_weights_in_blocks_as_on_a_real_gpu(m: int, n: int, k: int, block: int, bits: int, zeros: str) -> None:
    check_nbits(m, n, k, block, bits, zeros, bias=n % 2 == 1)


def test_two_bits_are_left_to_wasm() -> None:
    with pytest.raises(NotTaken):
        run_node('com.microsoft:MatMulNBits', [np.ones((1, 16), np.float32), np.zeros((2, 1, 4), np.uint8), np.ones(2, np.float32)],
                 {'K': 16, 'N': 2, 'bits': 2, 'block_size': 16}, weights=[1, 2])


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
    np.testing.assert_allclose(scale, expected_scale, rtol=1e-6)
    # A division that rounds otherwise may move a code that lies between two.
    assert abs(int(zero) - int(expected_zero)) <= 1 and np.abs(y.astype(int) - codes.astype(int)).max() <= 1


@pytest.mark.parametrize('kind', [np.int8, np.uint8])
@pytest.mark.parametrize(('m', 'n', 'k', 'columns', 'zeros'), [(5, 8, 32, True, True), (3, 7, 12, False, True), (1, 12, 9, True, False), (2, 9, 16, False, False)])
@pytest.mark.parametrize('given_codes', [False, True])
def test_products_of_eight_bits(m: int, n: int, k: int, columns: bool, zeros: bool, given_codes: bool, kind: type) -> None:
    rng = np.random.default_rng(n)
    a = filled(rng, [m, k])
    codes, scale, zero = quantize(a)
    w = rng.integers(-128 if kind is np.int8 else 0, 128 if kind is np.int8 else 256, (k, n)).astype(kind)
    w_scale = (rng.random(n if columns else 1) * 0.02).astype(np.float32)
    w_zero = rng.integers(0, 20, n if columns else 1).astype(kind) if zeros else None
    bias = filled(rng, [n])
    skip = filled(rng, [m, n])
    plain = (codes.astype(np.int64) - int(zero)) @ (w.astype(np.int64) - (0 if w_zero is None else w_zero.astype(np.int64)))
    expected = np.maximum(plain * scale * w_scale + bias, 0) + skip
    quantized: list[np.ndarray | None] = [codes, np.array(scale), np.array(zero)] if given_codes else []
    [y] = run_node('edgeflow:QMatMul', [a, w, w_scale, w_zero, bias, skip, *quantized], {'activation': 'relu'}, weights=[1, 2, 3])
    assert y is not None
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=2e-2)
