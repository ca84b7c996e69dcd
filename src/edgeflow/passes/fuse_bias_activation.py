"""edgeflow:BiasAct from Add of a constant vector -> activation, and from the contrib operators BiasGelu and FastGelu."""

from __future__ import annotations

from edgeflow.ir.graph import Graph, Node
from edgeflow.passes.epilogue import BIASED, activation_of
from edgeflow.passes.match import GraphIndex, is_vector, node_name, other_input
from edgeflow.passes.shapes import ShapeTable


def run(graph: Graph, table: ShapeTable) -> bool:
    """Fuse what no matrix product took."""
    index = GraphIndex(graph)
    for node in graph.nodes:
        key: str = node.key()
        if key in BIASED and len(node.inputs) == 2:
            index.replace([node], _node(node.inputs, node.outputs, BIASED[key], [node]))
        elif key == 'com.microsoft:FastGelu' and len(node.inputs) == 1:
            gelu = Node('Gelu', 'edgeflow', node.name, node.inputs, node.outputs, {'approximate': 'tanh'})
            index.replace([node], gelu)
        elif key == 'Add' and index.position(node) >= 0:
            _fuse(index, table, node)
    return index.finish()


def _node(inputs: list[str], outputs: list[str], activation: str, parts: list[Node]) -> Node:
    return Node('BiasAct', 'edgeflow', node_name(parts), inputs, outputs, {'activation': activation})


def _fuse(index: GraphIndex, table: ShapeTable, total: Node) -> None:
    reader: Node | None = index.only_reader(total.outputs[0])
    activation: str = activation_of(reader) if reader is not None and len(reader.inputs) == 1 else ''
    if reader is None or activation == '':
        return
    for vector in total.inputs:
        x: str = other_input(total, vector)
        length = table.last_dim(x)
        if not isinstance(length, str) and is_vector(index.constant(vector), length) and index.constant(x) is None:
            index.replace([total, reader], _node([x, vector], [reader.outputs[0]], activation, [total]))
            return
