"""Attributes of a node with their defaults, for lowerings. (The op table's rules have checked their kinds.)"""

from __future__ import annotations

from edgeflow.ir.graph import Node


def attr_int(node: Node, name: str, default: int) -> int:
    """An integer attribute."""
    value = node.attributes.get(name)
    return value if isinstance(value, (int, float)) else default


def attr_float(node: Node, name: str, default: float) -> float:
    """A real attribute."""
    value = node.attributes.get(name)
    return value if isinstance(value, (int, float)) else default


def attr_str(node: Node, name: str, default: str) -> str:
    """A text attribute."""
    value = node.attributes.get(name)
    return value if isinstance(value, str) else default


def attr_ints(node: Node, name: str) -> list[int] | None:
    """A list of integers, None if left out."""
    value = node.attributes.get(name)
    return value if isinstance(value, list) else None
