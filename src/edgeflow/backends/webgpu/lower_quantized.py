"""GPU lowerings of quantised matrix products: 8 bit codes as integers, with activations quantised in each run; weights of 4 or 8 bits in blocks, whose
codes become floats while they are read.
"""

from __future__ import annotations

from dataclasses import replace

from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering, gpu_size
from edgeflow.backends.webgpu.chain_text import dispatch_chain
from edgeflow.backends.webgpu.chains import Chain
from edgeflow.backends.webgpu.integers import Bytes4, dispatch_integers, is_unsigned, pack_rows
from edgeflow.backends.webgpu.lower_reduce import reduce_axes
from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS
from edgeflow.backends.webgpu.products import Codes, Division, Product, declare, dispatch_product, filled, matmul_product, store_code
from edgeflow.host.gpu import add_shaders
from edgeflow.host.shaders_quantized import SHADERS
from edgeflow.ir.attributes import int_of, text_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at

# Rows into which a tensor is cut so that many threads look for its range.
MOST_ROWS = 256
# What DynamicQuantizeLinear makes of element i.
CODE = 'u32(clamp(round(quotient(f32(x[i]), scale[0])) + f32(zeros[0]), 0.0, 255.0))'
# So many rows of activations read quantised weights anew.
FEW_ROWS = 4
# Threads that share a column of a large matrix: so many that each has four turns, or, if that would be more than the most, half of the next number.
LEAST_LANES = 128
WORD_LANES = 256
MOST_LANES = 384
# How often each reads without a loop.
MOST_TURNS = 16
# Elements of activations that share a scale, where these are rounded.
BLOCK = 32
# As products.DIVISIONS, with the blocks of a tile for its k, all of 16 x 8 threads, for more rows than these; measured on an H100 (docs/decisions/gpu-products.md).
ROUNDED_LEAST = 8
ROUNDED_DIVISIONS: list[tuple[Division, int]] = [(Division(8, 1, 16, 8, 2), 256), (Division(4, 1, 16, 8, 4), 72), (Division(2, 1, 16, 8, 4), 0)]


def dynamic_range(b: GpuBuilder, source: Value, scale: Value, zero: Value) -> bool:
    """scale (f32) and zero (u32) of DynamicQuantizeLinear. Of one element each."""
    rows = MOST_ROWS
    while source.count() % rows != 0:
        rows = rows // 2
    seen = b.temporary('float32', [rows, source.count() // rows])
    b.alias(seen, source)
    ends: list[Value] = []
    for name in ['ReduceMin', 'ReduceMax']:
        of_rows = b.temporary('float32', [rows])
        end = b.temporary('float32', [1])
        if not reduce_axes(b, name, seen, of_rows, [1]) or not reduce_axes(b, name, of_rows, end, [0]):
            return False
        ends.append(end)
    for output in [scale, zero]:
        chain = Chain([1])
        low = chain.load(ends[0], 'F', 0, [1])
        high = chain.load(ends[1], 'F', 0, [1])
        low = chain.op('select(F(), %0, %0 < F())', 'F', [low])
        high = chain.op('select(F(), %0, %0 > F())', 'F', [high])
        # A range of 0 has the scale 1.
        step = chain.op('select(quotient(%1 - %0, F(255.0)), F(1.0), %0 == %1)', 'F', [low, high])
        if output is zero:
            chain.op('U(clamp(round(-quotient(%0, %1)), F(), F(255.0)))', 'U', [low, step])
        if not dispatch_chain(b, chain, output):
            return False
    return True


def lower_dynamic_quantize(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    source = at(inputs, 0)
    codes = at(outputs, 0)
    scale = at(outputs, 1)
    zero = at(outputs, 2)
    if source is None or codes is None or scale is None or zero is None or b.kind(source) != 'f32' or source.count() == 0:
        return False
    if not dynamic_range(b, source, scale, zero):
        return False
    chain = Chain([source.count()])
    numbers = [chain.load(source, 'F', 0, [1]), chain.load(scale, 'F', 0, [0]), chain.load(zero, 'U', 0, [0])]
    chain.op('U(clamp(round(quotient(%0, %1)) + F(%2), F(), F(255.0)))', 'U', numbers)
    return dispatch_chain(b, chain, codes)


def quantized_rows(b: GpuBuilder, inputs: list[Value | None], product: Product) -> Bytes4 | None:
    """A of a QMatMul as rows of codes, and product.scale_all; None if there is no kernel."""
    codes = at(inputs, 6)
    zero = at(inputs, 8)
    product.scale_all = at(inputs, 7)
    if codes is not None and zero is not None:
        return pack_rows(b, codes, product.m, product.k, product.k, 1, zero, '')
    scale = b.temporary('float32', [1])
    zero = b.temporary('uint8', [1])
    product.scale_all = scale
    if b.kind(product.a) != 'f32' or not dynamic_range(b, product.a, scale, zero):
        return None
    return pack_rows(b, product.a, product.m, product.k, product.k, 1, zero, CODE, scale)


def integer_weights(b: GpuBuilder, weight: Value, zero: Value | None, product: Product) -> tuple[Bytes4, bool]:
    """Matrices [K, N] of 8 bit codes for dispatch_integers, and its `across`: as they lie if they can be read so."""
    if b.kind(weight) == 'bytes' and product.n % 4 == 0 and len(product.b_dims) == 0:
        return Bytes4(weight, 0, zero, is_unsigned(weight)), False
    n = product.n
    packed = pack_rows(b, weight, n * element_count(product.b_dims), product.k, 1, n, None, '', None, n, product.k * n)
    return Bytes4(packed.value, packed.words, zero, packed.unsigned), True


def lower_qmatmul(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    source = at(inputs, 0)
    weight = at(inputs, 1)
    y = at(outputs, 0)
    if source is None or weight is None or y is None or source.count() == 0:
        return False
    product = matmul_product(source, weight, y, False, False)
    product.scale = at(inputs, 2)
    product.bias = at(inputs, 4)
    product.residual = at(inputs, 5)
    product.activation = text_of(node, 'activation', '')
    a = quantized_rows(b, inputs, product)
    if a is None:
        return False
    w, across = integer_weights(b, weight, at(inputs, 3), product)
    return dispatch_integers(b, product, a, w, across)


def lower_matmul_integer(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    source = at(inputs, 0)
    weight = at(inputs, 1)
    zero = at(inputs, 2)
    y = at(outputs, 0)
    if source is None or weight is None or y is None or source.count() * weight.count() == 0:
        return False
    product = matmul_product(source, weight, y, False, False)
    a = pack_rows(b, source, product.m * element_count(product.a_dims), product.k, product.k, 1, zero, '')
    w, across = integer_weights(b, weight, at(inputs, 3), product)
    return dispatch_integers(b, product, a, w, across)


def block_codes(b: GpuBuilder, node: Node, inputs: list[Value | None]) -> Codes | None:
    """B of MatMulNBits: [N, blocks, bytes of a block], scales [N, blocks], zeros the same or packed as the codes are; a row of theirs fills whole bytes."""
    weight = at(inputs, 1)
    scales = at(inputs, 2)
    zeros = at(inputs, 3)
    bits = int_of(node, 'bits', 4)
    block = int_of(node, 'block_size', 32)
    if weight is None or scales is None or b.kind(weight) != 'bytes' or bits not in [4, 8] or block % 16 != 0 or b.kind(scales) not in ['f32', 'f16']:
        return None
    blocks = (int_of(node, 'K') + block - 1) // block
    tables: list[tuple[str, Value]] = [('scales', scales)]
    zero = '8.0' if bits == 4 else '128.0'
    if zeros is not None:
        tables.append(('zeros', zeros))
        zero = zero_text(b, zeros, bits, blocks)
        if zero == '':
            return None
    functions = f'''fn scale_of(n: u32, block: u32) -> f32 {{ return f32(scales[n * {blocks}u + block]); }}
fn zero_of(n: u32, block: u32) -> f32 {{ return {zero}; }}'''
    if bits == 4:
        read = 'vec4f((vec4u(b[at * p.b_column + k / 8u]) >> (vec4u(0u, 4u, 8u, 12u) + vec4u(k % 8u * 4u))) & vec4u(15u))'
    else:
        read = 'plain(vec4u(b[at * p.b_column + k / 4u]) >> vec4u(0u, 8u, 16u, 24u))'
    load = f'return ({read} - zero_of(at, k / {block}u)) * scale_of(at, k / {block}u);'
    return Codes(True, load, 0, blocks * block * bits // 32, tables, functions)


def zero_text(b: GpuBuilder, zeros: Value, bits: int, blocks: int) -> str:
    """WGSL of the zero point of a block of column n; '' for a type that has no kernel."""
    if zeros.dtype != 'uint8':
        return f'f32(zeros[n * {blocks}u + block])' if b.kind(zeros) in ['f32', 'f16'] else ''
    if b.kind(zeros) != 'bytes':
        return ''
    row = (blocks * bits + 7) // 8
    place = f'(n * {row}u + block * {bits}u / 8u)'
    shift = f'{place} % 4u * 8u' + (' + block % 2u * 4u' if bits == 4 else '')
    return f'f32((zeros[{place} / 4u] >> ({shift})) & {15 if bits == 4 else 255}u)'


def lower_matmul_nbits(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    source = at(inputs, 0)
    weight = at(inputs, 1)
    y = at(outputs, 0)
    if y is not None and b.placed(node, y):
        return True
    codes = block_codes(b, node, inputs)
    if source is None or weight is None or y is None or codes is None:
        return False
    k = int_of(node, 'K')
    product = Product(source, weight, y, element_count(source.shape[:len(source.shape) - 1]), int_of(node, 'N'), k, k, 1, 1, k, [], [])
    product.codes = codes
    product.bias = at(inputs, 5)
    bits = int_of(node, 'bits', 4)
    block = int_of(node, 'block_size', 32)
    by_row = b.row_product
    if product.m == 1 and by_row is not None and by_row(b, node, inputs, y):
        return True
    if product.m <= FEW_ROWS and k == codes.b_column * 32 // bits and gpu_size(weight) <= b.features.binding:
        return dispatch_blocks(b, product, codes, bits, block)
    zeros = at(inputs, 3)
    if int_of(node, 'accuracy_level') == 4 and bits == 4 and block % BLOCK == 0 and (zeros is None or zeros.dtype == 'uint8'):
        if product.m > ROUNDED_LEAST and b.features.packed_dot and not b.features.software and dispatch_rounded(b, product, codes, block):
            return True
    return dispatch_product(b, product)


# What the codes of MatMulBnb4 stand for; half of FP4, whose other half is negative.
FP4: list[float] = [0.0, 0.0052083333, 0.66666667, 1.0, 0.33333333, 0.5, 0.16666667, 0.25]
NF4: list[float] = [
    -1.0, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.091050036, 0.0, 0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617,
    0.72295684, 1.0,
]
# What of a product of four codes a factor of the row stands for: see codes_code.
FACTORS = 'vec4f(256.0, 16.0, 256.0, 16.0)'


def lower_matmul_bnb4(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """MatMulBnb4: codes of [N, K] one after the other, the first of a byte in its high bits, in blocks that may go across rows."""
    source = at(inputs, 0)
    weight = at(inputs, 1)
    scales = at(inputs, 2)
    y = at(outputs, 0)
    k = int_of(node, 'K')
    block = int_of(node, 'block_size', 64)
    if source is None or weight is None or scales is None or y is None or b.kind(weight) != 'bytes' or k % 4 != 0 or block % 4 != 0:
        return False
    values = NF4 if int_of(node, 'quant_type', 1) == 1 else FP4 + [-value for value in FP4]
    product = Product(source, weight, y, element_count(source.shape[:len(source.shape) - 1]), int_of(node, 'N'), k, k, 1, 1, k, [], [])
    load = f'''let i = at * p.b_column + k;
  let c = (vec4u(b[i / 8u]) >> (vec4u(4u, 0u, 12u, 8u) + vec4u(i % 8u * 4u))) & vec4u(15u);
  return vec4f(value_of(c.x), value_of(c.y), value_of(c.z), value_of(c.w)) * f32(scales[i / {block}u]);'''
    table = ', '.join([f'{value}' for value in values])
    functions = f'''fn value_of(c: u32) -> f32 {{
  var values = array<f32, 16>({table});
  return values[c];
}}'''
    product.codes = Codes(True, load, 0, k, [('scales', scales)], functions)
    return gpu_size(weight) <= b.features.binding and dispatch_product(b, product)


def code_text(four: str) -> str:
    """WGSL of codes of 4 bits, the first four of the word if `four`, a text, is even, else the last four, in the digits of 1.0, by one shift for two of
    them: 1 + code / 256 or 1 + code / 16. So no code is converted."""
    return (f'bitcast<vec4f>((select({four} << vec4u(15u, 15u, 7u, 7u), {four} >> vec4u(1u, 1u, 9u, 9u), vec4<bool>(four % 2u == 1u)) & '
            'vec4u(0x78000u, 0x780000u, 0x78000u, 0x780000u)) | vec4u(0x3f800000u))')


def codes_code(bits: int) -> dict[str, str]:
    """Marks of kernels that read 8 bytes of codes at a time: the codes of four, their products with the row, and the row's sum."""
    fours = 16 // bits
    rows = [f'x#u_{i}' for i in range(fours)]
    total = 'dot(' + ' + '.join(rows) + ', vec4f(1.0))'
    if bits == 8:
        return {'$CODES': 'plain(vec4u(select(w.x, w.y, four == 1u)) >> vec4u(0u, 8u, 16u, 24u))', '$TOTAL': total,
                '$DOTS': '(' + ' + '.join([f'dot(codes(w#u_#j, {i}u), {rows[i]})' for i in range(fours)]) + ')'}
    products = ' + '.join([f'dot(codes(w#u_#j, {i}u), {rows[i]} * {FACTORS})' for i in range(fours)])
    return {'$CODES': code_text('vec4u(select(w.x, w.y, four > 1u))') + ' - vec4f(1.0)', '$TOTAL': total, '$DOTS': f'({products})'}


# A sum of all lanes in two steps. A line with SUM stands once for each of what is added up.
END_LANES = '''  let at = local.y * $LANESu;
  PART[at + local.x] = SUM;
  workgroupBarrier();
  if (local.x < $STEPu) {
    SUM = TYPE();
$for z $LANES/STEP {
    SUM += PART[at + local.x + #zu * $STEPu];
$}
    PART[at + local.x] = SUM;
  }
  workgroupBarrier();
  if (local.x == 0u) {
    SUM = TYPE();
$for z $STEP {
    SUM += PART[at + #zu];
$}
    LAST
  }'''


def lanes_code(bits: int, block: int, lanes: int, high: int, turns: int, sums: list[list[str]], last: str) -> dict[str, str]:
    """Marks of kernels in which `lanes` threads share four columns, `high` times in a workgroup, and each reads `turns` times 8 bytes of codes in a turn.

    sums: the variables that are added up over lanes, [name, type, name of their array in workgroup memory]. last: what the first lane does with them.
    """
    step = lanes if lanes <= 8 else 16 if lanes >= 128 else 8
    code = codes_code(bits)
    code.update({'$LANES/STEP': f'{lanes // step}', '$LANES': f'{lanes}', '$STEP': f'{step}', '$WY': f'{high}', '$U': f'{turns}', '$NX': f'{16 // bits}',
                 '$BLOCK': f'{block}', '$SHARED': '', '$END': '  ' + last})
    if lanes > 1:
        code['$SHARED'] = '\n'.join([f'var<workgroup> {part}: array<{type}, {lanes * high}>;' for name, type, part in sums])
        lines: list[str] = []
        text = END_LANES.replace('LAST', last)
        for line in text.split('\n'):
            if 'SUM' in line:
                lines.extend([line.replace('SUM', name).replace('TYPE', type).replace('PART', part) for name, type, part in sums])
            else:
                lines.append(line)
        code['$END'] = filled('\n'.join(lines), code)
    return code


def dispatch_blocks(b: GpuBuilder, product: Product, codes: Codes, bits: int, block: int) -> bool:
    """The product with wgsl/matvec_blocks.wgsl; False if there is no kernel."""
    if b.kind(product.a) not in ['f32', 'f16'] or b.kind(product.y) != 'f32':
        return False
    if bits == 4 and b.features.subgroups > 0 and not b.features.software and codes.b_column >= WORD_LANES and b.features.invocations >= WORD_LANES:
        return dispatch_words(b, product, codes, block)
    units = codes.b_column // 2
    lanes = 1
    while not b.features.software and lanes < 128 and lanes * 2 <= units:
        lanes = lanes * 2
    sets = (product.n + 3) // 4
    high = 8 if lanes == 1 else 4 if lanes <= 32 and sets >= 4096 else 1
    turns = 1
    for count in [2, 3, 4]:
        if not b.features.software and units % (lanes * count) == 0:
            turns = count
    code = lanes_code(bits, block, lanes, high, turns, [['c', 'vec4f', 'part']], 'store(0u, group.y, n, c);')
    code['$B'] = 'vec2u'
    return dispatch_codes(b, 'matvec_blocks', product, codes, code, units, [(sets + high - 1) // high, product.m, 1])


def dispatch_codes(b: GpuBuilder, kernel: str, product: Product, codes: Codes, code: dict[str, str], units: int, groups: list[int]) -> bool:
    """The dispatch of a kernel for few rows, where a column has so many units of codes; False if there are too many workgroups."""
    bindings = [product.a, product.b, product.y]
    declared: list[str] = []
    for name, value in codes.tables:
        declare(b, name, value, False, bindings, declared)
    declared.append(codes.functions)
    code.update({'$A': f'vec4<{b.kind(product.a)}>', '$LOAD_A': 'return vec4f(a[at + k / 4u]);', '$LOAD_B': 'return vec4f();', '$COLUMN': 'n', '$PARAMS': ''})
    store_code(b, product, bindings, declared, code)
    if max(groups[0], groups[1]) > b.features.groups:
        return False
    words = [product.m, product.n, product.k, b.real(1.0), product.k // 4, 1, 0, units, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    b.dispatch(kernel, bindings, words, groups, None, code)
    return True


def dispatch_rounded(b: GpuBuilder, product: Product, codes: Codes, block: int) -> bool:
    """The product with activations rounded to 8 bits, as accuracy_level 4 allows (wgsl/matmul_blocks.wgsl); False if there is no kernel."""
    m = product.m
    blocks = codes.b_column // 4
    if b.kind(product.a) != 'f32' or product.k % 4 != 0 or gpu_size(product.b) > b.features.binding:
        return False
    for division, least in ROUNDED_DIVISIONS:
        groups = division.groups(m, product.n, 1)
        if groups[0] * groups[1] >= least:
            break
    packed = b.temporary('uint32', [m, blocks, 8])
    scales = b.temporary('float32', [m, blocks])
    b.dispatch('pack_blocks', [product.a, packed, scales], [m * blocks, product.k, blocks], b.spread(8 * m * blocks, 64))
    depth = division.depth
    code: dict[str, str] = {'$BLOCK': f'{block}', '$TM': f'{division.rows}', '$D': f'{depth}', '$NA': f'{depth * division.rows // 8}', '$B': 'vec2u'}
    tables = codes.tables + [('scales_of_a', scales)]
    return dispatch_codes(b, 'matmul_blocks', replace(product, a=packed, k=8 * blocks), replace(codes, tables=tables), code, 2 * blocks, groups)


# Two columns after the other: more numbers at once leave fewer threads room. What the ones add up to, and the zero point with them, is subtracted once
# for all columns, for a digit less of precision. Numbers instead of parameters measured better.
TURN = f'''    let i = at + OFFSETu;
    let x0 = load_a(row, i * 8u) * {FACTORS};
    let x1 = load_a(row, i * 8u + 4u) * {FACTORS};
    let ones = dot(x0 + x1, ONES);
    let total = dot(x0 + x1, 1.0 / {FACTORS});
$for h 2 {{
$for j 2 {{
    let w#h#j = b[(n + #hu * 2u + #ju) * UNITSu + i];
    let s#h#j = scale_of(n + #hu * 2u + #ju, i / BLOCKu);
$}}
$for j 2 {{
    c[#h * 2 + #j] += s#h#j * (dot(codes(w#h#j, 0u), x0) + dot(codes(w#h#j, 1u), x1) - onesZERO);
$}}
$}}'''


def word_lanes(b: GpuBuilder, units: int) -> int:
    """How many threads read a column of so many words."""
    lanes = max(LEAST_LANES, (units + 127) // 128 * 32)
    return lanes if lanes <= min(MOST_LANES, b.features.invocations) else WORD_LANES


def dispatch_words(b: GpuBuilder, product: Product, codes: Codes, block: int) -> bool:
    """The product with wgsl/matvec_words.wgsl; False if there is no kernel."""
    units = codes.b_column
    lanes = word_lanes(b, units)
    turns = (units + lanes - 1) // lanes
    loop = turns > MOST_TURNS
    if loop:
        turns = 4
    known = len(codes.tables) == 1
    text = filled(TURN, {
        'ONES': f'vec4f(1.0) + 8.0 / {FACTORS}' if known else 'vec4f(1.0)', 'ZERO': '' if known else f' - zero_of(n + #hu * 2u + #ju, i / BLOCKu) * total',
        'UNITS': f'{units}'})
    text = filled(text, {'BLOCK': f'{block // 8}'})
    lines: list[str] = []
    for turn in range(turns):
        whole = not loop and (turn + 1) * lanes <= units
        lines.append(('    {' if whole else f'    if (at + {turn * lanes}u < {units}u) {{') + '\n' + text.replace('OFFSET', f'{turn * lanes}') + '\n    }')
    code: dict[str, str] = {'$CODES': code_text('vec4u(w)'), '$LANES': f'{lanes}', '$BLOCK': f'{block}', '$B': 'u32', '$TURNS': '\n'.join(lines), '$A_ROW': f'{2 * units}u',
                            '$LOOP': f'  for (var at = t; at < {units}u; at += {turns * lanes}u) {{' if loop else '  {\n  let at = t;'}
    return dispatch_codes(b, 'matvec_words', product, codes, code, units, [(product.n + 3) // 4, product.m, 1])


QUANTIZED_LOWERINGS: dict[str, GpuLowering] = {
    'DynamicQuantizeLinear': lower_dynamic_quantize,
    'MatMulInteger': lower_matmul_integer,
    'edgeflow:QMatMul': lower_qmatmul,
    'com.microsoft:MatMulBnb4': lower_matmul_bnb4,
    'com.microsoft:MatMulNBits': lower_matmul_nbits,
}


def install_quantized() -> None:
    """Have these among the lowerings."""
    add_shaders(SHADERS)
    GPU_LOWERINGS.update(QUANTIZED_LOWERINGS)
