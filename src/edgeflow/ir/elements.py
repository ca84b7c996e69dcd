"""The elements of a constant tensor as plain numbers. For small tensors: scalars, axes, shapes, permutations."""

from __future__ import annotations

import math

from edgeflow.host.platform import array_ints, array_list, array_view, new_bytes, read_f32, write_i32s
from edgeflow.host.port import Bytes
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import TensorData


def elements(tensor: TensorData) -> list[float]:
    """All elements in row-major order; bools as 0 and 1; whole numbers held at -(2^53 - 1) and 2^53 - 1."""
    dtype: str = tensor.dtype
    data: Bytes = tensor.whole()
    if dtype == 'float32' or dtype == 'float64':
        return array_list(array_view(dtype, data))
    if dtype == 'bool':
        return [1 if data[i] != 0 else 0 for i in range(len(data))]
    if dtype == 'float16':
        return [_half(data[2 * i] + 256 * data[2 * i + 1]) for i in range(len(data) // 2)]
    if dtype == 'bfloat16':
        return [_brain(data, 2 * i) for i in range(len(data) // 2)]
    if dtype == 'int4' or dtype == 'uint4':
        return [_nibble(data, i, dtype == 'int4') for i in range(element_count(tensor.shape))]
    if dtype == 'string':
        return []
    return array_ints(array_view(dtype, data))


def _half(bits: int) -> float:
    """IEEE 754 half precision."""
    sign: float = -1.0 if bits >= 32768 else 1.0
    exponent: int = (bits // 1024) % 32
    fraction: int = bits % 1024
    if exponent == 0:
        return sign * fraction / 16777216
    if exponent == 31:
        return sign * math.inf if fraction == 0 else math.nan
    return sign * (1024 + fraction) / 1024 * 2.0 ** (exponent - 15)


def _brain(data: Bytes, offset: int) -> float:
    wide: Bytes = new_bytes(4)
    write_i32s(wide, 0, [(data[offset] + 256 * data[offset + 1]) * 65536])
    return read_f32(wide, 0)


def _nibble(data: Bytes, index: int, signed: bool) -> int:
    value: int = data[index // 2] % 16 if index % 2 == 0 else data[index // 2] // 16
    return value - 16 if signed and value > 7 else value

