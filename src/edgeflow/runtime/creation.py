"""Tensors made of a shape and a few numbers (tensor_creation.py)."""

from __future__ import annotations

from typing import Literal

from edgeflow.options import public
from edgeflow.runtime.operations import loaded
from edgeflow.runtime.tensor import DType, Tensor


def ones(shape: int | list[int], dtype: DType = 'float32') -> Tensor:
    """A tensor of ones."""
    return full(shape, 1, dtype)


def full(shape: int | list[int], value: float | bool, dtype: DType = 'float32') -> Tensor:
    """A tensor with the same number everywhere."""
    return loaded().full(shape, value, dtype)


def arange(start: float, stop: float | None = None, step: float = 1, dtype: DType = 'float32') -> Tensor:
    """start, start + step, ... below `stop` (above it, if the step is negative); of one number: 0, 1, ... below it."""
    return loaded().arange(start, stop, step, dtype)


def linspace(start: float, stop: float, num: int = 50, dtype: DType = 'float32') -> Tensor:
    """`num` numbers evenly from `start` to `stop`, both included; rounded down for integer types."""
    return loaded().linspace(start, stop, num, dtype)


def eye(n: int, m: int | None = None, k: int = 0, dtype: DType = 'float32') -> Tensor:
    """[n, m] zeros (m: n if left out) with ones on the diagonal; k: which one, 1 is the first above it."""
    return loaded().eye(n, m, k, dtype)


@public
def random(
    shape: int | list[int], *, seed: int | None = None, dtype: Literal['float32', 'float16', 'float64', 'bfloat16'] = 'float32',
) -> Tensor:
    """Numbers evenly from 0 up to 1, which is not among them.

    seed: the same seed gives the same numbers in Python and in JS; None: other ones each time.
    """
    return loaded().random(shape, seed, dtype)


@public
def randn(
    shape: int | list[int], *, seed: int | None = None, dtype: Literal['float32', 'float16', 'float64', 'bfloat16'] = 'float32',
) -> Tensor:
    """Numbers of the normal distribution with mean 0 and deviation 1 (Box and Muller 1958).

    seed: the same seed gives the same numbers in Python and in JS; None: other ones each time.
    """
    return loaded().randn(shape, seed, dtype)
