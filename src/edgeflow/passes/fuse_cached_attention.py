"""edgeflow:CachedAttention, the attention of a decoder over the keys and values of its past and of its new tokens:

    present = Concat(past, new) along the tokens;  softmax(scale * Q @ K^T + mask) @ V

where K and V are the present ones, each head repeated for a group of query heads if there are more of those. The Concats stay for
whoever reads the present; the fused node takes past, new and present, so that a backend may attend over a cache of its own, to
which it only appends the new. Where nothing is appended, as to the keys and values of an encoder's states, new, past and present are the same.

A mask that is a sum of a bias by the distance of query and key (T5, arXiv:1910.10683, section 2.1) and of the rest comes apart too, as
inputs 8 and 9: the bias is the same wherever the query stands, so that it can be read for a past shorter than the graph was planned for.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.host.platform import array_bytes, array_of
from edgeflow.ir.attributes import int_of, ints_of, number_of
from edgeflow.ir.elements import elements
from edgeflow.ir.graph import Graph, Node, TensorData
from edgeflow.passes.fuse_sdpa import Match, mask_node, past_mask, past_scale
from edgeflow.passes.match import GraphIndex, fuse_each, input_at, nan_guard, node_name
from edgeflow.passes.shapes import ShapeTable


# What makes of distances values that depend on nothing else.
ALONG: list[str] = ['Abs', 'Add', 'Cast', 'Div', 'Greater', 'Less', 'Log', 'Max', 'Min', 'Mul', 'Neg', 'Where']
RESHAPED: list[str] = ['Cast', 'DequantizeLinear', 'Slice', 'Transpose', 'Unsqueeze']


@dataclass(frozen=True)
class _Kept:
    """Keys or values: past, new and present ones, and whether heads are repeated on the way to the product."""

    past: str
    new: str
    present: str
    repeated: bool


def run(graph: Graph, table: ShapeTable) -> bool:
    """Fuse every attention whose keys and values continue those of a past that is given from outside."""
    return fuse_each(graph, table, {'Softmax': _fuse, 'com.microsoft:MultiHeadAttention': _fuse_heads})


def _fuse(index: GraphIndex, table: ShapeTable, softmax: Node) -> None:
    match = Match(softmax)
    last = _product(index, softmax.outputs[0])
    if last is None or int_of(softmax, 'axis', -1) not in [-1, 3]:
        return
    guarded = index.producer(last.inputs[0])
    guard = 1 if guarded is not None and guarded.key() == 'Where' else 0
    scores = past_mask(index, table, softmax.inputs[0], match)
    if match.mask != '' and index.made_by(scores, 'Where') is not None:
        scores = past_mask(index, table, scores, match)
    product = index.made_by(past_scale(index, table, scores, match, True), 'MatMul')
    if product is None:
        return
    q = past_scale(index, table, product.inputs[0], match, False)
    k = past_scale(index, table, product.inputs[1], match, False)
    # A factor that is computed from shapes, so no constant yet: it goes to Q.
    factor = ''
    scaled = index.made_by(k, 'Mul')
    if scaled is not None:
        for i in range(2):
            if _is_one_number(table, scaled.inputs[i]):
                factor = scaled.inputs[i]
                k = scaled.inputs[1 - i]
    turned = index.made_by(k, 'Transpose')
    if turned is None or ints_of(turned, 'perm') != [0, 1, 3, 2]:
        return
    keys = _kept(index, past_scale(index, table, turned.inputs[0], match, False))
    values = _kept(index, last.inputs[1])
    if keys is None or values is None or keys.repeated != values.repeated:
        return
    before: list[Node] = []
    if match.condition != '':
        mask = last.outputs[0] + '#mask'
        before.append(mask_node(index, match, mask, match.mask))
        match.mask = mask
    if factor != '':
        scaled_q = last.outputs[0] + '#q'
        before.append(Node('Mul', '', node_name([product]), [q, factor], [scaled_q]))
        q = scaled_q
    inputs = [q, keys.new, values.new, keys.past, values.past, match.mask, keys.present, values.present]
    added = index.made_by(match.mask, 'Add')
    if added is not None:
        for i in range(2):
            if _by_distance(index, table, added.inputs[i]):
                inputs = inputs[:8] + [added.inputs[i], added.inputs[1 - i]]
    fused = Node('CachedAttention', 'edgeflow', node_name([product]), inputs, [last.outputs[0]], {'scale': match.scale, 'guard': guard})
    index.replace([last], fused, before)


def _fuse_heads(index: GraphIndex, table: ShapeTable, node: Node) -> None:
    """MultiHeadAttention whose keys and values come apart into heads of past and new tokens: only the query and the result are flat then."""
    scale = number_of(node, 'scale', 0.0)
    given = [input_at(node, i) for i in range(8)]
    if scale == 0 or int_of(node, 'unidirectional') != 0 or given[3:5] + given[6:] != ['', '', '', ''] or len(node.outputs) > 1:
        return
    kept: list[_Kept] = []
    for name in given[1:3]:
        flat = index.made_by(name, 'Reshape')
        turned = index.made_by(flat.inputs[0], 'Transpose') if flat is not None else None
        found = _kept(index, turned.inputs[0]) if turned is not None and ints_of(turned, 'perm') == [0, 2, 1, 3] else None
        if found is None:
            return
        kept.append(found)
    if kept[0].repeated != kept[1].repeated:
        return
    names = [node.outputs[0] + end for end in ['#q', '#heads', '#attended', '#turned', '#apart', '#flat']]
    for i in range(2):
        shape = [0, 0, int_of(node, 'num_heads'), -1] if i == 0 else [0, 0, -1]
        index.graph.initializers[names[4 + i]] = TensorData('int64', [len(shape)], array_bytes(array_of('int64', shape)))
    inputs = [names[1], kept[0].new, kept[1].new, kept[0].past, kept[1].past, given[5], kept[0].present, kept[1].present]
    index.replace([node], Node('Reshape', '', node.name, [names[3], names[5]], [node.outputs[0]]), [
        Node('Reshape', '', node.name, [given[0], names[4]], [names[0]]), Node('Transpose', '', node.name, [names[0]], [names[1]], {'perm': [0, 2, 1, 3]}),
        Node('CachedAttention', 'edgeflow', node.name, inputs, [names[2]], {'scale': scale, 'guard': 0}),
        Node('Transpose', '', node.name, [names[2]], [names[3]], {'perm': [0, 2, 1, 3]})])


def _is_one_number(table: ShapeTable, name: str) -> bool:
    """Whether a value is a scalar, or a vector of one element."""
    shape = table.shape(name)
    return shape is not None and (len(shape) == 0 or (len(shape) == 1 and shape[0] == 1))


def _product(index: GraphIndex, name: str) -> Node | None:
    """The MatMul of the probabilities with V, behind a guard that makes 0 of NaN."""
    guard = nan_guard(index, name)
    if len(guard) > 0:
        name = guard[1].outputs[0]
    readers = index.readers(name)
    if len(readers) != 1 or readers[0].key() != 'MatMul' or readers[0].inputs[0] != name:
        return None
    return readers[0]


def _kept(index: GraphIndex, name: str) -> _Kept | None:
    """Concat(past, new) along axis 2, then perhaps each head repeated: Unsqueeze, Expand, Reshape. Or a past alone."""
    repeated = False
    shaped = index.made_by(name, 'Reshape')
    if shaped is not None:
        wide = index.made_by(shaped.inputs[0], 'Expand')
        added = index.made_by(wide.inputs[0], 'Unsqueeze') if wide is not None else None
        axes = index.constant(added.inputs[1]) if added is not None and len(added.inputs) > 1 else None
        if added is None or axes is None or elements(axes) != [2]:
            return None
        repeated = True
        name = added.inputs[0]
    past = name
    new = name
    concat = index.made_by(name, 'Concat')
    if concat is not None:
        if len(concat.inputs) != 2 or int_of(concat, 'axis') not in [2, -2]:
            return None
        past = concat.inputs[0]
        new = concat.inputs[1]
    if index.producer(past) is not None or index.constant(past) is not None:
        return None
    return _Kept(past, new, name, repeated)


def _by_distance(index: GraphIndex, table: ShapeTable, name: str) -> bool:
    """Whether a value [.., queries, keys] is read from a table by how far a key is from a query."""
    node = index.producer(name)
    last: bool = False
    while node is not None and node.key() in RESHAPED:
        start = index.made_by(node.inputs[1], 'Unsqueeze') if node.key() == 'Slice' else None
        last = last or (start is not None and index.made_by(start.inputs[0], 'Neg') is not None)
        node = index.producer(node.inputs[0])
    return node is not None and node.key() == 'Gather' and index.producer(node.inputs[0]) is None and _is_distance(index, table, node.inputs[1], last)


def _is_distance(index: GraphIndex, table: ShapeTable, name: str, last: bool) -> bool:
    """Whether a value is made of the distances of all keys to the queries, and of numbers.

    last: of queries that are counted from 0, those behind the past are taken afterwards.
    """
    node = index.producer(name)
    if node is None:
        return _is_one_number(table, name)
    if node.key() == 'ConstantOfShape':
        return True
    if node.key() == 'Sub':
        behind = 0
        for side in node.inputs:
            places = index.made_by(side, 'Unsqueeze')
            counted = index.made_by(places.inputs[0], 'Range') if places is not None else None
            if counted is not None and counts_from_past(index, counted):
                behind = behind + 1
            elif counted is None or table.scalar(counted.inputs[0]) != 0:
                return False
        return behind == 1 or (behind == 0 and last)
    if node.key() not in ALONG:
        return False
    for given in node.inputs:
        if not _is_distance(index, table, given, last):
            return False
    return True


def counts_from_past(index: GraphIndex, counted: Node) -> bool:
    """Whether a Range begins with the length of a past, where its tokens end."""
    length = index.made_by(counted.inputs[0], 'Gather')
    shape = index.made_by(length.inputs[0], 'Shape') if length is not None else None
    return shape is not None and shape.inputs[0].startswith('past') and index.producer(shape.inputs[0]) is None
