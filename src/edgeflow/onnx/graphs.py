"""GraphProto, NodeProto, AttributeProto, ValueInfoProto and FunctionProto, as edgeflow's own Graph."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import join_bytes
from edgeflow.ir.dtype import DTYPE_NAMES
from edgeflow.ir.graph import Attribute, Graph, Node, TensorData, ValueInfo
from edgeflow.onnx import records
from edgeflow.onnx.sparse import read_sparse
from edgeflow.onnx.tensors import External, read_tensor
from edgeflow.onnx.wire import LENGTH, WireReader, invalid

NESTED_TYPES: dict[int, str] = {records.TYPE_SEQUENCE: 'seq', records.TYPE_MAP: 'map', records.TYPE_OPTIONAL: 'optional'}


@dataclass(frozen=True)
class Context:
    """What reading a graph needs beside its bytes. `bindings`: attributes of the call, inside of a function."""

    external: External | None
    bindings: dict[str, Attribute] = field(default_factory=dict)


def read_opset(reader: WireReader, opsets: dict[str, int]) -> None:
    """An OperatorSetIdProto, into `opsets`. 'ai.onnx' is the same domain as ''."""
    domain: str = ''
    version: int = 0
    while True:
        number: int = reader.next_field()
        if number == 0:
            break
        if number == records.OPSET_DOMAIN:
            domain = plain_domain(reader.text())
        elif number == records.OPSET_VERSION:
            version = reader.integer_field()
        else:
            reader.skip()
    opsets[domain] = version


def plain_domain(domain: str) -> str:
    """The domain's one spelling."""
    return '' if domain == 'ai.onnx' else domain


@dataclass
class Head:
    """Nodes with which a graph begins, and how many of its bytes they are. table: where in the file the raw data of the first large
    initializer lie, from and to, if they come next: as a rule the table of embeddings."""

    nodes: list[Node]
    size: int
    table: list[int] = field(default_factory=list)


def read_graph(reader: WireReader, context: Context, head: Head | None = None) -> Graph:
    """A graph. Inputs that have an initializer are constants here, no inputs (as IR version 3 lists them). head: what was read of it before."""
    name: str = ''
    nodes: list[Node] = []
    if head is not None:
        nodes = head.nodes
        reader.position += head.size
    inputs: list[ValueInfo] = []
    outputs: list[ValueInfo] = []
    initializers: dict[str, TensorData] = {}
    while True:
        number: int = reader.next_field()
        if number == 0:
            break
        if number == records.GRAPH_NODE:
            nodes.append(read_node(reader.message(), context))
        elif number == records.GRAPH_INITIALIZER:
            _read_initializer(reader.message(), context, initializers)
        elif number == records.GRAPH_INPUT:
            inputs.append(read_value_info(reader.message()))
        elif number == records.GRAPH_OUTPUT:
            outputs.append(read_value_info(reader.message()))
        elif number == records.GRAPH_NAME:
            name = reader.text()
        elif number == records.GRAPH_SPARSE_INITIALIZER:
            _read_initializer(reader.message(), context, initializers, True)
        else:
            reader.skip()
    inputs = [info for info in inputs if info.name not in initializers]
    return Graph(name, inputs, outputs, nodes, initializers)


def _read_initializer(reader: WireReader, context: Context, initializers: dict[str, TensorData], sparse: bool = False) -> None:
    names: list[str] = []
    position: int = reader.position
    tensor = read_sparse(reader, context.external, names) if sparse else read_tensor(reader, context.external, names)
    if names[0] == '':
        raise invalid('an initializer has no name', position)
    if names[0] in initializers:
        raise EdgeflowError('invalid-graph', f"initializer '{names[0]}' is there twice", {'value': names[0]})
    initializers[names[0]] = tensor


def read_node(reader: WireReader, context: Context) -> Node:
    """A node. An attribute that refers to one of a function's own is bound to the value that the call gives it."""
    op: str = ''
    domain: str = ''
    name: str = ''
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: dict[str, Attribute] = {}
    position: int = reader.position
    while True:
        number: int = reader.next_field()
        if number == 0:
            break
        if number == records.NODE_INPUT:
            inputs.append(reader.text())
        elif number == records.NODE_OUTPUT:
            outputs.append(reader.text())
        elif number == records.NODE_OP:
            op = reader.text()
        elif number == records.NODE_NAME:
            name = reader.text()
        elif number == records.NODE_ATTRIBUTE:
            read_attribute(reader.message(), context, attributes)
        elif number == records.NODE_DOMAIN:
            domain = plain_domain(reader.text())
        else:
            reader.skip()
    if op == '':
        raise invalid('a node has no operator', position)
    return Node(op, domain, name, inputs, outputs, attributes)


class AttributeParts:
    """The fields of one AttributeProto."""

    def __init__(self) -> None:
        self.name: str = ''
        self.kind: int = 0
        self.seen: int = 0
        self.reference: str = ''
        self.number: float = 0
        self.text: str = ''
        self.tensor: TensorData | None = None
        self.graph: Graph | None = None
        self.floats: list[float] = []
        self.ints: list[int] = []
        self.strings: list[str] = []


def read_attribute(reader: WireReader, context: Context, attributes: dict[str, Attribute]) -> None:
    parts = AttributeParts()
    position: int = reader.position
    while True:
        number: int = reader.next_field()
        if number == 0:
            break
        if number == records.ATTRIBUTE_NAME:
            parts.name = reader.text()
        elif number == records.ATTRIBUTE_TYPE:
            parts.kind = reader.integer_field()
        elif number == records.ATTRIBUTE_INT:
            parts.number = reader.integer_field()
            parts.seen = 2
        elif number == records.ATTRIBUTE_INTS:
            reader.integers(parts.ints)
            parts.seen = 7
        elif number == records.ATTRIBUTE_FLOAT:
            parts.number = reader.float_field()
            parts.seen = 1
        elif number == records.ATTRIBUTE_STRING:
            parts.text = reader.text()
            parts.seen = 3
        elif number == records.ATTRIBUTE_TENSOR:
            tensor = read_tensor(reader.message(), context.external, [])
            # The memory of pieces is freed once the initializers are loaded.
            copies: bool = len(tensor.parts) > 0 or tensor.stored is not None
            parts.tensor = TensorData(tensor.dtype, tensor.shape, join_bytes([tensor.whole()])) if copies else tensor
            parts.seen = 4
        elif number == records.ATTRIBUTE_SPARSE:
            parts.tensor = read_sparse(reader.message(), context.external, [])
            parts.seen = 11
        elif number == records.ATTRIBUTE_TYPE_PROTO:
            parts.text = _read_type(reader.message(), parts.name).dtype
            parts.seen = 13
        elif number == records.ATTRIBUTE_GRAPH:
            parts.graph = read_graph(reader.message(), context)
            parts.seen = 5
        elif number == records.ATTRIBUTE_FLOATS:
            reader.floats(parts.floats)
            parts.seen = 6
        elif number == records.ATTRIBUTE_STRINGS:
            parts.strings.append(reader.text())
            parts.seen = 8
        elif number == records.ATTRIBUTE_REFERENCE:
            parts.reference = reader.text()
        else:
            reader.skip()
    if parts.name == '':
        raise invalid('an attribute has no name', position)
    if parts.reference != '':
        if parts.reference in context.bindings:
            attributes[parts.name] = context.bindings[parts.reference]
        return
    attributes[parts.name] = _attribute_value(parts, position)


def _attribute_value(parts: AttributeParts, position: int) -> Attribute:
    """The value that the attribute's type says; files older than the type field tell it by what is there."""
    kind: int = parts.kind if parts.kind != 0 else parts.seen
    if kind == 1 or kind == 2:
        if parts.seen != 0 and parts.seen != kind:
            raise invalid(f"attribute '{parts.name}' has another value than its type", position)
        return parts.number
    if kind == 3 or kind == 13:
        return parts.text
    if kind == 6:
        return parts.floats
    if kind == 7:
        return parts.ints
    if kind == 8:
        return parts.strings
    if (kind == 4 or kind == 11) and parts.tensor is not None:
        return parts.tensor
    if kind == 5 and parts.graph is not None:
        return parts.graph
    if kind in records.ATTRIBUTE_TYPES and kind > 8:
        got: str = records.ATTRIBUTE_TYPES[kind]
        raise EdgeflowError(
            'unsupported-op', f"attribute '{parts.name}' is of type {got}, which edgeflow does not know",
            {'attribute': parts.name, 'got': got},
        )
    raise invalid(f"attribute '{parts.name}' has no value of its type ({kind})", position)


def read_value_info(reader: WireReader) -> ValueInfo:
    """A declared input or output. Dtype '' where the file does not say (outputs of subgraphs)."""
    name: str = ''
    found: ValueInfo | None = None
    position: int = reader.position
    while True:
        number: int = reader.next_field()
        if number == 0:
            break
        if number == records.VALUE_NAME:
            name = reader.text()
        elif number == records.VALUE_TYPE:
            found = _read_type(reader.message(), name)
        else:
            reader.skip()
    if name == '':
        raise invalid('an input or output has no name', position)
    return ValueInfo(name, '' if found is None else found.dtype, None if found is None else found.shape)


def _read_type(kind: WireReader, name: str) -> ValueInfo:
    """A TypeProto. What is no tensor has a dtype such as 'seq(float32)', 'optional(seq(int64))' or 'map(string,float32)'."""
    dtype: str = ''
    shape: list[int | str] | None = None
    while True:
        choice: int = kind.next_field()
        if choice == 0:
            return ValueInfo(name, dtype, shape)
        if choice == records.TYPE_TENSOR:
            tensor: WireReader = kind.message()
            while True:
                part: int = tensor.next_field()
                if part == 0:
                    break
                if part == records.TENSOR_TYPE_DTYPE:
                    dtype = _dtype_name(tensor.integer_field(), name)
                elif part == records.TENSOR_TYPE_SHAPE:
                    shape = _read_shape(tensor.message())
                else:
                    tensor.skip()
        elif choice in NESTED_TYPES:
            dtype = f'{NESTED_TYPES[choice]}({_read_content(kind.message(), name)})'
        elif choice == 8:
            raise EdgeflowError('unsupported-op', f"value '{name}' is a sparse tensor; expected a dense one", {'value': name})
        else:
            kind.skip()


def _read_content(reader: WireReader, name: str) -> str:
    """The type of what a sequence or optional holds; of a map, its key's and its value's."""
    key: str = ''
    content: str = ''
    while True:
        part: int = reader.next_field()
        if part == 0:
            return key + content
        if part == records.TYPE_CONTENT and reader.wire != LENGTH:
            key = _dtype_name(reader.integer_field(), name) + ','
        elif part == records.TYPE_CONTENT or part == records.TYPE_MAP_VALUE:
            content = _read_type(reader.message(), name).dtype
        else:
            reader.skip()


def _dtype_name(code: int, name: str) -> str:
    if code == 0:
        return ''
    if code not in DTYPE_NAMES:
        raise EdgeflowError('unsupported-op', f"value '{name}' has data type {code}, which edgeflow does not know", {'got': code})
    return DTYPE_NAMES[code]


def _read_shape(reader: WireReader) -> list[int | str]:
    shape: list[int | str] = []
    while True:
        number: int = reader.next_field()
        if number == 0:
            return shape
        if number == records.SHAPE_DIM:
            shape.append(_read_dim(reader.message()))
        else:
            reader.skip()


def _read_dim(reader: WireReader) -> int | str:
    """A number, a symbol, or '' if unknown; some exporters write -1 for that."""
    dim: int | str = ''
    while True:
        number: int = reader.next_field()
        if number == 0:
            return dim
        if number == records.DIM_VALUE:
            value: int = reader.integer_field()
            dim = value if value >= 0 else ''
        elif number == records.DIM_SYMBOL:
            dim = reader.text()
        else:
            reader.skip()
