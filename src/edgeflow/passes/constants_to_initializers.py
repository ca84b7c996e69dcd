"""Constant nodes become initializers, so that patterns find every constant in one place."""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes, array_of, new_bytes
from edgeflow.ir.describe import describe
from edgeflow.ir.graph import Attribute, Graph, Node, TensorData


def run(graph: Graph) -> bool:
    """Turn every Constant node of the graph into an initializer."""
    kept: list[Node] = []
    for node in graph.nodes:
        if node.op == 'Constant' and node.domain == '' and len(node.outputs) == 1 and node.outputs[0] != '':
            graph.initializers[node.outputs[0]] = _tensor(node)
        else:
            kept.append(node)
    changed: bool = len(kept) < len(graph.nodes)
    graph.nodes = kept
    return changed


def _tensor(node: Node) -> TensorData:
    for name, value in node.attributes.items():
        if (name == 'value' or name == 'sparse_value') and isinstance(value, TensorData):
            return value
        if name == 'value_float' or name == 'value_floats':
            return _numbers('float32', value, node)
        if name == 'value_int' or name == 'value_ints':
            return _numbers('int64', value, node)
        if name == 'value_string' and isinstance(value, str):
            return TensorData('string', [], new_bytes(0), [value])
        if name == 'value_strings' and isinstance(value, list):
            return TensorData('string', [len(value)], new_bytes(0), [str(x) for x in value])
    raise EdgeflowError(
        'invalid-graph', f"{describe(node)}: expected one attribute 'value', got {list(node.attributes.keys())}",
        {'node': node.name, 'op': 'Constant'},
    )


def _numbers(dtype: str, value: Attribute, node: Node) -> TensorData:
    numbers: list[float] = []
    shape: list[int] = []
    if isinstance(value, list):
        shape = [len(value)]
        for x in value:
            if not isinstance(x, (int, float)):
                raise EdgeflowError('invalid-graph', f'{describe(node)}: expected numbers, got a text', {'node': node.name})
            numbers.append(x)
    elif isinstance(value, (int, float)):
        numbers.append(value)
    else:
        raise EdgeflowError('invalid-graph', f'{describe(node)}: expected numbers, got another kind', {'node': node.name})
    return TensorData(dtype, shape, array_bytes(array_of(dtype, numbers)))
