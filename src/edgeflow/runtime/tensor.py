"""Tensors as users see them: a flat array of numbers with a shape and a data type."""

from __future__ import annotations

from typing import Literal, cast

from edgeflow.backends.contract import Held
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import (
    array_bytes, array_dtype, array_flat, array_list, array_of, array_shape, array_size, array_view, new_array, plain_list,
)
from edgeflow.host.port import NumericArray
from edgeflow.ir.dtype import SMALL_FLOATS, element_count, held_size
from edgeflow.ir.elements import small_number
from edgeflow.options import check_choice
from edgeflow.runtime.memory import Resource

TENSOR_DTYPES = [
    'float32', 'float16', 'float64', 'bfloat16', 'int8', 'int16', 'int32', 'int64',
    'uint8', 'uint16', 'uint32', 'uint64', 'bool', 'float8e4m3fn', 'float8e4m3fnuz', 'float8e5m2', 'float8e5m2fnuz', 'float8e8m0',
    'float4e2m1', 'int4', 'uint4', 'int2', 'uint2',
]

DType = Literal[
    'float32', 'float16', 'float64', 'bfloat16', 'int8', 'int16', 'int32', 'int64',
    'uint8', 'uint16', 'uint32', 'uint64', 'bool',
]

# Types that share the storage of another: a uint8 array may be declared bool or hold small floats, a uint16 array 16-bit floats.
STORAGE: dict[str, str] = {
    'bool': 'uint8', 'float16': 'uint16', 'bfloat16': 'uint16', 'float8e4m3fn': 'uint8', 'float8e4m3fnuz': 'uint8', 'float8e5m2': 'uint8',
    'float8e5m2fnuz': 'uint8', 'float8e8m0': 'uint8', 'float4e2m1': 'uint8', 'int4': 'int8', 'uint4': 'uint8', 'int2': 'int8', 'uint2': 'uint8',
}

BOUNDS: dict[str, list[int]] = {
    'bool': [0, 1], 'uint4': [0, 15], 'int4': [-8, 7], 'uint2': [0, 3], 'int2': [-2, 1], 'float4e2m1': [0, 15],
}


class Tensor(Resource):
    """Numbers in row-major order. `shape` is [] for a scalar. Made by `tensor()`, by operations and by models."""

    def __init__(self, dtype: str, shape: list[int], data: NumericArray, held: Held | None = None) -> None:
        """held: where the numbers are, if that is not `data`."""
        super().__init__()
        self.dtype: str = dtype
        self.shape: list[int] = shape
        self.size: int = element_count(shape)
        self._data: NumericArray | None = data
        self._held: Held | None = held
        if held is None:
            self._begin('tensor', held_size(dtype, self.size))
        else:
            self._begin('tensor on the GPU', held.size)

    @property
    def location(self) -> Literal['host', 'gpu']:
        """Where the numbers are. 'gpu': Model.run() was asked to leave them there; other models take them from there."""
        return 'host' if self._held is None else 'gpu'

    async def read(self) -> NumericArray:
        """The numbers, wherever they are: `data`, or a copy of what is on the GPU. EdgeflowErrors 'disposed', 'device-lost', 'worker-lost'."""
        if self._held is None or self._data is None:
            return self.data
        feed = await self._held.fetch()
        return feed.data

    @property
    def data(self) -> NumericArray:
        """The numbers, flat: a typed array in JS, a one-dimensional numpy array in Python. Not a copy.

        Of strings, a list. float16 is a Float16Array where the browser has it, else a Uint16Array of the bits; bfloat16 is always the bits.
        EdgeflowError 'disposed' after dispose(), 'invalid-argument' where location is 'gpu'.
        """
        if self._data is None:
            raise EdgeflowError(
                'disposed', f'expected a living tensor; this one ({describe(self.dtype, self.shape)}) was disposed',
                {'dtype': self.dtype, 'shape': self.shape},
            )
        if self._held is not None:
            raise EdgeflowError('invalid-argument', 'the numbers of this tensor are on the GPU; `await tensor.read()` brings them', {})
        return self._data

    def tolist(self) -> float | bool | list[object]:
        """The numbers as nested lists (a bare number for a scalar); bools for dtype bool.

        EdgeflowError 'invalid-argument' if an int64 is beyond 2^53 - 1, where JS numbers are not exact.
        """
        return nest(numbers(self.dtype, self.data), self.shape)

    def __repr__(self) -> str:
        state = ', disposed' if self._data is None else ''
        return f'Tensor({describe(self.dtype, self.shape)}{state})'

    def _free(self) -> None:
        self._data = None
        if self._held is not None:
            self._held.free()

    def _label(self) -> str:
        return describe(self.dtype, self.shape)


def describe(dtype: str, shape: list[int]) -> str:
    """'float32 [2, 3]', the way messages show a tensor's type."""
    return dtype + ' [' + ', '.join([str(dim) for dim in shape]) + ']'


def tensor(
    data: float | bool | str | list[object] | NumericArray, shape: list[int] | None = None,
    dtype: Literal[
        'float32', 'float16', 'float64', 'bfloat16', 'int8', 'int16', 'int32', 'int64',
        'uint8', 'uint16', 'uint32', 'uint64', 'bool', 'float8e4m3fn', 'float8e4m3fnuz', 'float8e5m2', 'float8e5m2fnuz', 'float8e8m0',
        'float4e2m1', 'int4', 'uint4', 'int2', 'uint2', 'string',
    ] | None = None,
) -> Tensor:
    """A tensor of the given numbers.

    data: a number, nested lists of numbers or bools, or a typed array (in Python a numpy array of any rank), which is not
    copied, or texts. shape: inferred from the nesting if left out. dtype: an array's own; for lists of bools 'bool', for other
    numbers 'float32' unless said, whole or not, because JS cannot tell 1 from 1.0. A uint8 array may be declared
    'bool', a uint16 array that holds the bits of 16-bit floats 'float16' or 'bfloat16', and an array of bytes one of the
    types of 8 bits and fewer, a byte for each element: integers as int8 or uint8, float8 and float4 types as their bits.
    EdgeflowError 'invalid-argument' for anything else, ragged lists, and a shape that does not fit.
    """
    texts: list[str] = []
    if dtype == 'string' or dtype is None:
        natural = [0] if dtype == 'string' and data == [] else _flat_texts(data, texts)
        if natural is not None:
            return Tensor('string', _checked_shape(shape, natural, len(texts)), texts)
    if dtype is not None:
        check_choice(dtype, TENSOR_DTYPES + ['string'], 'dtype')
    own = array_dtype(data)
    if own is not None:
        return _from_array(data, own, shape, dtype)
    plain = plain_list(data)
    if plain is None:
        raise EdgeflowError(
            'invalid-argument', 'tensor data: expected a number, nested lists of numbers, or an array of numbers', {},
        )
    values = plain[0]
    kind = dtype if dtype is not None else ('bool' if _all_bools(values) else 'float32')
    if kind in SMALL_FLOATS and STORAGE[kind] == 'uint8':
        raise EdgeflowError('invalid-argument', f'a {kind} tensor is made of an array of its bits, not of a list', {'expected': 'uint8'})
    return Tensor(kind, _checked_shape(shape, plain[1], len(values)), array_of(kind, _within(kind, values)))


def _flat_texts(data: object, texts: list[str]) -> list[int] | None:
    """Append the texts of nested lists to `texts`; the shape they have, None if something is no text."""
    if isinstance(data, str):
        texts.append(data)
        return []
    if not isinstance(data, list):
        return None
    inner: list[int] | None = None
    for item in data:
        shape = _flat_texts(item, texts)
        if shape is None or (inner is not None and inner != shape):
            return None
        inner = shape
    return [len(data)] + inner if inner is not None else None


def _from_array(data: NumericArray, own: str, shape: list[int] | None, dtype: str | None) -> Tensor:
    flat = array_flat(data)
    dims = _checked_shape(shape, array_shape(data), array_size(data))
    if dtype is None or dtype == own:
        return Tensor(own, dims, flat)
    if STORAGE.get(dtype) != own:
        raise EdgeflowError(
            'invalid-argument', f'tensor data: expected an array of {dtype}, got one of {own}',
            {'expected': dtype, 'got': own},
        )
    if dtype in BOUNDS:
        _within(dtype, array_list(flat))
    return Tensor(dtype, dims, array_view(dtype, array_bytes(flat)))


def _within(dtype: str, values: list) -> list:
    """The numbers, all of which the type must hold although its array would hold more."""
    bounds = BOUNDS.get(dtype)
    if bounds is not None:
        for x in values:
            if x < bounds[0] or x > bounds[1]:
                raise EdgeflowError('invalid-argument', f'{dtype} holds {bounds[0]} to {bounds[1]}; got {x}', {'got': x})
    return values


def _all_bools(values: list[object]) -> bool:
    for x in values:
        if not isinstance(x, bool):
            return False
    return len(values) > 0


def _checked_shape(shape: list[int] | None, natural: list[int], size: int) -> list[int]:
    if shape is None:
        return natural
    dims: list[int] = []
    for dim in shape:
        if not isinstance(dim, int) or dim < 0:
            raise EdgeflowError(
                'invalid-argument', f'shape: expected whole numbers from 0 up, got {dim}', {'got': dim},
            )
        dims.append(dim)
    if element_count(dims) != size:
        raise EdgeflowError(
            'invalid-argument',
            f'shape {dims} has {element_count(dims)} elements; the data has {size}',
            {'expected': element_count(dims), 'got': size},
        )
    return dims


def numbers(dtype: str, data: NumericArray) -> list:
    """The numbers of a tensor's array as a flat list, whatever the platform keeps them in."""
    if dtype == 'string':
        return list(cast('list[str]', data))
    values = array_list(data)
    if dtype == 'bool':
        return [bool(x) for x in values]
    if dtype in SMALL_FLOATS and (dtype != 'float16' or array_dtype(data) == 'uint16'):
        return [small_number(dtype, bits) for bits in values]
    return values


def nest(values: list, shape: list[int]) -> float | bool | list[object]:
    """A flat list as nested lists of the given shape."""
    if len(shape) == 0:
        return values[0]
    rows: list = values
    for axis in range(len(shape) - 1, 0, -1):
        width = shape[axis]
        count = element_count(shape[:axis])
        rows = [rows[i * width:(i + 1) * width] for i in range(count)]
    return rows


def zeros(shape: int | list[int], dtype: DType = 'float32') -> Tensor:
    """A tensor of zeros. The one operation that needs no load_operations()."""
    dims = checked_dims(shape)
    check_choice(dtype, TENSOR_DTYPES, 'dtype')
    return Tensor(dtype, dims, new_array(dtype, element_count(dims)))


def checked_dims(shape: int | list[int]) -> list[int]:
    """A shape as a list of dims. EdgeflowError 'invalid-argument'."""
    dims: list[int] = list(shape) if isinstance(shape, (list, tuple)) else [shape]
    for dim in dims:
        if not isinstance(dim, int) or dim < 0:
            raise EdgeflowError('invalid-argument', f'shape: expected whole numbers from 0 up, got {dim}', {'got': dim})
    return dims
