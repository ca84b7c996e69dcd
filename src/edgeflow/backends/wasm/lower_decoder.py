"""Lowerings of the operators of decoders. Words: wasm/cached_attention.c.

Keys and values of the past come as tensors, or lie in a session's pages (StepBuilder.cache): then the past inputs and the
present outputs have no memory, and the step reads and writes the pages in place.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.backends.wasm.lower_attention import Sdpa, sdpa_step
from edgeflow.backends.wasm.lower_dense import ceil_div, given, require_float
from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import broadcast_strides, copy_steps, item_size, row_major
from edgeflow.ir.attributes import int_of, number_of
from edgeflow.ir.dtype import DTYPE_CODES
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.decoder import gqa_sizes
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.values import Value, Word, at

FLOAT = 4
QUERY_ROWS = 48
PAGE = 64
HALF_ROW = 12
MASK_ADDED = 1
MASK_KEEP = 2


@dataclass
class Cached:
    """What the cached_attention step needs; strides are batch, heads, rows, width."""

    q: Word
    k: Word
    v: Word
    out: Word
    batch: int
    heads: int
    groups: int
    rows: int
    width: int
    value_width: int
    q_strides: list[int]
    k_strides: list[int]
    v_strides: list[int]
    out_strides: list[int]
    scale: float
    mask: Value | None = None
    bias: Value | None = None
    appends: bool = True
    lengths: Value | None = None
    cos: Value | None = None
    sin: Value | None = None
    interleaved: int = 0
    softcap: float = 0.0
    causal: int = 0
    window: int = 0
    q_norm: Value | None = None
    k_norm: Value | None = None
    epsilon: float = 1e-6
    guard: int = 0


def round8(n: int) -> int:
    return 8 * ceil_div(n, 8)


def cached_step(b: StepBuilder, c: Cached, past_k: Value | None, past_v: Value | None, present_k: Value | None, present_v: Value | None) -> None:
    """Write the step. present: where the keys and values go, None: to scratch memory, since nobody asks for them."""
    cache = b.cache if past_k is not None and past_k.cache >= 0 else None
    past = 0 if past_k is None else past_k.shape[2]
    total = past + c.rows if present_k is None else present_k.shape[2]
    held: list[Word] = [b.pointer(past_k), b.pointer(past_v)]
    if cache is not None and past_k is not None and past_v is not None:
        if past_v.cache < 0:
            raise b.unsupported('past keys in the cache of a session, but not the values')
        total = PAGE * ceil_div(cache.capacity if c.appends else past, PAGE)
        held = [0, 0, 0, 0]
    else:
        for value, width in [(present_k, c.width), (present_v, c.value_width)]:
            held.append(b.pointer(b.scratch(FLOAT * c.batch * c.groups * total * width) if value is None else value))
    m = c.rows * c.heads // c.groups
    block = min(m, QUERY_ROWS)
    floats = m * c.width + block * (round8(total) + round8(c.value_width)) + round8(c.width)
    if cache is None:
        floats = floats + round8(total) * (c.width + round8(c.value_width))
    rotary = 0 if c.cos is None else c.cos.shape[1]
    words: list[Word] = [c.q, c.k, c.v]
    words.extend(held)
    words.extend([c.out, b.pointer(c.mask), 0 if cache is None else b.pointer(cache.table, 0 if c.appends else HALF_ROW)])
    words.extend([0, 0] if cache is None or past_k is None or past_v is None else [cache.offsets[past_k.cache], cache.offsets[past_v.cache]])
    words.extend([c.batch, c.heads, c.groups, c.rows, c.width, c.value_width, past, total])
    words.extend(c.q_strides)
    words.extend(c.k_strides)
    words.extend(c.v_strides)
    words.extend(c.out_strides)
    scores = [c.batch, c.heads, c.rows, past + c.rows if c.appends else past]
    words.extend([0, 0, 0, 0] if c.mask is None else broadcast_strides(c.mask.shape, scores))
    words.append(0 if c.mask is None else MASK_KEEP if c.mask.dtype == 'bool' else MASK_ADDED)
    words.extend([b.pointer(c.lengths), b.pointer(c.cos), b.pointer(c.sin), rotary, 0 if c.cos is None else c.cos.shape[0], c.interleaved,
                  b.real(c.scale), b.real(c.softcap) if c.softcap != 0 else 0, c.causal, c.window, b.pointer(c.q_norm), b.pointer(c.k_norm),
                  b.real(c.epsilon), c.guard, b.pointer(b.scratch(FLOAT * floats)), b.pointer(c.bias)])
    words.extend([0, 0, 0, 0] if c.bias is None else broadcast_strides(c.bias.shape, scores))
    b.step('cached_attention', words)


def lower_cached_attention(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """With a session's cache the new keys and values are appended to it; otherwise it is attention over the present ones."""
    q = require_float(b, given(b, inputs))
    k = require_float(b, given(b, inputs, 1))
    v = require_float(b, given(b, inputs, 2))
    past_k = given(b, inputs, 3)
    output = given(b, outputs)
    mask = at(inputs, 5)
    scale = number_of(node, 'scale', 1.0)
    guard = int_of(node, 'guard')
    if past_k.cache >= 0:
        appends = node.inputs[1] != node.inputs[3]
        bias = at(inputs, 8)
        cached_step(b, Cached(
            b.pointer(q), b.pointer(k) if appends else 0, b.pointer(v) if appends else 0, b.pointer(output), q.shape[0], q.shape[1], k.shape[1],
            q.shape[2], q.shape[3], v.shape[3], row_major(q.shape), row_major(k.shape), row_major(v.shape), row_major(output.shape), scale,
            mask=mask if bias is None else at(inputs, 9), bias=bias, appends=appends, guard=guard), past_k, given(b, inputs, 4), None, None)
        return
    keys = given(b, inputs, 6)
    values = given(b, inputs, 7)
    call = Sdpa(b.pointer(q), b.pointer(keys), b.pointer(values), b.pointer(output),
                [q.shape[0], q.shape[1], q.shape[2], keys.shape[2], q.shape[3], v.shape[3], q.shape[1] // k.shape[1]],
                row_major(q.shape), row_major(keys.shape), row_major(values.shape), row_major(output.shape), scale, guard=guard)
    if mask is not None:
        call.mask = b.pointer(mask)
        call.mask_strides = broadcast_strides(mask.shape, call.dims[:4])
        call.mask_type = MASK_KEEP if mask.dtype == 'bool' else MASK_ADDED
        call.fill = float('-inf')
    sdpa_step(b, call)


def lower_append_cached(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """Keys and values to a session's cache, for no query."""
    k = require_float(b, given(b, inputs))
    v = require_float(b, given(b, inputs, 1))
    cached_step(b, Cached(0, b.pointer(k), b.pointer(v), 0, k.shape[0], 0, k.shape[1], k.shape[2], k.shape[3], v.shape[3], [0, 0, 0, 0],
                          row_major(k.shape), row_major(v.shape), [0, 0, 0, 0], 1.0), given(b, inputs, 2), given(b, inputs, 3), None, None)


def lower_gqa(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """com.microsoft:GroupQueryAttention: causal, with rotary embedding and norms of Q and K if it says so."""
    source = require_float(b, given(b, inputs))
    output = given(b, outputs)
    sizes = gqa_sizes(context_of(b, node, inputs))
    batch = source.shape[0]
    rows = source.shape[1]
    width = sizes.width
    if sizes.packed:
        line = (sizes.heads + 2 * sizes.groups) * width
        k: Word = b.pointer(source, FLOAT * sizes.heads * width)
        v: Word = b.pointer(source, FLOAT * (sizes.heads + sizes.groups) * width)
        q_strides = [rows * line, width, line, 1]
        k_strides = q_strides
    else:
        k = b.pointer(require_float(b, given(b, inputs, 1)))
        v = b.pointer(require_float(b, given(b, inputs, 2)))
        q_strides = [rows * sizes.heads * width, width, sizes.heads * width, 1]
        k_strides = [rows * sizes.groups * width, width, sizes.groups * width, 1]
    rotary = int_of(node, 'do_rotary') != 0
    cached_step(b, Cached(
        b.pointer(source), k, v, b.pointer(output), batch, sizes.heads, sizes.groups, rows, width, width, q_strides, k_strides, k_strides,
        [rows * sizes.heads * width, width, sizes.heads * width, 1], number_of(node, 'scale', 0.0) or 1.0 / width ** 0.5,
        lengths=given(b, inputs, 5), cos=given(b, inputs, 7) if rotary else None, sin=given(b, inputs, 8) if rotary else None,
        interleaved=int_of(node, 'rotary_interleaved'), softcap=number_of(node, 'softcap', 0.0), causal=1,
        window=max(0, int_of(node, 'local_window_size', -1)), q_norm=at(inputs, 14), k_norm=at(inputs, 15),
        epsilon=number_of(node, 'qk_norm_epsilon', 1e-6)), at(inputs, 3), at(inputs, 4), at(outputs, 1), at(outputs, 2))


def lower_multi_head_attention(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """com.microsoft:MultiHeadAttention with Q, K and V as [batch, rows, hidden]."""
    q = require_float(b, given(b, inputs))
    k = require_float(b, given(b, inputs, 1))
    v = require_float(b, given(b, inputs, 2))
    output = given(b, outputs)
    heads = int_of(node, 'num_heads', 1)
    bias = at(inputs, 5)
    batch = q.shape[0]
    rows = q.shape[1]
    d = q.shape[2] // heads
    dv = v.shape[2] // heads
    total = k.shape[1]
    strides: list[list[int]] = []
    pointers: list[Word] = []
    for i in [0, 1]:
        value = k if i == 0 else v
        width = d if i == 0 else dv
        past = at(inputs, 6 + i)
        flat = [value.shape[1] * heads * width, width, heads * width, 1]
        present = at(outputs, 1 + i)
        if past is None and present is None:
            pointers.append(b.pointer(value))
            strides.append(flat)
            continue
        before = 0 if past is None else past.shape[2]
        total = before + value.shape[1]
        if present is None:
            present = b.scratch(FLOAT * batch * heads * total * width)
        held = [heads * total * width, total * width, width, 1]
        if past is not None:
            copy_steps(b, FLOAT, b.pointer(past), b.pointer(present), past.shape, row_major(past.shape), held)
        copy_steps(b, FLOAT, b.pointer(value), b.pointer(present, FLOAT * before * width), [batch, heads, value.shape[1], width], flat, held)
        pointers.append(b.pointer(present))
        strides.append(held)
    call = Sdpa(b.pointer(q), pointers[0], pointers[1], b.pointer(output), [batch, heads, rows, total, d, dv, 1],
                [rows * heads * d, d, heads * d, 1], strides[0], strides[1], [rows * heads * dv, dv, heads * dv, 1],
                number_of(node, 'scale', 0.0) or 1.0 / d ** 0.5)
    if bias is not None:
        call.mask = b.pointer(require_float(b, bias))
        call.mask_strides = broadcast_strides(bias.shape, call.dims[:4])
        call.mask_type = MASK_ADDED
    if int_of(node, 'unidirectional') != 0:
        call.causal = 1
        call.causal_offset = total - rows
    sdpa_step(b, call)


def lower_rotary_halves(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = require_float(b, given(b, inputs))
    cos = given(b, inputs, 1)
    sin = given(b, inputs, 2)
    output = given(b, outputs)
    b.may_reuse(output, source)
    words: list[Word] = [b.pointer(source), b.pointer(cos), b.pointer(sin), b.pointer(output)]
    words.extend(source.shape)
    words.extend(broadcast_strides(cos.shape, source.shape)[:3])
    words.extend(broadcast_strides(sin.shape, source.shape)[:3])
    b.step('rotary_halves', words)


def lower_rotary(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """com.microsoft:RotaryEmbedding of [batch, rows, hidden] or [batch, heads, rows, width]."""
    source = require_float(b, given(b, inputs))
    positions = given(b, inputs, 1)
    cos = given(b, inputs, 2)
    output = given(b, outputs)
    half = cos.shape[1]
    shape = source.shape
    if len(shape) == 4:
        dims: list[int] = [shape[0], shape[1], shape[2], shape[3]]
        strides = row_major(shape)[:3]
    else:
        heads = int_of(node, 'num_heads')
        width = shape[2] // heads if heads > 0 else 2 * half
        dims = [shape[0], shape[2] // width, shape[1], width]
        strides = [shape[1] * shape[2], width, shape[2]]
    if positions.dtype != 'int64' or (positions.count() != 1 and positions.count() != dims[0] * dims[2]):
        raise b.unsupported(f'positions {positions.dtype} {positions.shape}')
    b.may_reuse(output, source)
    words: list[Word] = [b.pointer(source), b.pointer(output)]
    words.extend(dims)
    words.extend(strides)
    words.extend(strides)
    words.extend([b.pointer(positions), b.pointer(cos), b.pointer(given(b, inputs, 3)), half, int_of(node, 'interleaved'),
                  1 if positions.count() == dims[0] * dims[2] else 0, cos.shape[0]])
    b.step('rotary', words)


def lower_gather_blocks(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """com.microsoft:GatherBlockQuantized. Types of 4 bits lie in memory as bytes; packed bytes stay packed."""
    table = given(b, inputs)
    indices = given(b, inputs, 1)
    output = given(b, outputs)
    width = output.shape[len(output.shape) - 1]
    packed = width != table.shape[1]
    signed = table.dtype == 'int8' or table.dtype == 'int4'
    zero = 0 if signed else 1 << (int_of(node, 'bits', 4) - 1)
    b.step('gather_blocks', [b.pointer(table), b.pointer(indices), DTYPE_CODES[indices.dtype], b.pointer(given(b, inputs, 2)),
                             b.pointer(at(inputs, 3)), b.pointer(output), table.shape[0], indices.count(), width,
                             int_of(node, 'block_size', 128), 1 if packed else 0, 1 if signed else 0, zero])


def lower_last_row(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """The last of the middle axis: a view of one batch, copied for several."""
    source = given(b, inputs)
    output = given(b, outputs)
    rows = source.shape[1]
    width = source.shape[2]
    if source.shape[0] == 1 or rows == 1:
        b.alias(output, source, item_size(source) * (rows - 1) * width)
    else:
        copy_steps(b, item_size(source), b.pointer(source, item_size(source) * (rows - 1) * width), b.pointer(output), [source.shape[0], width],
                   [rows * width, 1], [width, 1])


DECODER_LOWERINGS: dict[str, Lowering] = {
    'edgeflow:LastRow': lower_last_row,
    'edgeflow:CachedAttention': lower_cached_attention,
    'edgeflow:AppendCached': lower_append_cached,
    'edgeflow:Rotary': lower_rotary_halves,
    'com.microsoft:GroupQueryAttention': lower_gqa,
    'com.microsoft:MultiHeadAttention': lower_multi_head_attention,
    'com.microsoft:RotaryEmbedding': lower_rotary,
    'com.microsoft:GatherBlockQuantized': lower_gather_blocks,
}
