"""What a model file says beside its graph, and the field numbers of the messages in it (onnx/onnx.proto3)."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeflow.ir.graph import Graph, Node

MODEL_IR_VERSION = 1
MODEL_PRODUCER = 2
MODEL_GRAPH = 7
MODEL_OPSET = 8
MODEL_METADATA = 14
MODEL_FUNCTION = 25

OPSET_DOMAIN = 1
OPSET_VERSION = 2

ENTRY_KEY = 1
ENTRY_VALUE = 2

GRAPH_NODE = 1
GRAPH_NAME = 2
GRAPH_INITIALIZER = 5
GRAPH_INPUT = 11
GRAPH_OUTPUT = 12
GRAPH_SPARSE_INITIALIZER = 15

NODE_INPUT = 1
NODE_OUTPUT = 2
NODE_NAME = 3
NODE_OP = 4
NODE_ATTRIBUTE = 5
NODE_DOMAIN = 7

FUNCTION_NAME = 1
FUNCTION_INPUT = 4
FUNCTION_OUTPUT = 5
FUNCTION_NODE = 7
FUNCTION_OPSET = 9
FUNCTION_DOMAIN = 10
FUNCTION_DEFAULT = 11
FUNCTION_OVERLOAD = 13

ATTRIBUTE_NAME = 1
ATTRIBUTE_FLOAT = 2
ATTRIBUTE_INT = 3
ATTRIBUTE_STRING = 4
ATTRIBUTE_TENSOR = 5
ATTRIBUTE_GRAPH = 6
ATTRIBUTE_FLOATS = 7
ATTRIBUTE_INTS = 8
ATTRIBUTE_STRINGS = 9
ATTRIBUTE_TYPE_PROTO = 14
ATTRIBUTE_TYPE = 20
ATTRIBUTE_REFERENCE = 21
ATTRIBUTE_SPARSE = 22

ATTRIBUTE_TYPES: dict[int, str] = {
    1: 'float', 2: 'int', 3: 'string', 4: 'tensor', 5: 'graph', 6: 'floats', 7: 'ints', 8: 'strings', 9: 'tensors',
    10: 'graphs', 11: 'sparse tensor', 12: 'sparse tensors', 13: 'type', 14: 'types',
}

TENSOR_DIMS = 1
TENSOR_DTYPE = 2
TENSOR_FLOATS = 4
TENSOR_INT32S = 5
TENSOR_STRINGS = 6
TENSOR_INT64S = 7
TENSOR_NAME = 8
TENSOR_RAW = 9
TENSOR_DOUBLES = 10
TENSOR_UINT64S = 11
TENSOR_EXTERNAL = 13
TENSOR_LOCATION = 14
# Ours, in a skeleton (pieces.py): where in the file the raw data lie, and their length.
TENSOR_PLACE = 4093

SPARSE_VALUES = 1
SPARSE_INDICES = 2
SPARSE_DIMS = 3

VALUE_NAME = 1
VALUE_TYPE = 2
TYPE_TENSOR = 1
TYPE_SEQUENCE = 4
TYPE_MAP = 5
TYPE_OPTIONAL = 9
# What a sequence or optional holds; of a map, its key and value.
TYPE_CONTENT = 1
TYPE_MAP_VALUE = 2
TENSOR_TYPE_DTYPE = 1
TENSOR_TYPE_SHAPE = 2
SHAPE_DIM = 1
DIM_VALUE = 1
DIM_SYMBOL = 2


@dataclass(frozen=True)
class FunctionBody:
    """Where a model-local function lies in the file. It is read anew for each call, with the attributes of the call."""

    name: str
    domain: str
    start: int
    stop: int


@dataclass(frozen=True)
class Function:
    """A function as read for one call: nodes in order, its own value names."""

    inputs: list[str]
    outputs: list[str]
    nodes: list[Node]
    opsets: dict[str, int]


@dataclass(frozen=True)
class Model:
    """An ONNX model. functions: its own, by their operators' keys; calls of them are left to functions.expand_functions()."""

    graph: Graph
    ir_version: int
    producer: str
    metadata: dict[str, str] = field(default_factory=dict)
    functions: dict[str, FunctionBody] = field(default_factory=dict)
