"""The rules that every graph keeps, whatever its operators: checked after reading and, in tests, after every pass.

Values are written once and before they are read; a subgraph sees the values of the graphs around it.
"""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.ir.graph import Graph, Node


def describe(node: Node) -> str:
    """How messages call a node."""
    if node.name != '':
        return f"node '{node.name}' ({node.key()})"
    made: list[str] = [name for name in node.outputs if name != '']
    return f"node {node.key()} that makes '{made[0]}'" if len(made) > 0 else f'node {node.key()} without outputs'


def verify(graph: Graph) -> None:
    """Raise EdgeflowError 'invalid-graph' where the graph breaks a rule; the message names node, expected and got."""
    for info in graph.inputs:
        if info.dtype == '':
            raise EdgeflowError(
                'invalid-graph', f"input '{info.name}': expected a data type, got none", {'value': info.name},
            )
    if len(graph.outputs) == 0:
        raise EdgeflowError('invalid-graph', f"graph '{graph.name}': expected outputs, got none", {})
    _verify_scope(graph, set())


def _verify_scope(graph: Graph, outer: set[str]) -> None:
    """Check one graph; `outer` are the values it sees of the graphs around it."""
    known: set[str] = set(outer)
    for info in graph.inputs:
        _define(known, info.name, f"input of graph '{graph.name}'")
    for name in graph.initializers.keys():
        _define(known, name, f"initializer of graph '{graph.name}'")
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
            if name != '':
                _define(known, name, describe(node))
    for info in graph.outputs:
        if info.name not in known:
            raise EdgeflowError(
                'invalid-graph', f"graph '{graph.name}': expected an output '{info.name}', which nothing makes",
                {'value': info.name},
            )


def _define(known: set[str], name: str, by: str) -> None:
    if name in known:
        raise EdgeflowError(
            'invalid-graph', f"{by}: expected a new name for its value, got '{name}', which is made before",
            {'value': name},
        )
    known.add(name)
