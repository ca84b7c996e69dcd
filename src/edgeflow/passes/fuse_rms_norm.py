"""SimplifiedLayerNormalization (RMSNorm, arXiv:1910.07467) from its parts: x / sqrt(mean(x^2) + epsilon) * weight."""

from __future__ import annotations

from typing import cast

from edgeflow.ir.attributes import int_of, ints_of
from edgeflow.ir.elements import elements
from edgeflow.ir.graph import Graph, Node
from edgeflow.passes.match import GraphIndex, fuse_each, is_float, node_name, other_input
from edgeflow.passes.shapes import ShapeTable


def run(graph: Graph, table: ShapeTable) -> bool:
    """Fuse every RMSNorm over the last axis whose weight is a constant vector."""
    return fuse_each(graph, table, {'Pow': _fuse})


def _next(index: GraphIndex, parts: list[Node], key: str) -> bool:
    """Whether the only reader of the last part is a `key`; it becomes the last part."""
    reader = index.only_reader(parts[len(parts) - 1].outputs[0])
    if reader is None or reader.key() != key:
        return False
    parts.append(reader)
    return True


def _fuse(index: GraphIndex, table: ShapeTable, power: Node) -> None:
    if not index.is_scalar(power.inputs[1], 2.0, 0.0):
        return
    x = power.inputs[0]
    parts: list[Node] = [power]
    if not _next(index, parts, 'ReduceMean') or not _over_last(index, parts[1]) or not _next(index, parts, 'Add'):
        return
    epsilon = index.scalar(other_input(parts[2], parts[1].outputs[0]))
    if epsilon is None or not _next(index, parts, 'Sqrt'):
        return
    if _next(index, parts, 'Reciprocal') or (_next(index, parts, 'Div') and index.is_scalar(parts[4].inputs[0], 1.0, 0.0)):
        if not _next(index, parts, 'Mul') or other_input(parts[5], parts[4].outputs[0]) != x:
            return
    elif len(parts) != 5 or parts[4].inputs[0] != x:
        return
    if not _next(index, parts, 'Mul'):
        return
    scaled = parts[len(parts) - 1]
    weight = other_input(scaled, parts[len(parts) - 2].outputs[0])
    tensor = index.constant(weight)
    if tensor is None or not is_float(tensor) or len(tensor.shape) != 1:
        return
    fused = Node('SimplifiedLayerNormalization', '', node_name(parts), [x, weight], [scaled.outputs[0]], {'axis': -1, 'epsilon': epsilon})
    index.replace(parts, fused)


def _over_last(index: GraphIndex, node: Node) -> bool:
    axes = ints_of(node, 'axes')
    if axes is None and len(node.inputs) > 1:
        constant = index.constant(node.inputs[1])
        axes = None if constant is None else cast('list[int]', elements(constant))
    return axes is not None and len(axes) == 1 and axes[0] == -1 and int_of(node, 'keepdims', 1) == 1
