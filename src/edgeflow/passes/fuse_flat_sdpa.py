"""edgeflow:Sdpa from attention whose products run on [B*H, S, D], as DeBERTa writes it:

    scores = reshape(Q3 @ K3^T [* scale] [+ bias3])  ->  [B,H,S,T], masked  ->  softmax
    reshape(reshape(softmax) @ V3)                   ->  [B,H,S,D]

Q3, K3 and V3 are reshapes of 4-D tensors, which become the inputs. bias3 (of the scores' full shape, as disentangled
attention makes it, arXiv:2006.03654) becomes part of the mask.
"""

from __future__ import annotations

from edgeflow.ir.attributes import int_of, ints_of
from edgeflow.ir.graph import Graph, Node
from edgeflow.passes.dims import Dim, fits_into, same_dim, same_dims
from edgeflow.passes.fuse_sdpa import Match, inner_made_by, mask_node, over_last_axis, past_scale, put_sdpa
from edgeflow.passes.match import GraphIndex, fuse_each
from edgeflow.passes.shapes import ShapeTable

SURELY_MASKED = -9000.0


class FlatMatch:
    """What is found on the way from the softmax up to the product of Q and K."""

    def __init__(self, softmax: Node) -> None:
        self.match: Match = Match(softmax)
        self.flat: str = ''
        self.target: str = ''
        self.bias: str = ''
        self.output: str = ''


def run(graph: Graph, table: ShapeTable) -> bool:
    """Fuse every such attention that fuse_sdpa left."""
    return fuse_each(graph, table, {'Softmax': _fuse})


def _fuse(index: GraphIndex, table: ShapeTable, softmax: Node) -> None:
    if table.rank(softmax.outputs[0]) != 4 or not over_last_axis(table, softmax):
        return
    found = FlatMatch(softmax)
    value: str = _value(index, table, softmax, found)
    if value == '' or not _find_mask(index, table, softmax.inputs[0], found):
        return
    match: Match = found.match
    scores: str = past_scale(index, table, _past_bias(index, table, found), match, True)
    product: Node | None = inner_made_by(index, scores, 'MatMul', match)
    if product is None:
        return
    q: str = _unflattened(index, table, past_scale(index, table, product.inputs[0], match, False))
    keys: str = past_scale(index, table, product.inputs[1], match, False)
    swap: Node | None = index.made_by(keys, 'Transpose')
    if swap is None or ints_of(swap, 'perm') != [0, 2, 1]:
        return
    k: str = _unflattened(index, table, swap.inputs[0])
    v: str = _unflattened(index, table, value)
    if _shapes_fit(table, found, [q, k, v]):
        _replace(index, found, [q, k, v])


def _value(index: GraphIndex, table: ShapeTable, softmax: Node, found: FlatMatch) -> str:
    """V3, by way of Reshape -> MatMul -> Reshape; '' if it is not so."""
    flattened: Node | None = index.only_reader(softmax.outputs[0])
    if flattened is None or flattened.key() != 'Reshape' or table.rank(flattened.outputs[0]) != 3:
        return ''
    product: Node | None = index.only_reader(flattened.outputs[0])
    if product is None or product.key() != 'MatMul' or product.inputs[0] != flattened.outputs[0]:
        return ''
    unfolded: Node | None = index.only_reader(product.outputs[0])
    if unfolded is None or unfolded.key() != 'Reshape' or table.rank(unfolded.outputs[0]) != 4:
        return ''
    found.match.parts.extend([flattened, product, unfolded])
    found.output = unfolded.outputs[0]
    return product.inputs[1]


def _find_mask(index: GraphIndex, table: ShapeTable, name: str, found: FlatMatch) -> bool:
    """Note the mask and the Reshape of the scores; whether there is that Reshape."""
    match: Match = found.match
    candidates: list[str] = [name]
    node: Node | None = index.producer(name)
    if node is None or not index.inner(name):
        return False
    if node.key() == 'Where':
        masked: float | None = table.scalar(node.inputs[1])
        match.inverted = masked is None or masked > SURELY_MASKED
        chosen: float | None = table.scalar(node.inputs[2]) if match.inverted else masked
        if chosen is None or chosen > SURELY_MASKED:
            return False
        match.condition = node.inputs[0]
        candidates = [node.inputs[1] if match.inverted else node.inputs[2]]
        match.parts.append(node)
    elif node.key() == 'Add':
        candidates = node.inputs
        match.parts.append(node)
    for scores in candidates:
        unfolded: Node | None = index.made_by(scores, 'Reshape')
        if unfolded is not None and index.inner(scores) and table.rank(unfolded.inputs[0]) == 3:
            match.parts.append(unfolded)
            found.flat = unfolded.inputs[0]
            found.target = unfolded.inputs[1]
            if node.key() == 'Add':
                match.mask = candidates[1] if candidates[0] == scores else candidates[0]
            return True
    return False


def _past_bias(index: GraphIndex, table: ShapeTable, found: FlatMatch) -> str:
    """The flat scores before the bias that is added to them."""
    added: Node | None = index.made_by(found.flat, 'Add')
    if added is None or not index.inner(found.flat):
        return found.flat
    for i in range(2):
        scratch = Match(added)
        if index.made_by(past_scale(index, table, added.inputs[i], scratch, True), 'MatMul') is not None:
            found.match.parts.append(added)
            found.bias = added.inputs[1 - i]
            return added.inputs[i]
    return found.flat


def _unflattened(index: GraphIndex, table: ShapeTable, name: str) -> str:
    """The 4-D value [b,h,s,d] that a Reshape to [b*h,s,d] reads; '' if there is none."""
    node: Node | None = index.made_by(name, 'Reshape')
    if node is None:
        return ''
    given: list[Dim] | None = table.shape(node.inputs[0])
    made: list[Dim] | None = table.shape(name)
    if given is None or made is None or len(given) != 4 or len(made) != 3 or not same_dims(given[2:], made[1:]):
        return ''
    return node.inputs[0]


def _shapes_fit(table: ShapeTable, found: FlatMatch, inputs: list[str]) -> bool:
    """Whether batch, heads and lengths agree, the bias has the scores' shape, and the mask lies within them."""
    shapes: list[list[Dim]] = []
    for name in inputs:
        shape: list[Dim] | None = table.shape(name)
        if shape is None or not same_dims(shape[:2], (table.shape(inputs[0]) or [])[:2]):
            return False
        shapes.append(shape)
    if not same_dim(shapes[0][3], shapes[1][3]) or not same_dim(shapes[1][2], shapes[2][2]):
        return False
    scores: list[Dim] = [shapes[0][0], shapes[0][1], shapes[0][2], shapes[1][2]]
    if not same_dims(table.shape(found.output), scores[:3] + [shapes[2][3]]):
        return False
    if found.bias != '' and not table.same_shape(found.bias, found.flat):
        return False
    mask: str = found.match.mask if found.match.mask != '' else found.match.condition
    dims: list[Dim] | None = table.shape(mask) if mask != '' else []
    return dims is not None and fits_into(dims, scores)


def _replace(index: GraphIndex, found: FlatMatch, inputs: list[str]) -> None:
    match: Match = found.match
    before: list[Node] = []
    mask: str = match.mask
    bias: str = ''
    if found.bias != '':
        bias = found.output + '#bias'
        before.append(Node('Reshape', '', '', [found.bias, found.target], [bias]))
    if match.condition != '':
        mask = found.output + '#mask'
        before.append(mask_node(index, match, mask, bias))
    elif mask != '' and bias != '':
        before.append(Node('Add', '', '', [mask, bias], [found.output + '#mask']))
        mask = found.output + '#mask'
    elif mask == '':
        mask = bias
    put_sdpa(index, match, [found.output, mask], inputs, [0, 1, 2, 3], before)
