"""Rules of the operators of decoders: attention with past keys and values, rotary embedding, quantised tables."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.ir.ops.infer import FLOATS, InferContext, OpSpec, Type, op


@dataclass(frozen=True)
class HeadSizes:
    """Of grouped-query attention: query heads, key heads, the width of each. packed: Q, K and V lie side by side in input 0."""

    heads: int
    groups: int
    width: int
    packed: bool


def gqa_sizes(c: InferContext) -> HeadSizes:
    """The sizes that a GroupQueryAttention says."""
    heads = c.attr_int('num_heads')
    groups = c.attr_int('kv_num_heads')
    c.check_rank(0, 3, 3)
    packed = not c.has(1)
    columns = c.shape(0)[2]
    parts = heads + 2 * groups if packed else heads
    if heads < 1 or groups < 1 or heads % groups != 0 or columns % parts != 0:
        raise c.fail(f'heads ({heads}) that are a multiple of kv_num_heads ({groups}) and share the columns', f'{c.shape(0)}')
    width = columns // parts
    if not packed:
        for i in [1, 2]:
            if c.shape(i) != [c.shape(0)[0], c.shape(0)[1], groups * width]:
                raise c.fail(f'input {i} of shape {[c.shape(0)[0], c.shape(0)[1], groups * width]}', f'{c.shape(i)}')
    return HeadSizes(heads, groups, width, packed)


def _gqa(c: InferContext) -> list[Type]:
    sizes = gqa_sizes(c)
    for i in [9, 10, 11]:
        if c.has(i):
            raise c.unsupported(f'input {i} (position ids, attention bias, sinks)')
    if c.attr_int('smooth_softmax') == 1 or c.attr_int('qk_output') != 0:
        raise c.unsupported('smooth_softmax and qk_output')
    batch = c.shape(0)[0]
    length = c.shape(0)[1]
    past = 0
    if c.has(3):
        shape = c.shape(3)
        if len(shape) != 4 or shape[0] != batch or shape[1] != sizes.groups or shape[3] != sizes.width or c.shape(4) != shape:
            raise c.fail(f'past keys and values of shape [{batch}, {sizes.groups}, past, {sizes.width}]', f'{shape} and {c.shape(4)}')
        past = shape[2]
    total = c.maybe_ints(6)
    held = past + length if total is None else max(past, total[0])
    present = Type(c.dtype(0), [batch, sizes.groups, held, sizes.width])
    return [Type(c.check_dtype(0, FLOATS), [batch, length, sizes.heads * sizes.width]), present, present]


def _cached_attention(c: InferContext) -> list[Type]:
    """Q, new K, new V, past keys, past values, mask, and the present keys and values: all [batch, heads, rows, width].

    New ones that are the past ones: nothing is appended. Perhaps the bias by distance and the rest that the mask is the sum of.
    """
    for i in range(8):
        if i != 5:
            c.check_rank(i, 4, 4)
    q = c.shape(0)
    k = c.shape(1)
    v = c.shape(2)
    past = c.shape(3)[2]
    appends = c.node.inputs[1] != c.node.inputs[3]
    if k[0] != q[0] or (appends and k[2] != q[2]) or k[3] != q[3] or v[:3] != k[:3] or k[1] == 0 or q[1] % k[1] != 0:
        raise c.fail('Q, K and V [batch, heads, rows, width] that fit together', f'{q}, {k} and {v}')
    if c.shape(3) != [k[0], k[1], past, k[3]] or c.shape(4) != [v[0], v[1], past, v[3]]:
        raise c.fail(f'past keys and values of the heads of {k}', f'{c.shape(3)} and {c.shape(4)}')
    scores = [q[0], q[1], q[2], past + k[2] if appends else past]
    for i in [5, 8, 9]:
        if c.has(i) and c.broadcast([c.shape(i), scores]) != scores:
            raise c.fail(f'a mask that can be broadcast to {scores}', f'{c.shape(i)}')
    return [Type(c.check_dtype(0, FLOATS), [q[0], q[1], q[2], v[3]])]


def _append_cached(c: InferContext) -> list[Type]:
    """New K, new V, past keys, past values. Nothing but a name comes of it: the result is empty."""
    for i in range(4):
        c.check_rank(i, 4, 4)
    return [Type('float32', [0])]


def _multi_head_attention(c: InferContext) -> list[Type]:
    c.check_rank(0, 3, 3)
    c.check_rank(1, 3, 3)
    c.check_rank(2, 3, 3)
    for i in [3, 4, 8, 9]:
        if c.has(i):
            raise c.unsupported(f'input {i}; it runs with attention_bias, past_key and past_value')
    heads = c.attr_int('num_heads')
    q = c.shape(0)
    k = c.shape(1)
    v = c.shape(2)
    if heads < 1 or q[2] % heads != 0 or k[2] != q[2] or v[2] % heads != 0 or k[:2] != v[:2] or k[0] != q[0]:
        raise c.fail(f'Q, K and V of {heads} heads', f'{q}, {k} and {v}')
    past = c.shape(6)[2] if c.has(6) else 0
    total = past + k[1]
    return [Type(c.check_dtype(0, FLOATS), [q[0], q[1], v[2]]), Type(c.dtype(1), [q[0], heads, total, q[2] // heads]),
            Type(c.dtype(2), [q[0], heads, total, v[2] // heads])]


def _rotary_halves(c: InferContext) -> list[Type]:
    """X [batch, heads, rows, width], cos and sin that can be broadcast to it; `half`: half of the width."""
    c.check_rank(0, 4, 4)
    shape = c.shape(0)
    if 2 * c.attr_int('half') != shape[3]:
        raise c.fail(f"half of the width as 'half' of {shape}", f"{c.attr_int('half')}")
    for i in [1, 2]:
        c.check_rank(i, 4, 4)
        if c.shape(i)[3] != shape[3] or c.broadcast([c.shape(i), shape]) != shape:
            raise c.fail(f'input {i} that can be broadcast to {shape}', f'{c.shape(i)}')
    return [c.type(0)]


def _rotary(c: InferContext) -> list[Type]:
    c.check_rank(0, 3, 4)
    if c.attr_int('is_packed_batching') != 0 or c.attr_float('scale', 1.0) != 1.0:
        raise c.unsupported('is_packed_batching and scale')
    return [Type(c.check_dtype(0, FLOATS), c.shape(0))]


def _gather_blocks(c: InferContext) -> list[Type]:
    bits = c.attr_int('bits', 4)
    block = c.attr_int('block_size', 128)
    dtype = c.check_dtype(0, ['int4', 'uint4', 'uint8', 'int8'])
    c.check_rank(0, 2, 2)
    if c.axis(c.attr_int('gather_axis'), 2) != 0 or c.axis(c.attr_int('quantize_axis', 1), 2) != 1 or block < 16 or bits not in [4, 8]:
        raise c.unsupported(f'bits {bits}, block_size {block}, and axes that are not 0 (gather) and 1 (quantize)')
    columns = c.shape(0)[1]
    # Types of 4 bits lie in a byte each once they are in memory; packed ones are declared as bytes.
    width = columns * 2 if dtype == 'uint8' and bits == 4 and columns * 2 == _scale_columns(c, block, columns) else columns
    if c.shape(2) != [c.shape(0)[0], (width + block - 1) // block]:
        raise c.fail(f'scales of shape {[c.shape(0)[0], (width + block - 1) // block]}', f'{c.shape(2)}')
    return [Type(c.dtype(2), c.shape(1) + [width])]


def _scale_columns(c: InferContext, block: int, columns: int) -> int:
    """Twice the columns if the scales are for as many codes, so that two codes lie in a byte."""
    return columns * 2 if c.shape(2)[1] == (columns * 2 + block - 1) // block else columns


def _last_row(c: InferContext) -> list[Type]:
    c.check_rank(0, 3, 3)
    shape = c.shape(0)
    return c.shaped([shape[0], min(1, shape[1]), shape[2]])


DECODER_OPS: dict[str, OpSpec] = {
    'edgeflow:LastRow': op(_last_row),
    'edgeflow:CachedAttention': op(_cached_attention, 8, 10),
    'edgeflow:AppendCached': op(_append_cached, 4),
    'edgeflow:Rotary': op(_rotary_halves, 3),
    'com.microsoft:GroupQueryAttention': op(_gqa, 7, 16),
    'com.microsoft:MultiHeadAttention': op(_multi_head_attention, 3, 10),
    'com.microsoft:RotaryEmbedding': op(_rotary, 4),
    'com.microsoft:GatherBlockQuantized': op(_gather_blocks, 3, 4),
}
