"""How messages call a node."""

from __future__ import annotations

from edgeflow.ir.graph import Node


def describe(node: Node) -> str:
    """Its name and operator, or what it makes if it has no name."""
    if node.name != '':
        return f"node '{node.name}' ({node.key()})"
    made: list[str] = [name for name in node.outputs if name != '']
    return f"node {node.key()} that makes '{made[0]}'" if len(made) > 0 else f'node {node.key()} without outputs'
