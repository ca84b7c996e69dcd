"""GPU lowerings of convolutions over one or two axes: matrix products whose B is gathered from the image while it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import row_major
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering
from edgeflow.backends.webgpu.chain_text import dispatch_chain
from edgeflow.backends.webgpu.chains import Chain, broadcast_view, strides_through
from edgeflow.backends.webgpu.lower_elementwise import ACTIVATIONS, finish
from edgeflow.backends.webgpu.products import FLOATS, Codes, Division, Product, declare, dispatch_product, four
from edgeflow.ir.attributes import int_of, text_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.windows import Windows, conv_windows, transposed_windows
from edgeflow.plan.values import Value, at

# With fewer filters a group than this, a thread makes one element.
FEW_FILTERS = 4
# Whole numbers up to here are exact in float32.
WHOLE = 1 << 24


def plane(dims: list[int]) -> list[int]:
    """One or two spatial dims as two."""
    return [1] + dims if len(dims) == 1 else dims


def both(windows: Windows, numbers: list[int], alone: int) -> list[int]:
    """What windows have for two axes; of one axis, `alone` for the other."""
    return [alone, numbers[0]] if len(windows.kernel) == 1 else numbers[:2]


def lower_conv(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    x = at(inputs, 0)
    w = at(inputs, 1)
    y = at(outputs, 0)
    if x is None or w is None or y is None or len(x.shape) > 4 or b.kind(x) not in FLOATS or b.kind(w) not in FLOATS:
        return False
    windows = conv_windows(context_of(b, node, inputs))
    group = int_of(node, 'group', 1)
    filters = w.shape[0] // group
    if filters < FEW_FILTERS:
        return direct(b, node, inputs, y, windows, w.shape[1], filters, group)
    channels = w.shape[1]
    k = channels * element_count(windows.kernel)
    places = element_count(windows.output)
    product = Product(w, x, y, filters, places, k, k, 1, places, 1, [1, group], [x.shape[0], group])
    product.row_bias = at(inputs, 2)
    product.groups = group
    product.activation = text_of(node, 'activation', '')
    plain = element_count(windows.kernel) == 1 and max(windows.strides) == 1 and max(windows.pads) == 0
    found = None if b.features.software else choose_tiles(b, filters, places, k, x.shape[0] * group)
    if found is not None and found[1] > 1:
        return dispatch_parts(b, product, windows, found[0], found[1])
    if found is not None:
        product.codes = tile_codes(product, windows, found[0], 1)
    elif not plain:
        product.codes = image_codes(windows, x.shape, channels, group)
    if not b.features.software:
        b.takers[y.number] = lambda chain, output: end_product(b, product, chain, output)
    return dispatch_product(b, product)


def may_end(b: GpuBuilder, chain: Chain, output: Value) -> bool:
    """Whether a kernel can have the chain as its end: one over whole tensors of its result's shape, of floats alone."""
    for op in chain.ops:
        if op.type != 'F':
            return False
        if op.read >= 0:
            read = chain.reads[op.read]
            value = read.value
            if value is None or len(op.arguments) > 0 or value.shape != chain.shape or b.kind(value) != 'f32' or read.offset != 0:
                return False
            if read.strides != strides_through(broadcast_view(value.shape, chain.shape), value.shape):
                return False
        for number in op.numbers:
            # Infinity and NaN cannot be written in WGSL.
            if (number & 0x7f800000) == 0x7f800000:
                return False
    return chain.shape == output.shape


def end_lines(chain: Chain, y: Value, load: Callable[[Value, str], str]) -> list[str]:
    """The lines that make `v`, an element of y or four, what the chain makes of it. load: says how another value is read, by the name of its array."""
    lines: list[str] = []
    for number in range(len(chain.ops)):
        op = chain.ops[number]
        text: str = op.text
        if op.read >= 0:
            value = chain.reads[op.read].value
            text = 'v' if value is None or value.number == y.number else load(value, f'other{number}')
        for i in range(len(op.arguments)):
            text = text.replace(f'%{i}', f'v{op.arguments[i]}')
        for i in range(len(op.numbers)):
            text = text.replace(f'@{i}', f'bitcast<f32>(i32({op.numbers[i]}))')
        lines.append(f'let v{number} = {text};')
    return lines + [f'v = v{chain.result};']


def end_product(b: GpuBuilder, product: Product, chain: Chain, output: Value) -> bool:
    """Write the product again with a chain as its end."""
    def lines(by_fours: bool, bindings: list[Value], declared: list[str]) -> list[str]:
        def load(value: Value, name: str) -> str:
            declare(b, name, value, by_fours, bindings, declared)
            return f'{name}[at]' if by_fours else 'vec4f(' + four(name, 'at', '1u') + ')'

        return end_lines(chain, product.y, load)

    return may_end(b, chain, output) and dispatch_product(b, replace(product, y=output, ending=lines))


# Of wgsl/conv_tiles.wgsl, from large to small, with the fewest workgroups at which one is worth while; measured on an H100.
TILES: list[tuple[Division, int]] = [(Division(8, 1, 16, 8, 32, 2), 200), (Division(4, 1, 8, 8, 32, 4), 0)]
# As many workgroups as fill a GPU; k is shared by several where there are fewer.
FILLED = 200


def choose_tiles(b: GpuBuilder, filters: int, places: int, k: int, batch: int) -> tuple[Division, int] | None:
    """The division of a convolution, and how many workgroups share the whole of k. None: another kernel is faster."""
    for division, least in TILES:
        groups = division.groups(filters, places, batch)
        count = groups[0] * groups[1] * batch
        if count >= least:
            return division, max(1, min(FILLED // count, k // division.depth // 4))
    return None


def tile_codes(product: Product, windows: Windows, division: Division, parts: int) -> Codes:
    """B of a convolution by wgsl/conv_tiles.wgsl."""
    x = product.b
    depth = division.depth
    height, width = plane(x.shape[2:])
    rows, columns = both(windows, windows.kernel, 1)
    taps = rows * columns
    inside = '(row >= 0) & (row < i32(p.height)) & (column >= 0) & (column < i32(p.width))' + (' & (k < p.k)' if product.k % depth != 0 else '')
    functions = f'''fn pixel(window: vec2i, k: u32) -> f32 {{
  let tap = k % {taps}u;
  let row = window.y + i32(tap / {columns}u * p.dilation_y);
  let column = window.x + i32(tap % {columns}u * p.dilation_x);
  let inside = {inside};
  return select(0.0, f32(b[select(0u, ((batch * p.channels + k / {taps}u) * p.height + u32(row)) * p.width + u32(column), inside)]), inside);
}}
fn windows_of(window: vec2i, k: u32) -> vec4f {{ return vec4f(pixel(window, k), pixel(window, k + 1u), pixel(window, k + 2u), pixel(window, k + 3u)); }}'''
    span = (product.k + parts * depth - 1) // (parts * depth) * depth
    wide = division.columns * division.wx
    high = division.rows * division.wy
    threads = division.wx * division.wy * division.slices
    sums = division.rows * division.columns * threads // 2
    halves = 0
    while 1 << halves < division.slices:
        halves = halves + 1
    code = {'$KS': f'{division.slices}', '$NA': f'{high * depth // 4 // threads}', '$NB': f'{wide * depth // threads}', '$NK': f'{depth // 4 // division.slices}',
            '$TILE': f'{max((high + 1 + 4 * (wide + 2)) * depth // 4, sums)}', '$HALVES': f'{halves}'}
    count = product.y.count()
    words = [width, height, x.shape[1] // product.groups, windows.output[len(windows.output) - 1]]
    words = words + both(windows, windows.strides, 1) + both(windows, windows.dilations, 1) + both(windows, windows.pads, 0) + [parts, span, count // (4 if product.n % 4 == 0 else 1)]
    fields = ['width', 'height', 'channels', 'out_width', 'step_y', 'step_x', 'dilation_y', 'dilation_x', 'pad_y', 'pad_x', 'parts', 'span', 'size']
    return Codes(False, 'return vec4f();', 0, 1, [], functions, fields, words, 'conv_tiles', division, code, parts)


def dispatch_parts(b: GpuBuilder, product: Product, windows: Windows, division: Division, parts: int) -> bool:
    """A convolution whose k several workgroups share; a chain adds their sums up."""
    y = product.y
    count = y.count()
    sums_of = b.temporary('float32', [parts] + y.shape)
    if not dispatch_product(b, replace(product, y=sums_of, row_bias=None, activation='', codes=tile_codes(product, windows, division, parts))):
        return False
    b.halfway.append((sums_of, len(b.steps)))
    chain = Chain(y.shape)
    total = -1
    for part in range(parts):
        one = chain.load(sums_of, 'F', part * count, row_major(y.shape))
        total = one if total < 0 else chain.op('%0 + %1', 'F', [total, one])
    bias = product.row_bias
    if bias is not None:
        total = chain.op('%0 + %1', 'F', [total, chain.load(bias, 'F', 0, [0, 1] + [0 for _ in y.shape[2:]])])
    if product.activation != '':
        total = chain.op(ACTIVATIONS[product.activation], 'F', [total])
    return finish(b, chain, y)


def image_codes(windows: Windows, shape: list[int], channels: int, group: int) -> Codes:
    """B of a convolution: row k is a tap of a channel, column n a place of the output."""
    height, width = plane(shape[2:])
    rows, columns = both(windows, windows.kernel, 1)
    # No && here: SwiftShader compiles many of them for minutes.
    functions = '''fn pixel(c: u32, tap: vec2i, n: u32) -> f32 {
  let row = i32(n / p.out_width) * i32(p.step_y) + tap.y;
  let column = i32(n % p.out_width) * i32(p.step_x) + tap.x;
  let inside = (row >= 0) & (row < i32(p.height)) & (column >= 0) & (column < i32(p.width)) & (n < p.n);
  return select(0.0, f32(b[(c * p.height + u32(max(row, 0))) * p.width + u32(max(column, 0))]), inside);
}'''
    load = f'''let c = batch * p.channels + k / {rows * columns}u;
  let tap = vec2i(vec2u(k % {columns}u, k / {columns}u % {rows}u) * vec2u(p.dilation_x, p.dilation_y)) - vec2i(i32(p.pad_x), i32(p.pad_y));
  return vec4f(pixel(c, tap, at), pixel(c, tap, at + 1u), pixel(c, tap, at + 2u), pixel(c, tap, at + 3u));'''
    words = [width, height, channels, windows.output[len(windows.output) - 1]]
    words = words + both(windows, windows.strides, 1) + both(windows, windows.dilations, 1) + both(windows, windows.pads, 0)
    fields = ['width', 'height', 'channels', 'out_width', 'step_y', 'step_x', 'dilation_y', 'dilation_x', 'pad_y', 'pad_x']
    return Codes(False, load, 0, 1, [], functions, fields, words)


def direct(
    b: GpuBuilder, node: Node, inputs: list[Value | None], y: Value, windows: Windows, channels: int, filters: int, group: int, chain: Chain | None = None,
    made: Value | None = None,
) -> bool:
    """The convolution, or its transpose, with wgsl/conv_direct.wgsl; with a chain over its result `made` as its end."""
    x = at(inputs, 0)
    w = at(inputs, 1)
    bias = at(inputs, 2)
    if x is None or w is None or b.kind(y) != 'f32':
        return False
    bindings = [x, w, y]
    declared: list[str] = []
    lines: list[str] = []
    if bias is not None:
        declare(b, 'bias', bias, False, bindings, declared)
        lines.append('v += f32(bias[f]);')
    activation = text_of(node, 'activation', '')
    if activation != '':
        lines.append('v = ' + ACTIVATIONS[activation].replace('%0', 'v') + ';')
    if chain is not None and made is not None:
        def load(value: Value, name: str) -> str:
            declare(b, name, value, False, bindings, declared)
            return f'{name}[i]'

        lines.extend(end_lines(chain, made, load))
    elif not b.features.software:
        b.takers[y.number] = lambda chain, output: may_end(b, chain, output) and direct(b, node, inputs, output, windows, channels, filters, group, chain, y)
    words = [y.count(), channels, filters, group] + plane(x.shape[2:]) + plane(y.shape[2:])
    words = words + both(windows, windows.kernel, 1) + both(windows, windows.strides, 1) + both(windows, windows.dilations, 1) + both(windows, windows.pads, 0)
    if len(bindings) > b.features.buffers:
        return False
    b.dispatch('conv_direct', bindings, words, b.spread(y.count(), 64), None, {
        '$X': b.kind(x), '$W': b.kind(w), '$BINDINGS': '\n'.join(declared), '$BIAS': '\n'.join(lines),
        '$TRANSPOSED': 'true' if node.op == 'ConvTranspose' else 'false'})
    return True


def lower_conv_transpose(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    x = at(inputs, 0)
    w = at(inputs, 1)
    y = at(outputs, 0)
    if x is None or w is None or y is None or len(x.shape) > 4 or b.kind(x) not in FLOATS or b.kind(w) not in FLOATS:
        return False
    group = int_of(node, 'group', 1)
    return direct(b, node, inputs, y, transposed_windows(context_of(b, node, inputs)), x.shape[1] // group, w.shape[1], group)


def lower_conv_integer(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """ConvInteger as a convolution of whole numbers below 2^24, which float32 adds exactly; the image in two halves of its bits where sums could reach it."""
    x = at(inputs, 0)
    w = at(inputs, 1)
    y = at(outputs, 0)
    if x is None or w is None or y is None or x.count() == 0:
        return False
    taps = element_count(w.shape[1:])
    if taps * 16 * 255 >= WHOLE:
        return False
    weights = centered(b, w, at(inputs, 3), '%0')
    texts = ['%0'] if taps * 255 * 255 < WHOLE else ['floor(%0 / 16.0)', '%0 - 16.0 * floor(%0 / 16.0)']
    chain = Chain([y.count()])
    sums: list[int] = []
    for text in texts:
        image = centered(b, x, at(inputs, 2), text)
        part = b.temporary('float32', y.shape)
        if weights is None or image is None or not lower_conv(b, node, [image, weights], [part]):
            return False
        sums.append(chain.load(part, 'F', 0, [1]))
    chain.op('I(%0)' if len(sums) == 1 else 'I(%0) * 16 + I(%1)', 'I', sums)
    return dispatch_chain(b, chain, y)


def centered(b: GpuBuilder, codes: Value, zero: Value | None, text: str) -> Value | None:
    """`text` of codes less their zero point, of which there is one, or one for each of the outermost dim; None if there is no kernel."""
    outer = 1 if zero is None or zero.count() == 1 else codes.shape[0]
    if zero is not None and zero.count() != outer:
        return None
    inner = codes.count() // outer
    result = b.temporary('float32', codes.shape)
    chain = Chain([outer, inner])
    type = 'I' if codes.dtype == 'int8' else 'U'
    whole = chain.op('I(%0)', 'I', [chain.load(codes, type, 0, [inner, 1])])
    if zero is not None:
        whole = chain.op('%0 - I(%1)', 'I', [whole, chain.load(zero, type, 0, [1 if outer > 1 else 0, 0])])
    chain.op(text, 'F', [chain.op('F(%0)', 'F', [whole])])
    return result if dispatch_chain(b, chain, result) else None


CONV_LOWERINGS: dict[str, GpuLowering] = {'Conv': lower_conv, 'ConvInteger': lower_conv_integer, 'ConvTranspose': lower_conv_transpose}
