"""What the classifiers and regressors of ai.onnx.ml share: rows, labels, transforms of scores."""

from __future__ import annotations

import math

from edgeflow.backends.wasm.more.values import Call
from edgeflow.plan.values import Value

DOMAIN = 'ai.onnx.ml:'


def rows_of(c: Call) -> list[list[float]]:
    """The rows of input 0, [N, C] or [C]."""
    shape = c.value(0).shape
    if len(shape) < 1 or len(shape) > 2:
        raise c.fail('features [N, C]', f'shape {shape}')
    width = shape[len(shape) - 1]
    numbers = c.numbers(0)
    return [numbers[i * width:(i + 1) * width] for i in range(shape[0] if len(shape) == 2 else 1)]


def dot(a: list[float], start: int, b: list[float]) -> float:
    """The sum of a[start + i] * b[i]."""
    total = 0.0
    for i in range(len(b)):
        total += a[start + i] * b[i]
    return total


def make_scores(c: Call, rows: list[list[float]]) -> Value:
    """[N, scores] float32."""
    numbers: list[float] = []
    for row in rows:
        numbers.extend(row)
    return c.t.make('float32', [len(rows), len(rows[0]) if len(rows) > 0 else 0], numbers)


def make_labels(c: Call, ints: str, chosen: list[int]) -> Value:
    """The labels of classes by number, from the attributes 'classlabels_strings' and `ints`; the numbers if there are none."""
    texts = c.attr_texts('classlabels_strings')
    numbers = c.attr_numbers(ints)
    known = len(texts) if len(texts) > 0 else len(numbers)
    if known > 0 and max(chosen + [0]) >= known:
        raise c.invalid(f'labels for {max(chosen) + 1} classes', f'{known}')
    if len(texts) > 0:
        return c.t.make_texts([len(chosen)], [texts[i] for i in chosen])
    return c.t.make('int64', [len(chosen)], [numbers[i] if known > 0 else i for i in chosen])


def class_count(c: Call, ints: str) -> int:
    return max(len(c.attr_texts('classlabels_strings')), len(c.attr_numbers(ints)))


def highest_of(row: list[float]) -> int:
    """The first index of the greatest."""
    best = 0
    for i in range(1, len(row)):
        if row[i] > row[best]:
            best = i
    return best


def transformed(c: Call, row: list[float], kind: str) -> list[float]:
    """The attribute post_transform, applied to the scores of a row."""
    if kind == 'NONE':
        return row
    if kind == 'LOGISTIC':
        return [logistic(x) for x in row]
    if kind == 'PROBIT':
        return [_probit(x) for x in row]
    if kind == 'SOFTMAX' or kind == 'SOFTMAX_ZERO':
        top = max(row)
        # SOFTMAX_ZERO leaves what is zero.
        powers = [0.0 if kind == 'SOFTMAX_ZERO' and abs(x) <= 0.0000001 else math.exp(x - top) for x in row]
        total = sum(powers)
        return [x / total if total != 0 else 0.5 for x in powers]
    raise c.invalid('a known post_transform', kind)


def two_scores(c: Call, score: float, positive: bool, kind: str) -> list[float]:
    """The scores of both classes, of one. positive: it is a share of 1; else it is 0 where both are alike."""
    if kind == 'PROBIT':
        return [_probit(score)]
    if positive:
        return [1 - score, score]
    return transformed(c, [-score, score], kind)


def logistic(x: float) -> float:
    """1 / (1 + e^-x), without overflow."""
    power = math.exp(-abs(x))
    return power / (1 + power) if x < 0 else 1 / (1 + power)


def _probit(share: float) -> float:
    """Winitzki's approximation (2008) of the normal distribution's quantile, which ONNX's reference takes."""
    x = 2 * share - 1
    rest = (1 - x) * (1 + x)
    if rest <= 0:
        return 0.0
    log = math.log(rest)
    v = 2 / (math.pi * 0.147) + 0.5 * log
    root = math.sqrt(-v + math.sqrt(v * v - log / 0.147))
    return 1.41421356 * (-root if x < 0 else root)
