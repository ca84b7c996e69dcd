"""Attributes of a node by kind, with a default; EdgeflowError 'invalid-graph' where the kind is another."""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.ir.describe import describe
from edgeflow.ir.graph import Attribute, Node, TensorData


def _wrong(node: Node, name: str, expected: str) -> EdgeflowError:
    return EdgeflowError(
        'invalid-graph', f"{describe(node)}: expected attribute '{name}' to be {expected}, got another kind",
        {'node': node.name, 'op': node.key(), 'attribute': name},
    )


def number_of(node: Node, name: str, default: float) -> float:
    """An int or float attribute."""
    value: Attribute | None = node.attributes.get(name)
    if value is None:
        return default
    if not isinstance(value, (int, float)):
        raise _wrong(node, name, 'a number')
    return value


def is_whole(value: float) -> bool:
    """Whether it is a whole number of 64 bits. A float may be larger."""
    return value % 1 == 0 and abs(value) <= 9.223372036854775808e18


def int_of(node: Node, name: str, default: int = 0) -> int:
    """An int attribute."""
    value: Attribute | None = node.attributes.get(name)
    if value is None:
        return default
    if not isinstance(value, (int, float)) or not is_whole(value):
        raise _wrong(node, name, 'a whole number')
    return int(value)


def ints_of(node: Node, name: str) -> list[int] | None:
    """A list of ints; None if left out."""
    value: Attribute | None = node.attributes.get(name)
    if value is None:
        return None
    if not isinstance(value, list):
        raise _wrong(node, name, 'a list of whole numbers')
    result: list[int] = []
    for x in value:
        if not isinstance(x, (int, float)) or not is_whole(x):
            raise _wrong(node, name, 'a list of whole numbers')
        result.append(int(x))
    return result


def text_of(node: Node, name: str, default: str) -> str:
    """A string attribute."""
    value: Attribute | None = node.attributes.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise _wrong(node, name, 'a text')
    return value


def tensor_of(node: Node, name: str) -> TensorData | None:
    """A tensor attribute; None if left out."""
    value: Attribute | None = node.attributes.get(name)
    if value is None:
        return None
    if not isinstance(value, TensorData):
        raise _wrong(node, name, 'a tensor')
    return value
