"""Lowerings of attention over sessions' pages (pages.py), as backends/wasm/lower_decoder.py has them for WASM.

They take what reads a past that lies in pages; with tensors for past and present it is other lowerings' work.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import broadcast_strides, row_major
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering, Turn
from edgeflow.backends.webgpu.cached_step import StepAttention, attend_step, pages_code, pairs_code
from edgeflow.ir.attributes import int_of, number_of
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.decoder import gqa_sizes
from edgeflow.plan.builder import CacheLayout
from edgeflow.plan.values import Value, at

MOST_WIDTH = 256
ENCODER_COLUMN = 3
QUERIES = 4
# So many workgroups keep a GPU busy.
MANY_GROUPS = 512
# What cached_attend says of the rows of a workgroup.
ONE_ROW: dict[str, str] = {'$QUERIES': '1', '$N': 'u32', '$COUNTED': '0u', '$FIRST': 'first', '$LAST': 'seen', '$AT': '', '$ELEMENT': 'q[start + d]'}
FOUR_ROWS: dict[str, str] = {
    '$QUERIES': '4', '$N': 'vec4u', '$COUNTED': 'vec4u(0,1,2,3)', '$FIRST': 'first.x', '$LAST': 'seen.w', '$AT': '[#r]',
    '$ELEMENT': 'vec4f(q[start.x+d],q[start.y+d],q[start.z+d],q[start.w+d])',
}


@dataclass(frozen=True)
class Turning:
    """What is done to a head of queries or keys: its norm and its rotary embedding, where there are any."""

    cos: Value | None = None
    sin: Value | None = None
    gamma: Value | None = None
    interleaved: int = 0
    epsilon: float = 1e-6

    def words(self, b: GpuBuilder) -> list[int]:
        """The last words of cached_query and cached_append."""
        cos = self.cos
        half = 0 if cos is None else cos.shape[1]
        return [0 if self.gamma is None else 1, b.real(self.epsilon), half, self.interleaved, 0 if cos is None else cos.shape[0], b.fault()]

    def bindings(self, other: Value) -> list[Value]:
        """The tables, `other` in place of those that are not there."""
        found: list[Value] = []
        for value in [self.cos, self.sin, self.gamma]:
            found.append(other if value is None else value)
        return found

    def code(self, b: GpuBuilder, other: Value) -> dict[str, str]:
        """The types of the tables."""
        kinds = [b.kind(value) for value in self.bindings(other)]
        return {'$COS': kinds[0], '$SIN': kinds[1], '$GAMMA': kinds[2]}


@dataclass(frozen=True)
class Heads:
    """Of a tensor: where its first element is, the strides of batch, heads and rows, and how many there are of these, and the width of a head."""

    value: Value
    start: int
    strides: list[int]
    dims: list[int]


def whole(value: Value) -> Heads:
    """[batch, heads, rows, width]."""
    return Heads(value, 0, row_major(value.shape)[:3], value.shape)


def append(b: GpuBuilder, cache: CacheLayout, keys: Heads, values: Heads, layers: list[int], turning: Turning) -> None:
    """Write new keys and values to the pages."""
    words: list[int] = [keys.dims[3], values.dims[3], keys.start]
    words.extend(keys.strides)
    words.append(values.start)
    words.extend(values.strides)
    words.extend(layers)
    bindings = [keys.value, values.value] + turning.bindings(keys.value) + [cache.table, cache.pool, b.fault_flags()]
    code = turning.code(b, keys.value)
    code.update(pairs_code(b, cache))
    b.dispatch('cached_append', bindings, words + turning.words(b), [keys.dims[2], keys.dims[1], keys.dims[0]], {}, code)


def turned(b: GpuBuilder, cache: CacheLayout, queries: Heads, turning: Turning) -> Heads:
    """The queries after their norm and rotary embedding."""
    if turning.cos is None and turning.gamma is None:
        return queries
    y = b.temporary('float32', queries.dims)
    words: list[int] = [queries.dims[1], queries.dims[2], queries.dims[3]]
    words.extend(queries.strides)
    bindings = [queries.value] + turning.bindings(queries.value) + [cache.table, y, b.fault_flags()]
    b.dispatch('cached_query', bindings, words + turning.words(b), [queries.dims[2], queries.dims[1], queries.dims[0]], {}, turning.code(b, queries.value))
    return whole(y)


@dataclass(frozen=True)
class Seeing:
    """How scores are made of products. column: where a row of the table begins for this kind of pages. past: columns of mask and bias before the new tokens."""

    scale: float
    past: int
    column: int = 0
    window: int = 0
    softcap: float = 0.0
    mask: Value | None = None
    bias: Value | None = None


def attend(b: GpuBuilder, cache: CacheLayout, queries: Heads, groups: int, output: Heads, layers: list[int], seeing: Seeing) -> None:
    """Attention to what lies in the pages."""
    rows = queries.dims[2]
    scores: list[int] = [queries.dims[0], queries.dims[1], rows, seeing.past + (rows if seeing.column == 0 else 0)]
    words: list[int] = [rows, queries.dims[1], groups]
    words.extend(queries.strides)
    words.extend(output.strides)
    words.extend(layers)
    words.extend([seeing.column, seeing.past, seeing.window, b.real(seeing.scale), b.real(seeing.softcap)])
    mask = seeing.mask
    strides = [0, 0, 0, 0] if mask is None else broadcast_strides(mask.shape, scores)
    words.extend([0 if mask is None else 1, strides[0], strides[2], strides[3], b.fault()])
    bias = seeing.bias
    words.extend([0, 0, 0, 0] if bias is None else broadcast_strides(bias.shape, scores))
    if mask is not None and rows == 1 and seeing.column == 0:
        b.checked.add(mask.number)
    keeps = mask is not None and mask.dtype == 'bool'
    # Four rows of a head share what they read of keys and values.
    count = QUERIES if rows >= QUERIES and bias is None else 1
    groups_x = (rows + count - 1) // count
    parts = 1 if groups_x * queries.dims[1] * queries.dims[0] >= MANY_GROUPS else 2 if count > 1 else 4
    code = pages_code(b, cache, queries.dims[3], output.dims[3], parts, count)
    code.update({'$WIDTH': f'{queries.dims[3]}', '$VALUES': f'{output.dims[3]}', '$MASK': 'u32' if keeps else 'f32', '$SHOWN': '1u' if keeps else '0.0'})
    code.update(ONE_ROW if count == 1 else FOUR_ROWS)
    code['$BIASED'] = '' if bias is None else 's+=bias[id.z*p.f_b+id.y*p.f_h+rows*p.f_s+(column+key)*p.f_t];'
    b.dispatch('cached_attend', [
        queries.value, cache.pool, cache.table, queries.value if mask is None else mask, queries.value if bias is None else bias, output.value,
        b.fault_flags(),
    ], words, [groups_x, queries.dims[1], queries.dims[0]], None, code)


def layers_of(b: GpuBuilder, cache: CacheLayout, keys: Value, values: Value) -> list[int]:
    """Where in a page the keys and the values of a layer begin, in pairs."""
    if keys.cache < 0 or values.cache < 0:
        raise b.unsupported('past keys in the cache of a session, but not the values')
    return [cache.offsets[keys.cache], cache.offsets[values.cache]]


def takes(b: GpuBuilder, values: list[Value | None], width: int) -> bool:
    """Whether the kernels can work with these."""
    for value in values:
        if value is not None and b.kind(value) != 'f32' and not (b.kind(value) == 'u32' and value.dtype == 'bool'):
            return False
    return width <= MOST_WIDTH


def takes_step(b: GpuBuilder, values: list[Value], width: int) -> bool:
    """Whether cached_step can work with these queries, keys and values of one token."""
    for value in values:
        if value.root().constant or b.kind(value) != 'f32':
            return False
    return width % 4 == 0 and width <= MOST_WIDTH


def lower_cached_attention(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    cache = b.cache
    q = at(inputs, 0)
    k = at(inputs, 1)
    v = at(inputs, 2)
    past_k = at(inputs, 3)
    past_v = at(inputs, 4)
    output = at(outputs, 0)
    if cache is None or q is None or k is None or v is None or past_k is None or past_v is None or output is None:
        return False
    appends = node.inputs[1] != node.inputs[3]
    bias = at(inputs, 8)
    mask = at(inputs, 5) if bias is None else at(inputs, 9)
    if not takes(b, [q, k if appends else None, v if appends else None, mask, bias], max(q.shape[3], v.shape[3])):
        return False
    layers = layers_of(b, cache, past_k, past_v)
    if appends and bias is None and q.shape[2] == 1 and v.shape[3] == q.shape[3] and takes_step(b, [q, k, v], q.shape[3]):
        values = [q, k, v]
        turns = [b.turns.get(q.number), b.turns.get(k.number)]
        turn = None
        if turns[0] is not None and turns[1] is not None and turns[0][1] == turns[1][1]:
            values = [turns[0][0], turns[1][0], v]
            turn = turns[0][1]
        strides = [value.shape[1] * value.shape[3] for value in values]
        if takes_step(b, values, q.shape[3]) and attend_step(b, cache, StepAttention(
                values, [0, 0, 0], strides, output, q.shape[1], k.shape[1], q.shape[3], layers, number_of(node, 'scale', 1.0), past_k.shape[2], turn, mask=mask)):
            return True
    if appends:
        append(b, cache, whole(k), whole(v), layers, Turning())
    seeing = Seeing(number_of(node, 'scale', 1.0), past_k.shape[2], 0 if appends else ENCODER_COLUMN, 0, 0.0, mask, bias)
    attend(b, cache, whole(q), k.shape[1], whole(output), layers, seeing)
    return True


def lower_append_cached(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    cache = b.cache
    k = at(inputs, 0)
    v = at(inputs, 1)
    past_k = at(inputs, 2)
    past_v = at(inputs, 3)
    output = at(outputs, 0)
    if cache is None or k is None or v is None or past_k is None or past_v is None or output is None or not takes(b, [k, v], 0):
        return False
    append(b, cache, whole(k), whole(v), layers_of(b, cache, past_k, past_v), Turning())
    return True


def lower_gqa(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    cache = b.cache
    source = at(inputs, 0)
    past_k = at(inputs, 3)
    past_v = at(inputs, 4)
    output = at(outputs, 0)
    if cache is None or source is None or past_k is None or past_v is None or output is None:
        return False
    sizes = gqa_sizes(context_of(b, node, inputs))
    k = source if sizes.packed else at(inputs, 1)
    v = source if sizes.packed else at(inputs, 2)
    rotary = int_of(node, 'do_rotary') != 0
    cos = at(inputs, 7) if rotary else None
    sin = at(inputs, 8) if rotary else None
    if k is None or v is None or not takes(b, [source, k, v], sizes.width):
        return False
    for table in [cos, sin, at(inputs, 14), at(inputs, 15)]:
        if table is not None and b.kind(table) not in ['f32', 'f16']:
            return False
    width = sizes.width
    line = (sizes.heads + 2 * sizes.groups if sizes.packed else sizes.heads) * width
    narrow = line if sizes.packed else sizes.groups * width
    batch = source.shape[0]
    rows = source.shape[1]
    queries = Heads(source, 0, [rows * line, width, line], [batch, sizes.heads, rows, width])
    starts = [sizes.heads * width, (sizes.heads + sizes.groups) * width] if sizes.packed else [0, 0]
    some: list[int] = [batch, sizes.groups, rows, width]
    keys = Heads(k, starts[0], [rows * narrow, width, narrow], some)
    values = Heads(v, starts[1], [rows * narrow, width, narrow], some)
    interleaved = int_of(node, 'rotary_interleaved')
    epsilon = number_of(node, 'qk_norm_epsilon', 1e-6)
    layers = layers_of(b, cache, past_k, past_v)
    scale = number_of(node, 'scale', 0.0) or 1.0 / width ** 0.5
    window = max(0, int_of(node, 'local_window_size', -1))
    softcap = number_of(node, 'softcap', 0.0)
    if rows == 1 and takes_step(b, [source, k, v], width):
        turn = None if cos is None or sin is None else Turn(cos, sin, cos.shape[1], interleaved, True)
        if attend_step(b, cache, StepAttention(
                [source, k, v], [0, starts[0], starts[1]], [line, narrow, narrow], output, sizes.heads, sizes.groups, width, layers, scale,
                past_k.shape[2], turn, [at(inputs, 14), at(inputs, 15)], epsilon, window, softcap)):
            return True
    append(b, cache, keys, values, layers, Turning(cos, sin, at(inputs, 15), interleaved, epsilon))
    turned_queries = turned(b, cache, queries, Turning(cos, sin, at(inputs, 14), interleaved, epsilon))
    wide = sizes.heads * width
    to = Heads(output, 0, [rows * wide, width, wide], [batch, sizes.heads, rows, width])
    seeing = Seeing(scale, past_k.shape[2], 0, window, softcap)
    attend(b, cache, turned_queries, sizes.groups, to, layers, seeing)
    return True


CACHED_LOWERINGS: dict[str, GpuLowering] = {
    'edgeflow:CachedAttention': lower_cached_attention,
    'edgeflow:AppendCached': lower_append_cached,
    'com.microsoft:GroupQueryAttention': lower_gqa,
}
