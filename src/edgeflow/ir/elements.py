"""The elements of a constant tensor as plain numbers. For small tensors: scalars, axes, shapes, permutations."""

from __future__ import annotations

import math
from typing import cast

from edgeflow.host.platform import array_ints, array_list, array_view
from edgeflow.host.port import Bytes
from edgeflow.ir.dtype import PACKED_BITS, SMALL_FLOATS, element_count
from edgeflow.ir.graph import TensorData


def elements(tensor: TensorData) -> list[float]:
    """All elements in row-major order; bools as 0 and 1; whole numbers held at -(2^53 - 1) and 2^53 - 1."""
    dtype: str = tensor.dtype
    data: Bytes = tensor.whole()
    if dtype == 'float32' or dtype == 'float64':
        return array_list(array_view(dtype, data))
    if dtype == 'bool':
        return [1 if data[i] != 0 else 0 for i in range(len(data))]
    if dtype in SMALL_FLOATS or dtype in PACKED_BITS:
        return [small_number(dtype, code) for code in _codes(data, dtype, element_count(tensor.shape))]
    if dtype == 'string':
        return []
    return cast('list[float]', array_ints(array_view(dtype, data)))


def _codes(data: Bytes, dtype: str, count: int) -> list[int]:
    """The bits of each element: two bytes, one, or a part of one."""
    if dtype == 'float16' or dtype == 'bfloat16':
        return [data[2 * i] + 256 * data[2 * i + 1] for i in range(count)]
    bits: int = PACKED_BITS.get(dtype, 8)
    each: int = 8 // bits
    return [data[i // each] // 2 ** (i % each * bits) % 2 ** bits for i in range(count)]


def small_number(dtype: str, bits: int) -> float:
    """The number that the bits of a small float or integer mean."""
    form = SMALL_FLOATS.get(dtype)
    if form is None:
        limit: int = 2 ** PACKED_BITS[dtype]
        return bits - limit if dtype.startswith('int') and bits >= limit // 2 else bits
    steps: int = 2 ** form[1]
    top: int = 2 ** form[0] - 1
    half: int = steps * (top + 1)
    sign: float = -1.0 if bits >= half else 1.0
    exponent: int = bits // steps % (top + 1)
    fraction: int = bits % steps
    kind: int = form[3]
    if kind == 4:
        return math.nan if bits == 255 else 2.0 ** (bits - 127)
    if (kind == 1 and bits % half == half - 1) or (kind == 2 and bits == half):
        return math.nan
    if kind == 0 and exponent == top:
        return sign * math.inf if fraction == 0 else math.nan
    if exponent == 0:
        return sign * fraction * 2.0 ** (1 - form[2] - form[1])
    return sign * (steps + fraction) * 2.0 ** (exponent - form[2] - form[1])
