"""edgeflow:Sdpa, scaled dot-product attention (arXiv:1706.03762, section 3.2.1), from its parts:

    softmax(scale * Q @ K^T + mask) @ V

Taken along: factors on Q, on K and on the scores; the mask, added or chosen by Where; the Transposes around; the guard
Where(IsNaN(p), 0, p) behind the softmax. Ranks, batch and heads, and that the mask does not enlarge the scores, must be
proved by shapes.
"""

from __future__ import annotations

from edgeflow.host.platform import array_bytes, array_of
from edgeflow.ir.attributes import int_of, ints_of
from edgeflow.ir.graph import Attribute, Graph, Node, TensorData
from edgeflow.passes.dims import Dim, fits_into, same_dim
from edgeflow.passes.match import FLOAT_DTYPES, GraphIndex, fuse_each, nan_guard, node_name
from edgeflow.passes.shapes import ShapeTable

MASKED = -3.4028234663852886e38
SURELY_MASKED = -9000.0
FLOAT_CODES: list[int] = [1, 10, 16]


class Match:
    """The parts of one attention, from the last MatMul upwards."""

    def __init__(self, last: Node) -> None:
        self.parts: list[Node] = [last]
        self.scale: float = 1.0
        self.mask: str = ''
        self.condition: str = ''
        self.inverted: bool = False


def run(graph: Graph, table: ShapeTable) -> bool:
    """Fuse every attention whose scores and probabilities nobody else reads."""
    return fuse_each(graph, table, {'Softmax': _fuse})


def inner_made_by(index: GraphIndex, name: str, op: str, match: Match) -> Node | None:
    node: Node | None = index.made_by(name, op)
    if node is None or not index.inner(name):
        return None
    match.parts.append(node)
    return node


def _probabilities_reader(index: GraphIndex, softmax: Node, match: Match) -> Node | None:
    """The MatMul with V, behind a Cast or a guard against NaN."""
    name: str = softmax.outputs[0]
    guard: list[Node] = nan_guard(index, name) if name not in index.outputs else []
    if len(guard) > 0:
        match.parts.extend(guard)
        name = guard[1].outputs[0]
    reader: Node | None = index.only_reader(name)
    if reader is not None and reader.key() == 'Cast' and int_of(reader, 'to') in FLOAT_CODES:
        match.parts.append(reader)
        name = reader.outputs[0]
        reader = index.only_reader(name)
    if reader is None or reader.key() != 'MatMul' or reader.inputs[0] != name or reader.inputs[1] == name:
        return None
    return reader


def _fuse(index: GraphIndex, table: ShapeTable, softmax: Node) -> None:
    if not over_last_axis(table, softmax):
        return
    match = Match(softmax)
    last: Node | None = _probabilities_reader(index, softmax, match)
    if last is None:
        return
    match.parts.append(last)
    scores: str = past_mask(index, table, softmax.inputs[0], match)
    scores = past_scale(index, table, scores, match, True)
    product: Node | None = inner_made_by(index, scores, 'MatMul', match)
    if product is None:
        return
    q: str = past_scale(index, table, product.inputs[0], match, False)
    k: str = past_scale(index, table, product.inputs[1], match, False)
    v: str = last.inputs[1]
    if _shapes_fit(table, q, k, v, match):
        _replace(index, table, match, last, [q, k, v])


def over_last_axis(table: ShapeTable, softmax: Node) -> bool:
    """Whether the softmax of a value of rank 4 goes over its last axis."""
    axis: int = int_of(softmax, 'axis', -1 if table.opset >= 13 else 1)
    return axis == -1 or axis == 3


def past_mask(index: GraphIndex, table: ShapeTable, name: str, match: Match) -> str:
    """The scores before the mask."""
    cast: Node | None = index.made_by(name, 'Cast')
    if cast is not None and index.inner(name) and int_of(cast, 'to') in FLOAT_CODES:
        match.parts.append(cast)
        name = cast.inputs[0]
    if not index.inner(name):
        return name
    added: Node | None = index.made_by(name, 'Add')
    if added is not None:
        for k in range(2):
            if _leads_to_product(index, table, added.inputs[k]):
                match.parts.append(added)
                match.mask = added.inputs[1 - k]
                return added.inputs[k]
        return name
    chosen: Node | None = index.made_by(name, 'Where')
    if chosen is None:
        return name
    for k in range(2):
        value: float | None = table.scalar(chosen.inputs[2 - k])
        if value is not None and value <= SURELY_MASKED and _leads_to_product(index, table, chosen.inputs[1 + k]):
            match.parts.append(chosen)
            match.condition = chosen.inputs[0]
            match.inverted = k == 0
            return chosen.inputs[1 + k]
    return name


def _leads_to_product(index: GraphIndex, table: ShapeTable, name: str) -> bool:
    """Whether a value is a MatMul, perhaps scaled, or Where chooses between one and a number."""
    scratch = Match(Node('', '', '', [], []))
    chosen: Node | None = index.made_by(name, 'Where')
    if chosen is not None:
        name = chosen.inputs[1] if table.scalar(chosen.inputs[2]) is not None else chosen.inputs[2]
    return index.made_by(past_scale(index, table, name, scratch, True), 'MatMul') is not None


def past_scale(index: GraphIndex, table: ShapeTable, name: str, match: Match, inner: bool) -> str:
    """The value before a Mul or Div by one number, which goes into the scale.

    inner: the scaled value itself must vanish. Factors on Q and K may have other readers; then they stay for those.
    """
    node: Node | None = index.producer(name)
    if node is None or len(node.inputs) != 2 or (inner and not index.inner(name)):
        return name
    rank: int = table.rank(name)
    if node.key() == 'Mul':
        for k in range(2):
            factor: float | None = table.scalar(node.inputs[k])
            if factor is not None and table.rank(node.inputs[k]) <= rank:
                match.scale = match.scale * factor
                if index.inner(name):
                    match.parts.append(node)
                return node.inputs[1 - k]
    elif node.key() == 'Div':
        divisor: float | None = table.scalar(node.inputs[1])
        if divisor is not None and divisor != 0 and table.rank(node.inputs[1]) <= rank:
            match.scale = match.scale / divisor
            if index.inner(name):
                match.parts.append(node)
            return node.inputs[0]
    return name


def _shapes_fit(table: ShapeTable, q: str, k: str, v: str, match: Match) -> bool:
    """Whether Q [B,H,S,D], K^T [B,H,D,T] and V [B,H,T,Dv] agree, and the mask lies within [B,H,S,T]."""
    shapes: list[list[Dim]] = []
    for name in [q, k, v]:
        shape: list[Dim] | None = table.shape(name)
        if shape is None or len(shape) != 4:
            return False
        shapes.append(shape)
        dtype: str = table.dtype(name)
        if dtype != '' and dtype not in FLOAT_DTYPES:
            return False
    for axis in range(2):
        if not same_dim(shapes[0][axis], shapes[1][axis]) or not same_dim(shapes[0][axis], shapes[2][axis]):
            return False
    if not same_dim(shapes[0][3], shapes[1][2]) or not same_dim(shapes[1][3], shapes[2][2]):
        return False
    mask: str = match.mask if match.mask != '' else match.condition
    if mask == '':
        return True
    dims: list[Dim] | None = table.shape(mask)
    return dims is not None and fits_into(dims, [shapes[0][0], shapes[0][1], shapes[0][2], shapes[1][3]])


def _replace(index: GraphIndex, table: ShapeTable, match: Match, last: Node, inputs: list[str]) -> None:
    """Put the fused node for the parts, with the Transposes around it."""
    before: list[Node] = []
    mask: str = match.mask
    if match.condition != '':
        mask = last.outputs[0] + '#mask'
        before.append(mask_node(index, match, mask, ''))
    put_sdpa(index, match, [last.outputs[0], mask], inputs, [0, 1, 3, 2], before)


def put_sdpa(
    index: GraphIndex, match: Match, names: list[str], inputs: list[str], key_perm: list[int], before: list[Node],
) -> None:
    """Put Sdpa in place of the match's parts. names: its output and its mask. inputs: Q, K and V, which Transposes may make.

    key_perm takes K as given to [B,H,T,D].
    """
    perms: list[list[int]] = [[0, 1, 2, 3], key_perm, [0, 1, 2, 3]]
    given: list[str] = []
    for i in range(3):
        moved: Node | None = index.made_by(inputs[i], 'Transpose')
        perm: list[int] | None = ints_of(moved, 'perm') if moved is not None else None
        if moved is not None and perm is not None and len(perm) == 4:
            perms[i] = [perm[axis] for axis in perms[i]]
            given.append(moved.inputs[0])
        else:
            given.append(inputs[i])
    output: str = names[0]
    out_perm: list[int] = [0, 1, 2, 3]
    reader: Node | None = index.only_reader(output)
    if reader is not None and reader.key() == 'Transpose':
        asked: list[int] | None = ints_of(reader, 'perm')
        if asked is not None and len(asked) == 4:
            out_perm = list(asked)
            match.parts.append(reader)
            output = reader.outputs[0]
    attributes: dict[str, Attribute] = {
        'scale': match.scale, 'q_perm': perms[0], 'k_perm': perms[1], 'v_perm': perms[2], 'out_perm': out_perm,
    }
    if names[1] != '':
        given.append(names[1])
    index.replace(match.parts, Node('Sdpa', 'edgeflow', node_name(match.parts), given, [output], attributes), before)


def mask_node(index: GraphIndex, match: Match, name: str, kept: str) -> Node:
    """Where(condition, -max, kept), `kept` being a mask to add or '' for zeros.

    Added to the scores, -max drowns them, just as Where puts a huge negative number in their place.
    """
    constants = index.graph.initializers
    constants['edgeflow#masked'] = TensorData('float32', [], array_bytes(array_of('float32', [MASKED])))
    if kept == '':
        kept = 'edgeflow#zero'
        constants[kept] = TensorData('float32', [], array_bytes(array_of('float32', [0])))
    chosen: list[str] = [kept, 'edgeflow#masked'] if match.inverted else ['edgeflow#masked', kept]
    return Node('Where', '', '', [match.condition] + chosen, [name])
