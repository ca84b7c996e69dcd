"""LayerNormalization (arXiv:1607.06450) from the nodes that exporters before opset 17 write for it:

    d = x - mean(x);  y = d / sqrt(mean(d^2) + epsilon) * gamma + beta        (over the last axis)

Casts to float32 and back, as float16 exports have them inside, are taken along.
"""

from __future__ import annotations

from edgeflow.ir.attributes import int_of, ints_of
from edgeflow.ir.graph import Attribute, Graph, Node
from edgeflow.passes.match import GraphIndex, fuse_each, input_at, is_vector, node_name, other_input
from edgeflow.passes.shapes import ShapeTable

FLOAT_CODES: list[int] = [1, 10, 16]


def run(graph: Graph, table: ShapeTable) -> bool:
    """Fuse every such group whose inner values nobody else reads."""
    return fuse_each(graph, table, {'Sqrt': _fuse})


def _past_cast(index: GraphIndex, name: str, parts: list[Node]) -> str:
    """The value before a Cast between float types, which joins `parts`."""
    cast: Node | None = index.made_by(name, 'Cast')
    if cast is None or not index.inner(name) or int_of(cast, 'to') not in FLOAT_CODES:
        return name
    parts.append(cast)
    return cast.inputs[0]


def _next(index: GraphIndex, name: str, parts: list[Node]) -> Node | None:
    """The only reader of a value, behind a Cast between float types."""
    reader: Node | None = index.only_reader(name)
    if reader is not None and reader.key() == 'Cast' and int_of(reader, 'to') in FLOAT_CODES:
        parts.append(reader)
        return index.only_reader(reader.outputs[0])
    return reader


def _mean_input(index: GraphIndex, table: ShapeTable, name: str, parts: list[Node], rank: int) -> str:
    """x, if `name` is the mean of x over the last axis, which is kept as 1; else ''."""
    node: Node | None = index.made_by(name, 'ReduceMean')
    if node is None or not index.inner(name) or int_of(node, 'keepdims', 1) != 1:
        return ''
    axes: list[int] | None = ints_of(node, 'axes')
    if axes is None:
        axes = table.numbers(input_at(node, 1))
    if axes is None or len(axes) != 1 or (axes[0] != -1 and (rank < 0 or axes[0] != rank - 1)):
        return ''
    parts.append(node)
    return node.inputs[0]


def _centred_input(index: GraphIndex, table: ShapeTable, name: str, parts: list[Node]) -> str:
    """x, if `name` is x - mean(x); else ''."""
    difference: Node | None = index.made_by(name, 'Sub')
    if difference is None:
        return ''
    mean_parts: list[Node] = []
    mean: str = _past_cast(index, difference.inputs[1], mean_parts)
    x: str = difference.inputs[0]
    averaged: str = _mean_input(index, table, mean, mean_parts, table.rank(x))
    if averaged == '' or averaged != x:
        return ''
    parts.append(difference)
    parts.extend(mean_parts)
    return x


def _squared(index: GraphIndex, name: str, parts: list[Node]) -> str:
    """d, if `name` is d squared; else ''."""
    node: Node | None = index.producer(name)
    if node is None or not index.inner(name) or len(node.inputs) != 2 or node.domain != '':
        return ''
    if (node.op == 'Pow' and index.is_scalar(node.inputs[1], 2)) or (node.op == 'Mul' and node.inputs[0] == node.inputs[1]):
        parts.append(node)
        return _past_cast(index, node.inputs[0], parts)
    return ''


def _fuse(index: GraphIndex, table: ShapeTable, root: Node) -> None:
    parts: list[Node] = [root]
    padded: Node | None = index.made_by(root.inputs[0], 'Add')
    if padded is None or not index.inner(root.inputs[0]):
        return
    parts.append(padded)
    epsilon: float | None = index.scalar(padded.inputs[1])
    variance: str = padded.inputs[0]
    if epsilon is None:
        epsilon = index.scalar(padded.inputs[0])
        variance = padded.inputs[1]
    square: str = _mean_input(index, table, variance, parts, table.rank(variance))
    d: str = _squared(index, square, parts) if square != '' else ''
    x: str = _centred_input(index, table, d, parts) if d != '' else ''
    if epsilon is None or x == '':
        return
    divided: Node | None = _quotient(index, root.outputs[0], d, parts)
    if divided is None:
        return
    scaled: Node | None = _next(index, divided.outputs[0], parts)
    if scaled is None or scaled.key() != 'Mul':
        return
    shifted: Node | None = _next(index, scaled.outputs[0], parts)
    if shifted is None or shifted.key() != 'Add':
        return
    parts.append(scaled)
    parts.append(shifted)
    gamma: str = scaled.inputs[1] if index.constant(scaled.inputs[0]) is None else scaled.inputs[0]
    beta: str = shifted.inputs[1] if index.constant(shifted.inputs[0]) is None else shifted.inputs[0]
    _finish(index, table, parts, [x, gamma, beta], epsilon, d)


def _quotient(index: GraphIndex, root: str, d: str, parts: list[Node]) -> Node | None:
    """d / root, or d * (1 / root)."""
    reader: Node | None = _next(index, root, parts)
    if reader is not None and reader.key() == 'Reciprocal':
        parts.append(reader)
        reciprocal: str = reader.outputs[0]
        reader = index.only_reader(reciprocal)
        if reader is None or reader.key() != 'Mul' or other_input(reader, reciprocal) != d:
            return None
    elif reader is None or reader.key() != 'Div' or input_at(reader, 0) != d:
        return None
    parts.append(reader)
    return reader


def _finish(index: GraphIndex, table: ShapeTable, parts: list[Node], inputs: list[str], epsilon: float, d: str) -> None:
    """Make the fused node, if the last dim of x is that of gamma and beta and nobody else reads x - mean(x)."""
    length = table.last_dim(inputs[0])
    if isinstance(length, str) or not is_vector(index.constant(inputs[1]), length):
        return
    if not is_vector(index.constant(inputs[2]), length):
        return
    inside: set[str] = set()
    for part in parts:
        inside.update(part.outputs)
    for reader in index.readers(d):
        if reader.outputs[0] not in inside:
            return
    if d in index.outputs:
        return
    source: Node | None = index.made_by(inputs[0], 'Cast')
    if source is not None and int_of(source, 'to') in FLOAT_CODES and table.dtype(source.inputs[0]) == 'float16':
        constant = index.constant(inputs[1])
        if constant is not None and constant.dtype == 'float16':
            inputs = [source.inputs[0], inputs[1], inputs[2]]
    last: Node = parts[-1]
    attributes: dict[str, Attribute] = {'axis': -1, 'epsilon': epsilon}
    index.replace(parts, Node('LayerNormalization', '', node_name(parts), inputs, [last.outputs[0]], attributes))
