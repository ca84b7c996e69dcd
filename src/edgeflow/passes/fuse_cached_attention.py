"""edgeflow:CachedAttention, the attention of a decoder over the keys and values of its past and of its new tokens:

    present = Concat(past, new) along the tokens;  softmax(scale * Q @ K^T + mask) @ V

where K and V are the present ones, each head repeated for a group of query heads if there are more of those. The Concats stay for
whoever reads the present; the fused node takes past, new and present, so that a backend may attend over a cache of its own, to
which it only appends the new.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.ir.attributes import int_of, ints_of
from edgeflow.ir.elements import elements
from edgeflow.ir.graph import Graph, Node
from edgeflow.passes.fuse_sdpa import Match, past_mask, past_scale
from edgeflow.passes.match import GraphIndex, fuse_each, nan_guard, node_name
from edgeflow.passes.shapes import ShapeTable


@dataclass(frozen=True)
class _Kept:
    """Keys or values: the Concat that makes them, and whether heads are repeated on the way to the product."""

    concat: Node
    repeated: bool


def run(graph: Graph, table: ShapeTable) -> bool:
    """Fuse every attention whose keys and values continue those of a past that is given from outside."""
    return fuse_each(graph, table, {'Softmax': _fuse})


def _fuse(index: GraphIndex, table: ShapeTable, softmax: Node) -> None:
    match = Match(softmax)
    last = _product(index, softmax.outputs[0])
    if last is None or int_of(softmax, 'axis', -1) not in [-1, 3]:
        return
    guarded = index.producer(last.inputs[0])
    guard = 1 if guarded is not None and guarded.key() == 'Where' else 0
    scores = past_mask(index, table, softmax.inputs[0], match)
    product = index.made_by(past_scale(index, table, scores, match, True), 'MatMul')
    if product is None or match.condition != '':
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
    if factor != '':
        scaled_q = last.outputs[0] + '#q'
        before.append(Node('Mul', '', node_name([product]), [q, factor], [scaled_q]))
        q = scaled_q
    inputs = [q, keys.concat.inputs[1], values.concat.inputs[1], keys.concat.inputs[0], values.concat.inputs[0], match.mask,
              keys.concat.outputs[0], values.concat.outputs[0]]
    fused = Node('CachedAttention', 'edgeflow', node_name([product]), inputs, [last.outputs[0]], {'scale': match.scale, 'guard': guard})
    index.replace([last], fused, before)


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
    """Concat(past, new) along axis 2, then perhaps each head repeated: Unsqueeze, Expand, Reshape."""
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
    concat = index.made_by(name, 'Concat')
    if concat is None or len(concat.inputs) != 2 or int_of(concat, 'axis') not in [2, -2]:
        return None
    past = concat.inputs[0]
    if index.producer(past) is not None or index.constant(past) is not None:
        return None
    return _Kept(concat, repeated)
