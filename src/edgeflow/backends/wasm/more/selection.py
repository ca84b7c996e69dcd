"""Operators that choose elements by what they are: Unique, NonMaxSuppression."""

from __future__ import annotations

import math

from edgeflow.backends.wasm.more.values import Call, Datum, Interpret
from edgeflow.ir.attributes import int_of
from edgeflow.plan.values import Value


def _unique(c: Call) -> list[Datum | None]:
    """Rows are compared as lists of numbers; NaN is above all, and equal to itself, as in numpy."""
    source = c.value(0)
    axis = -1
    if 'axis' in c.node.attributes:
        axis = c.axis(int_of(c.node, 'axis'), len(source.shape))
    count = source.count() if axis < 0 else source.shape[axis]
    rows = c.t.reshaped(source, [count])
    if axis >= 0:
        perm = [axis] + [i for i in range(len(source.shape)) if i != axis]
        rows = c.t.apply('Transpose', [source], {'perm': perm})
    keys = _row_keys(c, rows, count)
    seen: dict[str, int] = {}
    firsts: list[int] = []
    counts: list[int] = []
    inverse: list[int] = []
    for i in range(count):
        text = f'{keys[i]}'
        at = seen.get(text, -1)
        if at < 0:
            at = len(firsts)
            seen[text] = at
            firsts.append(i)
            counts.append(0)
        counts[at] = counts[at] + 1
        inverse.append(at)
    order = [i for i in range(len(firsts))]
    if int_of(c.node, 'sorted', 1) == 1:
        order = sorted(order, key=lambda at: keys[firsts[at]])
    place = [0] * len(order)
    for i in range(len(order)):
        place[order[i]] = i
    chosen = c.t.make('int64', [len(order)], [firsts[at] for at in order])
    return [
        c.t.apply('Gather', [source if axis >= 0 else rows, chosen], {'axis': max(axis, 0)}), chosen,
        c.t.make('int64', [count], [place[at] for at in inverse]), c.t.make('int64', [len(order)], [counts[at] for at in order]),
    ]


def _row_keys(c: Call, rows: Value, count: int) -> list[list[float]] | list[list[str]]:
    """What each row is sorted by."""
    if rows.dtype == 'string':
        texts = c.t.strings(rows)
        width = len(texts) // max(count, 1)
        return [texts[i * width:(i + 1) * width] for i in range(count)]
    numbers: list[float] = []
    for x in c.t.exact(rows):
        if rows.dtype[:5] == 'float':
            numbers.append(1 if math.isnan(x) else 0)
            numbers.append(0 if math.isnan(x) else x)
        else:
            numbers.append(x)
    width = len(numbers) // max(count, 1)
    return [numbers[i * width:(i + 1) * width] for i in range(count)]


def _suppress(c: Call) -> list[Datum | None]:
    shape = c.value(0).shape
    scored = c.value(1).shape
    if len(shape) != 3 or shape[2] != 4 or len(scored) != 3 or scored[0] != shape[0] or scored[2] != shape[1]:
        raise c.fail('boxes [B, N, 4] and scores [B, C, N]', f'{shape} and {scored}')
    most = int(c.scalar(2)) if c.has(2) else 0
    overlap = c.scalar(3) if c.has(3) else 0.0
    least = c.scalar(4) if c.has(4) else -math.inf
    scores = c.numbers(1)
    boxes = _corners(c.numbers(0), int_of(c.node, 'center_point_box') == 1)
    count = shape[1]
    chosen: list[int] = []
    for row in range(scored[0] * scored[1]):
        start = row * count
        batch = row // scored[1]
        order = [i for i in range(count) if scores[start + i] > least]
        order = sorted(order, key=lambda i: -scores[start + i])
        kept: list[int] = []
        for i in order:
            if len(kept) >= most:
                break
            free = True
            for other in kept:
                if _overlap(boxes, 4 * (batch * count + i), 4 * (batch * count + other)) > overlap:
                    free = False
                    break
            if free:
                kept.append(i)
                chosen.extend([batch, row % scored[1], i])
    return [c.t.make('int64', [len(chosen) // 3, 3], chosen)]


def _corners(boxes: list[float], centered: bool) -> list[float]:
    """Low and high corner of every box."""
    corners: list[float] = []
    for i in range(0, len(boxes), 4):
        a = boxes[i]
        b = boxes[i + 1]
        c = boxes[i + 2]
        d = boxes[i + 3]
        if centered:
            corners.extend([a - c / 2, b - d / 2, a + c / 2, b + d / 2])
        else:
            corners.extend([min(a, c), min(b, d), max(a, c), max(b, d)])
    return corners


def _overlap(boxes: list[float], i: int, k: int) -> float:
    """Area of the intersection of two boxes over that of their union."""
    height = min(boxes[i + 2], boxes[k + 2]) - max(boxes[i], boxes[k])
    width = min(boxes[i + 3], boxes[k + 3]) - max(boxes[i + 1], boxes[k + 1])
    if height <= 0 or width <= 0:
        return 0.0
    area = (boxes[i + 2] - boxes[i]) * (boxes[i + 3] - boxes[i + 1]) + (boxes[k + 2] - boxes[k]) * (boxes[k + 3] - boxes[k + 1])
    return height * width / (area - height * width)


SELECTION_RULES: dict[str, Interpret] = {'Unique': _unique, 'NonMaxSuppression': _suppress}
