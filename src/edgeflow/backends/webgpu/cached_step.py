"""Attention of one token a session over pages, in one dispatch: wgsl/cached_step.wgsl, with what is done to its queries and keys before."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.backends.wasm.pages import PAGE
from edgeflow.backends.webgpu.builder import GpuBuilder, Turn, declaration, gpu_offset
from edgeflow.plan.builder import CacheLayout
from edgeflow.plan.values import Value

# Bytes of an element.
FLOAT = 4


@dataclass(frozen=True)
class StepAttention:
    """Queries, keys and values of one token of each row of the batch: heads of `width` side by side from `starts` on, `strides` apart by rows.

    gamma: norms of queries and keys. past: the places of past tokens that the mask's columns begin with.
    """

    values: list[Value]
    starts: list[int]
    strides: list[int]
    output: Value
    heads: int
    groups: int
    width: int
    layers: list[int]
    scale: float
    past: int
    turn: Turn | None = None
    gamma: list[Value | None] | None = None
    epsilon: float = 0.0
    window: int = 0
    softcap: float = 0.0
    mask: Value | None = None


def pair_type(b: GpuBuilder, cache: CacheLayout) -> str:
    """WGSL of two elements side by side in pages."""
    return 'u32' if b.kind(cache.pool) == 'f16' else 'vec2f'


def pairs_code(b: GpuBuilder, cache: CacheLayout) -> dict[str, str]:
    """Marks of wgsl/snippets/pairs.wgsl."""
    kind = pair_type(b, cache)
    if kind == 'vec2f':
        return {'$PAIR': kind, '$GOT': 'w', '$KEPT': 'v'}
    return {'$PAIR': kind, '$GOT': 'unpack2x16float(w)', '$KEPT': 'pack2x16float(clamp(v, vec2f(-65504.0), vec2f(65504.0)))'}


def pages_code(b: GpuBuilder, cache: CacheLayout, width: int, value_width: int, parts: int, queries: int = 1) -> dict[str, str]:
    """Marks of wgsl/snippets/pages.wgsl for heads of these widths; parts: on a GPU that is none in name only. queries: 1 or 4."""
    pairs = (width + 1) // 2
    row = (value_width + 1) // 2
    step = 8 if pairs % 8 == 0 else 2 if pairs % 2 == 0 else 1
    split = 8 if row <= 8 else 4 if row <= 16 else 2 if row <= 32 else 1
    code = pairs_code(b, cache)
    code.update({'$PAIRS': f'{pairs}', '$ROW': f'{row}', '$STEP': f'{step}', '$SPLIT': f'{split}', '$COLUMNS': f'{(row + PAGE - 1) // PAGE}',
                 '$Q': 'f32' if queries == 1 else 'vec4f', '$P': 'vec2f' if queries == 1 else 'mat2x4f', '$PARTS': '1' if b.features.software else f'{parts}'})
    return code


def attend_step(b: GpuBuilder, cache: CacheLayout, a: StepAttention) -> bool:
    """Write the dispatch; False if it would bind too much."""
    bindings: list[Value] = []
    declared: list[str] = []

    def bind(name: str, value: Value, element: str, access: str = 'read') -> None:
        bindings.append(value)
        declared.append(declaration(len(bindings), name, element, access))

    # What lies in the same memory is bound once.
    names: list[str] = []
    places: list[int] = []
    for i in range(3):
        root = a.values[i].root()
        if root not in bindings:
            bind(f'x{len(bindings)}', root, 'f32')
        names.append(f'x{bindings.index(root)}')
        places.append(a.starts[i] + gpu_offset(a.values[i]) // FLOAT)
        places.append(a.strides[i])
    turn = a.turn
    checks: list[str] = []
    if turn is not None:
        bind('cosines', turn.cos, b.kind(turn.cos))
        bind('sines', turn.sin, b.kind(turn.sin))
    gammas = a.gamma
    heads: list[str] = []
    norms: list[str] = []
    for i in range(2):
        which = 'qk'[i]
        gamma = None if gammas is None else gammas[i]
        one = f'{names[i]}[start + d]'
        factor = '1.0'
        if gamma is not None:
            bind(f'gamma_{which}', gamma, b.kind(gamma))
            one = f'{one} * norm * f32(gamma_{which}[d])'
            factor = f'norm_of_{which}({which}_from)'
            heads.append(NORM.replace('$H', which).replace('$X', names[i]))
        heads.append(f'fn one_{which}(start: u32, d: u32, norm: f32) -> f32 {{ return {one}; }}')
        heads.append((PLAIN if turn is None else TURNED.replace('$AT', TABLE if turn.table else ROWS)).replace('$H', which))
        norms.append(f'let norm_{which} = {factor};')
    mask = a.mask if a.mask is not None and a.mask.number not in b.checked else None
    if turn is not None and turn.table:
        checks.append('if (cached >= p.positions) { faults[p.fault] = 1u; return; }')
    strides = [0, 0]
    if mask is not None:
        shown = '1u' if mask.dtype == 'bool' else '0.0'
        bind('mask', mask, b.kind(mask))
        checks.append(CHECK.replace('$SHOWN', shown))
        total = mask.shape[-1]
        strides = [0 if mask.shape[0] == 1 else mask.count() // mask.shape[0], 0 if total == 1 else 1]
    bind('table', cache.table, 'i32')
    bind('pool', cache.pool, pair_type(b, cache), 'read_write')
    bind('y', a.output, 'f32', 'read_write')
    fault = 0
    if len(checks) > 0:
        fault = b.fault()
        bind('faults', b.fault_flags(), 'u32', 'read_write')
    if len(bindings) > b.features.buffers:
        return False
    words: list[int] = [a.heads // a.groups]
    words.extend(places)
    words.append(a.heads * a.width)
    words.extend(a.layers)
    words.extend([a.window, b.real(a.scale), b.real(a.softcap), a.past, strides[0], strides[1], fault, b.real(a.epsilon)])
    words.extend([0, 0, 0, 0] if turn is None else [turn.half, turn.interleaved, turn.cos.shape[0], turn.cos.shape[-1] if turn.cos.shape[0] > 1 else 0])
    code = pages_code(b, cache, a.width, a.width, 8 if b.features.invocations >= 512 else 4)
    code.update({'$BINDINGS': '\n'.join(declared), '$HEADS': '\n'.join(heads), '$NORMS': '\n'.join(norms), '$CHECK': '\n'.join(checks), '$V': names[2]})
    b.dispatch('cached_step', bindings, words, [a.heads, a.output.count() // (a.heads * a.width), 1], None, code)
    if mask is not None:
        b.checked.add(mask.number)
    return True


NORM = '''fn norm_of_$H(start: u32) -> f32 {
  var sum = 0.0;
  for (var d = 0u; d < WIDTH; d++) { sum += $X[start + d] * $X[start + d]; }
  return inverseSqrt(sum / f32(WIDTH) + p.epsilon);
}'''
PLAIN = 'fn turned_$H(start: u32, d: u32, batch: u32, position: u32, norm: f32) -> f32 { return one_$H(start, d, norm); }'
TURNED = '''fn turned_$H(start: u32, d: u32, batch: u32, position: u32, norm: f32) -> f32 {
  let mine = one_$H(start, d, norm);
  if (d >= 2u * p.half) { return mine; }
  let low = select(d < p.half, d % 2u == 0u, p.interleaved == 1u);
  let step = select(p.half, 1u, p.interleaved == 1u);
  let other = one_$H(start, select(d - step, d + step, low), norm);
  let i = $AT;
  return mine * f32(cosines[i]) + select(other, -other, low) * f32(sines[i]);
}'''
# Where the cosine of an element is: in a table of positions, of which each has half of a width; or a row for each of the batch.
TABLE = 'position * p.half + select(d % p.half, d / 2u, p.interleaved == 1u)'
ROWS = 'batch * p.turn_b + d'
CHECK = '''if (id.x == 0u) {
    for (var i = local; i <= cached; i += THREADS) {
      if (mask[id.y * p.m_b + (p.past - cached + i) * p.m_t] != $SHOWN) { faults[p.fault] = 6u; }
    }
  }'''
