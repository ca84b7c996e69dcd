"""edgeflow:QMatMul from what onnxruntime's dynamic quantizer writes for a MatMul with constant weights:

    q, a_scale, a_zero = DynamicQuantizeLinear(A)
    Cast(MatMulInteger(q, B, a_zero, b_zero)) * (a_scale * b_scale)   [+ bias] [activation] [+ residual]

When one DynamicQuantizeLinear feeds several products it stays, and each takes its outputs as inputs 6, 7 and 8.
"""

from __future__ import annotations

from edgeflow.ir.attributes import int_of
from edgeflow.ir.graph import Graph, Node, TensorData
from edgeflow.passes.epilogue import Epilogue, take_activation, take_bias, take_residual
from edgeflow.passes.match import GraphIndex, fuse_each, input_at, is_float, node_name, other_input
from edgeflow.passes.shapes import ShapeTable


def run(graph: Graph, table: ShapeTable) -> bool:
    """Fuse every such product."""
    return fuse_each(graph, table, {'MatMulInteger': _fuse})


def _is_scale(tensor: TensorData | None, columns: int) -> bool:
    """One scale for all, or one a column."""
    if tensor is None or tensor.dtype != 'float32':
        return False
    return tensor.shape == [] or tensor.shape == [1] or tensor.shape == [columns]


def _fuse(index: GraphIndex, table: ShapeTable, product: Node) -> None:
    weights: TensorData | None = index.constant(input_at(product, 1))
    source: Node | None = index.made_by(product.inputs[0], 'DynamicQuantizeLinear')
    if weights is None or len(weights.shape) != 2 or source is None or len(source.outputs) != 3:
        return
    if product.inputs[0] != source.outputs[0] or input_at(product, 2) != source.outputs[2]:
        return
    columns: int = weights.shape[1]
    zero: str = input_at(product, 3)
    if zero != '':
        offsets: TensorData | None = index.constant(zero)
        if offsets is None or (offsets.shape != [] and offsets.shape != [1] and offsets.shape != [columns]):
            return
    cast: Node | None = index.only_reader(product.outputs[0])
    if cast is None or cast.key() != 'Cast' or int_of(cast, 'to') != 1:
        return
    scaled: Node | None = index.only_reader(cast.outputs[0])
    if scaled is None or scaled.key() != 'Mul':
        return
    scales: Node | None = index.made_by(other_input(scaled, cast.outputs[0]), 'Mul')
    if scales is None or source.outputs[1] not in scales.inputs:
        return
    b_scale: str = other_input(scales, source.outputs[1])
    if not _is_scale(index.constant(b_scale), columns):
        return
    found = Epilogue(product)
    found.parts.append(cast)
    if index.inner(scales.outputs[0]):
        found.parts.append(scales)
    found.take(scaled)
    take_bias(index, found, columns)
    take_activation(index, found)
    take_residual(index, table, found)
    _replace(index, found, source, [source.inputs[0], product.inputs[1], b_scale, zero, found.bias, found.residual])


def _replace(index: GraphIndex, found: Epilogue, source: Node, inputs: list[str]) -> None:
    shared: bool = False
    inside: list[str] = [node.outputs[0] for node in found.parts]
    for name in source.outputs:
        if name in index.outputs:
            shared = True
        for reader in index.readers(name):
            if reader.outputs[0] not in inside:
                shared = True
    if shared:
        inputs = inputs + source.outputs
    else:
        found.parts.append(source)
        while inputs[-1] == '':
            inputs = inputs[:-1]
    node = Node('QMatMul', 'edgeflow', node_name(found.parts), inputs, [found.output])
    if found.activation != '':
        node.attributes['activation'] = found.activation
    index.replace(found.parts, node)
