"""Common subexpressions: of nodes that compute the same, one is left; of equal small constants, one."""

from __future__ import annotations

from typing import cast

from edgeflow.host.port import Bytes
from edgeflow.ir.graph import Attribute, Graph, Node, TensorData
from edgeflow.passes.rename import rename_node_reads, rename_reads

LARGEST_CONSTANT = 64
RANDOM_OPS: list[str] = [
    'RandomNormal', 'RandomNormalLike', 'RandomUniform', 'RandomUniformLike', 'Multinomial', 'Bernoulli', 'Dropout',
]


def run(graph: Graph) -> bool:
    """Let the readers of the later of two equal values read the first. Outputs of the graph keep their nodes."""
    outputs: set[str] = set([info.name for info in graph.outputs])
    names: dict[str, str] = _equal_constants(graph, outputs)
    rename_reads(graph, names)
    changed: bool = len(names) > 0
    known: dict[str, list[Node]] = {}
    kept: list[Node] = []
    replaced: dict[str, str] = {}
    for node in graph.nodes:
        if len(replaced) > 0:
            rename_node_reads(node, replaced)
        first: Node | None = _equal_before(node, known)
        if first is None or len(first.outputs) != len(node.outputs) or _makes_any(node, outputs):
            kept.append(node)
            continue
        for i in range(len(node.outputs)):
            if node.outputs[i] != '':
                replaced[node.outputs[i]] = first.outputs[i]
    graph.nodes = kept
    return changed or len(replaced) > 0


def _makes_any(node: Node, names: set[str]) -> bool:
    for name in node.outputs:
        if name in names:
            return True
    return False


def _equal_constants(graph: Graph, outputs: set[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    known: dict[str, str] = {}
    for name, tensor in graph.initializers.items():
        key: str = _tensor_key(tensor)
        if key == '' or name in outputs:
            continue
        if key in known:
            names[name] = known[key]
        else:
            known[key] = name
    for name in names.keys():
        graph.initializers.pop(name)
    return names


def _tensor_key(tensor: TensorData) -> str:
    """Dtype, shape and bytes; '' for a tensor too large to compare."""
    data: Bytes = tensor.data
    size: int = tensor.size()
    if tensor.dtype == 'string' or size > LARGEST_CONSTANT:
        return ''
    parts: list[str] = [str(data[i]) for i in range(size)]
    dims: list[str] = [str(dim) for dim in tensor.shape]
    return f'{tensor.dtype}[{",".join(dims)}]{",".join(parts)}'


def _equal_before(node: Node, known: dict[str, list[Node]]) -> Node | None:
    """The node among `known`, by operator and inputs, that computes the same; if there is none, this one joins them.

    Attributes are compared only where these are equal: as a rule no two nodes read the same.
    """
    if node.op in RANDOM_OPS or '' in node.outputs:
        return None
    key: str = '\n'.join([node.key()] + node.inputs)
    others: list[Node] | None = known.get(key)
    if others is None:
        known[key] = [node]
        return None
    attributes: str | None = _attributes_key(node)
    for other in others:
        if attributes is not None and _attributes_key(other) == attributes:
            return other
    others.append(node)
    return None


def _attributes_key(node: Node) -> str | None:
    """The attributes as text, None if the node must not be merged."""
    parts: list[str] = []
    for name in sorted(node.attributes.keys()):
        value = node.attributes[name]
        if isinstance(value, Graph):
            return None
        key: str = _tensor_key(value) if isinstance(value, TensorData) else _attribute_key(value)
        if key == '':
            return None
        parts.append(name + '=' + key)
    return '\n'.join(parts)


def _attribute_key(value: Attribute) -> str:
    if isinstance(value, list):
        return '[' + ','.join([_attribute_key(x) for x in value]) + ']'
    if isinstance(value, str):
        return "'" + value + "'"
    number = cast(float, value)
    return str(int(number)) if number % 1 == 0 else str(number)
