"""Steps of optimizers (ai.onnx.preview.training), each made of elementwise operators."""

from __future__ import annotations

import math

from edgeflow.backends.wasm.more.values import Call, Datum, Interpret
from edgeflow.ir.attributes import number_of, text_of
from edgeflow.plan.values import Value

DOMAIN = 'ai.onnx.preview.training:'


def _scaled(c: Call, factor: float, x: Value) -> Value:
    return c.t.apply('Mul', [c.t.make(x.dtype, [], [factor]), x])


def _sum(c: Call, x: Value, y: Value) -> Value:
    return c.t.apply('Add', [x, y])


def _root(c: Call, x: Value) -> Value:
    """sqrt(x) + epsilon."""
    return _sum(c, c.t.apply('Sqrt', [x]), c.t.make(x.dtype, [], [number_of(c.node, 'epsilon', 1e-6)]))


def _groups(c: Call, size: int) -> list[list[Value]]:
    """Inputs 2... hold first all tensors to be optimized, then their gradients, then the states: one list for each tensor."""
    count = (len(c.inputs) - 2) // size
    if count < 1 or len(c.inputs) != 2 + count * size:
        raise c.invalid(f'2 inputs and {size} for each tensor', f'{len(c.inputs)}')
    return [[c.value(2 + i + k * count) for k in range(size)] for i in range(count)]


def _gradient(c: Call, x: Value, g: Value) -> Value:
    """With that of the L2 norm."""
    return _sum(c, _scaled(c, number_of(c.node, 'norm_coefficient', 0.0), x), g)


def _in_order(results: list[list[Value]]) -> list[Datum | None]:
    """All new tensors first, then all states of one kind after the other."""
    return [row[k] for k in range(len(results[0])) for row in results]


def _adagrad(c: Call) -> list[Datum | None]:
    rate = c.scalar(0) / (1 + c.scalar(1) * number_of(c.node, 'decay_factor', 0.0))
    results: list[list[Value]] = []
    for group in _groups(c, 3):
        g = _gradient(c, group[0], group[1])
        h = _sum(c, group[2], c.t.apply('Mul', [g, g]))
        results.append([_sum(c, group[0], _scaled(c, -rate, c.t.apply('Div', [g, _root(c, h)]))), h])
    return _in_order(results)


def _adam(c: Call) -> list[Datum | None]:
    alpha = number_of(c.node, 'alpha', 0.9)
    beta = number_of(c.node, 'beta', 0.999)
    turn = c.scalar(1)
    rate = c.scalar(0)
    if turn > 0:
        rate = rate * math.sqrt(1 - beta ** turn) / (1 - alpha ** turn)
    results: list[list[Value]] = []
    for group in _groups(c, 4):
        g = _gradient(c, group[0], group[1])
        v = _sum(c, _scaled(c, alpha, group[2]), _scaled(c, 1 - alpha, g))
        h = _sum(c, _scaled(c, beta, group[3]), _scaled(c, 1 - beta, c.t.apply('Mul', [g, g])))
        x = _sum(c, group[0], _scaled(c, -rate, c.t.apply('Div', [v, _root(c, h)])))
        results.append([_scaled(c, 1 - number_of(c.node, 'norm_coefficient_post', 0.0), x), v, h])
    return _in_order(results)


def _momentum(c: Call) -> list[Datum | None]:
    alpha = number_of(c.node, 'alpha', 0.9)
    beta = number_of(c.node, 'beta', 1.0) if c.scalar(1) > 0 else 1.0
    results: list[list[Value]] = []
    for group in _groups(c, 3):
        g = _gradient(c, group[0], group[1])
        v = _sum(c, _scaled(c, alpha, group[2]), _scaled(c, beta, g))
        step = v if text_of(c.node, 'mode', 'standard') == 'standard' else _sum(c, g, _scaled(c, alpha, v))
        results.append([_sum(c, group[0], _scaled(c, -c.scalar(0), step)), v])
    return _in_order(results)


TRAINING_RULES: dict[str, Interpret] = {DOMAIN + 'Adagrad': _adagrad, DOMAIN + 'Adam': _adam, DOMAIN + 'Momentum': _momentum}
