"""A mask that is expanded to [B,1,S,S] only to be added in attention is computed on [B,1,1,S] and broadcast there.

Expand goes if all that depends on it is arithmetic with scalars, element by element, up to masks of edgeflow:Sdpa.
"""

from __future__ import annotations

from edgeflow.ir.graph import Graph, Node
from edgeflow.passes.match import GraphIndex
from edgeflow.passes.rename import rename_reads
from edgeflow.passes.shapes import ShapeTable

ELEMENTWISE: set[str] = set(['Cast', 'Sub', 'Add', 'Mul', 'Where', 'Not', 'Equal', 'Less', 'Greater'])
MASK_INPUT = 3


def run(graph: Graph, table: ShapeTable) -> bool:
    """Drop such Expands; whether there were any."""
    index = GraphIndex(graph)
    names: dict[str, str] = {}
    for node in graph.nodes:
        if node.key() == 'Expand' and node.outputs[0] not in index.outputs:
            expanded: set[str] = set([node.outputs[0]])
            if table.rank(node.inputs[0]) == table.rank(node.outputs[0]) and _only_masks(index, table, node.outputs[0], expanded):
                names[node.outputs[0]] = node.inputs[0]
    rename_reads(graph, names)
    return len(names) > 0


def _only_masks(index: GraphIndex, table: ShapeTable, name: str, expanded: set[str]) -> bool:
    """Whether every reader is a mask input, or makes such a value of it. `expanded`: the values found so far."""
    waiting: list[str] = [name]
    while len(waiting) > 0:
        value: str = waiting.pop()
        for reader in index.readers(value):
            if reader.key() == 'edgeflow:Sdpa':
                if len(reader.inputs) <= MASK_INPUT or value in reader.inputs[:MASK_INPUT]:
                    return False
                continue
            made: str = reader.outputs[0]
            if reader.key() not in ELEMENTWISE or made in index.outputs or not _others_are_scalars(table, reader, expanded):
                return False
            if made not in expanded:
                expanded.add(made)
                waiting.append(made)
    return True


def _others_are_scalars(table: ShapeTable, node: Node, expanded: set[str]) -> bool:
    for name in node.inputs:
        if name not in expanded and table.rank(name) != 0:
            return False
    return True
