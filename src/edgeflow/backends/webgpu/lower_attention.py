"""Lowerings of attention: wgsl/attention.wgsl for many queries, wgsl/attention_row.wgsl for few."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeflow.backends.wasm.lower_attention import picked
from edgeflow.backends.wasm.strides import broadcast_strides, row_major
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering, declaration
from edgeflow.backends.webgpu.chains import Chain
from edgeflow.backends.webgpu.lower_elementwise import finish
from edgeflow.backends.webgpu.products import dispatch_product, matmul_product
from edgeflow.ir.attributes import int_of, ints_of, number_of
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at

MINUS_INFINITY = -8388608
# Fours of a result that a thread has for its rows, at most, and the rows and keys of a tile less each eighth.
MOST_FOURS = 16
ROW_UNITS = 256
# With fewer queries than this in all, each has a workgroup: on a GPU, on a CPU.
FEW = 4096
FEW_OF_SOFTWARE = 1


@dataclass
class Attention:
    """One attention. dims: batch, heads, queries S, keys T, width D, width of values E, heads a key head serves.

    Strides of [batch, heads, rows] in elements; along the width they are 1. starts: where q, k and v start in their values, in elements.
    mask: float32 added, or flags: a bool keeps a key, an int adds `fill` where it is 0 (`lengths`: the number of keys that are seen).
    past: int32 of the batch: keys in the cache less one, of which the last S are new; the causal offset then differs by row.
    """

    q: Value
    k: Value
    v: Value
    out: Value
    dims: list[int]
    q_strides: list[int]
    k_strides: list[int]
    v_strides: list[int]
    out_strides: list[int]
    scale: float
    starts: list[int] = field(default_factory=lambda: [0, 0, 0])
    mask: Value | None = None
    mask_strides: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    lengths: bool = False
    fill: float = 0.0
    softcap: float = 0.0
    causal: bool = False
    offset: int = 0
    window: int = 0
    guard: bool = False
    past: Value | None = None


def attention(b: GpuBuilder, a: Attention) -> bool:
    """Write the dispatch; False if a type or width has no kernel."""
    for value in [a.q, a.k, a.v, a.out]:
        if b.kind(value) not in ['f32', 'f16']:
            return False
    batch, heads, s, t, d, e, group = a.dims
    if batch * heads * s * e == 0:
        return True
    if d == 0:
        return False
    width = 4 if d % 4 == 0 and e % 4 == 0 else 1
    for number in a.q_strides + a.k_strides + a.v_strides + a.out_strides + a.starts:
        width = width if number % 4 == 0 else 1
    # As many sums as stay in registers, and keys as fit the workgroup's memory.
    columns = (e + 31) // 32
    rows = 8
    while rows > 1 and rows * columns > MOST_FOURS:
        rows = rows // 2
    high = max(d // 4, e // 4) + 1
    keys = 4
    while keys > 0 and 16 * (8 * keys * high + 8 * rows * (2 * keys + 1)) + 32 * rows > b.features.storage:
        keys = keys // 2
    few = s * heads * batch < (FEW_OF_SOFTWARE if b.features.software else FEW)
    row = few or width == 1 or keys == 0 or columns > MOST_FOURS
    if row and e // width > ROW_UNITS:
        return False
    code = _texts(b, a, width)
    words = [s, t, group, b.real(a.scale), b.real(a.softcap), b.real(a.fill), MINUS_INFINITY, a.offset, a.window]
    words.extend(a.q_strides + a.k_strides + a.v_strides + a.out_strides + a.mask_strides + a.starts)
    bindings = [a.q, a.k, a.v, a.out]
    for extra in [a.mask, a.past]:
        if extra is not None:
            bindings.append(extra)
    code['$D'] = str(d // width)
    code['$E'] = str(e // width)
    if row:
        size = 64
        while size < 256 and (size < e // width or (size < t and not b.features.software)):
            size = size * 2
        code['$DOT'] = 'dot(queries[i], vec4f(k[at + i]))' if width == 4 else 'queries[i] * f32(k[at + i])'
        b.dispatch('attention_row', bindings, words, [s, heads, batch], {'GROUP': size}, code)
        return True
    code.update({'$TM': f'{rows}', '$J': f'{keys}', '$C': f'{columns}', '$HIGH': f'{high - 1}'})
    b.dispatch('attention', bindings, words, [(s + 8 * rows - 1) // (8 * rows), heads, batch], None, code)
    return True


def _texts(b: GpuBuilder, a: Attention, width: int) -> dict[str, str]:
    """The marks that both kernels have."""
    def unit(kind: str) -> str:
        return kind if width == 1 else f'vec4<{kind}>'

    declared: list[str] = []
    for name, value in [('q', a.q), ('k', a.k), ('v', a.v), ('o', a.out), ('mask', a.mask), ('pasts', a.past)]:
        if value is not None:
            access = 'read_write' if name == 'o' else 'read'
            kind = b.kind(value)
            element = kind if name == 'mask' or name == 'pasts' else unit(kind)
            declared.append(declaration(len(declared) + 1, name, element, access))
    masked = ''
    if a.mask is not None:
        kind = b.kind(a.mask)
        if kind == 'f32' or kind == 'f16':
            masked = 'score += f32(mask[m]);'
        elif a.lengths:
            masked = 'if (i32(key) >= i32(mask[m])) { score += p.fill; }'
        elif a.mask.dtype == 'bool':
            masked = 'if (mask[m] == 0u) { score = p.none; }'
        else:
            masked = f'if (mask[m] == {kind}()) {{ score += p.fill; }}'
    return {
        '$BINDINGS': '\n'.join(declared), '$MASKED': masked, '$V': unit('f32'), '$S': unit(b.kind(a.out)), '$WIDTH': str(width),
        '$CAP': 'score = p.softcap * tanh_of(score / p.softcap);' if a.softcap != 0 else '',
        '$PAST': 'p.offset' if a.past is None else 'pasts[batch] + p.offset',
        '$END': 'min(p.t, u32(max(0, i32(query) + past + 1)))' if a.causal else 'p.t',
        '$SHARE': 'select(0.0, 1.0 / sum, sum > 0.0)' if a.guard else '1.0 / sum',
    }


def inner_first(b: GpuBuilder, value: Value, strides: list[int], shape: list[int]) -> tuple[Value, list[int]]:
    """The value with strides [batch, heads, rows] whose width lies in one piece: itself, or a copy."""
    if strides[3] == 1 or shape[3] == 1:
        return (value, strides[:3])
    copied = b.temporary('float32', shape)
    chain = Chain(shape)
    chain.load(value, 'F', 0, strides)
    finish(b, chain, copied)
    return (copied, row_major(shape)[:3])


def with_mask(call: Attention, mask: Value | None) -> Attention:
    """The call with a mask that is broadcast to the scores; None: as it was."""
    if mask is not None:
        call.mask = mask
        call.mask_strides = broadcast_strides(mask.shape, call.dims[:4])
    return call


def lower_sdpa(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    q = at(inputs, 0)
    k = at(inputs, 1)
    v = at(inputs, 2)
    mask = at(inputs, 3)
    output = at(outputs, 0)
    if q is None or k is None or v is None or output is None:
        return False
    if mask is not None and mask.dtype not in ['bool', 'float32']:
        return False
    same = [0, 1, 2, 3]
    shapes: list[list[int]] = []
    values: list[Value] = []
    strides: list[list[int]] = []
    for value, name in [(q, 'q_perm'), (k, 'k_perm'), (v, 'v_perm')]:
        perm = ints_of(node, name) or same
        shape = picked(value.shape, perm)
        given = picked(row_major(value.shape), perm)
        if shape[0] == 1:
            given[0] = 0
        if b.kind(value) not in ['f32', 'f16']:
            return False
        held, rows = inner_first(b, value, given, shape)
        shapes.append(shape)
        values.append(held)
        strides.append(rows)
    out_perm = ints_of(node, 'out_perm') or same
    given_strides = row_major(output.shape)
    out_strides = [0, 0, 0, 0]
    for i in range(4):
        out_strides[out_perm[i]] = given_strides[i]
    if out_strides[3] != 1 and shapes[2][3] != 1:
        return False
    batch = max(shapes[0][0], shapes[1][0], shapes[2][0])
    dims = [batch, shapes[0][1], shapes[0][2], shapes[1][2], shapes[0][3], shapes[2][3], shapes[0][1] // shapes[1][1]]
    call = Attention(values[0], values[1], values[2], output, dims, strides[0], strides[1], strides[2], out_strides[:3], number_of(node, 'scale', 1.0))
    return attention(b, with_mask(call, mask))


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
                     row_major(output.shape)[:3], number_of(node, 'scale', 1.0))
    call.guard = int_of(node, 'guard') != 0
    return attention(b, with_mask(call, mask))


def lower_contrib_attention(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """com.microsoft:Attention: one product gives Q, K and V side by side; attention reads them there by strides."""
    source = at(inputs, 0)
    weights = at(inputs, 1)
    output = at(outputs, 0)
    bias = at(inputs, 5)
    mask = at(inputs, 3)
    if source is None or weights is None or output is None or at(inputs, 4) is not None or at(outputs, 1) is not None:
        return False
    if int_of(node, 'do_rotary') != 0 or (bias is not None and (mask is not None or bias.dtype != 'float32')):
        return False
    batch = source.shape[0]
    length = source.shape[1]
    heads = int_of(node, 'num_heads', 1)
    width = weights.shape[1]
    sizes = ints_of(node, 'qkv_hidden_sizes') or [width // 3, width // 3, width // 3]
    projected = b.temporary('float32', [batch, length, width])
    product = matmul_product(source, weights, projected, False, False)
    product.bias = at(inputs, 2)
    if not dispatch_product(b, product):
        return False
    d = sizes[0] // heads
    dv = sizes[2] // heads
    rows = [length * width, d, width]
    call = Attention(projected, projected, projected, output, [batch, heads, length, length, d, dv, 1], rows, rows, [length * width, dv, width],
                     [length * sizes[2], dv, sizes[2]], number_of(node, 'scale', 0.0) or 1.0 / d ** 0.5, [0, sizes[0], sizes[0] + sizes[1]])
    call.causal = int_of(node, 'unidirectional') != 0
    if bias is not None:
        call.mask = bias
        call.mask_strides = broadcast_strides(bias.shape, call.dims[:4])
    elif mask is not None and not set_mask(b, call, mask, number_of(node, 'mask_filter_value', -10000.0)):
        return False
    return attention(b, call)


def set_mask(b: GpuBuilder, call: Attention, mask: Value, fill: float) -> bool:
    """The integer mask: [B, T], [B, S, T] or [B, 1, S, T] with `fill` added where it is 0; or [B] numbers of keys that are seen."""
    rank = len(mask.shape)
    if b.kind(mask) != 'i32' or rank < 1 or (rank == 1 and mask.shape[0] != call.dims[0]):
        return False
    call.mask = mask
    call.fill = fill
    strides = row_major(mask.shape)
    call.lengths = rank == 1
    if rank == 1:
        call.mask_strides = [1, 0, 0, 0]
    elif rank == 2:
        call.mask_strides = [strides[0], 0, 0, 1]
    elif rank == 3:
        call.mask_strides = [strides[0], 0, strides[1], 1]
    else:
        call.mask_strides = broadcast_strides(mask.shape, call.dims[:4])
    return True


ATTENTION_LOWERINGS: dict[str, GpuLowering] = {
    'edgeflow:Sdpa': lower_sdpa,
    'edgeflow:CachedAttention': lower_cached_attention,
    'com.microsoft:Attention': lower_contrib_attention,
}
