"""Data types of tensors, by the names and numbers of the ONNX specification (TensorProto.DataType)."""

from __future__ import annotations

DTYPE_CODES: dict[str, int] = {
    'float32': 1, 'uint8': 2, 'int8': 3, 'uint16': 4, 'int16': 5, 'int32': 6, 'int64': 7, 'string': 8, 'bool': 9,
    'float16': 10, 'float64': 11, 'uint32': 12, 'uint64': 13, 'bfloat16': 16, 'uint4': 21, 'int4': 22,
}

DTYPE_NAMES: dict[int, str] = {code: name for name, code in DTYPE_CODES.items()}

ITEM_BITS: dict[str, int] = {
    'float32': 32, 'uint8': 8, 'int8': 8, 'uint16': 16, 'int16': 16, 'int32': 32, 'int64': 64, 'bool': 8,
    'float16': 16, 'float64': 64, 'uint32': 32, 'uint64': 64, 'bfloat16': 16, 'uint4': 4, 'int4': 4,
    # Their numbers: interpreted runs keep the strings themselves (backends/wasm/more/tensors.py).
    'string': 32,
}


def byte_size(dtype: str, count: int) -> int:
    """Bytes that `count` packed elements of `dtype` take; 4-bit types share bytes."""
    return (ITEM_BITS[dtype] * count + 7) // 8


def element_count(shape: list[int]) -> int:
    """Number of elements of a tensor of this shape; 1 for a scalar."""
    count = 1
    for dim in shape:
        count = count * dim
    return count
