"""Nodes whose outputs nobody reads go, and constants that nobody reads."""

from __future__ import annotations

from edgeflow.ir.graph import Graph, Node
from edgeflow.ir.order import read_names


def run(graph: Graph) -> bool:
    """Drop what the graph's outputs do not need. Outputs of a kept node that nobody reads are left as they are."""
    wanted: set[str] = set([info.name for info in graph.outputs])
    kept: list[Node] = []
    for i in range(len(graph.nodes) - 1, -1, -1):
        node: Node = graph.nodes[i]
        needed: bool = False
        for name in node.outputs:
            if name in wanted:
                needed = True
        if needed:
            kept.append(node)
            for name in read_names(node):
                wanted.add(name)
    kept.reverse()
    unread: list[str] = [name for name in graph.initializers if name not in wanted]
    if len(unread) > 0:
        graph.initializers = {name: tensor for name, tensor in graph.initializers.items() if name in wanted}
    changed: bool = len(kept) < len(graph.nodes) or len(unread) > 0
    graph.nodes = kept
    return changed
