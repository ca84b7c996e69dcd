"""Topological order of nodes. ONNX asks for it, but some quantizers write nodes after their consumers."""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.ir.graph import Graph, Node


def captured_names(graph: Graph) -> list[str]:
    """The names that the nodes and outputs of a subgraph read and that it does not make itself, each once."""
    made: set[str] = set(graph.initializers.keys())
    for info in graph.inputs:
        made.add(info.name)
    for node in graph.nodes:
        for name in node.outputs:
            made.add(name)
    found: list[str] = []
    seen: set[str] = set()
    for node in graph.nodes:
        _add_missing(read_names(node), made, seen, found)
    _add_missing([info.name for info in graph.outputs], made, seen, found)
    return found


def _add_missing(names: list[str], made: set[str], seen: set[str], found: list[str]) -> None:
    for name in names:
        if name != '' and name not in made and name not in seen:
            seen.add(name)
            found.append(name)


def read_names(node: Node) -> list[str]:
    """All values that a node reads: its inputs and what its subgraphs see of the graph around them."""
    names: list[str] = node.inputs
    for value in node.attributes.values():
        if isinstance(value, Graph):
            names = names + captured_names(value)
    return names


def sort_nodes(graph: Graph) -> bool:
    """Bring the nodes into topological order, subgraphs included; nodes in order stay as they stand.

    True if something moved. A cycle is EdgeflowError 'invalid-graph'.
    """
    moved: bool = False
    for node in graph.nodes:
        for value in node.attributes.values():
            if isinstance(value, Graph) and sort_nodes(value):
                moved = True
    if _is_sorted(graph):
        return moved
    producer: dict[str, int] = {}
    for i in range(len(graph.nodes)):
        for name in graph.nodes[i].outputs:
            if name != '':
                producer[name] = i
    reads: list[list[str]] = [read_names(node) for node in graph.nodes]
    graph.nodes = [graph.nodes[i] for i in _depth_first(reads, producer, graph)]
    return True


def _is_sorted(graph: Graph) -> bool:
    """Whether no node makes a value that a node before it (or itself) reads."""
    made: set[str] = set()
    missing: set[str] = set()
    for node in graph.nodes:
        for name in read_names(node):
            if name not in made:
                missing.add(name)
        for name in node.outputs:
            if name in missing and name != '':
                return False
            made.add(name)
    return True


def _depth_first(reads: list[list[str]], producer: dict[str, int], graph: Graph) -> list[int]:
    """Each node after all that it reads. `state`: 0 new, 1 its inputs are being placed, 2 placed."""
    order: list[int] = []
    state: list[int] = [0 for _ in reads]
    for first in range(len(reads)):
        waiting: list[int] = [first]
        while len(waiting) > 0:
            at: int = waiting[-1]
            if state[at] == 0:
                state[at] = 1
                for k in range(len(reads[at]) - 1, -1, -1):
                    before: int = producer.get(reads[at][k], -1)
                    if before >= 0 and state[before] == 1:
                        raise EdgeflowError(
                            'invalid-graph', f"graph '{graph.name}': value '{reads[at][k]}' is needed to make itself; "
                            'expected no cycle', {'value': reads[at][k]},
                        )
                    if before >= 0 and state[before] == 0:
                        waiting.append(before)
            else:
                waiting.pop()
                if state[at] == 1:
                    state[at] = 2
                    order.append(at)
    return order
