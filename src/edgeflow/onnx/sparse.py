"""SparseTensorProto, as a dense tensor: backends know no other."""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import copy_bytes, new_bytes
from edgeflow.host.port import Bytes
from edgeflow.ir.dtype import ITEM_BITS, byte_size, element_count
from edgeflow.ir.elements import elements
from edgeflow.ir.graph import TensorData
from edgeflow.onnx import records
from edgeflow.onnx.tensors import External, check_shape, read_tensor
from edgeflow.onnx.wire import WireReader, invalid

MAX_DENSE_BYTES = 2147483647


def read_sparse(reader: WireReader, external: External | None, names: list[str]) -> TensorData:
    """The tensor with zeros where it has no value; its name is appended to `names`."""
    values: TensorData | None = None
    indices: TensorData | None = None
    dims: list[int] = []
    position: int = reader.position
    while True:
        number: int = reader.next_field()
        if number == 0:
            break
        if number == records.SPARSE_VALUES:
            values = read_tensor(reader.message(), external, names)
        elif number == records.SPARSE_INDICES:
            indices = read_tensor(reader.message(), external, [])
        elif number == records.SPARSE_DIMS:
            reader.integers(dims)
        else:
            reader.skip()
    if values is None or indices is None or len(values.shape) != 1 or indices.dtype != 'int64':
        raise invalid('a sparse tensor has no list of values with int64 indices', position)
    count: int = check_shape(dims, 'a sparse tensor', position)
    bits: int = ITEM_BITS[values.dtype]
    if bits < 8 or values.dtype == 'string' or byte_size(values.dtype, count) > MAX_DENSE_BYTES:
        raise EdgeflowError('unsupported-op', f'a sparse tensor of {values.dtype} {dims} cannot be made dense', {'dtype': values.dtype})
    places: list[int] = _places([int(x) for x in elements(indices)], indices.shape, dims, values.shape[0], position)
    size: int = bits // 8
    data: Bytes = new_bytes(count * size)
    source: Bytes = values.whole()
    for i in range(len(places)):
        copy_bytes(data, places[i] * size, source[i * size:(i + 1) * size])
    return TensorData(values.dtype, dims, data)


def _places(indices: list[int], shape: list[int], dims: list[int], count: int, position: int) -> list[int]:
    """Where each value stands in row-major order; indices are such places, or one number an axis."""
    rank: int = len(dims) if len(shape) == 2 else 1
    if len(indices) != count * rank or len(shape) < 1 or len(shape) > 2:
        raise invalid(f'a sparse tensor has {count} values and indices of shape {shape}', position)
    total: int = element_count(dims)
    places: list[int] = []
    for i in range(count):
        place = 0
        for axis in range(rank):
            index = indices[i * rank + axis]
            dim = dims[axis] if len(shape) == 2 else total
            if index < 0 or index >= dim:
                raise invalid(f'a sparse tensor has an index {index} where dims are {dims}', position)
            place = place * dim + index
        places.append(place)
    return places
