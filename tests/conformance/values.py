"""The values of test cases: tensors of any ONNX type, sequences, optionals; from numpy to what travels, and back.

A value travels as {dtype, shape, data}, data being the bytes as ONNX's raw_data has them (types of 4 and 2 bits packed), or the
strings; a sequence as a list of values; an optional that is empty as None.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper, numpy_helper

# Where edgeflow spells a type otherwise than ONNX.
SPELLINGS = {'float': 'float32', 'double': 'float64'}
ONNX_NAMES = {name: key for key, name in SPELLINGS.items()}

# What an array holds whose elements numpy and JS do not know.
STORAGE = {'bfloat16': 'uint16', 'bool': 'uint8'}
NATIVE = ['float32', 'float64', 'float16', 'int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64']


@dataclass(frozen=True)
class Plain:
    """A tensor as it travels."""

    dtype: str
    shape: list[int]
    data: bytes | list[str]

    def storage(self) -> str:
        """The type of the array that holds its bytes."""
        return self.dtype if self.dtype in NATIVE else STORAGE.get(self.dtype, 'uint8')


Value = Plain | list | None


def plain(value: object) -> Value:
    """A value of a test case, as it travels."""
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [plain(x) for x in value]
    if isinstance(value, TensorProto):
        value = numpy_helper.to_array(value)
    array = np.asarray(value)
    if array.dtype == object or array.dtype.kind in 'US':
        texts = [x.decode() if isinstance(x, bytes) else str(x) for x in array.reshape(-1).tolist()]
        return Plain('string', list(array.shape), texts)
    proto = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape))
    name = TensorProto.DataType.Name(proto.data_type).lower()
    return Plain(SPELLINGS.get(name, name), list(array.shape), proto.raw_data)


def numpy_value(value: Value) -> object:
    """What travelled, as numpy has it."""
    if value is None:
        return None
    if isinstance(value, list):
        return [numpy_value(x) for x in value]
    if value.dtype == 'string':
        return np.array(value.data, dtype=object).reshape(value.shape)
    kind = TensorProto.DataType.Value(ONNX_NAMES.get(value.dtype, value.dtype).upper())
    proto = helper.make_tensor('x', kind, value.shape, value.data, raw=True)
    return numpy_helper.to_array(proto)
