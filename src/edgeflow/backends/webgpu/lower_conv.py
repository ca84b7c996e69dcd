"""GPU lowerings of convolutions over one or two axes: matrix products whose B is gathered from the image while it is read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering
from edgeflow.backends.webgpu.chain_ends import end_lines, end_product, may_end
from edgeflow.backends.webgpu.chain_text import dispatch_chain
from edgeflow.backends.webgpu.chains import Chain
from edgeflow.backends.webgpu.conv_tiles import WINDOW_FIELDS, both, choose_tiles, dispatch_shared, plane, tile_codes, window_words
from edgeflow.backends.webgpu.lower_elementwise import ACTIVATIONS
from edgeflow.backends.webgpu.products import FLOATS, Codes, Product, declare, dispatch_product, four
from edgeflow.ir.attributes import int_of, text_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.windows import Windows, conv_windows, transposed_windows
from edgeflow.plan.values import Value, at

# With more taps in a row, a thread of a convolution with few filters makes one place.
MOST_TAPS = 9
# With fewer filters a group than this, a thread makes one element.
FEW_FILTERS = 4
# Whole numbers up to here are exact in float32.
WHOLE = 1 << 24


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
        return direct(b, node, inputs, y, windows, w.shape[1], filters)
    k = w.shape[1] * element_count(windows.kernel)
    places = element_count(windows.output)
    product = Product(w, x, y, filters, places, k, k, 1, places, 1, [1, group], [x.shape[0], group])
    product.row_bias = at(inputs, 2)
    product.groups = group
    product.activation = text_of(node, 'activation', '')
    plain = element_count(windows.kernel) == 1 and max(windows.strides) == 1 and max(windows.pads) == 0
    found = None if plain or b.features.software else choose_tiles(b, filters, places, k, x.shape[0] * group)
    if found is not None and found[1] > 1:
        return dispatch_shared(b, product, windows, found[0], found[1])
    if found is not None:
        product.codes = tile_codes(product, windows, found[0], 1)
    elif not plain:
        product.codes = image_codes(windows, x.shape, group)
    if not b.features.software:
        b.takers[y.number] = lambda chain, output: end_product(b, product, chain, output)
    return dispatch_product(b, product)


def image_codes(windows: Windows, shape: list[int], group: int) -> Codes:
    """B of a convolution: row k is a tap of a channel, column n a place of the output."""
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
    return Codes(False, load, 0, 1, [], functions, WINDOW_FIELDS, window_words(windows, shape, group))


@dataclass(frozen=True)
class Direct:
    """A convolution, or its transpose, whose threads make places of its result alone: `channels` and `filters` of a group."""

    x: Value
    w: Value
    bias: Value | None
    y: Value
    windows: Windows
    channels: int
    filters: int
    group: int
    activation: str
    transposed: bool
    # What follows it, over the result `made`.
    chain: Chain | None = None
    made: Value | None = None


def direct(b: GpuBuilder, node: Node, inputs: list[Value | None], y: Value, windows: Windows, channels: int, filters: int) -> bool:
    x = at(inputs, 0)
    w = at(inputs, 1)
    if x is None or w is None:
        return False
    return dispatch_direct(b, Direct(x, w, at(inputs, 2), y, windows, channels, filters, int_of(node, 'group', 1), text_of(node, 'activation', ''), node.op == 'ConvTranspose'))


def dispatch_direct(b: GpuBuilder, conv: Direct) -> bool:
    """By wgsl/conv_rows.wgsl, four places a thread, or, what is transposed or has many taps, by wgsl/conv_direct.wgsl."""
    x = conv.x
    y = conv.y
    windows = conv.windows
    if b.kind(y) != 'f32':
        return False
    kernel = both(windows, windows.kernel, 1)
    shape = plane(y.shape[2:])
    by_rows = not conv.transposed and kernel[1] <= MOST_TAPS
    by_fours = by_rows and shape[1] % 4 == 0
    bindings = [x, conv.w, y]
    declared: list[str] = []
    lines: list[str] = []
    if conv.bias is not None:
        declare(b, 'bias', conv.bias, False, bindings, declared)
        lines.append('v += f32(bias[f]);')
    if conv.activation != '':
        lines.append('v = ' + ACTIVATIONS[conv.activation].replace('%0', 'v') + ';')
    if conv.chain is not None and conv.made is not None:
        def load(value: Value, name: str) -> str:
            declare(b, name, value, by_fours, bindings, declared)
            return f'{name}[at / 4u]' if by_fours else 'vec4f(' + four(name, 'at', '1u') + ')' if by_rows else f'{name}[i]'

        lines.extend(end_lines(conv.chain, conv.made, load))
    elif not b.features.software:
        b.takers[y.number] = lambda chain, output: may_end(b, chain, output) and dispatch_direct(b, replace(conv, y=output, chain=chain, made=y))
    if len(bindings) > b.features.buffers:
        return False
    code = {'$X': b.kind(x), '$W': b.kind(conv.w), '$BINDINGS': '\n'.join(declared), '$BIAS': '\n'.join(lines)}
    strides = both(windows, windows.strides, 1)
    dilations = both(windows, windows.dilations, 1)
    pads = both(windows, windows.pads, 0)
    words = [conv.channels, conv.filters, conv.group]
    image = plane(x.shape[2:])
    if by_rows:
        fours = (shape[1] + 3) // 4
        count = y.count() // max(1, shape[1]) * fours
        code['$Y'] = 'vec4f' if by_fours else 'f32'
        code['$STEP'] = f'{strides[1]}'
        code['$KY'] = f'{kernel[0]}'
        code['$KX'] = f'{kernel[1]}'
        code['$ROW'] = row_text(kernel[1], strides[1], dilations[1])
        code['$STORE'] = 'y[at / 4u] = v;' if by_fours else '$for l 4 {\nif (place + #lu < p.out_width) { y[at + #lu] = v[#l]; }\n$}'
        words = [count] + words + [image[1], image[0], shape[1], shape[0], fours, strides[0], dilations[0], pads[0], pads[1]]
        b.dispatch('conv_rows', bindings, words, b.spread(count, 64), None, code)
        return True
    code['$TRANSPOSED'] = 'true' if conv.transposed else 'false'
    words = [y.count()] + words + image + shape + kernel + strides + dilations + pads
    b.dispatch('conv_direct', bindings, words, b.spread(y.count(), 64), None, code)
    return True


def row_text(taps: int, step: int, dilation: int) -> str:
    """Lines that add a row of the windows of four places to `v`: each element of the image that they have is read once."""
    lines: list[str] = []
    read: list[int] = []
    for tap in range(taps):
        places = [lane * step + tap * dilation for lane in range(4)]
        for place in places:
            if place not in read:
                read.append(place)
                lines.append(f'let x{place} = pick(start, column + {place}, inside);')
        lines.append(f'v += f32(w[tap + {tap}u]) * vec4f(' + ', '.join([f'x{place}' for place in places]) + ');')
    return '\n'.join(lines)


def lower_conv_transpose(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    x = at(inputs, 0)
    w = at(inputs, 1)
    y = at(outputs, 0)
    if x is None or w is None or y is None or len(x.shape) > 4 or b.kind(x) not in FLOATS or b.kind(w) not in FLOATS:
        return False
    group = int_of(node, 'group', 1)
    return direct(b, node, inputs, y, transposed_windows(context_of(b, node, inputs)), x.shape[1] // group, w.shape[1])


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
