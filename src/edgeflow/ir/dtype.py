"""Data types of tensors, by the names and numbers of the ONNX specification (TensorProto.DataType)."""

from __future__ import annotations

DTYPE_CODES: dict[str, int] = {
    'float32': 1, 'uint8': 2, 'int8': 3, 'uint16': 4, 'int16': 5, 'int32': 6, 'int64': 7, 'string': 8, 'bool': 9,
    'float16': 10, 'float64': 11, 'uint32': 12, 'uint64': 13, 'bfloat16': 16, 'float8e4m3fn': 17, 'float8e4m3fnuz': 18,
    'float8e5m2': 19, 'float8e5m2fnuz': 20, 'uint4': 21, 'int4': 22, 'float4e2m1': 23, 'float8e8m0': 24, 'uint2': 25, 'int2': 26,
}

DTYPE_NAMES: dict[int, str] = {code: name for name, code in DTYPE_CODES.items()}

# Bits of an element in memory, where each has a byte at least.
ITEM_BITS: dict[str, int] = {
    'float32': 32, 'uint8': 8, 'int8': 8, 'uint16': 16, 'int16': 16, 'int32': 32, 'int64': 64, 'bool': 8,
    'float16': 16, 'float64': 64, 'uint32': 32, 'uint64': 64, 'bfloat16': 16, 'float8e4m3fn': 8, 'float8e4m3fnuz': 8,
    'float8e5m2': 8, 'float8e5m2fnuz': 8, 'uint4': 8, 'int4': 8, 'float4e2m1': 8, 'float8e8m0': 8, 'uint2': 8, 'int2': 8,
    # Their numbers: interpreted runs keep the strings themselves (backends/wasm/more/tensors.py).
    'string': 32,
}

# Bits of an element in a file, of the types that share bytes there. In kernels' words such data has the type's number plus PACKED.
PACKED_BITS: dict[str, int] = {'uint4': 4, 'int4': 4, 'float4e2m1': 4, 'uint2': 2, 'int2': 2}
PACKED = 64

# Types whose elements are the bits of a small float: exponent bits, mantissa bits, bias, and what the largest codes mean:
# 0 infinity and NaN as in IEEE 754, 1 NaN if all bits are set, 2 numbers (NaN is negative zero's code), 3 numbers only, 4 no sign.
SMALL_FLOATS: dict[str, list[int]] = {
    'float16': [5, 10, 15, 0], 'bfloat16': [8, 7, 127, 0], 'float8e4m3fn': [4, 3, 7, 1], 'float8e4m3fnuz': [4, 3, 8, 2],
    'float8e5m2': [5, 2, 15, 0], 'float8e5m2fnuz': [5, 2, 16, 2], 'float4e2m1': [2, 1, 1, 3], 'float8e8m0': [8, 0, 127, 4],
}


def byte_size(dtype: str, count: int) -> int:
    """Bytes that `count` elements of `dtype` take in a file."""
    return (PACKED_BITS.get(dtype, ITEM_BITS[dtype]) * count + 7) // 8


def held_size(dtype: str, count: int) -> int:
    """Bytes that they take in memory."""
    return ITEM_BITS[dtype] // 8 * count


# Most numbers that are made one by one, in a list: V8's lists end at twice that.
MOST_LISTED = 1 << 26


def element_count(shape: list[int]) -> int:
    """Number of elements of a tensor of this shape; 1 for a scalar."""
    count = 1
    for dim in shape:
        count = count * dim
    return count
