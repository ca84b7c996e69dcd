"""edgeflow:MatMul from MatMul or Gemm with constant weights and what follows: bias, activation, residual; a Conv with its activation.

    act(alpha * A @ B + bias) + residual
"""

from __future__ import annotations

from edgeflow.ir.attributes import int_of, number_of
from edgeflow.ir.graph import Graph, Node, TensorData
from edgeflow.passes.epilogue import Epilogue, take_activation, take_bias, take_residual
from edgeflow.passes.match import GraphIndex, fuse_each, input_at, is_float, is_vector, node_name
from edgeflow.passes.shapes import ShapeTable


def run(graph: Graph, table: ShapeTable) -> bool:
    """Fuse what follows each matrix product; a MatMul that nothing follows stays as it is."""
    return fuse_each(graph, table, {'MatMul': _fuse, 'Gemm': _fuse, 'com.microsoft:MatMulNBits': _fuse_nbits, 'Conv': _fuse_conv})


def _fuse(index: GraphIndex, table: ShapeTable, node: Node) -> None:
    """A Gemm, or a MatMul, which is one that leaves everything out."""
    weights: TensorData | None = index.constant(input_at(node, 1))
    if weights is None or not is_float(weights) or len(weights.shape) != 2:
        return
    transposed: bool = int_of(node, 'transB') != 0
    columns: int = weights.shape[0] if transposed else weights.shape[1]
    found = Epilogue(node)
    bias: str = input_at(node, 2)
    if bias != '':
        if number_of(node, 'beta', 1) != 1 or not is_vector(index.constant(bias), columns):
            return
        found.bias = bias
    else:
        take_bias(index, found, columns)
    take_activation(index, found)
    take_residual(index, table, found)
    if node.op == 'MatMul' and len(found.parts) == 1:
        return
    fused = Node('MatMul', 'edgeflow', node_name(found.parts), node.inputs[:2] + found.inputs(), [found.output])
    if number_of(node, 'alpha', 1) != 1:
        fused.attributes['alpha'] = number_of(node, 'alpha', 1)
    if int_of(node, 'transA') != 0:
        fused.attributes['trans_a'] = 1
    if transposed:
        fused.attributes['trans_b'] = 1
    if found.activation != '':
        fused.attributes['activation'] = found.activation
    index.replace(found.parts, fused)


def _fuse_nbits(index: GraphIndex, table: ShapeTable, node: Node) -> None:
    """The bias of MatMulNBits is its input 5."""
    found = Epilogue(node)
    if input_at(node, 5) == '':
        take_bias(index, found, int_of(node, 'N'))
    if found.bias == '':
        return
    inputs: list[str] = [input_at(node, i) for i in range(5)] + [found.bias]
    index.replace(found.parts, Node(node.op, node.domain, node.name, inputs, [found.output], node.attributes))


def _fuse_conv(index: GraphIndex, table: ShapeTable, node: Node) -> None:
    """The activation of a convolution."""
    found = Epilogue(node)
    take_activation(index, found)
    if found.activation != '':
        fused = Node('Conv', '', node_name(found.parts), node.inputs, [found.output], node.attributes)
        fused.attributes['activation'] = found.activation
        index.replace(found.parts, fused)
