"""Calls of model-local functions are replaced by the function's nodes (onnx/docs/IR.md, "Functions")."""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import Bytes
from edgeflow.ir.graph import Attribute, Graph, Node
from edgeflow.ir.order import sort_nodes
from edgeflow.ir.renaming import renamed
from edgeflow.onnx.graphs import Context, read_attribute, read_node, read_opset
from edgeflow.onnx.records import (
    FUNCTION_DEFAULT, FUNCTION_INPUT, FUNCTION_NODE, FUNCTION_OPSET, FUNCTION_OUTPUT, Function, FunctionBody, Model,
)
from edgeflow.onnx.tensors import External
from edgeflow.onnx.wire import WireReader

MAX_CALL_DEPTH = 16
MAX_NODES = 200000


def expand_functions(model: Model, data: Bytes, external: External | None) -> None:
    """Replace all calls in a model that read_model() has read from `data`. EdgeflowErrors: 'invalid-model', 'invalid-graph', 'unsupported-op'."""
    Expander(data, model.functions, external, model.graph.opsets).expand_graph(model.graph, 0)
    sort_nodes(model.graph)


class Expander:
    """Replaces calls, also those inside of functions and subgraphs."""

    def __init__(
        self, data: Bytes, functions: dict[str, FunctionBody], external: External | None, opsets: dict[str, int],
    ) -> None:
        self.data: Bytes = data
        self.functions: dict[str, FunctionBody] = functions
        self.external: External | None = external
        self.opsets: dict[str, int] = opsets
        self.made: int = 0
        self.calls: int = 0

    def expand_graph(self, graph: Graph, depth: int) -> None:
        """Replace the calls in this graph and its subgraphs."""
        nodes: list[Node] = []
        for node in graph.nodes:
            self.expand_node(node, depth, nodes)
        graph.nodes = nodes

    def expand_node(self, node: Node, depth: int, into: list[Node]) -> None:
        """Append `node` to `into`, or what stands for it."""
        for value in node.attributes.values():
            if isinstance(value, Graph):
                self.expand_graph(value, depth)
        body: FunctionBody | None = self.functions.get(node.key())
        if body is None:
            into.append(node)
            return
        if depth >= MAX_CALL_DEPTH:
            raise EdgeflowError(
                'invalid-graph', f"function '{node.key()}' calls functions more than {MAX_CALL_DEPTH} deep", {'op': node.key()},
            )
        for inner in self.inline(node, body):
            self.expand_node(inner, depth + 1, into)

    def inline(self, node: Node, body: FunctionBody) -> list[Node]:
        """The nodes of the function with the call's names; inner names get a prefix that no other call has."""
        reader = WireReader(self.data, body.start, body.stop, 1)
        function = read_function(reader, self.external, node.attributes)
        self.made = self.made + len(function.nodes)
        if self.made > MAX_NODES:
            raise EdgeflowError('invalid-graph', f'functions make more than {MAX_NODES} nodes', {'op': node.key()})
        if len(node.inputs) > len(function.inputs) or len(node.outputs) > len(function.outputs):
            raise EdgeflowError(
                'invalid-graph', f"call of function '{node.key()}': expected at most {len(function.inputs)} inputs and "
                f'{len(function.outputs)} outputs, got {len(node.inputs)} and {len(node.outputs)}', {'op': node.key()},
            )
        self.check_opsets(node, function.opsets)
        self.calls = self.calls + 1
        prefix: str = f'{node.name if node.name != "" else node.op}#{self.calls}/'
        names: dict[str, str] = {'': ''}
        for i in range(len(function.inputs)):
            names[function.inputs[i]] = node.inputs[i] if i < len(node.inputs) else ''
        for i in range(len(function.outputs)):
            given: str = node.outputs[i] if i < len(node.outputs) else ''
            if given != '':
                names[function.outputs[i]] = given
        return [renamed(inner, names, prefix) for inner in function.nodes]

    def check_opsets(self, node: Node, opsets: dict[str, int]) -> None:
        """A function brings its own opset versions; they must be those of the model."""
        for domain, version in opsets.items():
            known: int | None = self.opsets.get(domain)
            if known is None:
                self.opsets[domain] = version
            elif known != version:
                raise EdgeflowError(
                    'unsupported-op', f"function '{node.key()}' uses opset {version} of domain '{domain}'; "
                    f'expected {known} as the model', {'op': node.key(), 'expected': known, 'got': version},
                )


def read_function(reader: WireReader, external: External | None, given: dict[str, Attribute]) -> Function:
    """A model-local function for one call, whose attributes are `given`."""
    bindings: dict[str, Attribute] = {}
    plain = Context(external)
    bodies: list[WireReader] = []
    inputs: list[str] = []
    outputs: list[str] = []
    opsets: dict[str, int] = {}
    while True:
        number: int = reader.next_field()
        if number == 0:
            break
        if number == FUNCTION_INPUT:
            inputs.append(reader.text())
        elif number == FUNCTION_OUTPUT:
            outputs.append(reader.text())
        elif number == FUNCTION_NODE:
            bodies.append(reader.message())
        elif number == FUNCTION_OPSET:
            read_opset(reader.message(), opsets)
        elif number == FUNCTION_DEFAULT:
            read_attribute(reader.message(), plain, bindings)
        else:
            reader.skip()
    for name, value in given.items():
        bindings[name] = value
    context = Context(external, bindings)
    return Function(inputs, outputs, [read_node(body, context) for body in bodies], opsets)
