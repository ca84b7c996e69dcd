"""Rules of convolutions, poolings and resizing: tensors [batch, channels, spatial...]."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgeflow.ir.ops.infer import FLOATS, InferContext, OpSpec, Type, op
from edgeflow.ir.ops.windows import attr_list, conv_windows, pool_windows, transposed_windows


def _conv_shape(c: InferContext) -> list[int]:
    output = conv_windows(c).output
    return [c.shape(0)[0], c.shape(1)[0]] + output


def _conv(c: InferContext) -> list[Type]:
    c.check_dtype(0, FLOATS)
    shape = _conv_shape(c)
    if c.has(2) and c.shape(2) != shape[1:2]:
        raise c.fail(f'a bias of shape {shape[1:2]}', f'{c.shape(2)}')
    return [Type(c.check_same_dtype(0, 1), shape)]


def _conv_integer(c: InferContext) -> list[Type]:
    c.check_dtype(0, ['uint8', 'int8'])
    c.check_dtype(1, ['uint8', 'int8'])
    return [Type('int32', _conv_shape(c))]


def _conv_transpose(c: InferContext) -> list[Type]:
    dtype = c.check_dtype(0, FLOATS)
    c.check_same_dtype(0, 1)
    windows = transposed_windows(c)
    shape = [c.shape(0)[0], c.shape(1)[1] * c.attr_int('group', 1)]
    count = len(windows.kernel)
    if c.has(2) and c.shape(2) != shape[1:]:
        raise c.fail(f'a bias of shape {shape[1:]}', f'{c.shape(2)}')
    extra = attr_list(c, 'output_padding', count, 0)
    for i in range(count):
        extent = (windows.kernel[i] - 1) * windows.dilations[i] + 1
        shape.append(windows.strides[i] * (windows.output[i] - 1) + extra[i] + extent - windows.pads[i] - windows.pads[count + i])
    return [Type(dtype, shape)]


def _pool(c: InferContext) -> list[Type]:
    source = c.type(0)
    shape = source.shape[:2] + pool_windows(c).output
    return [Type(source.dtype, shape), Type('int64', shape)]


def _global_pool(c: InferContext) -> list[Type]:
    rank = c.check_rank(0, 2, -1)
    return [Type(c.check_dtype(0, FLOATS), c.shape(0)[:2] + [1] * (rank - 2))]


# Resize has a table of what each place along an axis is made of.
LONGEST_AXIS = 4194304


@dataclass(frozen=True)
class Scaling:
    """An axis that Resize makes another size: from `size` to `wanted`, which is about size * scale."""

    axis: int
    size: int
    wanted: int
    scale: float


def scalings(c: InferContext) -> list[Scaling]:
    """What Resize and Upsample do to each of their axes."""
    source = c.shape(0)
    given = c.attr_ints('axes')
    axes = [i for i in range(len(source))] if given is None else c.axes(given, len(source))
    if c.has(3):
        sizes = c.ints(3)
        if len(sizes) != len(axes) or min(sizes + [1]) < 1:
            raise c.fail(f'{len(axes)} sizes of 1 or more', f'{sizes}')
        policy = c.attr_str('keep_aspect_ratio_policy', 'stretch')
        ratios = [sizes[i] / max(1, source[axes[i]]) for i in range(len(axes))]
        if policy == 'stretch':
            return [Scaling(axes[i], source[axes[i]], sizes[i], ratios[i]) for i in range(len(axes))]
        scale = min(ratios) if policy == 'not_larger' else max(ratios)
        return [Scaling(axis, source[axis], math.floor(scale * source[axis] + 0.5), scale) for axis in axes]
    scales = _upsample_scales(c) if c.node.op == 'Upsample' and c.opset < 9 else c.floats(1 if c.opset < 11 else 2)
    if len(scales) != len(axes):
        raise c.fail(f'{len(axes)} scales', f'{scales}')
    found: list[Scaling] = []
    for i in range(len(axes)):
        size = source[axes[i]]
        if not (scales[i] > 0 and size * scales[i] < 2147483648):
            raise c.fail('scales above 0', f'{scales}')
        found.append(Scaling(axes[i], size, math.floor(size * scales[i]), scales[i]))
    return found


def _upsample_scales(c: InferContext) -> list[float]:
    """Attributes before version 9; two of their own in version 1."""
    scales = c.node.attributes.get('scales')
    if isinstance(scales, list):
        return [float(x) for x in scales if isinstance(x, (int, float))]
    return [1.0, 1.0, c.attr_float('height_scale', 1.0), c.attr_float('width_scale', 1.0)]


def _resize(c: InferContext) -> list[Type]:
    shape = c.shape(0)[:]
    for part in scalings(c):
        if part.wanted > LONGEST_AXIS or (part.size == 0 and part.wanted > 0):
            raise c.fail(f'axes with elements, up to {LONGEST_AXIS}', f'{part.size} to {part.wanted}')
        shape[part.axis] = part.wanted
    return c.shaped(shape)


SPATIAL_OPS: dict[str, OpSpec] = {
    'Conv': op(_conv, 2, 3),
    'ConvInteger': op(_conv_integer, 2, 4, 10),
    'ConvTranspose': op(_conv_transpose, 2, 3),
    'MaxPool': op(_pool),
    'AveragePool': op(_pool),
    'GlobalAveragePool': op(_global_pool),
    'GlobalMaxPool': op(_global_pool),
    'Resize': op(_resize, 1, 4, 10),
    'Upsample': op(_resize, 1, 2),
}
