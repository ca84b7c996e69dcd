"""Nodes that give out what they get: Identity, Dropout at inference, Cast to the same type, times one or plus zero, and
Reshape, Expand or Slice to the shape that the input has."""

from __future__ import annotations

from edgeflow.ir.attributes import int_of, ints_of
from edgeflow.ir.dtype import DTYPE_NAMES
from edgeflow.ir.graph import Graph, Node
from edgeflow.passes.match import GraphIndex, input_at
from edgeflow.passes.rename import final_name, rename_reads
from edgeflow.passes.shapes import ShapeTable


def run(graph: Graph, table: ShapeTable) -> bool:
    """Let the readers of such a node read its input. One that makes an output of the graph stays, unless its input
    can take over the output's name."""
    index = GraphIndex(graph)
    names: dict[str, str] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        if not _is_identity(node, table, index):
            kept.append(node)
            continue
        source: str = final_name(node.inputs[0], names)
        if node.outputs[0] not in index.outputs:
            names[node.outputs[0]] = source
        elif index.producer(source) is not None and source not in index.outputs:
            names[source] = node.outputs[0]
        else:
            kept.append(node)
    if len(names) == 0:
        return False
    graph.nodes = kept
    _rename_outputs(graph, names, index.outputs)
    rename_reads(graph, names)
    return True


def _rename_outputs(graph: Graph, names: dict[str, str], outputs: set[str]) -> None:
    """Where a producer takes over the name of an output."""
    for node in graph.nodes:
        for i in range(len(node.outputs)):
            new: str = names.get(node.outputs[i], '')
            if new in outputs and node.outputs[i] != '':
                node.outputs[i] = new


def _is_identity(node: Node, table: ShapeTable, index: GraphIndex) -> bool:
    if len(node.inputs) == 0 or node.inputs[0] == '' or len(node.outputs) == 0 or node.outputs[0] == '':
        return False
    key: str = node.key()
    if key == 'Identity':
        return True
    if key == 'Dropout':
        return _is_idle_dropout(node, index)
    if key == 'Cast':
        target: str = DTYPE_NAMES.get(int_of(node, 'to'), '')
        return target != '' and table.dtype(node.inputs[0]) == target
    if key == 'Transpose':
        perm: list[int] | None = ints_of(node, 'perm')
        return perm is not None and len(perm) > 0 and perm == list(range(len(perm)))
    if key == 'Reshape' or key == 'Expand':
        return table.same_shape(node.inputs[0], node.outputs[0])
    if key == 'Slice':
        return table.same_shape(node.inputs[0], node.outputs[0]) and _has_steps_of_one(node, table)
    if key == 'Mul' or key == 'Div':
        return _is_neutral(node, 1, table, index)
    if key == 'Add' or key == 'Sub':
        return _is_neutral(node, 0, table, index)
    return False


def _is_idle_dropout(node: Node, index: GraphIndex) -> bool:
    if len(node.outputs) > 1 and node.outputs[1] != '' and index.uses(node.outputs[1]) > 0:
        return False
    training: str = input_at(node, 2)
    return training == '' or index.scalar(training) == 0


def _has_steps_of_one(node: Node, table: ShapeTable) -> bool:
    if input_at(node, 4) == '':
        return True
    steps: list[int] | None = table.numbers(node.inputs[4])
    if steps is None:
        return False
    for step in steps:
        if step != 1:
            return False
    return True


def _is_neutral(node: Node, neutral: float, table: ShapeTable, index: GraphIndex) -> bool:
    """Whether the second input is a constant that changes neither values nor shape. -0.0 + 0 is 0, as near as floats need."""
    tensor = index.constant(input_at(node, 1))
    if tensor is None or index.scalar(node.inputs[1]) != neutral:
        return False
    return len(tensor.shape) <= max(0, table.rank(node.inputs[0]))
