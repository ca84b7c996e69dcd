"""What a shape and type rule gets (InferContext), what it gives (Type), and an entry of the op table (OpSpec).

Rules work on concrete shapes: planning happens for one set of input shapes at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeflow.errors import EdgeflowError
from edgeflow.ir.attributes import is_whole
from edgeflow.ir.dtype import DTYPE_NAMES
from edgeflow.ir.graph import Attribute, Node, TensorData

FLOATS = ['float32', 'float16', 'float64', 'bfloat16']
INTEGERS = ['int64', 'int32', 'uint8', 'int8', 'uint16', 'int16', 'uint32', 'uint64']
NUMBERS = FLOATS + INTEGERS
# Types of less than a byte, and float8.
SMALL = ['uint4', 'int4', 'uint2', 'int2', 'float4e2m1', 'float8e4m3fn', 'float8e4m3fnuz', 'float8e5m2', 'float8e5m2fnuz', 'float8e8m0']
MAX_ELEMENTS = 2147483647


@dataclass(frozen=True)
class Type:
    """The data type and the concrete shape of a value."""

    dtype: str
    shape: list[int]


class InferContext:
    """One node, the types of its inputs, and the elements of those inputs that are known while planning.

    opset: version of the node's domain. types: one entry an input, None where left out.
    read_ints, read_floats: the elements of input i, or None if they depend on data.
    """

    def __init__(self, node: Node, opset: int, types: list[Type | None], read_ints: Callable[[int], list[int] | None],
                 read_floats: Callable[[int], list[float] | None]) -> None:
        self.node = node
        self.opset = opset
        self.types = types
        self._read_ints = read_ints
        self._read_floats = read_floats

    def fail(self, expected: str, got: str) -> EdgeflowError:
        """The error that says which rule this node breaks; raise it."""
        return EdgeflowError('invalid-graph', f"{self.node.key()} (node '{self.node.name}'): expected {expected}; got {got}",
                             {'op': self.node.key(), 'node': self.node.name, 'expected': expected, 'got': got})

    def unsupported(self, reason: str) -> EdgeflowError:
        """The error for a valid node that edgeflow cannot run; raise it."""
        return EdgeflowError('unsupported-op', f"{self.node.key()} (node '{self.node.name}') cannot run: {reason}",
                             {'op': self.node.key(), 'node': self.node.name, 'reason': reason})

    def has(self, index: int) -> bool:
        """Whether input `index` is given."""
        return index < len(self.types) and self.types[index] is not None

    def type(self, index: int) -> Type:
        """The type of input `index`, which must be given."""
        given = self.types[index] if index < len(self.types) else None
        if given is None:
            raise self.fail(f'input {index}', 'nothing')
        return given

    def dtype(self, index: int) -> str:
        return self.type(index).dtype

    def shape(self, index: int) -> list[int]:
        return self.type(index).shape

    def shaped(self, shape: list[int]) -> list[Type]:
        """The one output, of the data type of the first input."""
        return [Type(self.type(0).dtype, shape)]

    def check_dtype(self, index: int, allowed: list[str]) -> str:
        """The data type of input `index`, which must be one of `allowed`."""
        dtype = self.type(index).dtype
        if dtype not in allowed:
            raise self.fail(f'input {index} of type ' + ' or '.join(allowed), dtype)
        return dtype

    def check_same_dtype(self, first: int, second: int) -> str:
        """The one data type of two inputs."""
        dtype = self.type(first).dtype
        if self.type(second).dtype != dtype:
            raise self.fail(f'inputs {first} and {second} of one type', f'{dtype} and {self.type(second).dtype}')
        return dtype

    def check_rank(self, index: int, low: int, high: int) -> int:
        """The rank of input `index`, which must lie within low..high (high -1: no limit)."""
        rank = len(self.type(index).shape)
        if rank < low or (high >= 0 and rank > high):
            wanted = f'{low}' if low == high else f'{low} or more' if high < 0 else f'{low} to {high}'
            raise self.fail(f'input {index} of rank {wanted}', f'shape {self.type(index).shape}')
        return rank

    def maybe_ints(self, index: int) -> list[int] | None:
        """The elements of integer input `index`; None if left out or dependent on data."""
        return self._read_ints(index) if self.has(index) else None

    def ints(self, index: int) -> list[int]:
        """The elements of integer input `index`, which must be known while planning."""
        self.type(index)
        values = self._read_ints(index)
        if values is None:
            raise self.unsupported(f'the output shape depends on the elements of input {index}, which depend on data')
        return values

    def floats(self, index: int) -> list[float]:
        """The elements of input `index` (any number type), which must be known while planning."""
        self.type(index)
        values = self._read_floats(index)
        if values is None:
            raise self.unsupported(f'the output shape depends on the elements of input {index}, which depend on data')
        return values

    def has_attr(self, name: str) -> bool:
        return name in self.node.attributes

    def _attribute(self, name: str) -> Attribute | None:
        return self.node.attributes.get(name)

    def _wrong(self, name: str, wanted: str) -> EdgeflowError:
        return self.fail(f"attribute '{name}' to be {wanted}", 'another kind' if self.has_attr(name) else 'nothing')

    def attr_int(self, name: str, default: int = 0) -> int:
        value = self._attribute(name)
        if value is None:
            return default
        if not isinstance(value, (int, float)) or not is_whole(value):
            raise self._wrong(name, 'an integer')
        return int(value)

    def attr_float(self, name: str, default: float) -> float:
        value = self._attribute(name)
        if value is None:
            return default
        if not isinstance(value, (int, float)):
            raise self._wrong(name, 'a number')
        return value

    def attr_str(self, name: str, default: str) -> str:
        value = self._attribute(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self._wrong(name, 'a string')
        return value

    def attr_ints(self, name: str) -> list[int] | None:
        """The integers of an attribute; None if it is left out."""
        value = self._attribute(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self._wrong(name, 'a list of integers')
        for x in value:
            if not isinstance(x, (int, float)) or not is_whole(x):
                raise self._wrong(name, 'a list of integers')
        return [int(x) for x in value]

    def attr_tensor(self, name: str) -> TensorData | None:
        value = self._attribute(name)
        if value is None:
            return None
        if not isinstance(value, TensorData):
            raise self._wrong(name, 'a tensor')
        return value

    def attr_dtype(self, name: str, default: int) -> str:
        """The data type that an attribute names by its ONNX number."""
        code = self.attr_int(name, default)
        dtype = DTYPE_NAMES.get(code)
        if dtype is None:
            raise self.unsupported(f"data type {code} (attribute '{name}') is not known")
        return dtype

    def axis(self, axis: int, rank: int) -> int:
        """`axis` counted from the front; an error if it is not one of `rank` axes."""
        if axis < -rank or axis >= rank:
            raise self.fail(f'an axis from {-rank} to {rank - 1}', f'{axis}')
        return axis + rank if axis < 0 else axis

    def axes(self, axes: list[int], rank: int) -> list[int]:
        """Several axes counted from the front, each named once, in the given order."""
        found: list[int] = []
        for axis in axes:
            positive = self.axis(axis, rank)
            if positive in found:
                raise self.fail('axes that differ', f'{axes}')
            found.append(positive)
        return found

    def broadcast(self, shapes: list[list[int]]) -> list[int]:
        """The shape to which all of `shapes` are broadcast (numpy's rule)."""
        rank = 0
        for shape in shapes:
            if len(shape) > rank:
                rank = len(shape)
        result = [1] * rank
        for shape in shapes:
            offset = rank - len(shape)
            for i in range(len(shape)):
                dim = shape[i]
                if dim == 1 or dim == result[offset + i]:
                    continue
                if result[offset + i] != 1:
                    raise self.fail('shapes that can be broadcast together', ' and '.join([f'{x}' for x in shapes]))
                result[offset + i] = dim
        return result

    def check_dims(self, shape: list[int]) -> list[int]:
        """`shape` itself; an error if a dim is negative or there are too many elements for a tensor."""
        count = 1
        for dim in shape:
            if dim < 0:
                raise self.fail('dims of 0 or more', f'{shape}')
            count = count * dim
            if count > MAX_ELEMENTS:
                raise self.fail(f'at most {MAX_ELEMENTS} elements', f'shape {shape}')
        return shape


Infer = Callable[[InferContext], list[Type]]


@dataclass(frozen=True)
class OpSpec:
    """An entry of the op table. max_inputs -1: any number. since: the first opset that has the operator."""

    min_inputs: int
    max_inputs: int
    since: int
    infer: Infer


def op(infer: Infer, least: int = 1, most: int | None = None, since: int = 1) -> OpSpec:
    """An entry of the op table: a rule, the fewest and most inputs (left out: no more than the fewest), the first opset."""
    return OpSpec(least, least if most is None else most, since, infer)
