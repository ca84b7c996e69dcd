"""edgeflow:Rotary from its parts (RoFormer, arXiv:2104.09864, in the form of halves):

    x * cos + Concat(-second half of x, first half of x) * sin        over the last axis
"""

from __future__ import annotations

from edgeflow.ir.elements import elements
from edgeflow.ir.graph import Graph, Node
from edgeflow.passes.match import GraphIndex, other_input
from edgeflow.passes.shapes import ShapeTable


def run(graph: Graph, table: ShapeTable) -> bool:
    """Fuse every such sum."""
    index = GraphIndex(graph)
    for node in graph.nodes:
        if node.key() == 'Concat' and len(node.inputs) == 2 and index.position(node) >= 0:
            _fuse(index, table, node)
    return index.finish()


def _fuse(index: GraphIndex, table: ShapeTable, turned: Node) -> None:
    negative = index.made_by(turned.inputs[0], 'Neg')
    first = index.made_by(turned.inputs[1], 'Slice')
    second = index.made_by(negative.inputs[0], 'Slice') if negative is not None else None
    if negative is None or first is None or second is None or first.inputs[0] != second.inputs[0]:
        return
    x = first.inputs[0]
    half = _bounds(index, first)
    rest = _bounds(index, second)
    # [0, half) and [half, end): the axis is the last of four, and what comes out is as wide as x.
    if half is None or rest is None or half[0] != 0 or rest[0] != half[1] or half[2] != 3 or rest[2] != 3 or rest[1] < 2 * half[1]:
        return
    by_sin = index.only_reader(turned.outputs[0])
    if by_sin is None or by_sin.key() != 'Mul':
        return
    total = index.only_reader(by_sin.outputs[0])
    by_cos = index.made_by(other_input(total, by_sin.outputs[0]), 'Mul') if total is not None and total.key() == 'Add' else None
    if total is None or by_cos is None or x not in by_cos.inputs or not index.inner(by_cos.outputs[0]):
        return
    cos = other_input(by_cos, x)
    sin = other_input(by_sin, turned.outputs[0])
    if table.rank(x) != 4 or table.rank(cos) != 4 or table.rank(sin) != 4:
        return
    for part in [negative, first, second, turned]:
        if not index.inner(part.outputs[0]):
            return
    fused = Node('Rotary', 'edgeflow', total.name, [x, cos, sin], [total.outputs[0]], {'half': half[1]})
    index.replace([negative, first, second, turned, by_sin, by_cos, total], fused)


def _bounds(index: GraphIndex, node: Node) -> list[int] | None:
    """start, end, axis of a Slice of one axis with step 1."""
    found: list[int] = []
    for i in range(1, len(node.inputs)):
        tensor = index.constant(node.inputs[i])
        values = [] if tensor is None else elements(tensor)
        # Broken models have fractions there, or NaN.
        if len(values) != 1 or values[0] % 1 != 0:
            return None
        found.append(int(values[0]))
    if len(found) < 3 or (len(found) == 4 and found[3] != 1):
        return None
    return [found[0], found[1], found[2] + 4 if found[2] < 0 else found[2]]
