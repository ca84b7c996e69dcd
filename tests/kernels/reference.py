"""What the dense kernels should give, in numpy and double precision, and what their tests share."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

ACTIVATIONS = ['none', 'relu', 'gelu', 'gelu_tanh', 'tanh', 'sigmoid', 'silu', 'erf', 'exp', 'quick_gelu']

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


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    with np.errstate(all='ignore'):
        e = np.exp(x - x.max(axis, keepdims=True, initial=-np.inf))
        return e / e.sum(axis, keepdims=True)
