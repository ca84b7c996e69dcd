"""The rules that every graph keeps, whatever its operators: checked after reading and, in tests, after every pass.

Values are written once and before they are read; a subgraph sees the values of the graphs around it. Whether backends
have an operator is not asked here, but whether the op table knows it in this version, and with this many inputs.
"""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.ir.describe import describe
from edgeflow.ir.graph import Attribute, Graph, Node
from edgeflow.ir.ops.infer import OpSpec
from edgeflow.ir.ops.table import find_spec

MAX_OPSET = 28


def verify(graph: Graph) -> None:
    """Raise EdgeflowError 'invalid-graph' where the graph breaks a rule; the message names node, expected and got."""
    for info in graph.inputs:
        if info.dtype == '':
            raise EdgeflowError(
                'invalid-graph', f"input '{info.name}': expected a data type, got none", {'value': info.name},
            )
    if len(graph.outputs) == 0:
        raise EdgeflowError('invalid-graph', f"graph '{graph.name}': expected outputs, got none", {})
    opset: int = graph.opsets.get('', 1)
    if opset < 1 or opset > MAX_OPSET:
        raise EdgeflowError(
            'unsupported-op', f'opset {opset} of domain ai.onnx: expected 1 to {MAX_OPSET}', {'domain': 'ai.onnx', 'got': opset},
        )
    _verify_scope(graph, set())


def _verify_scope(graph: Graph, outer: set[str]) -> None:
    """Check one graph; `outer` are the values it sees of the graphs around it."""
    known: set[str] = set(outer)
    for info in graph.inputs:
        if info.name in known:
            raise _made_twice(info.name, f"input of graph '{graph.name}'")
        known.add(info.name)
    for name in graph.initializers.keys():
        if name in known:
            raise _made_twice(name, f"initializer of graph '{graph.name}'")
        known.add(name)
    for node in graph.nodes:
        for name in node.inputs:
            if name != '' and name not in known:
                raise EdgeflowError(
                    'invalid-graph', f"{describe(node)}: expected inputs that are made before it, got '{name}'",
                    {'node': node.name, 'op': node.key(), 'value': name},
                )
        for value in node.attributes.values():
            if isinstance(value, Graph):
                _verify_scope(value, known)
        for name in node.outputs:
            if name in known:
                raise _made_twice(name, describe(node))
            if name != '':
                known.add(name)
    for info in graph.outputs:
        if info.name not in known:
            raise EdgeflowError(
                'invalid-graph', f"graph '{graph.name}': expected an output '{info.name}', which nothing makes",
                {'value': info.name},
            )


def _made_twice(name: str, by: str) -> EdgeflowError:
    return EdgeflowError(
        'invalid-graph', f"{by}: expected a new name for its value, got '{name}', which is made before", {'value': name})


def verify_operators(graph: Graph) -> None:
    """Check each node of a graph as read against the op table, subgraphs included.

    EdgeflowError 'unsupported-op' names the operator with domain, version and node; 'invalid-graph' where a node has too few
    or too many inputs.
    """
    _verify_nodes(graph, graph.opsets)


def _verify_nodes(graph: Graph, opsets: dict[str, int]) -> None:
    for node in graph.nodes:
        for value in node.attributes.values():
            if isinstance(value, Graph):
                _verify_nodes(value, opsets)
        if node.key() == 'If':
            _verify_if(node)
            continue
        spec: OpSpec = find_spec(node, opsets.get(node.domain, 1))
        count: int = len(node.inputs)
        if count < spec.min_inputs or (spec.max_inputs >= 0 and count > spec.max_inputs):
            raise EdgeflowError(
                'invalid-graph', f'{describe(node)}: expected {spec.min_inputs} to {spec.max_inputs} inputs, got {count}',
                {'node': node.name, 'op': node.key(), 'got': count},
            )


def _verify_if(node: Node) -> None:
    """If stands in no table: the planner takes the branch, its nodes are what backends run."""
    if len(node.inputs) != 1:
        raise EdgeflowError('invalid-graph', f'{describe(node)}: expected 1 input, got {len(node.inputs)}', {'node': node.name})
    for name in ['then_branch', 'else_branch']:
        branch: Attribute | None = node.attributes.get(name)
        if not isinstance(branch, Graph) or len(branch.outputs) != len(node.outputs):
            raise EdgeflowError(
                'invalid-graph', f"{describe(node)}: expected a graph with {len(node.outputs)} outputs as '{name}', got none",
                {'node': node.name, 'attribute': name},
            )
