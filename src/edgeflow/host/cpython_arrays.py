"""Bytes and arrays in CPython: memoryviews and one-dimensional numpy arrays. CPython only."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy

from edgeflow.errors import EdgeflowError

_TYPES: dict[str, type] = {
    'float32': numpy.float32, 'uint8': numpy.uint8, 'int8': numpy.int8, 'uint16': numpy.uint16, 'int16': numpy.int16,
    'int32': numpy.int32, 'int64': numpy.int64, 'bool': numpy.bool_, 'float16': numpy.float16, 'float64': numpy.float64,
    'uint32': numpy.uint32, 'uint64': numpy.uint64,
}
_NAMES: dict[str, str] = {numpy.dtype(kind).str[1:]: name for name, kind in _TYPES.items()}
# These have the arrays of another type.
_TYPES['bfloat16'] = numpy.uint16
_TYPES['int4'] = _TYPES['int2'] = numpy.int8
for _name in ['float8e4m3fn', 'float8e4m3fnuz', 'float8e5m2', 'float8e5m2fnuz', 'float8e8m0', 'float4e2m1', 'uint4', 'uint2']:
    _TYPES[_name] = numpy.uint8
MAX_EXACT_INT = 2**53 - 1


# Binary data


def new_bytes(size: int) -> memoryview:
    try:
        return memoryview(bytearray(size))
    except (MemoryError, OverflowError):
        raise EdgeflowError('out-of-memory', f'{size} bytes were refused', {'wanted': size}) from None


def bytes_of(values: list[int]) -> memoryview:
    return memoryview(bytearray(values))


def as_bytes(value: object) -> memoryview | None:
    """Bytes of whatever holds bytes here (bytes, bytearray, memoryview), as a view; None for anything else."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return memoryview(value).cast('B')
    return None


def join_bytes(parts: list[memoryview]) -> memoryview:
    return memoryview(bytearray().join(parts))


def copy_bytes(target: memoryview, offset: int, source: memoryview) -> None:
    if offset < 0 or offset + len(source) > len(target):
        raise IndexError(f'{len(source)} bytes at {offset} are outside of {len(target)} bytes')
    target[offset:offset + len(source)] = source


def utf8_decode(data: memoryview) -> str:
    return str(data, 'utf-8')


def utf8_encode(text: str) -> memoryview:
    return memoryview(bytearray(text, 'utf-8'))


def _unpack(form: str, data: memoryview, offset: int) -> Any:
    try:
        return struct.unpack_from(form, data, offset)[0]
    except struct.error:
        raise IndexError(f'offset {offset} is outside of {len(data)} bytes') from None


def read_u32(data: memoryview, offset: int) -> int:
    return _unpack('<I', data, offset)


def read_i32(data: memoryview, offset: int) -> int:
    return _unpack('<i', data, offset)


def read_i64(data: memoryview, offset: int) -> int:
    return _unpack('<q', data, offset)


def read_f32(data: memoryview, offset: int) -> float:
    return _unpack('<f', data, offset)


def read_f64(data: memoryview, offset: int) -> float:
    return _unpack('<d', data, offset)


def float_bits(x: float) -> int:
    with numpy.errstate(over='ignore'):
        return int(numpy.float32(x).view(numpy.int32))


def write_i32s(data: memoryview, offset: int, words: list[int]) -> None:
    target = numpy.frombuffer(data, '<i4', len(words), offset)
    target[:] = numpy.array(words, numpy.int64).astype(numpy.int32)


# Arrays


def _type(dtype: str) -> type:
    if dtype not in _TYPES:
        raise EdgeflowError(
            'invalid-argument', f'arrays hold one of {", ".join(_TYPES)}; got dtype {dtype!r}', {'dtype': dtype},
        )
    return _TYPES[dtype]


def new_array(dtype: str, size: int) -> numpy.ndarray:
    try:
        return numpy.zeros(size, _type(dtype))
    except (MemoryError, ValueError):
        raise EdgeflowError('out-of-memory', f'{size} elements of {dtype} were refused', {'wanted': size}) from None


def array_of(dtype: str, values: Sequence[Any]) -> numpy.ndarray:
    kind = _type(dtype)
    try:
        with numpy.errstate(over='ignore', invalid='ignore'):
            if dtype == 'bfloat16':
                return _bfloat16_bits(numpy.array(values, numpy.float32))
            if numpy.dtype(kind).kind in 'iu':
                return _wrap_ints(values, kind)
            return numpy.array(values, kind).reshape(-1)
    except (TypeError, ValueError, OverflowError) as error:
        raise EdgeflowError('invalid-argument', f'values for a {dtype} array: {error}', {'dtype': dtype}) from None


def _wrap_ints(values: Sequence[Any], kind: type) -> numpy.ndarray:
    """As typed arrays do: fractions are cut off and what does not fit wraps around (NaN and infinity become 0)."""
    whole = [int(x) if x == x and abs(x) != float('inf') else 0 for x in values]
    words = numpy.array([x & 0xFFFFFFFFFFFFFFFF for x in whole], numpy.uint64)
    return words.astype(kind)


def _bfloat16_bits(values: numpy.ndarray) -> numpy.ndarray:
    bits = values.reshape(-1).view(numpy.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return numpy.where(numpy.isnan(values.reshape(-1)), (bits >> 16) | 0x40, rounded).astype(numpy.uint16)


def array_view(dtype: str, data: memoryview) -> numpy.ndarray:
    kind = numpy.dtype(_type(dtype))
    if len(data) % kind.itemsize != 0:
        raise EdgeflowError(
            'invalid-argument', f'{dtype} data needs a multiple of {kind.itemsize} bytes; got {len(data)}',
            {'dtype': dtype, 'got': len(data)},
        )
    return numpy.frombuffer(data, kind)


def array_copy(dtype: str, data: memoryview) -> numpy.ndarray:
    return array_view(dtype, data).copy()


def array_bytes(array: numpy.ndarray) -> memoryview:
    return memoryview(numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8))


def array_list(array: numpy.ndarray) -> list:
    flat = array.reshape(-1)
    if flat.dtype.kind in 'iu' and flat.dtype.itemsize == 8 and flat.size > 0:
        for x in (int(flat.min()), int(flat.max())):
            if abs(x) > MAX_EXACT_INT:
                raise EdgeflowError(
                    'invalid-argument', f'whole numbers are exact from -(2^53 - 1) to 2^53 - 1; got {x}', {'got': str(x)},
                )
    return flat.tolist()


def array_ints(array: numpy.ndarray) -> list[int]:
    return [0 if x != x else int(max(-MAX_EXACT_INT, min(MAX_EXACT_INT, x))) for x in array.reshape(-1).tolist()]


def array_dtype(array: object) -> str | None:
    if isinstance(array, (numpy.ndarray, numpy.generic)):
        return _NAMES.get(array.dtype.newbyteorder('<').str[1:])
    return None


def array_size(array: numpy.ndarray) -> int:
    return int(array.size)


def array_shape(array: numpy.ndarray) -> list[int]:
    return list(array.shape)


def array_flat(array: numpy.ndarray) -> numpy.ndarray:
    """Row-major, one-dimensional, little-endian; the same memory where it has that form already."""
    flat = numpy.ascontiguousarray(array).reshape(-1)
    return flat if flat.dtype.isnative else flat.astype(flat.dtype.newbyteorder('='))


def plain_list(value: object) -> tuple[list, list[int]] | None:
    flat: list = []
    shape = _flatten(value, flat)
    return None if shape is None else (flat, shape)


def _flatten(value: object, flat: list) -> list[int] | None:
    """Append the numbers of `value` to `flat`; the shape they have, or None when something is no number."""
    if isinstance(value, (bool, int, float)):
        flat.append(value)
        return []
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        flat.extend(value.reshape(-1).tolist())
        return list(value.shape)
    if not isinstance(value, (list, tuple)):
        return None
    inner: list[int] | None = None
    for item in value:
        shape = _flatten(item, flat)
        if shape is None:
            return None
        if inner is not None and inner != shape:
            raise EdgeflowError(
                'invalid-argument', f'nested lists must be rows of one shape; got {inner} and {shape}',
                {'expected': inner, 'got': shape},
            )
        inner = shape
    return [len(value), *(inner if inner is not None else [])]
