"""Lowerings of the rarer operators on images. Words: wasm/more/kernels_spatial.h."""

from __future__ import annotations

from edgeflow.backends.wasm.lower_dense import ceil_div, given, require_float
from edgeflow.backends.wasm.more.compose import Composer
from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.windows import as_channels, pool_step, window_words
from edgeflow.ir.attributes import int_of, ints_of, number_of, text_of
from edgeflow.ir.dtype import DTYPE_CODES, element_count
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.more.spatial import block_windows, deform_windows, unpooled_shape
from edgeflow.ir.ops.windows import Windows, pool_windows
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.values import Value, Word, at

SAMPLE_TAPS: dict[str, int] = {'nearest': 1, 'linear': 2, 'bilinear': 2, 'cubic': 4, 'bicubic': 4}
PADDINGS: dict[str, int] = {'zeros': 0, 'border': 1, 'reflection': 2}


def _order(b: StepBuilder, node: Node) -> int:
    """The p of an Lp norm."""
    p = int_of(node, 'p', 2)
    if p < 1:
        raise b.unsupported(f'p must be 1 or more; got {p}')
    return p


def _power(c: Composer, source: Value, p: int) -> Value:
    """The powers whose sum an Lp norm takes the root of."""
    size = c.op('Abs', [source])
    return size if p == 1 else c.op('Mul', [size, size]) if p == 2 else c.op('Pow', [size, c.real(p)])


def _root(c: Composer, sums: Value, p: int, output: Value | None) -> Value:
    if p == 1:
        return c.op('Identity', [sums], None, output)
    return c.op('Sqrt', [sums], None, output) if p == 2 else c.op('Pow', [sums, c.real(1 / p)], None, output)


def lower_lp_pool(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    p = _order(b, node)
    output = given(b, outputs)
    sums = c.value('float32', output.shape)
    pool_step(b, 'LpPool', _power(c, require_float(b, given(b, inputs)), p), sums, pool_windows(context_of(b, node, inputs)), False)
    _root(c, sums, p, output)


def lower_global_lp_pool(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    p = _order(b, node)
    source = given(b, inputs)
    axes = c.ints([i for i in range(2, len(source.shape))])
    _root(c, c.op('ReduceSum', [_power(c, source, p), axes]), p, given(b, outputs))


def lower_lp_normalization(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """What has the norm 0 is 0."""
    c = Composer(b)
    p = _order(b, node)
    source = given(b, inputs)
    norm = _root(c, c.op('ReduceSum', [_power(c, source, p), c.ints([int_of(node, 'axis', -1)])]), p, None)
    safe = c.op('Where', [c.op('Equal', [norm, c.real(0.0, norm.dtype)]), c.real(1.0, norm.dtype), norm])
    c.op('Div', [source, safe], None, given(b, outputs))


def lower_lrn(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """x / (bias + alpha / size * sum of squares of the `size` channels around)^beta."""
    c = Composer(b)
    source = require_float(b, given(b, inputs))
    size = int_of(node, 'size', 1)
    shape = [source.shape[0], 1, source.shape[1], element_count(source.shape[2:])]
    squares = c.reshaped(c.op('Mul', [source, source]), shape)
    before = (size - 1) // 2
    sums = c.value('float32', shape)
    pool_step(b, 'LpPool', squares, sums, Windows([size, 1], [1, 1], [1, 1], [before, 0, size - 1 - before, 0], shape[2:]), False)
    scaled = c.op('Mul', [sums, c.real(number_of(node, 'alpha', 0.0001) / size)])
    divisor = c.op('Pow', [c.op('Add', [scaled, c.real(number_of(node, 'bias', 1.0))]), c.real(number_of(node, 'beta', 0.75))])
    c.op('Div', [source, c.reshaped(divisor, source.shape)], None, given(b, outputs))


def lower_mean_variance(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    source = given(b, inputs)
    listed = ints_of(node, 'axes')
    axes = c.ints([0, 2, 3] if listed is None else listed)
    centred = c.op('Sub', [source, c.op('ReduceMean', [source, axes])])
    deviation = c.op('Sqrt', [c.op('ReduceMean', [c.op('Mul', [centred, centred]), axes])])
    c.op('Div', [centred, c.op('Add', [deviation, c.real(1e-9, source.dtype)])], None, given(b, outputs))


def lower_col2im(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    output = given(b, outputs)
    words: list[Word] = [b.pointer(require_float(b, given(b, inputs))), 0, b.pointer(output), element_count(output.shape[:2])]
    b.step('col2im_f32', words + window_words(output.shape[2:], block_windows(context_of(b, node, inputs))))


def lower_max_unpool(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """Every maximum at its index, zeros elsewhere, and behind if an output_shape asks for more."""
    c = Composer(b)
    source = given(b, inputs)
    output = given(b, outputs)
    shape = unpooled_shape(context_of(b, node, inputs))
    zeros = c.op('Expand', [c.number(0, source.dtype), c.ints([element_count(shape)])])
    count = [source.count()]
    flat = c.op('ScatterElements', [zeros, c.reshaped(given(b, inputs, 1), count), c.reshaped(source, count)])
    padding = [0] * len(shape) + [output.shape[i] - shape[i] for i in range(len(shape))]
    c.op('Pad', [c.reshaped(flat, shape), c.ints(padding)], None, output)


def lower_grid_sample(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = require_float(b, given(b, inputs))
    grid = require_float(b, given(b, inputs, 1))
    output = given(b, outputs)
    mode = text_of(node, 'mode', 'linear')
    padding = text_of(node, 'padding_mode', 'zeros')
    if mode not in SAMPLE_TAPS or padding not in PADDINGS:
        raise b.unsupported(f"mode '{mode}', padding_mode '{padding}'")
    words: list[Word] = [
        b.pointer(source), b.pointer(grid), b.pointer(output), source.shape[0], source.shape[1], element_count(output.shape[2:]),
        SAMPLE_TAPS[mode], PADDINGS[padding], int_of(node, 'align_corners'), len(source.shape) - 2]
    words.extend(source.shape[2:])
    b.step('grid_sample_f32', words)


def lower_affine_grid(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """The last column of theta plus, for each coordinate (x first), its column times its places."""
    c = Composer(b)
    theta = given(b, inputs)
    output = given(b, outputs)
    rank = theta.shape[1]
    corners = int_of(node, 'align_corners') == 1

    def column(i: int) -> Value:
        return c.reshaped(c.sliced(theta, 2, i, i + 1), [theta.shape[0]] + [1] * rank + [rank])

    total = column(rank)
    for i in range(rank):
        size = output.shape[rank - i]
        places: list[int] = []
        for k in range(size):
            places.append(b.real((2 * k / max(1, size - 1) - 1) if corners else (2 * k + 1) / size - 1))
        table = b.new_value('places', 'int32', [size])
        table.constant = True
        table.literal = places
        line = b.new_value('places', 'float32', [size] + [1] * (i + 1))
        b.alias(line, table)
        total = c.op('Add', [total, c.op('Mul', [column(i), line if theta.dtype == 'float32' else c.cast(line, theta.dtype)])],
                     None, output if i == rank - 1 else None)


def lower_deform_conv(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """The elements at the moved places as columns, then a matrix product; image by image."""
    c = Composer(b)
    x = require_float(b, given(b, inputs))
    weights = given(b, inputs, 1)
    moves = given(b, inputs, 2)
    bias = at(inputs, 3)
    mask = at(inputs, 4)
    output = given(b, outputs)
    group = int_of(node, 'group', 1)
    windows = deform_windows(context_of(b, node, inputs))
    n = element_count(windows.output)
    m = weights.shape[0] // group
    k = element_count(weights.shape[1:])
    columns = b.scratch(4 * group * k * n)
    scratch = b.scratch(4 * 8 * ceil_div(n, 8) * k)
    made = output if bias is None else c.value('float32', output.shape)
    for i in range(x.shape[0]):
        words: list[Word] = [b.pointer(x, 4 * i * element_count(x.shape[1:])), b.pointer(moves, 4 * i * element_count(moves.shape[1:])),
                             0 if mask is None else b.pointer(mask, 4 * i * element_count(mask.shape[1:])), b.pointer(columns), x.shape[1],
                             int_of(node, 'offset_group', 1)]
        shape = windows.kernel
        dims: list[Word] = [2]
        for part in [x.shape[2:], windows.output, shape, windows.strides, windows.dilations, windows.pads[:2]]:
            dims.extend(part)
        b.step('deform_f32', words + dims)
        b.step('matmul_f32', [
            b.pointer(weights), b.pointer(columns), b.pointer(made, 4 * i * group * m * n), 0, 0, m, n, k, k, 1, n, 1, n, b.real(1.0), 0,
            b.pointer(scratch), group, m * k, k * n, m * n, 1, 0, 0, 0])
    if bias is not None:
        c.op('Add', [made, as_channels(b, bias, 4)], None, output)


def lower_roi_align(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """Half pixels are the rule from version 16 on."""
    source = require_float(b, given(b, inputs))
    output = given(b, outputs)
    half = text_of(node, 'coordinate_transformation_mode', 'half_pixel') == 'half_pixel' and b.opset >= 16
    words: list[Word] = [
        b.pointer(source), b.pointer(given(b, inputs, 1)), b.pointer(given(b, inputs, 2)), b.pointer(output), output.shape[0]]
    words.extend(source.shape)
    words.extend(output.shape[2:])
    words.extend([1 if text_of(node, 'mode', 'avg') == 'max' else 0, int_of(node, 'sampling_ratio'), b.real(number_of(node, 'spatial_scale', 1.0)),
                  1 if half else 0])
    b.step('roi_align_f32', words)


def lower_max_roi_pool(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = require_float(b, given(b, inputs))
    output = given(b, outputs)
    words: list[Word] = [b.pointer(source), b.pointer(given(b, inputs, 1)), b.pointer(output), output.shape[0]]
    words.extend(source.shape)
    words.extend(output.shape[2:])
    words.append(b.real(number_of(node, 'spatial_scale', 1.0)))
    b.step('max_roi_pool_f32', words)


def lower_any_max_pool(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """In float32, which holds 8-bit numbers exactly; with the indices of the maxima."""
    source = given(b, inputs)
    if source.dtype == 'float64':
        raise b.unsupported('type float64; it runs in float32, float16 and 8 bits')
    c = Composer(b)
    wide = c.cast(source, 'float32')
    windows = pool_windows(context_of(b, node, inputs))
    output = at(outputs, 0)
    indices = at(outputs, 1)
    if output is not None:
        made = output if output.dtype == 'float32' else c.value('float32', output.shape)
        pool_step(b, 'MaxPool', wide, made, windows, False)
        if made is not output:
            c.op('Cast', [made], {'to': DTYPE_CODES[output.dtype]}, output)
    if indices is not None:
        words: list[Word] = [b.pointer(wide), b.pointer(indices), element_count(source.shape[:2]), int_of(node, 'storage_order')]
        b.step('max_indices_f32', words + window_words(source.shape[2:], windows))


def lower_any_batch_normalization(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """In training mean and variance are the batch's, and what is kept of them moves toward those."""
    c = Composer(b)
    x = given(b, inputs)
    rank = len(x.shape)
    means = [c.cast(given(b, inputs, 3), x.dtype), c.cast(given(b, inputs, 4), x.dtype)]
    centred = c.op('Sub', [x, as_channels(b, means[0], rank)])
    if int_of(node, 'training_mode') != 0:
        axes = c.ints([i for i in range(rank) if i != 1])
        mean = c.op('ReduceMean', [x, axes])
        centred = c.op('Sub', [x, mean])
        own: list[Value] = [mean, c.op('ReduceMean', [c.op('Mul', [centred, centred]), axes])]
        momentum = number_of(node, 'momentum', 0.9)
        for i in range(2):
            own[i] = c.reshaped(own[i], means[i].shape)
            running = at(outputs, i + 1)
            if running is not None:
                kept = c.op('Mul', [means[i], c.real(momentum, x.dtype)])
                moved = c.op('Add', [kept, c.op('Mul', [own[i], c.real(1 - momentum, x.dtype)])])
                c.give(c.cast(moved, running.dtype), running)
        means = own
    deviation = c.op('Sqrt', [c.op('Add', [means[1], c.real(number_of(node, 'epsilon', 1e-5), x.dtype)])])
    factor = c.op('Div', [c.cast(given(b, inputs, 1), x.dtype), deviation])
    scaled = c.op('Mul', [centred, as_channels(b, factor, rank)])
    c.op('Add', [scaled, as_channels(b, c.cast(given(b, inputs, 2), x.dtype), rank)], None, given(b, outputs))


# Beside the core's lowerings, as WIDE_LOWERINGS of lower_numeric.py.
WIDE_SPATIAL_LOWERINGS: dict[str, Lowering] = {
    'BatchNormalization': lower_any_batch_normalization,
    'MaxPool': lower_any_max_pool,
}

MORE_SPATIAL_LOWERINGS: dict[str, Lowering] = {
    'AffineGrid': lower_affine_grid,
    'Col2Im': lower_col2im,
    'DeformConv': lower_deform_conv,
    'GlobalLpPool': lower_global_lp_pool,
    'GridSample': lower_grid_sample,
    'LpNormalization': lower_lp_normalization,
    'LpPool': lower_lp_pool,
    'LRN': lower_lrn,
    'MaxRoiPool': lower_max_roi_pool,
    'MaxUnpool': lower_max_unpool,
    'MeanVarianceNormalization': lower_mean_variance,
    'RoiAlign': lower_roi_align,
}
