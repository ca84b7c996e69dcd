"""Resize and Upsample: one axis after the other, by the indices and weights of what each place is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgeflow.backends.wasm.lower_dense import given
from edgeflow.backends.wasm.lower_elementwise import cast_step
from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import item_size
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.infer import InferContext
from edgeflow.ir.ops.spatial import Scaling, scalings
from edgeflow.plan.builder import StepBuilder
from edgeflow.plan.values import Value

INT32 = 6


@dataclass(frozen=True)
class Style:
    """The attributes of Resize. roi: of each axis its begin, then of each its end; [] if left out."""

    mode: str
    transform: str
    nearest: str
    cubic: float
    exclude: bool
    antialias: bool
    extrapolation: float
    roi: list[float]


def style_of(c: InferContext) -> Style:
    """Before version 11, and in Upsample, places begin at the corner and the nearest is the one before."""
    early = c.opset < 11 or c.node.op == 'Upsample'
    roi: list[float] = c.floats(1) if not early and c.has(1) and c.attr_str('coordinate_transformation_mode', '') == 'tf_crop_and_resize' else []
    axes = c.attr_ints('axes')
    if c.attr_str('coordinate_transformation_mode', '') == 'tf_crop_and_resize' and len(roi) != 2 * (len(c.shape(0)) if axes is None else len(axes)):
        raise c.fail('the begin and end of every axis as roi', f'{len(roi)} numbers')
    mode = c.attr_str('mode', 'nearest')
    return Style(
        'linear' if mode == 'bilinear' else mode,
        'asymmetric' if early else c.attr_str('coordinate_transformation_mode', 'half_pixel'),
        'floor' if early else c.attr_str('nearest_mode', 'round_prefer_floor'), c.attr_float('cubic_coeff_a', -0.75),
        c.attr_int('exclude_outside') == 1, c.attr_int('antialias') == 1, c.attr_float('extrapolation_value', 0.0), roi)


def origin(style: Style, part: Scaling, number: int, count: int, y: int) -> float:
    """Where place `y` lies in the source, in its elements; `number` of `count` axes are the roi's."""
    length = part.scale * part.size
    if style.transform == 'align_corners':
        return 0.0 if length == 1 else y * (part.size - 1) / (length - 1)
    if style.transform == 'asymmetric':
        return y / part.scale
    if style.transform == 'tf_crop_and_resize':
        begin = style.roi[number]
        span = (style.roi[count + number] - begin) * (part.size - 1)
        return begin * (part.size - 1) + (span / 2 if length == 1 else y * span / (length - 1))
    if style.transform == 'pytorch_half_pixel' and part.wanted == 1:
        return 0.0
    x = (y + 0.5) / part.scale - 0.5
    if style.transform == 'half_pixel_symmetric':
        return part.size / 2 * (1 - part.wanted / length) + x
    return x


def nearest_index(style: Style, x: float) -> int:
    if style.nearest == 'floor':
        return math.floor(x)
    if style.nearest == 'ceil':
        return math.ceil(x)
    return math.floor(x + 0.5) if style.nearest == 'round_prefer_ceil' else math.ceil(x - 0.5)


def kernel_weight(style: Style, distance: float) -> float:
    """The weight of an element at a distance (linear: a triangle; cubic: Keys 1981)."""
    x = abs(distance)
    if style.mode == 'linear':
        return max(0.0, 1.0 - x)
    a = style.cubic
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a if x < 2 else 0.0


def axis_steps(b: StepBuilder, style: Style, part: Scaling, number: int, count: int, source: Value, target: Value) -> None:
    """Resize the axis of `part`; target has the shape of source with that axis of its new size."""
    reach = 2 if style.mode == 'cubic' else 1
    # Antialiasing widens the window of what is made smaller.
    narrow = min(part.scale, 1.0) if style.antialias else 1.0
    before = math.floor(-reach / narrow) + 1
    taps = 1 if style.mode == 'nearest' else 2 - 2 * before
    indices: list[int] = []
    weights: list[int] = []
    outside = False
    for y in range(part.wanted):
        x = origin(style, part, number, count, y)
        out = style.transform == 'tf_crop_and_resize' and (x < 0 or x > part.size - 1)
        outside = outside or out
        # The element before, never the place itself.
        base = math.ceil(x) - 1
        row: list[float] = []
        for t in range(taps):
            i = nearest_index(style, x) if style.mode == 'nearest' else base + before + t
            weight = 1.0 if style.mode == 'nearest' else kernel_weight(style, (i - x) * narrow)
            row.append(0.0 if style.exclude and (i < 0 or i >= part.size) else weight)
            indices.append(-1 if out else min(max(i, 0), part.size - 1))
        total = sum(row)
        for weight in row:
            weights.append(b.real(style.extrapolation if out else weight if total == 0 else weight / total))
    outer = element_count(source.shape[:part.axis])
    inner = element_count(source.shape[part.axis + 1:])
    if style.mode == 'nearest' and not outside:
        b.step('gather', [inner * item_size(source), b.pointer(source), b.table(indices), INT32, b.pointer(target), outer, part.size, part.wanted])
        return
    wide = source
    made = target
    if source.dtype != 'float32':
        wide = b.typed_scratch('float32', source.shape)
        made = b.typed_scratch('float32', target.shape)
        cast_step(b, source, wide)
    b.step('interpolate_f32', [b.pointer(wide), b.pointer(made), outer, part.size, part.wanted, inner, taps, b.table(indices), b.table(weights)])
    if made is not target:
        cast_step(b, made, target)


def lower_resize(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = context_of(b, node, inputs)
    style = style_of(c)
    parts = scalings(c)
    output = given(b, outputs)
    active = [i for i in range(len(parts)) if parts[i].scale != 1 or parts[i].wanted != parts[i].size or len(style.roi) > 0]
    current = given(b, inputs)
    if len(active) == 0:
        b.alias(output, current)
    for i in active:
        part = parts[i]
        shape = current.shape[:part.axis] + [part.wanted] + current.shape[part.axis + 1:]
        target = output if i == active[-1] else b.typed_scratch(output.dtype, shape)
        axis_steps(b, style, part, i, len(parts), current, target)
        current = target
