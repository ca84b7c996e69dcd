"""A graph as text, for people and for golden tests. The same text in CPython and in JS."""

from __future__ import annotations

import math
from typing import cast

from edgeflow.ir.dtype import element_count
from edgeflow.ir.elements import elements
from edgeflow.ir.graph import Attribute, Graph, Node, TensorData, ValueInfo

SHOWN_ELEMENTS = 8


def print_graph(graph: Graph) -> str:
    """One line for each input, constant, node and output."""
    lines: list[str] = []
    opsets: list[str] = [f'{domain if domain != "" else "onnx"} {graph.opsets[domain]}' for domain in sorted(graph.opsets.keys())]
    lines.append(f'graph {graph.name} ({", ".join(opsets)})')
    _print_body(graph, '  ', lines)
    return '\n'.join(lines) + '\n'


def _print_body(graph: Graph, indent: str, lines: list[str]) -> None:
    for info in graph.inputs:
        lines.append(f'{indent}input {print_info(info)}')
    for name, tensor in graph.initializers.items():
        lines.append(f'{indent}constant {name}: {print_tensor(tensor)}')
    for node in graph.nodes:
        _print_node(node, indent, lines)
    for info in graph.outputs:
        lines.append(f'{indent}output {print_info(info)}')


def _print_node(node: Node, indent: str, lines: list[str]) -> None:
    given: list[str] = []
    inner: list[str] = []
    for name in sorted(node.attributes.keys()):
        value: Attribute = node.attributes[name]
        if isinstance(value, Graph):
            inner.append(f'{indent}  {name}: graph {value.name}')
            _print_body(value, indent + '    ', inner)
        else:
            given.append(f'{name}={print_attribute(value)}')
    outputs: list[str] = [name if name != '' else '_' for name in node.outputs]
    inputs: list[str] = [name if name != '' else '_' for name in node.inputs]
    shown: str = ' {' + ', '.join(given) + '}' if len(given) > 0 else ''
    lines.append(f'{indent}{", ".join(outputs)} = {node.key()}({", ".join(inputs)}){shown}')
    lines.extend(inner)


def print_info(info: ValueInfo) -> str:
    """Name, dtype and shape; '?' where unknown."""
    dtype: str = info.dtype if info.dtype != '' else '?'
    if info.shape is None:
        return f'{info.name}: {dtype}'
    dims: list[str] = [str(dim) if dim != '' else '?' for dim in info.shape]
    return f'{info.name}: {dtype}[{", ".join(dims)}]'


def print_tensor(tensor: TensorData) -> str:
    """Dtype and shape, and the elements if they are few."""
    head: str = f'{tensor.dtype}[{", ".join([str(dim) for dim in tensor.shape])}]'
    if element_count(tensor.shape) > SHOWN_ELEMENTS:
        return head
    if tensor.dtype == 'string':
        return f'{head} ({", ".join(tensor.strings)})'
    return f'{head} ({", ".join([print_number(x) for x in elements(tensor)])})'


def print_attribute(value: Attribute) -> str:
    """A number, a text, a list of them, or a tensor."""
    if isinstance(value, TensorData):
        return print_tensor(value)
    if isinstance(value, str):
        return "'" + value + "'"
    if isinstance(value, list):
        return '[' + ', '.join([print_attribute(x) for x in value]) + ']'
    return print_number(cast(float, value))


def print_number(x: float) -> str:
    """Whole numbers without a point, others with 7 digits."""
    if math.isfinite(x) and abs(x) <= 9007199254740991 and math.floor(x) == x:
        return str(int(x))
    return f'{x:.7g}'
