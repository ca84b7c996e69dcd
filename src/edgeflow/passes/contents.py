"""Elements of small tensors as far as shapes and constants tell them: what exporters compute from Shape.

Content is a list of numbers and symbols (see dims.py), one an element, '' where unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

from edgeflow.ir.attributes import int_of, ints_of
from edgeflow.ir.graph import Node
from edgeflow.passes.dims import Dim, add_dims, divide_dim, multiply_dims

LARGEST = 64

Element = float | str


@dataclass(frozen=True)
class Content:
    """The elements of a tensor of rank 0 or 1 or of any shape with few elements. `whole`: its dtype is an integer or bool."""

    values: list[Element]
    whole: bool


def slice_bounds(length: int, start: int, end: int, step: int) -> list[int]:
    """First index and number of indices that Slice takes of an axis of this length."""
    if step == 0:
        return [0, 0]
    low: int = 0 if step > 0 else -1
    high: int = length if step > 0 else length - 1
    first: int = max(low, min(high, start + length if start < 0 else start))
    last: int = max(low, min(high, end + length if end < 0 else end))
    span: int = last - first if step > 0 else first - last
    return [first, max(0, (span + abs(step) - 1) // abs(step))]


def slice_range(length: int, start: int, end: int, step: int) -> list[int]:
    """The indices that Slice takes of a short axis."""
    bounds: list[int] = slice_bounds(length, start, end, step)
    return [bounds[0] + i * step for i in range(bounds[1])]


def shape_content(node: Node, dims: list[Element]) -> Content:
    """Shape, with its attributes start and end."""
    start: int = int_of(node, 'start')
    end: int = int_of(node, 'end', len(dims))
    return Content([dims[i] for i in slice_range(len(dims), start, end, 1)], True)


def numbers_of(content: Content | None) -> list[int] | None:
    """The elements if all are numbers."""
    if content is None:
        return None
    result: list[int] = []
    for x in content.values:
        if isinstance(x, str):
            return None
        result.append(cast(int, x))
    return result


def combine(op: str, a: Content, b: Content) -> Content | None:
    """A binary operator on two contents of one length, or one of which is a single element."""
    count: int = max(len(a.values), len(b.values))
    if (len(a.values) != count and len(a.values) != 1) or (len(b.values) != count and len(b.values) != 1):
        return None
    if count > 0 and min(len(a.values), len(b.values)) == 0:
        return None
    values: list[Element] = []
    for i in range(count):
        x: Element = a.values[i if len(a.values) > 1 else 0]
        y: Element = b.values[i if len(b.values) > 1 else 0]
        values.append(_combine_elements(op, x, y, a.whole and b.whole))
    return Content(values, op == 'Equal' or (a.whole and b.whole))


def _combine_elements(op: str, x: Element, y: Element, whole: bool) -> Element:
    if op == 'Equal':
        return _equal(x, y)
    if isinstance(x, str) or isinstance(y, str):
        if not whole:
            return ''
        if op == 'Add':
            return add_dims(cast(Dim, x), cast(Dim, y))
        if op == 'Sub':
            return 0 if x == y and x != '' else (x if y == 0 else '')
        if op == 'Div':
            return divide_dim(cast(Dim, x), cast(int, y)) if not isinstance(y, str) else ''
        return multiply_dims(cast(Dim, x), cast(Dim, y)) if op == 'Mul' else ''
    a: float = x
    b: float = y
    if op == 'Add':
        return _bounded(a + b)
    if op == 'Sub':
        return _bounded(a - b)
    if op == 'Mul':
        return _bounded(a * b)
    if op == 'Div' and y != 0:
        return _divide(x, y, whole)
    if op == 'Pow' and (y >= 0 or not whole) and (x > 0 or y == math.floor(y)) and abs(y) <= 8 and abs(x) < 1e15 and x != 0:
        return x ** y
    return ''


def _bounded(x: float) -> Element:
    """x, unless it is beyond the whole numbers that are exact."""
    return x if abs(x) <= 9007199254740991 else ''


def _divide(x: float, y: float, whole: bool) -> float:
    """Integers are divided towards zero."""
    if not whole:
        return x / y
    quotient: int = int(abs(x) // abs(y))
    return quotient if (x < 0) == (y < 0) else -quotient


def _equal(x: Element, y: Element) -> Element:
    """Symbols are lengths, so none is negative."""
    if isinstance(x, str):
        if isinstance(y, str):
            return 1 if x == y and x != '' else ''
        return 0 if y < 0 and x != '' else ''
    if isinstance(y, str):
        return 0 if x < 0 and y != '' else ''
    return 1 if x == y else 0


def apply(op: str, a: Content) -> Content | None:
    """A unary operator, element by element."""
    values: list[Element] = []
    for x in a.values:
        if isinstance(x, str):
            values.append('')
        elif op == 'Sqrt':
            values.append(math.sqrt(x) if x >= 0 else '')
        elif op == 'Neg':
            values.append(-x)
        elif op == 'Abs':
            values.append(abs(x))
        elif op == 'Reciprocal':
            values.append(1 / x if x != 0 else '')
        elif op == 'Not':
            values.append(1 if x == 0 else 0)
        else:
            return None
    return Content(values, a.whole and op != 'Sqrt' and op != 'Reciprocal')


def choose(condition: Content, a: Content, b: Content) -> Content | None:
    """Where, on contents of one length or of a single element."""
    count: int = max(len(condition.values), max(len(a.values), len(b.values)))
    for part in [condition, a, b]:
        if len(part.values) != count and len(part.values) != 1:
            return None
    values: list[Element] = []
    for i in range(count):
        taken: Element = condition.values[i if len(condition.values) > 1 else 0]
        x: Element = a.values[i if len(a.values) > 1 else 0]
        y: Element = b.values[i if len(b.values) > 1 else 0]
        values.append((x if x == y else '') if isinstance(taken, str) else (x if taken != 0 else y))
    return Content(values, a.whole and b.whole)


def slice_content(content: Content, starts: list[int], ends: list[int], steps: list[int]) -> Content | None:
    """Slice along the only axis."""
    if len(starts) != 1 or len(ends) != 1 or len(steps) != 1:
        return None
    taken: list[int] = slice_range(len(content.values), starts[0], ends[0], steps[0])
    return Content([content.values[i] for i in taken], content.whole)


def gather_content(content: Content, indices: list[int]) -> Content | None:
    """Gather along the only axis."""
    count: int = len(content.values)
    values: list[Element] = []
    for index in indices:
        at: int = index + count if index < 0 else index
        if at < 0 or at >= count:
            return None
        values.append(content.values[at])
    return Content(values, content.whole)


def cast_content(content: Content, whole: bool) -> Content:
    """Cast to an integer type (towards zero) or to a float."""
    if not whole or content.whole:
        return Content(content.values, whole)
    values: list[Element] = []
    for x in content.values:
        usable: bool = not isinstance(x, str) and abs(x) < 1e15
        values.append(int(x) if usable else '')
    return Content(values, True)


def axes_of(node: Node, given: list[int] | None) -> list[int] | None:
    """Axes from the attribute (older opsets) or from the content of an input."""
    listed: list[int] | None = ints_of(node, 'axes')
    return listed if listed is not None else given
