"""Nodes that depend on initializers alone become initializers, computed by the backend's own kernels through `evaluate`."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.errors import EdgeflowError
from edgeflow.ir.graph import Graph, Node, TensorData

# (node, opset of its domain, inputs) -> outputs, or None if the node is better left as it is.
Evaluate = Callable[[Node, int, list[TensorData | None]], list[TensorData] | None]


def fold_constants(graph: Graph, evaluate: Evaluate) -> bool:
    """Replace constant nodes of `graph` and its subgraphs by initializers; whether there were any.

    Initializers that nobody reads any more stay; dropping dead values is a pass of its own.
    """
    return _fold(graph, [], graph.opsets, evaluate)


def _fold(graph: Graph, outer: list[Graph], opsets: dict[str, int], evaluate: Evaluate) -> bool:
    scopes = outer + [graph]
    kept: list[Node] = []
    folded = False
    for node in graph.nodes:
        for attribute in node.attributes.values():
            if isinstance(attribute, Graph) and _fold(attribute, scopes, opsets, evaluate):
                folded = True
        outputs = _outputs(node, scopes, opsets, evaluate)
        if outputs is None:
            kept.append(node)
            continue
        folded = True
        for i in range(len(node.outputs)):
            graph.initializers[node.outputs[i]] = outputs[i]
    graph.nodes = kept
    return folded


def _outputs(node: Node, scopes: list[Graph], opsets: dict[str, int], evaluate: Evaluate) -> list[TensorData] | None:
    """The node's outputs if it is constant, else None."""
    inputs: list[TensorData | None] = []
    for name in node.inputs:
        data = None if name == '' else _initializer(name, scopes)
        if (data is None and name != '') or (data is not None and data.dtype == 'string'):
            return None
        inputs.append(data)
    if len(inputs) == 0 or '' in node.outputs or _has_subgraph(node):
        return None
    try:
        return evaluate(node, opsets.get(node.domain, 1), inputs)
    except EdgeflowError as error:
        # A node that cannot be computed may lie in a branch that is never taken: planning tells, if it is needed.
        if error.code == 'run-failed' or error.code == 'unsupported-op':
            return None
        raise


def _initializer(name: str, scopes: list[Graph]) -> TensorData | None:
    for i in range(len(scopes) - 1, -1, -1):
        data = scopes[i].initializers.get(name)
        if data is not None:
            return data
    return None


def _has_subgraph(node: Node) -> bool:
    for attribute in node.attributes.values():
        if isinstance(attribute, Graph):
            return True
    return False
