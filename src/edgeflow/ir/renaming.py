"""Copies of nodes under other names, for nodes that are put into another graph (function calls, branches of If)."""

from __future__ import annotations

from edgeflow.ir.graph import Attribute, Graph, Node, ValueInfo


def renamed(node: Node, names: dict[str, str], prefix: str) -> Node:
    """A copy of `node` whose values are called by `names`, or get the prefix."""
    attributes: dict[str, Attribute] = {}
    for name, value in node.attributes.items():
        attributes[name] = _renamed_graph(value, names, prefix) if isinstance(value, Graph) else value
    return Node(
        node.op, node.domain, prefix + node.name, [new_name(x, names, prefix) for x in node.inputs],
        [new_name(x, names, prefix) for x in node.outputs], attributes,
    )


def new_name(name: str, names: dict[str, str], prefix: str) -> str:
    """The name in `names`, or the prefixed one."""
    return names[name] if name in names else prefix + name


def _renamed_graph(graph: Graph, names: dict[str, str], prefix: str) -> Graph:
    inputs: list[ValueInfo] = [ValueInfo(new_name(x.name, names, prefix), x.dtype, x.shape) for x in graph.inputs]
    outputs: list[ValueInfo] = [ValueInfo(new_name(x.name, names, prefix), x.dtype, x.shape) for x in graph.outputs]
    nodes: list[Node] = [renamed(x, names, prefix) for x in graph.nodes]
    initializers = {new_name(name, names, prefix): value for name, value in graph.initializers.items()}
    return Graph(graph.name, inputs, outputs, nodes, initializers)
