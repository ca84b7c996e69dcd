"""Convolutions as products in tiles, wgsl/conv_tiles.wgsl: which division each gets, and how its windows are gathered."""

from __future__ import annotations

from dataclasses import replace

from edgeflow.backends.wasm.strides import row_major
from edgeflow.backends.webgpu.builder import GpuBuilder
from edgeflow.backends.webgpu.chains import Chain
from edgeflow.backends.webgpu.lower_elementwise import ACTIVATIONS, finish
from edgeflow.backends.webgpu.products import Codes, Division, Product, dispatch_product
from edgeflow.ir.ops.windows import Windows


def plane(dims: list[int]) -> list[int]:
    """One or two spatial dims as two."""
    return [1] + dims if len(dims) == 1 else dims


def both(windows: Windows, numbers: list[int], alone: int) -> list[int]:
    """What windows have for two axes; of one axis, `alone` for the other."""
    return [alone, numbers[0]] if len(windows.kernel) == 1 else numbers[:2]


WINDOW_FIELDS = ['width', 'height', 'channels', 'out_width', 'step_y', 'step_x', 'dilation_y', 'dilation_x', 'pad_y', 'pad_x']


def window_words(windows: Windows, shape: list[int], group: int) -> list[int]:
    """WINDOW_FIELDS of a convolution over an image of this shape."""
    height, width = plane(shape[2:])
    words = [width, height, shape[1] // group, windows.output[len(windows.output) - 1]]
    return words + both(windows, windows.strides, 1) + both(windows, windows.dilations, 1) + both(windows, windows.pads, 0)


# Measured on an H100 (docs/decisions/gpu-products.md): so many workgroups are best, and fewer are made more by sharing k among them, which needs a sum behind;
# from so many on, threads share it by slices instead. A share is at least so much of k.
MANY = 400
ENOUGH = 150
SHARE = 64
MOST_SHARES = 16
# With fewer even so, tiles are small.
FEW = 100


def tile_fours(division: Division) -> int:
    """How many vec4f of workgroup memory a division takes: for its tiles, then for half of its sums."""
    high = division.rows * division.wy
    wide = division.columns * division.wx
    sums = division.rows * division.columns * division.wx * division.wy * division.slices // 2
    return max((high + 1 + 4 * (wide + 2)) * division.depth // 4, sums)


def choose_tiles(b: GpuBuilder, filters: int, places: int, k: int, batch: int) -> tuple[Division, int] | None:
    """The division of a convolution, and how many workgroups share the whole of k. None: workgroups have too little memory."""
    rows = 4 if (filters - 1) % 64 < 32 else 8
    one = Division(rows, 1, 16, 8, 16 if rows == 8 else 32)
    sliced = Division(rows, 1, 16, 8, 32, 2)
    groups = one.groups(filters, places, batch)
    count = groups[0] * groups[1] * batch
    parts = 1 if count >= ENOUGH else max(1, min(MANY // max(1, count), k // SHARE, MOST_SHARES))
    small = Division(4, 1, 8, 8, 32, 4)
    if count * parts < FEW and tile_fours(small) * 16 <= b.features.storage:
        return small, 1
    fits = tile_fours(sliced) * 16 <= b.features.storage
    chosen = sliced if fits and count * parts < (MANY * 3 // 4 if parts == 1 else MANY // 2) else one
    return (chosen, parts) if tile_fours(chosen) * 16 <= b.features.storage else None


def tile_codes(product: Product, windows: Windows, division: Division, parts: int) -> Codes:
    """B of a convolution by wgsl/conv_tiles.wgsl."""
    depth = division.depth
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
    halves = 0
    while 1 << halves < division.slices:
        halves = halves + 1
    code = {'$KS': f'{division.slices}', '$NA': f'{high * depth // 4 // threads}', '$NB': f'{wide * depth // threads}', '$NK': f'{depth // 4 // division.slices}',
            '$TILE': f'{tile_fours(division)}', '$HALVES': f'{halves}'}
    words = window_words(windows, product.b.shape, product.groups) + [parts, span, product.y.count() // (4 if product.n % 4 == 0 else 1)]
    return Codes(False, 'return vec4f();', 0, 1, [], functions, WINDOW_FIELDS + ['parts', 'span', 'size'], words, division, code, parts)


def dispatch_shared(b: GpuBuilder, product: Product, windows: Windows, division: Division, parts: int) -> bool:
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
