"""Lowerings of convolutions, poolings and their normalisations. Words: wasm/more/kernels_windows.h."""

from __future__ import annotations

from edgeflow.backends.wasm.lower_dense import ACTIVATION_IDS, ceil_div, given, require_float
from edgeflow.backends.wasm.lower_elementwise import BINARY_IDS, UNARY_IDS, binary_step, cast_step, scalar_step
from edgeflow.backends.wasm.lower_resize import lower_resize
from edgeflow.backends.wasm.lowerings import LOWERINGS
from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.windows import as_channels, pool_step, window_words
from edgeflow.ir.attributes import int_of, number_of, text_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.spatial import SPATIAL_OPS
from edgeflow.ir.ops.table import OPS
from edgeflow.ir.ops.windows import Windows, conv_windows, pool_windows, transposed_windows
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.values import Value, Word, at

# Floats of the image that are gathered at once, so that they stay in the second-level cache.
BLOCK_FLOATS = 65536
MOST_BLOCK = 512
# Places that a filter of one channel is computed for together.
LINE = 16
# Products of 8-bit numbers whose sum float32 holds exactly.
EXACT_PRODUCTS = 256


def float_value(b: StepBuilder, value: Value) -> Value:
    """`value` itself, or scratch memory with its elements in float32."""
    if value.dtype == 'float32':
        return value
    target = b.typed_scratch('float32', value.shape)
    cast_step(b, value, target)
    return target


def padded_size(windows: Windows) -> int:
    """Elements of a channel with its padding, whose lines have room for a multiple of LINE places."""
    size = 1
    last = len(windows.kernel) - 1
    for i in range(last + 1):
        places = windows.output[i] if i < last else LINE * ceil_div(windows.output[i], LINE)
        size = size * ((places - 1) * windows.strides[i] + (windows.kernel[i] - 1) * windows.dilations[i] + 1)
    return size


def conv_step(
    b: StepBuilder, x: Value, weights: Value, bias: Value | None, output: Value, group: int, windows: Windows, activation: int,
    first: int, channels: int,
) -> None:
    """The convolution over `channels` channels of each group, from channel `first` on."""
    batch = x.shape[0]
    image = x.shape[2:]
    taps = element_count(windows.kernel)
    places = element_count(windows.output)
    filters = weights.shape[0] // group
    row = channels * taps
    block = min(max(8, BLOCK_FLOATS // max(1, row) // 8 * 8), MOST_BLOCK, 8 * ceil_div(max(1, places), 8))
    words: list[Word] = [
        b.pointer(x, 4 * first * element_count(image)), b.pointer(weights, 4 * first * taps), b.pointer(bias), b.pointer(output),
        b.pointer(b.scratch(4 * max(block * (row + 1), padded_size(windows) if channels == 1 and filters < 4 else 0))), batch, group, channels,
        filters, element_count(x.shape[1:]), weights.shape[1] * taps, activation, block]
    b.step('conv_f32', words + window_words(image, windows))


def lower_conv(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    x = require_float(b, given(b, inputs))
    weights = given(b, inputs, 1)
    activation = ACTIVATION_IDS[text_of(node, 'activation', '')]
    conv_step(b, x, weights, at(inputs, 2), given(b, outputs), int_of(node, 'group', 1), conv_windows(context_of(b, node, inputs)), activation,
              0, weights.shape[1])


def lower_conv_integer(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """In float32, a few channels at a time, so that every sum is exact."""
    output = given(b, outputs)
    windows = conv_windows(context_of(b, node, inputs))
    x = shifted(b, given(b, inputs), at(inputs, 2), [1] * len(windows.kernel))
    weights = shifted(b, given(b, inputs, 1), at(inputs, 3), [1] * (len(windows.kernel) + 1))
    group = int_of(node, 'group', 1)
    channels = weights.shape[1]
    most = max(1, EXACT_PRODUCTS // element_count(windows.kernel)) if group == 1 else channels
    part = b.typed_scratch('float32', output.shape)
    whole = b.typed_scratch('int32', output.shape)
    for first in range(0, channels, most):
        conv_step(b, x, weights, None, part, group, windows, 0, first, min(most, channels - first))
        cast_step(b, part, output if first == 0 else whole)
        if first > 0:
            binary_step(b, BINARY_IDS['Add'], output, whole, output)


def shifted(b: StepBuilder, value: Value, zero: Value | None, behind: list[int]) -> Value:
    """An integer tensor in float32, less its zero point; one for each channel has dims of `behind` after it."""
    wide = float_value(b, value)
    if zero is not None:
        shape = zero.shape[:] if zero.count() == 1 else zero.shape + behind
        point = b.typed_scratch('float32', shape)
        cast_step(b, zero, point)
        binary_step(b, BINARY_IDS['Sub'], wide, point, wide)
    return wide


def lower_conv_transpose(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """What each place gives to the taps of its window, as a matrix product; then those are summed where they lie."""
    x = require_float(b, given(b, inputs))
    weights = given(b, inputs, 1)
    output = given(b, outputs)
    bias = at(inputs, 2)
    group = int_of(node, 'group', 1)
    windows = transposed_windows(context_of(b, node, inputs))
    k = x.shape[1] // group
    m = element_count(weights.shape[1:])
    n = element_count(x.shape[2:])
    taps = b.scratch(4 * group * m * n)
    scratch = b.scratch(4 * (8 * ceil_div(n, 8) * k + m * k))
    for i in range(x.shape[0]):
        b.step('matmul_f32', [
            b.pointer(weights), b.pointer(x, 4 * i * group * k * n), b.pointer(taps), 0, 0, m, n, k, 1, m, n, 1, n, b.real(1.0), 0,
            b.pointer(scratch), group, k * m, k * n, m * n, 1, 0, 0, 0])
        words: list[Word] = [b.pointer(taps), b.pointer(bias), b.pointer(output, 4 * i * element_count(output.shape[1:])), output.shape[1]]
        b.step('col2im_f32', words + window_words(output.shape[2:], windows))


def lower_average_pool(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    windows = pool_windows(context_of(b, node, inputs))
    pool_step(b, 'AveragePool', require_float(b, given(b, inputs)), given(b, outputs), windows, int_of(node, 'count_include_pad') == 1)


def lower_max_pool(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    pool_step(b, 'MaxPool', require_float(b, given(b, inputs)), given(b, outputs), pool_windows(context_of(b, node, inputs)), False)


def global_pool_lowering(reduction: int) -> Lowering:
    """The poolings whose window is the whole image, by an operation of the kernel `reduce`."""

    def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        source = require_float(b, given(b, inputs))
        size = element_count(source.shape[2:])
        b.step('reduce', [reduction, 1, b.pointer(source), b.pointer(given(b, outputs)), 1, 1, element_count(source.shape[:2]), size, size, 1])

    return lower


def scaled(b: StepBuilder, source: Value, factor: Value, addend: Value, output: Value) -> None:
    """output = source * factor + addend, both broadcast."""
    if output is not source:
        b.may_reuse(output, source)
    binary_step(b, BINARY_IDS['Mul'], source, factor, output)
    binary_step(b, BINARY_IDS['Add'], output, addend, output)


def lower_batch_normalization(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """y = x * factor + (bias - mean * factor), factor = scale / sqrt(variance + epsilon)."""
    if int_of(node, 'training_mode') != 0:
        raise b.unsupported('training_mode 1 without its outputs')
    x = require_float(b, given(b, inputs))
    rank = max(2, len(x.shape))
    mean = given(b, inputs, 3)
    factor = b.typed_scratch('float32', mean.shape)
    addend = b.typed_scratch('float32', mean.shape)
    scalar_step(b, BINARY_IDS['Add'], given(b, inputs, 4), b.table([b.real(number_of(node, 'epsilon', 1e-5))]), 1, factor)
    b.step('unary', [UNARY_IDS['Sqrt'], 1, 1, b.pointer(factor), b.pointer(factor), factor.count(), 0, 0])
    binary_step(b, BINARY_IDS['Div'], given(b, inputs, 1), factor, factor)
    binary_step(b, BINARY_IDS['Mul'], mean, factor, addend)
    binary_step(b, BINARY_IDS['Sub'], given(b, inputs, 2), addend, addend)
    scaled(b, x, as_channels(b, factor, rank), as_channels(b, addend, rank), given(b, outputs))


def normalize_rows(b: StepBuilder, source: Value, output: Value, rows: int, epsilon: float) -> None:
    """Each of `rows` rows less its mean, by its deviation."""
    b.may_reuse(output, source)
    b.step('layer_norm_f32', [b.pointer(source), 0, 0, 0, 0, b.pointer(output), 0, rows, source.count() // max(1, rows), 1, b.real(epsilon)])


def lower_instance_normalization(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    x = require_float(b, given(b, inputs))
    output = given(b, outputs)
    rank = len(x.shape)
    normalize_rows(b, x, output, element_count(x.shape[:2]), number_of(node, 'epsilon', 1e-5))
    scaled(b, output, as_channels(b, given(b, inputs, 1), rank), as_channels(b, given(b, inputs, 2), rank), output)


def lower_group_normalization(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """Scale and bias are one number a group before version 21, then one a channel."""
    x = require_float(b, given(b, inputs))
    output = given(b, outputs)
    scale = given(b, inputs, 1)
    normalize_rows(b, x, output, x.shape[0] * int_of(node, 'num_groups'), number_of(node, 'epsilon', 1e-5))
    parts = b.new_value(output.name, 'float32', [x.shape[0], scale.count(), element_count(x.shape[1:]) // max(1, scale.count())])
    b.alias(parts, output)
    scaled(b, parts, as_channels(b, scale, 3), as_channels(b, given(b, inputs, 2), 3), parts)


SPATIAL_LOWERINGS: dict[str, Lowering] = {
    'Conv': lower_conv,
    'ConvInteger': lower_conv_integer,
    'ConvTranspose': lower_conv_transpose,
    'MaxPool': lower_max_pool,
    'AveragePool': lower_average_pool,
    'GlobalAveragePool': global_pool_lowering(1),
    'GlobalMaxPool': global_pool_lowering(2),
    'BatchNormalization': lower_batch_normalization,
    'GroupNormalization': lower_group_normalization,
    'InstanceNormalization': lower_instance_normalization,
    'Resize': lower_resize,
    'Upsample': lower_resize,
}


def install_spatial() -> None:
    """Add this part's operators to the tables that planning looks them up in."""
    for key in SPATIAL_OPS:
        OPS[key] = SPATIAL_OPS[key]
    for key in SPATIAL_LOWERINGS:
        LOWERINGS[key] = SPATIAL_LOWERINGS[key]
