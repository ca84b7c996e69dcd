"""Where a graph's nodes run, counted by operator."""

from __future__ import annotations

from collections.abc import Mapping

from edgeflow.backends.contract import Placement
from edgeflow.ir.graph import Graph, Node


def count_ops(graph: Graph, nodes: dict[str, int]) -> None:
    """Count the nodes of a graph and its subgraphs by operator."""
    for node in graph.nodes:
        nodes[node.key()] = nodes.get(node.key(), 0) + 1
        for inner in subgraphs(node):
            count_ops(inner, nodes)


def expected_placement(graph: Graph, device: str, taken: Mapping[str, object], reason: str) -> Placement:
    """What the operators alone tell: a device takes those that are keys of `taken`; `reason` for the others."""
    counts: dict[str, int] = {}
    count_ops(graph, counts)
    placement = Placement(device, {}, {}, {})
    for key, count in counts.items():
        if key in taken:
            placement.nodes[key] = count
        else:
            placement.fallback[key] = count
            placement.reasons[key] = reason
    return placement


def subgraphs(node: Node) -> list[Graph]:
    """The graphs among a node's attributes."""
    found: list[Graph] = []
    for attribute in node.attributes.values():
        if isinstance(attribute, Graph):
            found.append(attribute)
    return found
