"""WebNN lowerings of convolutions, poolings and resizing over two axes; one axis is two of which one has the length 1."""

from __future__ import annotations

from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.webnn.emitter import Emitter, NnLowering, Operand
from edgeflow.backends.webnn.lower_elementwise import activated
from edgeflow.ir.attributes import int_of, text_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.windows import Windows, conv_windows, pool_windows, transposed_windows
from edgeflow.plan.values import Value, at


def image(e: Emitter, x: Operand) -> Operand:
    """[N, C, H, W] of [N, C, W] or itself."""
    if len(x.shape) == 3:
        return e.reshape(x, [x.shape[0], x.shape[1], 1, x.shape[2]])
    if len(x.shape) != 4:
        raise e.refuse('other than one or two axes')
    return x


def window_options(windows: Windows) -> dict[str, object]:
    """padding, strides, dilations of WebNN for one or two axes."""
    pads = windows.pads
    if len(windows.strides) == 1:
        return {'padding': [0, 0, pads[0], pads[1]], 'strides': [1, windows.strides[0]], 'dilations': [1, windows.dilations[0]]}
    return {'padding': [pads[0], pads[2], pads[1], pads[3]], 'strides': windows.strides, 'dilations': windows.dilations}


def lower_conv(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    windows = conv_windows(context_of(e.b, node, inputs))
    x = image(e, e.value(at(inputs, 0)))
    options = window_options(windows)
    options['groups'] = int_of(node, 'group', 1)
    if at(inputs, 2) is not None:
        options['bias'] = e.value(at(inputs, 2))
    result = e.call('conv2d', [x, image(e, e.value(at(inputs, 1)))], options)
    e.give(at(outputs, 0), activated(e, result, text_of(node, 'activation', '')))


def lower_conv_transpose(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    output = at(outputs, 0)
    windows = transposed_windows(context_of(e.b, node, inputs))
    x = image(e, e.value(at(inputs, 0)))
    if output is None or len(output.shape) != 4 or min(windows.pads) < 0 or int_of(node, 'group', 1) != 1 or max(windows.dilations) > 1:
        raise e.refuse('other than plain ones over two axes')
    options = window_options(windows)
    options['outputSizes'] = output.shape[2:]
    options['filterLayout'] = 'iohw'
    if at(inputs, 2) is not None:
        options['bias'] = e.value(at(inputs, 2))
    e.give(output, e.call('convTranspose2d', [x, e.value(at(inputs, 1))], options))


def pool_lowering(method: str) -> NnLowering:
    def lower(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        windows = pool_windows(context_of(e.b, node, inputs))
        x = image(e, e.value(at(inputs, 0)))
        padded = max(windows.pads) > 0
        if int_of(node, 'ceil_mode') != 0 or int_of(node, 'storage_order') != 0 or (method == 'averagePool2d' and padded):
            # Chromium's cpu counts what is padded.
            raise e.refuse('windows beyond the image')
        options = window_options(windows)
        options['windowDimensions'] = windows.kernel if len(windows.kernel) == 2 else [1, windows.kernel[0]]
        e.give(at(outputs, 0), e.call(method, [x], options))

    return lower


def global_lowering(method: str) -> NnLowering:
    def lower(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        x = e.value(at(inputs, 0))
        e.give(at(outputs, 0), e.call(method, [x], {'axes': [i for i in range(2, len(x.shape))], 'keepDimensions': True}))

    return lower


def lower_resize(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """Linear by half pixels, and nearest where every element is repeated."""
    output = at(outputs, 0)
    x = e.value(at(inputs, 0))
    if output is None or len(x.shape) != 4 or x.shape[:2] != output.shape[:2]:
        raise e.refuse('other axes than the last two of four')
    mode = text_of(node, 'mode', 'nearest')
    repeats = [output.shape[2] // x.shape[2], output.shape[3] // x.shape[3]]
    whole = repeats[0] * x.shape[2] == output.shape[2] and repeats[1] * x.shape[3] == output.shape[3]
    sized = at(inputs, 3) is not None and text_of(node, 'keep_aspect_ratio_policy', 'stretch') == 'stretch'
    coordinates = text_of(node, 'coordinate_transformation_mode', 'half_pixel')
    if int_of(node, 'antialias') != 0 or not (sized or whole):
        raise e.refuse('antialiasing, or sizes that are rounded')
    if mode == 'nearest' and whole and element_count(repeats) > 0 and coordinates in ['asymmetric', 'half_pixel']:
        if coordinates == 'asymmetric' and text_of(node, 'nearest_mode', 'round_prefer_floor') != 'floor':
            raise e.refuse('rounding of nearest')
        method = 'nearest-neighbor'
    elif mode == 'linear' and coordinates == 'half_pixel':
        method = 'linear'
    else:
        raise e.refuse(f'mode {mode}, {coordinates}')
    e.give(output, e.call('resample2d', [x], {'mode': method, 'sizes': output.shape[2:], 'axes': [2, 3]}))


SPATIAL_LOWERINGS: dict[str, NnLowering] = {
    'Conv': lower_conv, 'ConvTranspose': lower_conv_transpose, 'Resize': lower_resize, 'MaxPool': pool_lowering('maxPool2d'),
    'AveragePool': pool_lowering('averagePool2d'), 'GlobalAveragePool': global_lowering('reduceMean'), 'GlobalMaxPool': global_lowering('reduceMax'),
}
