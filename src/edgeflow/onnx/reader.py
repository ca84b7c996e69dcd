"""An ONNX file, as a Model. Weights stay where they are: initializers are views into the file's bytes.

Protobuf's fields may stand in any order, so the model's own fields are found first, its graph is read after them.
"""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import Bytes
from edgeflow.ir.graph import Graph, Node
from edgeflow.ir.order import sort_nodes
from edgeflow.onnx import records
from edgeflow.onnx.graphs import Context, Head, plain_domain, read_graph, read_node, read_opset
from edgeflow.onnx.records import FunctionBody, Model
from edgeflow.onnx.skeleton import LARGE
from edgeflow.onnx.tensors import EXTERNAL, External, external_location, read_entry, read_parts
from edgeflow.onnx.wire import LENGTH, MAX_EXACT, WireReader, invalid

MAX_IR_VERSION = 14
# From here on a model must say its opsets (onnx.proto, ModelProto.opset_import).
IR_WITH_OPSETS = 3


def read_head(data: Bytes) -> Head:
    """The nodes at the beginning of a model of which `data` is the beginning. Whoever reads the whole meets its errors."""
    head = Head([], 0)
    try:
        reader = WireReader(data, 0, MAX_EXACT, 0)
        while reader.next_field() != records.MODEL_GRAPH:
            reader.skip()
        body: WireReader = reader.message()
        start: int = body.position
        number: int = body.next_field()
        while number == records.GRAPH_NODE and body.stop <= len(data):
            head.nodes.append(read_node(body.message(), Context(None)))
            head.size = body.position - start
            number = body.next_field()
        while number != 0 and number != records.GRAPH_NODE and len(head.table) == 0:
            if number == records.GRAPH_INITIALIZER:
                head.table = _large_raw(body.message())
            else:
                body.skip()
            number = body.next_field()
    except Exception:
        # The bytes end, or are no model, or what they name is elsewhere.
        return head
    return head


def _large_raw(tensor: WireReader) -> list[int]:
    """From where to where a tensor's raw data lie, if they are large."""
    number: int = tensor.next_field()
    while number != 0 and number != records.TENSOR_RAW:
        tensor.skip()
        number = tensor.next_field()
    return [tensor.start, tensor.stop] if number != 0 and tensor.stop - tensor.start >= LARGE else []


def read_model(data: Bytes, external: External | None = None, head: Head | None = None) -> Model:
    """The model in `data`. head: what read_head() gave for it.

    external: gives the bytes of a file that lies beside the model, or raises EdgeflowError 'file-missing'
    (external_files tells which files these are). Errors: invalid-model, invalid-graph, unsupported-op, file-missing.
    """
    reader = WireReader(data, 0, len(data), 0)
    body: WireReader | None = None
    ir_version: int = 0
    producer: str = ''
    metadata: dict[str, str] = {}
    opsets: dict[str, int] = {}
    functions: dict[str, FunctionBody] = {}
    while True:
        number: int = reader.next_field()
        if number == 0:
            break
        if number == records.MODEL_IR_VERSION:
            ir_version = reader.integer_field()
        elif number == records.MODEL_PRODUCER:
            producer = reader.text()
        elif number == records.MODEL_GRAPH:
            if body is not None:
                raise invalid('a second graph', reader.start)
            body = reader.message()
        elif number == records.MODEL_OPSET:
            read_opset(reader.message(), opsets)
        elif number == records.MODEL_METADATA:
            entry = read_entry(reader.message())
            metadata[entry[0]] = entry[1]
        elif number == records.MODEL_FUNCTION:
            function = read_signature(reader.message())
            functions[function.name if function.domain == '' else function.domain + ':' + function.name] = function
        else:
            reader.skip()
    if body is None:
        raise invalid(f'no graph in {len(data)} bytes', reader.position)
    if ir_version < 1 or ir_version > MAX_IR_VERSION:
        raise EdgeflowError(
            'invalid-model', f'IR version {ir_version}; expected 1 to {MAX_IR_VERSION}', {'got': ir_version},
        )
    graph: Graph = read_graph(body, Context(external), head)
    if len(opsets) == 0 and ir_version >= IR_WITH_OPSETS:
        # The field comes after the graph: the file may be cut off.
        raise invalid(f'no opset in {len(data)} bytes', reader.position)
    if len(opsets) == 0:
        opsets[''] = 1
    graph.opsets = opsets
    sort_nodes(graph)
    return Model(graph, ir_version, producer, metadata, functions)


def read_signature(reader: WireReader) -> FunctionBody:
    """Name and place of a function; its nodes are not read."""
    name: str = ''
    domain: str = ''
    start: int = reader.position
    while True:
        number: int = reader.next_field()
        if number == 0:
            return FunctionBody(name, domain, start, reader.end)
        if number == records.FUNCTION_NAME:
            name = reader.text()
        elif number == records.FUNCTION_DOMAIN:
            domain = plain_domain(reader.text())
        elif number == records.FUNCTION_OVERLOAD and reader.start != reader.stop:
            raise EdgeflowError('unsupported-op', f"function '{name}' is overloaded; expected one of this name", {'op': name})
        else:
            reader.skip()


# By kind of message: the fields that lead to tensors, and what they hold.
PATHS: dict[str, dict[int, str]] = {
    'model': {records.MODEL_GRAPH: 'graph', records.MODEL_FUNCTION: 'function'},
    'graph': {records.GRAPH_INITIALIZER: 'tensor', records.GRAPH_NODE: 'node'},
    'function': {records.FUNCTION_NODE: 'node'},
    'node': {records.NODE_ATTRIBUTE: 'attribute'},
    'attribute': {records.ATTRIBUTE_TENSOR: 'tensor', records.ATTRIBUTE_GRAPH: 'graph'},
}


def external_files(data: Bytes) -> list[str]:
    """The files beside the model that hold its external data, each once, in the order of their first use."""
    found: list[str] = []
    _scan(WireReader(data, 0, len(data), 0), 'model', found)
    return found


def _scan(reader: WireReader, kind: str, found: list[str]) -> None:
    """Look into a message."""
    if kind == 'tensor':
        _scan_tensor(reader, found)
        return
    fields: dict[int, str] = PATHS[kind]
    while True:
        number: int = reader.next_field()
        if number == 0:
            return
        if number in fields and reader.wire == LENGTH:
            _scan(reader.message(), fields[number], found)
        else:
            reader.skip()


def _scan_tensor(reader: WireReader, found: list[str]) -> None:
    """Tensors with raw data come by the thousand, so only those that say "external" are read."""
    start: int = reader.position
    while True:
        number: int = reader.next_field()
        if number == 0:
            return
        if number == records.TENSOR_LOCATION and reader.integer_field() == EXTERNAL:
            break
        if number != records.TENSOR_LOCATION:
            reader.skip()
    location: str = external_location(read_parts(WireReader(reader.data, start, reader.end, reader.depth)))
    if location not in found:
        found.append(location)
