"""Reshape -> Transpose of the last two axes -> Reshape, as torch's dynamo exporter writes a transpose of a 4-D tensor:

    [b, h, s, d] -> [b*h, s, d] -> [b*h, d, s] -> [b, h, d, s]    becomes one Transpose
"""

from __future__ import annotations

from edgeflow.ir.attributes import ints_of
from edgeflow.ir.graph import Graph, Node
from edgeflow.passes.dims import Dim, same_dims
from edgeflow.passes.match import GraphIndex, fuse_each, node_name
from edgeflow.passes.shapes import ShapeTable


def run(graph: Graph, table: ShapeTable) -> bool:
    """Replace every such chain whose shapes prove it."""
    return fuse_each(graph, table, {'Transpose': _merge})


def _merge(index: GraphIndex, table: ShapeTable, swap: Node) -> None:
    first: Node | None = index.made_by(swap.inputs[0], 'Reshape')
    last: Node | None = index.only_reader(swap.outputs[0])
    if ints_of(swap, 'perm') != [0, 2, 1] or first is None or last is None or last.key() != 'Reshape' or last.inputs[0] != swap.outputs[0]:
        return
    given: list[Dim] | None = table.shape(first.inputs[0])
    flat: list[Dim] | None = table.shape(first.outputs[0])
    made: list[Dim] | None = table.shape(last.outputs[0])
    if given is None or flat is None or made is None or len(given) < 3 or len(flat) != 3:
        return
    lead: list[Dim] = given[:-2]
    if not same_dims(flat[1:], given[-2:]) or not same_dims(made, lead + [given[-1], given[-2]]):
        return
    perm: list[int] = list(range(len(lead))) + [len(lead) + 1, len(lead)]
    node = Node('Transpose', '', node_name([swap]), [first.inputs[0]], [last.outputs[0]], {'perm': perm})
    index.replace([swap, last], node)
