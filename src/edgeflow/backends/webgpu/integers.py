"""Products of 8 bit codes as integers, four at a time (dot4I8Packed where the language has it): wgsl/pack_bytes.wgsl makes words of what does not
lie in words, and wgsl/matmul_slices.wgsl multiplies.

With codes less 128 where they are unsigned, the sum of (a - za) * (w - zw) over four is dot(a, w) - za * sum(w) - zw * sum(a) + 4 * za * zw.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.backends.wasm.batches import batches
from edgeflow.backends.webgpu.builder import GpuBuilder
from edgeflow.backends.webgpu.products import (
    MOST_PARTS, Division, Product, choose_division, declare, division_code, filled, part_words, slices_of, store_code,
)
from edgeflow.plan.values import Value

SIGNS = 0x80808080 - (1 << 32)
DOT4 = '''fn dot4(a: u32, b: u32) -> i32 { return $DOT; }
fn products(a: u32, b: vec4u, za: i32, zw: vec4i) -> vec4i {
  let ones = 0x01010101u;
  let sums = vec4i(dot4(b.x, ones), dot4(b.y, ones), dot4(b.z, ones), dot4(b.w, ones));
  return vec4i(dot4(a, b.x), dot4(a, b.y), dot4(a, b.z), dot4(a, b.w)) - za * sums - (dot4(a, ones) - 4 * za) * zw;
}
// Four rows of four columns as four columns of four rows.
fn turned(b: vec4u) -> vec4u {
  let even = vec4u(0x00ff00ffu);
  let x = (b & even).xz | ((b & even).yw << vec2u(8u));
  let y = ((b >> vec4u(8u)) & even).xz | (b & ~even).yw;
  return vec4u((x.x & 0xffffu) | (x.y << 16u), (y.x & 0xffffu) | (y.y << 16u), (x.x >> 16u) | (x.y & 0xffff0000u), (y.x >> 16u) | (y.y & 0xffff0000u));
}'''
DOT_PACKED = 'dot4I8Packed(a, b)'
# Each product is below 2^14, so that float32 holds their sum.
DOT_FLOATS = 'i32(dot(signed(vec4u(a) >> vec4u(0u, 8u, 16u, 24u)), signed(vec4u(b) >> vec4u(0u, 8u, 16u, 24u))))'


@dataclass(frozen=True)
class Bytes4:
    """A matrix of 8 bit codes in words of four along k, `words` a row; signed, or less 128. zero: their zero point, or one a row of the words (over
    again where there are fewer), None: 0 of the codes as they were; if it is one of unsigned codes, `unsigned`."""

    value: Value
    words: int
    zero: Value | None
    unsigned: bool


def is_unsigned(value: Value) -> bool:
    """Whether codes of this type have no sign."""
    return value.dtype == 'uint8'


def element_text(b: GpuBuilder, value: Value, name: str, at: str) -> str:
    """WGSL of one code, of which the lowest 8 bits count."""
    if b.kind(value) == 'bytes':
        return f'({name}[({at}) / 4u] >> (8u * (({at}) % 4u)))'
    return f'u32({name}[{at}])'


def place_of_zero(zero: Value, row: str) -> str:
    """WGSL of where the zero point of a row is."""
    return '0u' if zero.count() == 1 else f'({row}) % {zero.count()}u'


def pack_rows(
    b: GpuBuilder, x: Value, rows: int, k: int, row: int, step: int, zero: Value | None, code: str, scale: Value | None = None, inner: int = 0, outer: int = 0,
) -> Bytes4:
    """Dispatch the packing of `rows` rows of k codes; element (i, j) is at i * row + j * step of x, or, of matrices of `inner` rows each, `outer` apart.

    code: WGSL of the code of element i; '': x holds the codes. zero: what a row is filled up with.
    """
    unsigned = code != '' or is_unsigned(x)
    words = (k + 3) // 4
    packed = b.temporary('uint32', [rows, words])
    bindings = [x, packed]
    declared: list[str] = []
    if zero is not None:
        declare(b, 'zeros', zero, False, bindings, declared)
    if scale is not None:
        declare(b, 'scale', scale, False, bindings, declared)
    b.dispatch('pack_bytes', bindings, [rows * words, k, words, row, step, SIGNS if unsigned else 0, inner or rows, outer], b.spread(rows * words, 64), None, {
        '$X': 'u32' if b.kind(x) == 'bytes' else b.kind(x), '$BINDINGS': '\n'.join(declared),
        '$ZERO': '0u' if zero is None else element_text(b, zero, 'zeros', place_of_zero(zero, 'row')),
        '$CODE': element_text(b, x, 'x', 'i') if code == '' else code})
    return Bytes4(packed, words, zero, unsigned)


def zero_of(b: GpuBuilder, codes: Bytes4, name: str, at: str) -> str:
    """WGSL (i32) of a zero point as it is beside codes with a sign."""
    less = 128 if codes.unsigned else 0
    if codes.zero is None:
        return f'{-less}'
    text = element_text(b, codes.zero, name, place_of_zero(codes.zero, at))
    return f'(i32({text} & 255u) - {less})' if codes.unsigned else f'(bitcast<i32>({text} << 24u) >> 24u)'


def dispatch_integers(b: GpuBuilder, product: Product, a: Bytes4, w: Bytes4, across: bool) -> bool:
    """y of `product` from integers: int32, or float32 with product.scale and what is fused. across: w has rows of k, one for each column;
    else it lies as one matrix [K, N], with N a multiple of four. False if there is no kernel."""
    m = product.m
    n = product.n
    parts = batches(product.a_dims, product.b_dims, m * a.words, n * w.words, m * n)
    batch = parts[0].inner * parts[0].outer
    division = choose_division(b.features, m, n, 4 * a.words, batch, False, True)
    if division.depth > 0:
        division = Division(4, 1, 8, 8, 0, slices_of(product.k, 4))
    groups = division.groups(m, n, batch)
    if len(parts) > MOST_PARTS or max(groups[1], batch) > b.features.groups:
        return False
    code = division_code(division, 4 * a.words, False)
    declared: list[str] = []
    bindings = [a.value, w.value, product.y]
    for name, zero in [('zero_a', a.zero), ('zero_w', w.zero)]:
        if zero is not None:
            declare(b, name, zero, False, bindings, declared)
    matrix = ' + start.y / p.b_column' if across else ''
    zeros = ', '.join([zero_of(b, w, 'zero_w', f'first#j + {i}u{matrix}') for i in range(4)])
    head = f'''$for j $TN {{
let first#j = n + #ju * $WXu * 4u;
let zw#j = vec4i({zeros});
$}}
$for i $TM {{
let za#i = {zero_of(b, a, "zero_a", "start.x / p.a_row + m + #iu")};
$}}'''
    code['$HEAD'] = filled(head, code)
    of_row = 'vec4u(b#u_0_#j, b#u_1_#j, b#u_2_#j, b#u_3_#j)'
    code['$SUM'] = f'c#i_#j += products(a#u_#i, {of_row if across else f"turned({of_row})"}, za#i, zw#j);'
    declared.append(DOT4.replace('$DOT', DOT_PACKED if b.features.packed_dot else DOT_FLOATS))
    code['$PARAMS'] = ''
    code['$A'] = 'u32'
    code['$B'] = 'u32'
    code['$FMA'] = 'fma'
    code['$LOAD_A'] = 'return a[at + k / 4u];'
    code['$LOAD_B'] = 'return b[at + k / 4u];' if across else 'return b[at + k * p.b_row]' + (' ^ 0x80808080u;' if w.unsigned else ';')
    code['$COLUMN'] = 'n * p.b_column' if across else 'n / 4u'
    code['$LK'] = '0' if across else '1'
    code['$LN'] = '1' if across else '0'
    store_code(b, product, bindings, declared, code)
    code['$SCALED'] = 'vec4f(sum)'
    if b.kind(product.y) == 'i32':
        code['$SCALED'] = 'sum'
        code['$Y'] = 'vec4i' if n % 4 == 0 else 'i32'
    code['$ACC'] = 'vec4i'
    code['$WA'] = 'u32'
    code['$WB'] = 'u32'
    if len(bindings) > b.features.buffers:
        return False
    for part in parts:
        words = [m, n, 4 * a.words, b.real(1.0), a.words, 1, n // 4, w.words, 0, 0, 0]
        b.dispatch('matmul_slices', bindings, words + part_words(part, 1, 1, 4 if n % 4 == 0 else 1), groups, None, code)
    return True
