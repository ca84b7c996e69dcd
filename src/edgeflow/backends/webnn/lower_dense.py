"""WebNN lowerings of matrix products and of attention, which is made of them."""

from __future__ import annotations

from edgeflow.backends.webnn.emitter import Emitter, NnLowering, Operand
from edgeflow.backends.webnn.lower_elementwise import activated
from edgeflow.ir.attributes import int_of, ints_of, number_of, text_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at


def exchanged(e: Emitter, x: Operand) -> Operand:
    """With its last two dims exchanged."""
    perm = [i for i in range(len(x.shape))]
    perm[-1], perm[-2] = perm[-2], perm[-1]
    return e.call('transpose', [x], {'permutation': perm})


def multiplied(e: Emitter, a: Operand, b: Operand) -> Operand:
    """numpy.matmul but for the shape, where one of them is a vector."""
    left = e.reshape(a, [1] + a.shape) if len(a.shape) == 1 else a
    right = e.reshape(b, b.shape + [1]) if len(b.shape) == 1 else b
    if len(left.shape) > 2 and len(right.shape) == 2:
        # One product of all rows.
        rows = element_count(left.shape[:-1])
        return e.reshape(e.call('matmul', [e.reshape(left, [rows, left.shape[-1]]), right]), left.shape[:-1] + [right.shape[1]])
    return e.call('matmul', [left, right])


def lower_matmul(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """MatMul, FusedMatMul, and edgeflow:MatMul with bias, residual, activation."""
    output = at(outputs, 0)
    a = e.value(at(inputs, 0))
    b = e.value(at(inputs, 1))
    if len(a.shape) > 1 and (int_of(node, 'trans_a') != 0 or int_of(node, 'transA') != 0):
        a = exchanged(e, a)
    if len(b.shape) > 1 and (int_of(node, 'trans_b') != 0 or int_of(node, 'transB') != 0):
        b = exchanged(e, b)
    result = multiplied(e, a, b)
    alpha = number_of(node, 'alpha', 1.0)
    if alpha != 1:
        result = e.call('mul', [result, e.number(result, alpha)])
    if at(inputs, 2) is not None:
        result = e.call('add', [result, e.value(at(inputs, 2))])
    if output is None:
        raise e.refuse('no output')
    result = e.reshape(activated(e, result, text_of(node, 'activation', '')), output.shape)
    if at(inputs, 3) is not None:
        result = e.call('add', [result, e.reshape(e.value(at(inputs, 3)), output.shape)])
    e.give(output, result)


def lower_gemm(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    options: dict[str, object] = {
        'alpha': number_of(node, 'alpha', 1.0), 'beta': number_of(node, 'beta', 1.0), 'aTranspose': int_of(node, 'transA') != 0,
        'bTranspose': int_of(node, 'transB') != 0}
    if at(inputs, 2) is not None:
        options['c'] = e.value(at(inputs, 2))
    e.give(at(outputs, 0), e.call('gemm', [e.value(at(inputs, 0)), e.value(at(inputs, 1))], options))


def attended(e: Emitter, q: Operand, k: Operand, v: Operand, scale: float, mask: Operand | None, causal: bool = False) -> Operand:
    """softmax(q k^T * scale + mask) v. q [B, H, S, D], k [B, G, T, D], v [B, G, T, E], H a multiple of G; mask: broadcast to [B, H, S, T], added, or
    uint8: what is 0 is not seen. Gives [B, H, S, E]."""
    batch, heads, rows, width = q.shape
    groups = k.shape[1]
    keys = k.shape[2]
    q = e.call('mul', [q, e.number(q, scale)]) if scale != 1 else q
    q = e.reshape(q, [batch, groups, heads // groups * rows, width])
    scores = e.reshape(e.call('matmul', [q, exchanged(e, k)]), [batch, heads, rows, keys])
    if mask is not None and mask.dtype == 'uint8':
        scores = e.call('where', [mask, scores, e.number(scores, float('-inf'))])
    elif mask is not None:
        scores = e.call('add', [scores, mask])
    weights = e.call('softmax', [scores, 3])
    weights = e.reshape(weights, [batch, groups, heads // groups * rows, keys])
    return e.reshape(e.call('matmul', [weights, v]), [batch, heads, rows, v.shape[3]])


def permuted(e: Emitter, x: Operand, perm: list[int] | None) -> Operand:
    return x if perm is None or perm == [0, 1, 2, 3] else e.call('transpose', [x], {'permutation': perm})


def lower_sdpa(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    q = permuted(e, e.value(at(inputs, 0)), ints_of(node, 'q_perm'))
    k = permuted(e, e.value(at(inputs, 1)), ints_of(node, 'k_perm'))
    v = permuted(e, e.value(at(inputs, 2)), ints_of(node, 'v_perm'))
    mask = None if at(inputs, 3) is None else e.value(at(inputs, 3))
    if q.shape[0] != k.shape[0] or q.shape[0] != v.shape[0]:
        raise e.refuse('batches that are broadcast')
    result = attended(e, q, k, v, number_of(node, 'scale', 1.0), mask)
    e.give(at(outputs, 0), permuted(e, result, ints_of(node, 'out_perm')))


def lower_cached_attention(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """Attention over the present keys and values, inputs 6 and 7."""
    keys = at(inputs, 6)
    if keys is None or keys.cache >= 0:
        raise e.refuse('keys in the cache of a session')
    mask = None if at(inputs, 5) is None else e.value(at(inputs, 5))
    result = attended(e, e.value(at(inputs, 0)), e.value(keys), e.value(at(inputs, 7)), number_of(node, 'scale', 1.0), mask)
    if int_of(node, 'guard') != 0:
        # Rows that see nothing.
        result = e.call('where', [e.call('isNaN', [result]), e.number(result, 0), result])
    e.give(at(outputs, 0), result)


def lower_rotary(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """edgeflow:Rotary: x * cos + (-b, a) * sin, where a and b are the halves of x."""
    x = e.value(at(inputs, 0))
    half = x.shape[3] // 2
    first, second = e.calls('split', [x, [half, half]], {'axis': 3})
    parts: list[object] = [e.call('neg', [second]), first]
    turned = e.call('mul', [e.call('concat', [parts, 3]), e.value(at(inputs, 2))])
    e.give(at(outputs, 0), e.call('add', [e.call('mul', [x, e.value(at(inputs, 1))]), turned]))


def lower_contrib_attention(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """com.microsoft:Attention: one product gives Q, K and V side by side."""
    x = e.value(at(inputs, 0))
    weights = e.value(at(inputs, 1))
    mask = at(inputs, 3)
    if at(inputs, 4) is not None or int_of(node, 'do_rotary') != 0 or int_of(node, 'unidirectional') != 0 or (mask is not None and at(inputs, 5) is not None):
        raise e.refuse('past keys, rotary, causal, or two masks')
    batch, length, _ = x.shape
    heads = int_of(node, 'num_heads', 1)
    width = weights.shape[1]
    sizes = ints_of(node, 'qkv_hidden_sizes') or [width // 3, width // 3, width // 3]
    projected = multiplied(e, x, weights)
    if at(inputs, 2) is not None:
        projected = e.call('add', [projected, e.value(at(inputs, 2))])
    parts: list[Operand] = []
    for part in e.calls('split', [projected, sizes], {'axis': 2}):
        split = e.reshape(part, [batch, length, heads, part.shape[2] // heads])
        parts.append(permuted(e, split, [0, 2, 1, 3]))
    added: Operand | None = None
    if at(inputs, 5) is not None:
        added = e.value(at(inputs, 5))
    elif mask is not None:
        added = mask_of(e, e.value(mask), batch, length, number_of(node, 'mask_filter_value', -10000.0))
    scale = number_of(node, 'scale', 0.0) or 1.0 / (sizes[0] // heads) ** 0.5
    result = attended(e, parts[0], parts[1], parts[2], scale, added)
    e.give(at(outputs, 0), permuted(e, result, [0, 2, 1, 3]))


def mask_of(e: Emitter, mask: Operand, batch: int, keys: int, fill: float) -> Operand:
    """The integer mask [B, T], [B, S, T] or [B, 1, S, T]: `fill` where it is 0; or [B] numbers of keys that are seen."""
    shape = mask.shape
    if shape == [batch]:
        places = e.numbers(mask.dtype, [1, 1, 1, keys], [i for i in range(keys)])
        hidden = e.call('greaterOrEqual', [places, e.reshape(mask, [batch, 1, 1, 1])])
        return e.call('mul', [e.call('cast', [hidden, 'float32']), e.numbers('float32', [], [fill])])
    if len(shape) == 2:
        mask = e.reshape(mask, [shape[0], 1, 1, shape[1]])
    elif len(shape) == 3:
        mask = e.reshape(mask, [shape[0], 1, shape[1], shape[2]])
    elif len(shape) != 4:
        raise e.refuse('a mask of another form')
    hidden = e.call('cast', [e.call('equal', [mask, e.number(mask, 0)]), 'float32'])
    return e.call('mul', [hidden, e.number(hidden, fill)])


DENSE_LOWERINGS: dict[str, NnLowering] = {
    'MatMul': lower_matmul, 'Gemm': lower_gemm, 'com.microsoft:FusedMatMul': lower_matmul, 'edgeflow:MatMul': lower_matmul, 'edgeflow:Sdpa': lower_sdpa,
    'edgeflow:CachedAttention': lower_cached_attention, 'edgeflow:Rotary': lower_rotary, 'com.microsoft:Attention': lower_contrib_attention,
}
