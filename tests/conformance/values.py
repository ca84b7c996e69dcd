"""The values of test cases: tensors of any ONNX type, sequences, optionals; from numpy to what travels, and back.

A value travels as {dtype, shape, data}, data being the bytes as tensors have them (a byte an element for small types), or the
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
STORAGE = {'bfloat16': 'uint16', 'bool': 'uint8', 'int4': 'int8', 'int2': 'int8'}
SMALL_INTEGERS = ['int4', 'uint4', 'int2', 'uint2']
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
    data = array.astype(np.int16).astype(np.uint8).tobytes() if name in SMALL_INTEGERS else array.tobytes()
    return Plain(SPELLINGS.get(name, name), list(array.shape), data)


def numpy_value(value: Value) -> object:
    """What travelled, as numpy has it."""
    if value is None:
        return None
    if isinstance(value, list):
        return [numpy_value(x) for x in value]
    if value.dtype == 'string':
        return np.array(value.data, dtype=object).reshape(value.shape)
    kind = TensorProto.DataType.Value(ONNX_NAMES.get(value.dtype, value.dtype).upper())
    form = helper.tensor_dtype_to_np_dtype(kind)
    if value.dtype in SMALL_INTEGERS:
        return np.frombuffer(value.data, value.storage()).astype(form).reshape(value.shape)
    return np.frombuffer(value.data, form).reshape(value.shape)
