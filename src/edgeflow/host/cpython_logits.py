"""Choosing among many logits, by numpy; see host/port.py. CPython only."""

from __future__ import annotations

import numpy

# 2^-k, 2^-(j/32) by square roots, which round alike everywhere, and ln 2 / 32 in two parts; the same as in browser_logits.
_POWERS = numpy.ldexp(1.0, -numpy.arange(1024))
_ROOTS = numpy.ones(32)
_root = numpy.sqrt(0.5)
for _bit in (16, 8, 4, 2, 1):
    _ROOTS[(numpy.arange(32) & _bit) > 0] *= _root
    _root = numpy.sqrt(_root)
_STEPS, _STEP_HIGH, _STEP_LOW = 46.16624130844683, 0.021660849390173098, 2.325192846878874e-12


def highest(array: numpy.ndarray) -> int:
    finite = numpy.where(array > -numpy.inf, array, -numpy.inf)
    best = int(finite.argmax()) if array.size > 0 else -1
    return best if best >= 0 and finite[best] > -numpy.inf else -1


def exp_weights(array: numpy.ndarray, top: float, temperature: float) -> numpy.ndarray:
    """The operations and their order are those of browser_logits: + and * round alike everywhere, exp() does not."""
    x = (array.astype(numpy.float64) - top) / temperature
    counted = x > -700
    x = numpy.where(counted, x, 0.0)
    m = numpy.floor(0.5 - x * _STEPS)
    r = x + m * _STEP_HIGH + m * _STEP_LOW
    value = ((((r / 120 + 1 / 24) * r + 1 / 6) * r + 0.5) * r + 1) * r + 1
    steps = m.astype(numpy.int64)
    return numpy.where(counted, value * _ROOTS[steps & 31] * _POWERS[steps >> 5], 0.0)


def weight_sum(weights: numpy.ndarray) -> float:
    return float(numpy.add.accumulate(weights)[-1]) if weights.size > 0 else 0.0


def draw(weights: numpy.ndarray, goal: float) -> int:
    positive = numpy.flatnonzero(weights > 0)
    if positive.size == 0:
        return 0
    place = int(numpy.searchsorted(numpy.add.accumulate(weights[positive]), goal, side='right'))
    return int(positive[min(place, positive.size - 1)])


def cut(keys: numpy.ndarray, weights: numpy.ndarray | None, goal: float) -> float:
    items = numpy.flatnonzero(keys > -numpy.inf)
    order = items[numpy.argsort(-keys[items], kind='stable')]
    sums = numpy.arange(1, order.size + 1) if weights is None else numpy.add.accumulate(weights[order])
    place = int(numpy.searchsorted(sums, goal, side='left'))
    return float(keys[order[min(place, order.size - 1)]])


def at_least(keys: numpy.ndarray, threshold: float) -> numpy.ndarray:
    # As doubles, which numpy would not do by itself.
    return numpy.flatnonzero(keys >= numpy.float64(threshold)).astype(numpy.int32)


def take(array: numpy.ndarray, indices: numpy.ndarray) -> numpy.ndarray:
    return array[indices]


def typical_keys(array: numpy.ndarray, weights: numpy.ndarray, top: float, temperature: float) -> numpy.ndarray:
    living = weights > 0
    logs = numpy.where(living, (array.astype(numpy.float64) - top) / temperature, 0.0)
    mean = numpy.add.accumulate(weights / weight_sum(weights) * logs)[-1]
    return numpy.where(living, -numpy.abs(logs - mean), -numpy.inf)
