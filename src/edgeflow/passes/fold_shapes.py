"""Arithmetic on shapes: what is a number for every input becomes a constant, what is the same amount is computed once.

Exporters compute the target of every Reshape and the scale of every attention from Shape. Without this pass the planner
would do that again for each layer and each new set of input shapes.
"""

from __future__ import annotations

from edgeflow.host.platform import array_bytes, array_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Graph, Node, TensorData
from edgeflow.passes.contents import Content, numbers_of
from edgeflow.passes.rename import rename_node_reads
from edgeflow.passes.shapes import ShapeTable

KEPT_DTYPES: list[str] = ['int64', 'int32', 'bool', 'float32']


def run(graph: Graph, table: ShapeTable) -> bool:
    """Replace nodes whose one output is known. Outputs of the graph keep their nodes."""
    outputs: set[str] = set([info.name for info in graph.outputs])
    known: dict[str, str] = {}
    names: dict[str, str] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        if len(names) > 0:
            rename_node_reads(node, names)
        name: str = node.outputs[0] if len(node.outputs) == 1 else ''
        content: Content | None = table.contents.get(name)
        dtype: str = table.dtype(name)
        if content is None or dtype not in KEPT_DTYPES or name in outputs or table.rank(name) < 0:
            kept.append(node)
            continue
        numbers: list[int] | None = numbers_of(content)
        shape: list[int] | None = _numeric(table.shape(name), len(content.values))
        if numbers is not None and shape is not None:
            graph.initializers[name] = TensorData(dtype, shape, array_bytes(array_of(dtype, numbers)))
            continue
        key: str = f'{dtype} {table.shape(name)} {[str(x) for x in content.values]}'
        if '' in content.values or dtype == 'float32':
            kept.append(node)
        elif key in known:
            names[name] = known[key]
        else:
            known[key] = name
            kept.append(node)
    changed: bool = len(kept) < len(graph.nodes)
    graph.nodes = kept
    return changed


def _numeric(shape: list[int | str] | None, count: int) -> list[int] | None:
    """The shape, if it is known and has `count` elements."""
    if shape is None:
        return None
    dims: list[int] = []
    for dim in shape:
        if isinstance(dim, str):
            return None
        dims.append(dim)
    return dims if element_count(dims) == count else None
