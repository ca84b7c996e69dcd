"""Lowerings of the operators of decoders: rotary embedding, and attention whose new keys and values join those of the past."""

from __future__ import annotations

from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import broadcast_strides, row_major
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering, Norm, Turn
from edgeflow.backends.webgpu.chains import Chain
from edgeflow.backends.webgpu.lower_attention import Attention, attention, with_mask
from edgeflow.backends.webgpu.lower_elementwise import finish, pair, type_of
from edgeflow.backends.webgpu.lower_norm import Rows, norm_rows, skip_norm
from edgeflow.ir.attributes import int_of, number_of
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.decoder import gqa_sizes
from edgeflow.plan.values import Value, at

# The turned element: of the pair (x, y) the first becomes x cos - y sin, the second y cos + x sin.
TURN = '%0 * %2 + select(-%1, %1, %4 > I()) * %3'


def lower_rotary_halves(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """edgeflow:Rotary: cos and sin of every element, broadcast to X [batch, heads, rows, width]."""
    both = pair(inputs, outputs)
    cos = at(inputs, 1)
    sin = at(inputs, 2)
    if both is None or cos is None or sin is None:
        return False
    for value in [both[0], cos, sin]:
        if type_of(b, value) != 'F':
            return False
    shape = both[0].shape
    half = shape[3] // 2
    if shape[2] == 1 and cos.shape == sin.shape and cos.shape[-1] == shape[3] and cos.count() in [shape[3], shape[0] * shape[3]]:
        b.turns[both[1].number] = (both[0], Turn(cos, sin, half))
    chain = Chain(shape[:3] + [2, half])
    given = row_major(shape)[:3]
    numbers = [chain.load(both[0], 'F', 0, given + [half, 1]), chain.load(both[0], 'F', half, given + [-half, 1])]
    for value in [cos, sin]:
        numbers.append(chain.load(value, 'F', 0, broadcast_strides(value.shape, shape)[:3] + [half, 1]))
    numbers.append(chain.load(None, 'I', 0, [0, 0, 0, 1, 0]))
    chain.op(TURN, 'F', numbers)
    return finish(b, chain, both[1])


class Turned:
    """X by strides [batch, heads, rows] from `start` on, with or without rotary embedding: what a chain loads of it.

    dims of the chain: batch, heads, rows, then the two halves of the width and the half (pairs side by side: the half and the two).
    """

    def __init__(self, b: GpuBuilder, source: Value, start: int, strides: list[int], width: int, cos: Value | None, sin: Value | None,
                 interleaved: bool) -> None:
        self.b: GpuBuilder = b
        self.source: Value = source
        self.start: int = start
        self.strides: list[int] = strides
        self.cos: Value | None = cos
        self.sin: Value | None = sin
        self.interleaved: bool = interleaved
        half = width // 2
        self.dims: list[int] = [width] if cos is None else [half, 2] if interleaved else [2, half]
        self.inner: list[int] = [1] if cos is None else [2, 1] if interleaved else [half, 1]

    def load(self, chain: Chain, rows: list[int], index: int, position: int) -> int:
        """The element. rows: strides of the outer dims; index: the step that picks the row, if any; position: the one of its position."""
        strides = rows + self.inner
        indices: list[int] = []
        spans: list[int] = []
        if index >= 0:
            indices = [index]
            spans = [self.strides[2], ROWS_FREE]
        x = chain.load(self.source, 'F', self.start, strides, indices, spans)
        cos = self.cos
        sin = self.sin
        if cos is None or sin is None:
            return x
        pair_at = len(rows) + (1 if self.interleaved else 0)
        other = strides[:]
        step = strides[pair_at]
        other[pair_at] = -step
        y = chain.load(self.source, 'F', self.start + step, other, indices, spans)
        zeros = [0] * len(rows)
        table = zeros + ([1, 0] if self.interleaved else [0, 1])
        turns = cos.shape[1]
        numbers = [x, y]
        for value in [cos, sin]:
            numbers.append(chain.load(value, 'F', 0, table, [position], [turns, cos.shape[0]]))
        second = zeros + ([0, 1] if self.interleaved else [1, 0])
        numbers.append(chain.load(None, 'I', 0, second))
        return chain.op(TURN, 'F', numbers)


# The dim of rows that are picked by a step which sees to it itself that they are there.
ROWS_FREE = 1073741824


def rotated(b: GpuBuilder, turned: Turned, outer: list[int], positions: Value, whole: bool, shift: int, output: Value) -> bool:
    """output [batch, heads, rows, width] or, seen by its strides, [batch, rows, heads, width]: X turned by its positions.

    positions: [batch, rows] if `whole`, else one for each row of the batch (or one), to which the row's number and `shift` are added.
    """
    chain = Chain(outer + turned.dims)
    zeros = [0] * len(turned.dims)
    rows = outer[2]
    step = 0 if positions.count() == 1 else rows if whole else 1
    position = chain.load(positions, 'I', 0, [step, 0, 1 if whole else 0] + zeros)
    if not whole:
        place = chain.load(None, 'I', 0, [0, 0, 1] + zeros)
        position = chain.op('%0 + %1 + I(#0)', 'I', [position, place], [shift])
    turned.load(chain, turned.strides, -1, position)
    return finish(b, chain, output)


def lower_rotary(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """com.microsoft:RotaryEmbedding of [batch, rows, hidden] or [batch, heads, rows, width], the whole width turned."""
    both = pair(inputs, outputs)
    positions = at(inputs, 1)
    cos = at(inputs, 2)
    sin = at(inputs, 3)
    if both is None or positions is None or cos is None or sin is None or type_of(b, both[0]) != 'F' or type_of(b, positions) != 'I':
        return False
    if type_of(b, cos) != 'F' or type_of(b, sin) != 'F':
        return False
    source, output = both
    shape = source.shape
    half = cos.shape[1]
    # The dims in the order in which the elements lie, so that the output is written in its order.
    if len(shape) == 4:
        batch, heads, rows, width = shape
    else:
        count = int_of(node, 'num_heads')
        width = shape[2] // count if count > 0 else 2 * half
        batch, rows, heads = [shape[0], shape[1], shape[2] // width]
    if width != 2 * half or (positions.count() != 1 and positions.count() != batch * rows):
        return False
    whole = positions.count() == batch * rows
    turned = Turned(b, source, 0, [0, 0, 0], width, cos, sin, int_of(node, 'interleaved') != 0)
    dims = [batch, heads, rows] if len(shape) == 4 else [batch, rows, heads]
    row = 2 if len(shape) == 4 else 1
    chain = Chain(dims + turned.dims)
    strides = row_major(dims + [width])[:3]
    zeros = [0] * len(turned.dims)
    by_row = [0, 0, 0]
    by_row[row] = 1
    batches = by_row[:]
    batches[0] = rows
    position = chain.load(positions, 'I', 0, (batches if whole else [0, 0, 0]) + zeros)
    if not whole:
        position = chain.op('%0 + %1', 'I', [position, chain.load(None, 'I', 0, by_row + zeros)])
    turned.load(chain, strides, -1, position)
    return finish(b, chain, output)


def joined(b: GpuBuilder, past: Value | None, turned: Turned, dims: list[int], rows: int, lengths: Value | None, present: Value) -> bool:
    """present [batch, groups, T, width]: the keys (or values) of the past, then the new `rows` of them, then 0.

    lengths: of each row of the batch, its keys less one with the new ones; None: the past is full.
    """
    batch, groups, total = dims
    held = 0 if past is None else past.shape[2]
    chain = Chain([batch, groups, total] + turned.dims)
    zeros = [0] * len(turned.dims)
    place = chain.load(None, 'I', 0, [0, 0, 1] + zeros)
    if lengths is None or rows == total:
        before = chain.op('I(#0)', 'I', [], [held if lengths is None else 0])
    else:
        before = chain.op('%0 + I(#0)', 'I', [chain.load(lengths, 'I', 0, [1, 0, 0] + zeros)], [1 - rows])
    index = chain.op('clamp(%0 - %1, I(), I(#0))', 'I', [place, before], [rows - 1])
    fresh = turned.load(chain, turned.strides[:2] + [0], index, place)
    result = chain.op('select(F(), %0, %1 < %2 + I(#0))', 'F', [fresh, place, before], [rows])
    if past is not None and held > 0:
        width = past.shape[3]
        old = chain.op('select(I(), %0, %0 < %1)', 'I', [place, before])
        kept = chain.load(past, 'F', 0, [groups * held * width, held * width, 0] + turned.inner, [old], [width, held])
        result = chain.op('select(%0, %1, %2 < %3)', 'F', [result, kept, place, before])
    return finish(b, chain, present)


def normed(b: GpuBuilder, source: Value, start: int, strides: list[int], dims: list[int], gamma: Value | None, epsilon: float) -> tuple[Value, int, list[int]]:
    """X [batch, heads, rows, width] by strides after the norm of each row of its width; itself without a gamma."""
    if gamma is None:
        return (source, start, strides)
    batch, heads, rows, width = dims
    copied = b.temporary('float32', [batch, rows, heads, width])
    chain = Chain(copied.shape)
    chain.load(source, 'F', start, [strides[0], strides[2], strides[1], 1])
    finish(b, chain, copied)
    result = b.temporary('float32', copied.shape)
    norm_rows(b, copied, gamma, None, result, Rows(batch * rows * heads, width, False, epsilon))
    return (result, 0, [rows * heads * width, width, heads * width])


def lower_gqa(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """com.microsoft:GroupQueryAttention: causal, with rotary embedding and norms of Q and K if it says so."""
    source = at(inputs, 0)
    lengths = at(inputs, 5)
    output = at(outputs, 0)
    past_k = at(inputs, 3)
    past_v = at(inputs, 4)
    if source is None or lengths is None or output is None or b.cache is not None or type_of(b, lengths) != 'I':
        return False
    for value in [source, at(inputs, 1), at(inputs, 2), past_k, past_v, at(inputs, 7), at(inputs, 8), at(inputs, 14), at(inputs, 15)]:
        if value is not None and type_of(b, value) != 'F':
            return False
    sizes = gqa_sizes(context_of(b, node, inputs))
    batch = source.shape[0]
    rows = source.shape[1]
    width = sizes.width
    heads = sizes.heads
    groups = sizes.groups
    rotary = int_of(node, 'do_rotary') != 0
    cos = at(inputs, 7) if rotary else None
    sin = at(inputs, 8) if rotary else None
    if cos is not None and 2 * cos.shape[1] != width or batch * rows == 0:
        return False
    interleaved = int_of(node, 'rotary_interleaved') != 0
    line = (heads + 2 * groups) * width if sizes.packed else heads * width
    side = line if sizes.packed else groups * width
    k = source if sizes.packed else at(inputs, 1)
    v = source if sizes.packed else at(inputs, 2)
    if k is None or v is None:
        return False
    k_start = heads * width if sizes.packed else 0
    v_start = (heads + groups) * width if sizes.packed else 0
    present_k = at(outputs, 1)
    present_v = at(outputs, 2)
    held = 0 if past_k is None else past_k.shape[2]
    total = present_k.shape[2] if present_k is not None else held + rows
    epsilon = number_of(node, 'qk_norm_epsilon', 1e-6)
    q_strides = [rows * line, width, line]
    q, q_start, q_strides = normed(b, source, 0, q_strides, [batch, heads, rows, width], at(inputs, 14), epsilon)
    k, k_start, k_strides = normed(b, k, k_start, [rows * side, width, side], [batch, groups, rows, width], at(inputs, 15), epsilon)
    first = rows == total
    if cos is not None:
        turned = b.temporary('float32', [batch, heads, rows, width])
        zero = b.new_value('zeros', 'int32', [1])
        zero.constant = True
        zero.literal = [0]
        by = Turned(b, q, q_start, q_strides, width, cos, sin, interleaved)
        if not rotated(b, by, [batch, heads, rows], zero if first else lengths, False, 0 if first else 1 - rows, turned):
            return False
        q, q_start, q_strides = (turned, 0, row_major(turned.shape)[:3])
    if present_k is None:
        present_k = b.temporary('float32', [batch, groups, total, width])
    if present_v is None:
        present_v = b.temporary('float32', [batch, groups, total, width])
    dims = [batch, groups, total]
    if not joined(b, past_k, Turned(b, k, k_start, k_strides, width, cos, sin, interleaved), dims, rows, lengths, present_k):
        return False
    if not joined(b, past_v, Turned(b, v, v_start, [rows * side, width, side], width, None, None, False), dims, rows, lengths, present_v):
        return False
    by_group = row_major([batch, groups, total, width])[:3]
    call = Attention(
        q, present_k, present_v, output, [batch, heads, rows, total, width, width, heads // groups], q_strides, by_group, by_group,
        [rows * heads * width, width, heads * width], number_of(node, 'scale', 0.0) or 1.0 / width ** 0.5, [q_start, 0, 0])
    call.softcap = number_of(node, 'softcap', 0.0)
    call.causal = True
    call.window = max(0, int_of(node, 'local_window_size', -1))
    if not first:
        call.offset = 1 - rows
        call.past = lengths
    return attention(b, call)


def lower_multi_head_attention(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """com.microsoft:MultiHeadAttention with Q, K and V as [batch, rows, hidden]."""
    q = at(inputs, 0)
    k = at(inputs, 1)
    v = at(inputs, 2)
    bias = at(inputs, 5)
    output = at(outputs, 0)
    if q is None or k is None or v is None or output is None or b.cache is not None:
        return False
    for value in [q, k, v, bias, at(inputs, 6), at(inputs, 7)]:
        if value is not None and type_of(b, value) != 'F':
            return False
    heads = int_of(node, 'num_heads', 1)
    batch = q.shape[0]
    rows = q.shape[1]
    d = q.shape[2] // heads
    dv = v.shape[2] // heads
    total = k.shape[1]
    held: list[Value] = []
    strides: list[list[int]] = []
    for i in [0, 1]:
        value = k if i == 0 else v
        width = d if i == 0 else dv
        flat = [value.shape[1] * heads * width, width, heads * width]
        past = at(inputs, 6 + i)
        present = at(outputs, 1 + i)
        if past is None and present is None:
            held.append(value)
            strides.append(flat)
            continue
        total = value.shape[1] + (0 if past is None else past.shape[2])
        if present is None:
            present = b.temporary('float32', [batch, heads, total, width])
        by = Turned(b, value, 0, flat, width, None, None, False)
        if total > 0 and not joined(b, past, by, [batch, heads, total], value.shape[1], None, present):
            return False
        held.append(present)
        strides.append([heads * total * width, total * width, width])
    causal = int_of(node, 'unidirectional') != 0
    call = Attention(q, held[0], held[1], output, [batch, heads, rows, total, d, dv, 1], [rows * heads * d, d, heads * d], strides[0], strides[1],
                     [rows * heads * dv, dv, heads * dv], number_of(node, 'scale', 0.0) or 1.0 / d ** 0.5)
    if causal:
        call.causal = True
        call.offset = total - rows
    if bias is not None:
        call.mask = bias
        call.mask_strides = broadcast_strides(bias.shape, call.dims[:4])
    return attention(b, call)


def lower_gather_blocks(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """com.microsoft:GatherBlockQuantized: rows of a quantised table, (code - zero point) * scale of its block."""
    table = at(inputs, 0)
    indices = at(inputs, 1)
    scales = at(inputs, 2)
    zeros = at(inputs, 3)
    output = at(outputs, 0)
    if table is None or indices is None or scales is None or output is None or b.kind(table) != 'bytes':
        return False
    if type_of(b, indices) != 'I' or type_of(b, scales) != 'F' or type_of(b, output) != 'F' or (zeros is not None and b.kind(zeros) != 'bytes'):
        return False
    width = output.shape[len(output.shape) - 1]
    packed = width != table.shape[1]
    block = int_of(node, 'block_size', 128)
    signed = type_of(b, table) == 'I'
    blocks = (width + block - 1) // block
    if width % block != 0 or (packed and zeros is not None and zeros.count() * 2 != scales.count()):
        return False
    count = indices.count()
    rows = table.shape[0]
    # Places within a block, halves of a byte apart.
    inner = [block // 2, 2] if packed else [block]
    dims = [count, blocks] + inner
    chain = Chain(dims)
    none = [0] * len(inner)
    index = chain.load(indices, 'I', 0, [1, 0] + none)
    type = type_of(b, table)
    row = table.shape[1]
    code = chain.load(table, type, 0, [0, block // 2, 1, 0] if packed else [0, block, 1], [index], [row, rows])
    if packed:
        half = chain.load(None, 'I', 0, [0, 0, 0, 4])
        code = chain.op('(%0 >> U(%1)) & U(15u)', 'U', [code, half])
    scale = chain.load(scales, 'F', 0, [0, 1] + none, [index], [blocks, rows])
    if zeros is None:
        middle = 0 if signed else 1 << (int_of(node, 'bits', 4) - 1)
        chain.op('F(I(%0) - I(#0)) * %1', 'F', [code, scale], [middle])
        return finish(b, chain, output)
    if packed:
        # Zero points are packed likewise, two of a row in a byte.
        if blocks % 2 != 0:
            return False
        chain = Chain([count, blocks // 2, 2] + inner)
        index = chain.load(indices, 'I', 0, [1, 0, 0] + none)
        code = chain.load(table, type, 0, [0, block, block // 2, 1, 0], [index], [row, rows])
        half = chain.load(None, 'I', 0, [0, 0, 0, 0, 4])
        code = chain.op('(%0 >> U(%1)) & U(15u)', 'U', [code, half])
        scale = chain.load(scales, 'F', 0, [0, 2, 1] + none, [index], [blocks, rows])
        zero = chain.load(zeros, type_of(b, zeros), 0, [0, 1, 0] + none, [index], [blocks // 2, rows])
        side = chain.load(None, 'I', 0, [0, 0, 4] + none)
        zero = chain.op('(%0 >> U(%1)) & U(15u)', 'U', [zero, side])
    else:
        zero = chain.load(zeros, type_of(b, zeros), 0, [0, 1] + none, [index], [blocks, rows])
    chain.op('F(I(%0) - I(%1)) * %2', 'F', [code, zero, scale])
    return finish(b, chain, output)


def lower_cached_attention(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """Attention over the present keys and values, inputs 6 and 7."""
    q = at(inputs, 0)
    keys = at(inputs, 6)
    values = at(inputs, 7)
    mask = at(inputs, 5)
    output = at(outputs, 0)
    if q is None or keys is None or values is None or output is None or keys.cache >= 0 or b.cache is not None:
        return False
    if mask is not None and mask.dtype not in ['bool', 'float32']:
        return False
    dims = [q.shape[0], q.shape[1], q.shape[2], keys.shape[2], q.shape[3], values.shape[3], q.shape[1] // keys.shape[1]]
    call = Attention(q, keys, values, output, dims, row_major(q.shape)[:3], row_major(keys.shape)[:3], row_major(values.shape)[:3],
                     row_major(output.shape)[:3], number_of(node, 'scale', 1.0), guard=int_of(node, 'guard') != 0)
    return attention(b, with_mask(call, mask))


def lower_skip_rms_norm(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """X, skip, gamma, bias -> Y, mean, deviation, sum."""
    if at(outputs, 1) is not None or at(outputs, 2) is not None:
        return False
    r = Rows(0, 0, False, number_of(node, 'epsilon', 1e-12), bias=at(inputs, 3), total=at(outputs, 3))
    x = at(inputs, 0)
    skip = at(inputs, 1)
    output = at(outputs, 0)
    if x is not None and skip is not None and output is not None and r.bias is None and x.count() == x.shape[-1]:
        # In a step the sum is the end of the product before, and the norm a factor of the one behind.
        total = r.total if r.total is not None else b.temporary(output.dtype, output.shape)
        if b.added(x, skip, total):
            b.end_part(total)
            gamma = at(inputs, 2)
            b.norms[output.number] = Norm(total, gamma, r.epsilon)
            return norm_rows(b, total, gamma, None, output, Rows(1, x.count(), False, r.epsilon))
    return skip_norm(b, inputs, at(outputs, 0), r, at(inputs, 2), None)


DECODER_LOWERINGS: dict[str, GpuLowering] = {
    'edgeflow:Rotary': lower_rotary_halves,
    'com.microsoft:RotaryEmbedding': lower_rotary,
    'com.microsoft:GroupQueryAttention': lower_gqa,
    'com.microsoft:MultiHeadAttention': lower_multi_head_attention,
    'com.microsoft:GatherBlockQuantized': lower_gather_blocks,
    'com.microsoft:SkipSimplifiedLayerNormalization': lower_skip_rms_norm,
    'edgeflow:CachedAttention': lower_cached_attention,
}
