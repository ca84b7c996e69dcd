"""edgeflow:Gelu (arXiv:1606.08415) from its parts, the factors in any order:

    x * 0.5 * (1 + erf(x / sqrt(2)))                                    approximate='none'
    x * 0.5 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))           approximate='tanh'
"""

from __future__ import annotations

import math

from edgeflow.ir.graph import Graph, Node
from edgeflow.passes.match import GraphIndex, fuse_each, node_name, other_input
from edgeflow.passes.shapes import ShapeTable

ROOT_TWO = 1.4142135623730951
ROOT_TWO_OVER_PI = 0.7978845608028654
CUBIC = 0.044715


def run(graph: Graph, table: ShapeTable) -> bool:
    """Fuse every such product whose inner values nobody else reads."""
    return fuse_each(graph, table, {'Erf': _fuse, 'Tanh': _fuse})


def _erf_argument(index: GraphIndex, erf: Node, parts: list[Node]) -> str:
    """x, if the argument is x / sqrt(2); else ''."""
    scaled: Node | None = index.producer(erf.inputs[0])
    if scaled is None or not index.inner(erf.inputs[0]) or len(scaled.inputs) != 2:
        return ''
    parts.append(scaled)
    if scaled.key() == 'Div' and index.is_scalar(scaled.inputs[1], ROOT_TWO):
        return scaled.inputs[0]
    return _times_constant(index, scaled, 1 / ROOT_TWO) if scaled.key() == 'Mul' else ''


def _times_constant(index: GraphIndex, product: Node, value: float) -> str:
    """The other factor of a Mul with this constant; '' if it has it not."""
    if len(product.inputs) != 2:
        return ''
    if index.is_scalar(product.inputs[1], value):
        return product.inputs[0]
    return product.inputs[1] if index.is_scalar(product.inputs[0], value) else ''


def _inner_node(index: GraphIndex, name: str, key: str, parts: list[Node]) -> Node | None:
    """The node that makes an inner value, if it is a `key`; it joins `parts`."""
    node: Node | None = index.made_by(name, key)
    if node is None or not index.inner(name) or len(node.inputs) != 2:
        return None
    parts.append(node)
    return node


def _tanh_argument(index: GraphIndex, tanh: Node, parts: list[Node]) -> str:
    """x, if the argument is sqrt(2 / pi) * (x + 0.044715 * x^3), in one of its spellings; else ''."""
    factors: list[str] = _factors(index, tanh.inputs[0], parts, 0)
    names: list[str] = [name for name in factors if index.scalar(name) is None]
    constant: float = 1.0
    for name in factors:
        value: float | None = index.scalar(name)
        if value is not None:
            constant = constant * value
    if abs(constant - ROOT_TWO_OVER_PI) > 1e-3:
        return ''
    if len(names) == 1:
        return _cubic_sum(index, names[0], parts)
    if len(names) == 2:
        for k in range(2):
            if _one_plus_square(index, names[1 - k], names[k], parts):
                return names[k]
    return ''


def _factors(index: GraphIndex, name: str, parts: list[Node], depth: int) -> list[str]:
    """The factors of a product of products of inner values."""
    product: Node | None = index.made_by(name, 'Mul')
    if product is None or not index.inner(name) or len(product.inputs) != 2 or depth > 4:
        return [name]
    parts.append(product)
    return _factors(index, product.inputs[0], parts, depth + 1) + _factors(index, product.inputs[1], parts, depth + 1)


def _cubic_sum(index: GraphIndex, name: str, parts: list[Node]) -> str:
    """x, if the value is x + 0.044715 * x^3; else ''."""
    total: Node | None = _inner_node(index, name, 'Add', parts)
    if total is None:
        return ''
    for x in total.inputs:
        tried: list[Node] = []
        if _is_scaled_power(index, other_input(total, x), x, 3, tried):
            parts.extend(tried)
            return x
    return ''


def _one_plus_square(index: GraphIndex, name: str, x: str, parts: list[Node]) -> bool:
    """Whether the value is 1 + 0.044715 * x^2."""
    total: Node | None = index.made_by(name, 'Add')
    if total is None or not index.inner(name) or len(total.inputs) != 2:
        return False
    for one in total.inputs:
        tried: list[Node] = [total]
        if index.is_scalar(one, 1) and _is_scaled_power(index, other_input(total, one), x, 2, tried):
            parts.extend(tried)
            return True
    return False


def _is_scaled_power(index: GraphIndex, name: str, x: str, power: int, parts: list[Node]) -> bool:
    """Whether the value is 0.044715 * x^power."""
    found: int = 0
    constant: float = 1.0
    for factor in _factors(index, name, parts, 0):
        value: float | None = index.scalar(factor)
        if value is not None:
            constant = constant * value
        elif factor == x:
            found = found + 1
        else:
            raised: Node | None = _inner_node(index, factor, 'Pow', parts)
            exponent: float | None = index.scalar(raised.inputs[1]) if raised is not None else None
            if raised is None or exponent is None or raised.inputs[0] != x:
                return False
            found = found + math.floor(exponent)
    return found == power and abs(constant - CUBIC) <= 1e-4


def _fuse(index: GraphIndex, table: ShapeTable, root: Node) -> None:
    parts: list[Node] = [root]
    x: str = _erf_argument(index, root, parts) if root.op == 'Erf' else _tanh_argument(index, root, parts)
    total: Node | None = index.only_reader(root.outputs[0])
    if x == '' or total is None or total.key() != 'Add' or not index.is_scalar(other_input(total, root.outputs[0]), 1):
        return
    parts.append(total)
    last: Node = total
    has_x: bool = False
    has_half: bool = False
    while not (has_x and has_half):
        made: str = last.outputs[0]
        product: Node | None = index.only_reader(made)
        if product is None or product.key() != 'Mul':
            return
        factor: str = other_input(product, made)
        halved: Node | None = index.made_by(factor, 'Mul')
        if factor == x and not has_x:
            has_x = True
        elif index.is_scalar(factor, 0.5) and not has_half:
            has_half = True
        elif halved is not None and index.inner(factor) and _times_constant(index, halved, 0.5) == x and not has_x and not has_half:
            has_x = True
            has_half = True
            parts.append(halved)
        else:
            return
        parts.append(product)
        last = product
    if not _constants_fit(index, table, parts, x):
        return
    approximate: str = 'none' if root.op == 'Erf' else 'tanh'
    index.replace(parts, Node('Gelu', 'edgeflow', node_name(parts), [x], [last.outputs[0]], {'approximate': approximate}))


def _constants_fit(index: GraphIndex, table: ShapeTable, parts: list[Node], x: str) -> bool:
    """Whether the constants are float32 or float16 and do not add dimensions to x."""
    for part in parts:
        for name in part.inputs:
            tensor = index.constant(name)
            if tensor is None or name == x:
                continue
            if len(tensor.shape) > max(0, table.rank(x)) or tensor.dtype == 'float64':
                return False
    return True
