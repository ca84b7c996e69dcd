"""MatMul with a transposed constant becomes edgeflow:MatMul with trans_b, before constants are folded.

Decoders share the embedding with the product with the vocabulary; a transposed copy of it would be in memory beside the packed one.
"""

from __future__ import annotations

from edgeflow.ir.attributes import ints_of
from edgeflow.ir.graph import Graph, Node
from edgeflow.passes.match import GraphIndex, is_float


def run(graph: Graph) -> bool:
    """Absorb every Transpose of a constant matrix that only products read, on their right side."""
    index = GraphIndex(graph)
    for node in graph.nodes:
        weights = index.constant(node.inputs[0]) if node.key() == 'Transpose' else None
        if weights is None or not is_float(weights) or len(weights.shape) != 2 or (ints_of(node, 'perm') or [1, 0]) != [1, 0]:
            continue
        name = node.outputs[0]
        readers = index.readers(name)
        if name in index.outputs or len([reader for reader in readers if reader.key() == 'MatMul' and reader.inputs[0] != name]) < len(readers):
            continue
        for reader in readers:
            index.replace([reader], Node('MatMul', 'edgeflow', reader.name, [reader.inputs[0], node.inputs[0]], reader.outputs, {'trans_b': 1}))
    return index.finish()
