"""Means and variances, where an operator gives them or needs them beside what it normalises. float32 only."""

from __future__ import annotations

from edgeflow.plan.builder import StepBuilder
from edgeflow.plan.values import Value, Word

ADD = 0
SUBTRACT = 1
MULTIPLY = 2
MEAN = 1
SUM_SQUARE = 7
SQRT = 6
RECIPROCAL = 7


def moment_steps(b: StepBuilder, source: Value, mean: Value, variance: Value, outer: int, rows: int, n: int) -> None:
    """Of `source` as [outer, rows, n] the mean and the variance of each row, over outer and n."""
    dims: list[Word] = [1, 2, rows, n, outer, n, rows * n, 1]
    centred = b.scratch(4 * outer * rows * n)
    b.step('reduce', [MEAN, 1, b.pointer(source), b.pointer(mean)] + dims)
    b.step('binary', [SUBTRACT, 1, 1, 1, b.pointer(source), b.pointer(mean), b.pointer(centred), 3, outer, rows, n, rows * n, n, 1, 0, 1, 0])
    b.step('reduce', [SUM_SQUARE, 1, b.pointer(centred), b.pointer(variance)] + dims)
    real_step(b, MULTIPLY, variance, 1 / max(1, outer * n), variance)


def real_step(b: StepBuilder, op: int, source: Value, number: float, output: Value) -> None:
    """output = op(source, number)."""
    b.step('binary', [op, 1, 1, 1, b.pointer(source), b.table([b.real(number)]), b.pointer(output), 1, output.count(), 1, 0])


def deviation_steps(b: StepBuilder, variance: Value, epsilon: float, output: Value, inverse: bool) -> None:
    """output = sqrt(variance + epsilon), or 1 by it."""
    real_step(b, ADD, variance, epsilon, output)
    for op in [SQRT, RECIPROCAL] if inverse else [SQRT]:
        b.step('unary', [op, 1, 1, b.pointer(output), b.pointer(output), output.count(), 0, 0])
