"""GPU lowerings of quantised matrix products: weights of 4 or 8 bits in blocks, 8 bit weights with activations quantised in each run.

Codes become floats while they are read. The activations of a QMatMul are rounded as its quantiser says and stay floats, so sums are those
of its integers but for the rounding of float32.
"""

from __future__ import annotations

from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering
from edgeflow.backends.webgpu.chain_text import dispatch_chain
from edgeflow.backends.webgpu.chains import Chain
from edgeflow.backends.webgpu.lower_reduce import reduce_axes
from edgeflow.backends.webgpu.products import Codes, Product, declare, dispatch_product, filled, four, matmul_product, store_code
from edgeflow.ir.attributes import int_of, text_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at

# Rows into which a tensor is cut so that many threads look for its range.
MOST_ROWS = 256
# So many rows of activations read quantised weights anew.
FEW_ROWS = 4


def dynamic_range(b: GpuBuilder, source: Value, scale: Value, zero: Value) -> bool:
    """scale (f32) and zero (u32, or f32) of DynamicQuantizeLinear. Of one element each."""
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
            step = chain.op('clamp(round(-quotient(%0, %1)), F(), F(255.0))', 'F', [low, step])
            if b.kind(zero) == 'u32':
                step = chain.op('U(%0)', 'U', [step])
        if not dispatch_chain(b, chain, output):
            return False
    return True


def quantized(b: GpuBuilder, source: Value, scale: Value, zero: Value, output: Value) -> bool:
    """output = the codes of `source` (u32), or what they stand for (f32)."""
    chain = Chain([source.count()])
    x = chain.load(source, 'F', 0, [1])
    step = chain.load(scale, 'F', 0, [0])
    shift = chain.load(zero, 'F' if b.kind(zero) == 'f32' else 'U', 0, [0])
    if b.kind(zero) != 'f32':
        shift = chain.op('F(%0)', 'F', [shift])
    code = chain.op('clamp(round(quotient(%0, %1)) + %2, F(), F(255.0))', 'F', [x, step, shift])
    if b.kind(output) == 'u32':
        chain.op('U(%0)', 'U', [code])
    else:
        chain.op('(%0 - %2) * %1', 'F', [code, step, shift])
    return dispatch_chain(b, chain, output)


def lower_dynamic_quantize(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    source = at(inputs, 0)
    codes = at(outputs, 0)
    scale = at(outputs, 1)
    zero = at(outputs, 2)
    if source is None or codes is None or scale is None or zero is None or b.kind(source) != 'f32' or source.count() == 0:
        return False
    return dynamic_range(b, source, scale, zero) and quantized(b, source, scale, zero, codes)


def restored(b: GpuBuilder, inputs: list[Value | None]) -> Value | None:
    """The activations of a QMatMul as floats that are multiples of their scale; None if there is no kernel."""
    source = inputs[0]
    codes = at(inputs, 6)
    scale = at(inputs, 7)
    zero = at(inputs, 8)
    if source is None or b.kind(source) != 'f32':
        return None
    result = b.temporary('float32', source.shape)
    if codes is None or scale is None or zero is None:
        scale = b.temporary('float32', [1])
        zero = b.temporary('float32', [1])
        done = dynamic_range(b, source, scale, zero) and quantized(b, source, scale, zero, result)
        return result if done else None
    if b.kind(codes) != 'u32' or b.kind(zero) != 'u32':
        return None
    chain = Chain([codes.count()])
    numbers = [chain.load(codes, 'U', 0, [1]), chain.load(zero, 'U', 0, [0]), chain.load(scale, 'F', 0, [0])]
    chain.op('(F(%0) - F(%1)) * %2', 'F', numbers)
    return result if dispatch_chain(b, chain, result) else None


def integers(b: GpuBuilder, value: Value, name: str, start: str, step: int) -> str:
    """WGSL of four elements (as a vec4f) of an array of small integers from `start` on, `step` (0 or 1) apart."""
    if b.kind(value) != 'bytes':
        return 'vec4f(' + four(name, start, f'{step}u') + ')'
    places = f'({start} + vec4u(0u, {step}u, {2 * step}u, {3 * step}u))'
    words = ', '.join([f'{name}[i.{lane} / 4u]' for lane in 'xyzw'])
    return f'{"signed" if value.dtype == "int8" else "plain"}(vec4u({words.replace("i.", places + ".")}) >> ({places} % vec4u(4u) * vec4u(8u)))'


def lower_qmatmul(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    weight = at(inputs, 1)
    scale = at(inputs, 2)
    zero = at(inputs, 3)
    y = at(outputs, 0)
    source = at(inputs, 0)
    if source is None or weight is None or scale is None or y is None or source.count() == 0:
        return False
    a = restored(b, inputs)
    if a is None:
        return False
    n = weight.shape[1]
    tables: list[tuple[str, Value]] = []
    if b.kind(weight) == 'bytes' and n % 4 == 0:
        read = f'{"signed" if weight.dtype == "int8" else "plain"}(vec4u(b[(k * p.b_row + at) / 4u]) >> vec4u(0u, 8u, 16u, 24u))'
    else:
        read = integers(b, weight, 'b', '(k * p.b_row + at)', 1)
    if zero is not None:
        tables.append(('zeros', zero))
        read = read + ' - ' + integers(b, zero, 'zeros', 'at' if zero.count() > 1 else '0u', 1 if zero.count() > 1 else 0)
    product = matmul_product(a, weight, y, False, False)
    product.codes = Codes(False, f'return {read};', n, 1, tables)
    product.scale = scale
    product.bias = at(inputs, 4)
    product.residual = at(inputs, 5)
    product.activation = text_of(node, 'activation', '')
    return dispatch_product(b, product)


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
    codes = block_codes(b, node, inputs)
    if source is None or weight is None or y is None or codes is None:
        return False
    k = int_of(node, 'K')
    product = Product(source, weight, y, element_count(source.shape[:len(source.shape) - 1]), int_of(node, 'N'), k, k, 1, 1, k, [], [])
    product.codes = codes
    product.bias = at(inputs, 5)
    bits = int_of(node, 'bits', 4)
    if product.m <= FEW_ROWS and k == codes.b_column * 32 // bits:
        return dispatch_blocks(b, product, codes, bits, int_of(node, 'block_size', 32))
    return dispatch_product(b, product)


END_LANES = '''  let at = local.y * $LANESu;
  part[at + local.x] = c;
  workgroupBarrier();
  if (local.x < $STEPu) {
    c = vec4f();
$for z $LANES/STEP {
    c += part[at + local.x + #zu * $STEPu];
$}
    part[at + local.x] = c;
  }
  workgroupBarrier();
  if (local.x == 0u) {
    c = vec4f();
$for z $STEP {
    c += part[at + #zu];
$}
    store(0u, group.y, n, c);
  }'''


def dispatch_blocks(b: GpuBuilder, product: Product, codes: Codes, bits: int, block: int) -> bool:
    """The product with wgsl/matvec_blocks.wgsl; False if there is no kernel."""
    if b.kind(product.a) not in ['f32', 'f16'] or b.kind(product.y) != 'f32':
        return False
    fours = 16 // bits
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
    # A sum of all lanes in two steps.
    step = lanes if lanes <= 8 else 16 if lanes >= 128 else 8
    code: dict[str, str] = {
        '$LANES/STEP': f'{lanes // step}', '$LANES': f'{lanes}', '$WY': f'{high}', '$STEP': f'{step}', '$U': f'{turns}', '$NX': f'{fours}', '$BLOCK': f'{block}',
        '$A': f'vec4<{b.kind(product.a)}>', '$B': 'vec2u', '$LOAD_A': 'return vec4f(a[at + k / 4u]);', '$LOAD_B': 'return vec4f();', '$COLUMN': 'n', '$PARAMS': ''}
    code['$CODES'] = ('plain(vec4u(select(w.x, w.y, four == 1u)) >> vec4u(0u, 8u, 16u, 24u))' if bits == 8 else
                      'vec4f((vec4u(select(w.x, w.y, four > 1u)) >> (vec4u(0u, 4u, 8u, 12u) + vec4u(four % 2u * 16u))) & vec4u(15u))')
    code['$TOTAL'] = 'dot(' + ' + '.join([f'x#u_{i}' for i in range(fours)]) + ', vec4f(1.0))'
    code['$DOTS'] = '(' + ' + '.join([f'dot(codes(w#u_#j, {i}u), x#u_{i})' for i in range(fours)]) + ')'
    code['$SHARED'] = f'var<workgroup> part: array<vec4f, {lanes * high}>;' if lanes > 1 else ''
    code['$END'] = filled(END_LANES, code) if lanes > 1 else '  store(0u, group.y, n, c);'
    bindings = [product.a, product.b, product.y]
    declared: list[str] = []
    for name, value in codes.tables:
        declare(b, name, value, False, bindings, declared)
    declared.append(codes.functions)
    store_code(b, product, bindings, declared, code)
    groups = [(sets + high - 1) // high, product.m, 1]
    if groups[0] > b.features.groups:
        return False
    words = [product.m, product.n, product.k, b.real(1.0), product.k // 4, 1, 0, units, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    b.dispatch('matvec_blocks', bindings, words, groups, None, code)
    return True


QUANTIZED_LOWERINGS: dict[str, GpuLowering] = {
    'DynamicQuantizeLinear': lower_dynamic_quantize,
    'edgeflow:QMatMul': lower_qmatmul,
    'com.microsoft:MatMulNBits': lower_matmul_nbits,
}
