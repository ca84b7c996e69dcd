"""How windows slide over images: what convolutions and poolings have in common."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.ir.ops.infer import InferContext


def attr_list(c: InferContext, name: str, count: int, default: int) -> list[int]:
    """`count` integers of an attribute, all `default` if it is left out."""
    given = c.attr_ints(name)
    if given is None:
        return [default] * count
    if len(given) != count:
        raise c.fail(f"{count} numbers in '{name}'", f'{given}')
    return given


@dataclass(frozen=True)
class Windows:
    """How a window slides: one number for each spatial axis (pads: all begins, then all ends)."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    pads: list[int]
    output: list[int]


def find_windows(c: InferContext, spatial: list[int], kernel: list[int]) -> Windows:
    """Windows over `spatial` dims from the attributes strides, dilations, pads, auto_pad, ceil_mode."""
    count = len(spatial)
    strides = attr_list(c, 'strides', count, 1)
    dilations = attr_list(c, 'dilations', count, 1)
    pads = attr_list(c, 'pads', 2 * count, 0)[:]
    auto = c.attr_str('auto_pad', 'NOTSET')
    ceil = c.attr_int('ceil_mode') == 1
    held = kernel[:]
    output: list[int] = []
    for i in range(count):
        if strides[i] < 1 or dilations[i] < 1 or kernel[i] < 1 or pads[i] < 0 or pads[count + i] < 0:
            raise c.fail('strides, dilations and kernel dims of 1 or more and pads of 0 or more', f'{strides}, {dilations}, {kernel}, {pads}')
        extent = (kernel[i] - 1) * dilations[i] + 1
        if auto == 'SAME_UPPER' or auto == 'SAME_LOWER':
            size = (spatial[i] + strides[i] - 1) // strides[i]
            total = max(0, (size - 1) * strides[i] + extent - spatial[i])
            pads[i] = total // 2 if auto == 'SAME_UPPER' else (total + 1) // 2
            pads[count + i] = total - pads[i]
        elif auto == 'VALID':
            pads[i] = 0
            pads[count + i] = 0
        room = spatial[i] + pads[i] + pads[count + i] - extent
        size = room // strides[i] + 1
        if ceil and room % strides[i] != 0 and (size * strides[i]) < spatial[i] + pads[i]:
            size = size + 1
        if size < 1:
            raise c.fail(f'a window no larger than the padded {spatial}', f'{kernel}, dilations {dilations}')
        if room < 0:
            # Rounding up leaves one window, of which no more than the padded input counts (EfficientNet's pooler is wider than any image).
            held[i] = (room + extent - 1) // dilations[i] + 1
        output.append(size)
    return Windows(held, strides, dilations, pads, output)


def conv_windows(c: InferContext) -> Windows:
    """The windows of Conv and ConvInteger, whose inputs 0 and 1 are X and W."""
    rank = c.check_rank(0, 3, -1)
    source = c.shape(0)
    weight = c.shape(1)
    group = c.attr_int('group', 1)
    if len(weight) != rank or group < 1 or source[1] != weight[1] * group or weight[0] % group != 0:
        raise c.fail(f'weights [M, C / group, ...] for {source} and group {group}', f'{weight}')
    kernel = attr_list(c, 'kernel_shape', rank - 2, 0) if c.has_attr('kernel_shape') else weight[2:]
    if kernel != weight[2:]:
        raise c.fail(f'kernel_shape {weight[2:]}', f'{kernel}')
    return find_windows(c, source[2:], kernel)


def pool_windows(c: InferContext) -> Windows:
    """The windows of a pooling, whose input 0 is X."""
    rank = c.check_rank(0, 3, -1)
    if not c.has_attr('kernel_shape'):
        raise c.fail("attribute 'kernel_shape'", 'nothing')
    return find_windows(c, c.shape(0)[2:], attr_list(c, 'kernel_shape', rank - 2, 1))


def transposed_windows(c: InferContext) -> Windows:
    """The windows of ConvTranspose: those of a convolution that takes its output to its input. output: the input's spatial dims."""
    rank = c.check_rank(0, 3, -1)
    source = c.shape(0)
    weight = c.shape(1)
    group = c.attr_int('group', 1)
    if len(weight) != rank or group < 1 or source[1] != weight[0] or weight[0] % group != 0:
        raise c.fail(f'weights [C, M / group, ...] for {source} and group {group}', f'{weight}')
    count = rank - 2
    strides = attr_list(c, 'strides', count, 1)
    dilations = attr_list(c, 'dilations', count, 1)
    pads = attr_list(c, 'pads', 2 * count, 0)[:]
    extra = attr_list(c, 'output_padding', count, 0)
    wanted = c.attr_ints('output_shape')
    auto = c.attr_str('auto_pad', 'NOTSET')
    if wanted is not None and len(wanted) < count:
        raise c.fail(f"{count} numbers in 'output_shape'", f'{wanted}')
    for i in range(count):
        if strides[i] < 1 or dilations[i] < 1 or weight[2 + i] < 1:
            raise c.fail('strides, dilations and kernel dims of 1 or more', f'{strides}, {dilations}, {weight[2:]}')
        whole = strides[i] * (source[2 + i] - 1) + extra[i] + (weight[2 + i] - 1) * dilations[i] + 1
        if wanted is None and auto == 'NOTSET':
            continue
        total = 0
        if wanted is not None:
            total = whole - wanted[len(wanted) - count + i]
        elif auto != 'VALID':
            total = whole - source[2 + i] * strides[i]
        half = max(0, total) // 2
        pads[i] = half if auto == 'SAME_UPPER' else max(0, total) - half
        pads[count + i] = total - pads[i]
    return Windows(weight[2:], strides, dilations, pads, source[2:])
