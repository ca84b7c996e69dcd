"""Lowerings of attention: wgsl/attention.wgsl for many queries, wgsl/attention_row.wgsl for few."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeflow.backends.wasm.lower_attention import picked
from edgeflow.backends.wasm.strides import broadcast_strides, row_major
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering, declaration
from edgeflow.backends.webgpu.chains import Chain
from edgeflow.backends.webgpu.lower_elementwise import finish
from edgeflow.ir.attributes import ints_of, number_of
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at

MINUS_INFINITY = -8388608
THREADS = 64
# Elements of a query that a thread holds in registers.
HELD = 64
STORAGE = 16384
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


def lines(text: str, count: int) -> str:
    """The text once for each number below `count`, which stands for #."""
    return '\n'.join([text.replace('#', str(i)) for i in range(count)])


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
    parts = 1
    while d // parts > HELD or e // parts > HELD:
        parts = parts * 2
    few = s * heads * batch < (FEW_OF_SOFTWARE if b.features.software else FEW)
    row = e // width <= ROW_UNITS and (few or (d // width) % parts != 0 or (e // width) % parts != 0 or parts > 8)
    if not row and ((d // width) % parts != 0 or (e // width) % parts != 0 or parts > 8):
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
    keys = 32
    while keys > 1 and keys * (d + e + THREADS) * 4 > STORAGE:
        keys = keys // 2
    code['$PARTS'] = str(parts)
    code['$KEYS'] = str(keys)
    held = d // width // parts
    made = e // width // parts
    dot = 'dot(q#, keys[at + #u])' if width == 4 else 'q# * keys[at + #u]'
    code['$QUERY'] = lines(f'let q# = {code["$V"]}(q[from_q + #u]) * p.scale;', held)
    code['$PRODUCT'] = ' + '.join([dot.replace('#', str(i)) for i in range(held)])
    code['$START'] = lines(f'var r# = {code["$V"]}();', made)
    code['$SHRINK'] = lines('r# *= shrink;', made)
    code['$ADD'] = lines('r# += weight * values[at + #u];', made)
    code['$RESULT'] = lines(f'o[to + #u] = {code["$S"]}(r# * share);', made)
    rows = THREADS // parts
    b.dispatch('attention', bindings, words, [(s + rows - 1) // rows, heads, batch], None, code)
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


ATTENTION_LOWERINGS: dict[str, GpuLowering] = {
    'edgeflow:Sdpa': lower_sdpa,
}
