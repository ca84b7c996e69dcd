"""edgeflow:SkipLayerNorm from Add -> LayerNormalization; a constant vector added before is its bias.

    sum = x + bias + skip;  y = layer_norm(sum)
"""

from __future__ import annotations

from edgeflow.ir.attributes import int_of, number_of
from edgeflow.ir.graph import Attribute, Graph, Node
from edgeflow.passes.match import GraphIndex, fuse_each, input_at, is_vector, node_name, other_input
from edgeflow.passes.shapes import ShapeTable


def run(graph: Graph, table: ShapeTable) -> bool:
    """Fuse every Add of two tensors of one shape that a LayerNormalization reads."""
    return fuse_each(graph, table, {'LayerNormalization': _fuse})


def _fuse(index: GraphIndex, table: ShapeTable, norm: Node) -> None:
    total: Node | None = index.made_by(norm.inputs[0], 'Add')
    length = table.last_dim(norm.inputs[0])
    if total is None or isinstance(length, str) or len(norm.outputs) != 1 or int_of(norm, 'axis', -1) != -1:
        return
    if not is_vector(index.constant(input_at(norm, 1)), length) or not table.same_shape(total.inputs[0], total.inputs[1]):
        return
    beta: str = input_at(norm, 2)
    if beta != '' and not is_vector(index.constant(beta), length):
        return
    for name in total.inputs:
        if index.constant(name) is not None:
            return
    parts: list[Node] = [total, norm]
    x: str = total.inputs[0]
    skip: str = total.inputs[1]
    bias: str = ''
    for name in total.inputs:
        biased: Node | None = index.made_by(name, 'Add')
        if bias == '' and biased is not None and index.inner(name):
            for vector in biased.inputs:
                if is_vector(index.constant(vector), length) and bias == '':
                    bias = vector
                    skip = other_input(total, name)
                    x = other_input(biased, vector)
                    parts.insert(0, biased)
    inputs: list[str] = [x, skip, norm.inputs[1], beta, bias]
    while inputs[-1] == '':
        inputs = inputs[:-1]
    outputs: list[str] = [norm.outputs[0]]
    if not index.inner(total.outputs[0]):
        if not _sum_may_come_later(index, total, norm):
            return
        outputs.append(total.outputs[0])
    attributes: dict[str, Attribute] = {'epsilon': number_of(norm, 'epsilon', 1e-5)}
    index.replace(parts, Node('SkipLayerNorm', 'edgeflow', node_name([norm]), inputs, outputs, attributes))


def _sum_may_come_later(index: GraphIndex, total: Node, norm: Node) -> bool:
    """The sum is now made where the norm stands: all its readers must stand after that."""
    place: int = index.position(norm)
    for reader in index.readers(total.outputs[0]):
        if index.position(reader) < place:
            return False
    return True
