"""What MLGraphBuilder's methods compute, in numpy, and the rules of the specification (https://www.w3.org/TR/webnn/) that numpy does not have.

`OPERATIONS[name](operands, given, options)`: operands: arrays of the operands among the arguments, in order; given: the other arguments.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Arrays = list[np.ndarray]
Operation = Callable[[Arrays, list, dict], np.ndarray | list[np.ndarray]]

# The names under which opSupportLimits() knows the operands among the arguments; others have 'input'.
NAMES: dict[str, list[str]] = {
    **{name: ['a', 'b'] for name in ('add', 'sub', 'mul', 'div', 'pow', 'min', 'max', 'equal', 'notEqual', 'greater', 'greaterOrEqual', 'lesser',
                                     'lesserOrEqual', 'logicalAnd', 'logicalOr', 'logicalXor', 'matmul', 'gemm')},
    **{name: ['a'] for name in ('logicalNot', 'isNaN', 'isInfinite')},
    'where': ['condition', 'trueValue', 'falseValue'], 'gather': ['input', 'indices'], 'gatherElements': ['input', 'indices'],
    'gatherND': ['input', 'indices'], 'dequantizeLinear': ['input', 'scale', 'zeroPoint'], 'prelu': ['input', 'slope'], 'conv2d': ['input', 'filter'],
    'batchNormalization': ['input', 'mean', 'variance'], 'concat': ['inputs'],
}
# Operands that must have one type.
SAME: dict[str, list[str]] = {
    'where': ['trueValue', 'falseValue'], 'gather': [], 'gatherElements': [], 'gatherND': [], 'dequantizeLinear': ['input', 'zeroPoint'],
}


def erf(x: np.ndarray) -> np.ndarray:
    from math import erf as one

    return np.vectorize(one, otypes=[np.float64])(x)


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def boolean(x: np.ndarray) -> np.ndarray:
    return x.astype(np.uint8)


UNARY: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    'abs': np.abs, 'neg': np.negative, 'sign': np.sign, 'ceil': np.ceil, 'floor': np.floor, 'roundEven': np.rint, 'sqrt': np.sqrt,
    'reciprocal': np.reciprocal, 'relu': lambda x: np.maximum(x, 0), 'sigmoid': lambda x: 1 / (1 + np.exp(-x)), 'exp': np.exp, 'log': np.log, 'sin': np.sin,
    'cos': np.cos, 'tan': np.tan, 'tanh': np.tanh, 'erf': erf, 'gelu': gelu, 'softsign': lambda x: x / (1 + np.abs(x)),
    'hardSwish': lambda x: x * np.clip(x / 6 + 0.5, 0, 1), 'identity': lambda x: x.copy(),
    'logicalNot': lambda x: boolean(x == 0), 'isNaN': lambda x: boolean(np.isnan(x)), 'isInfinite': lambda x: boolean(np.isinf(x)),
}
BINARY: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    'add': np.add, 'sub': np.subtract, 'mul': np.multiply, 'div': np.divide, 'pow': np.power, 'min': np.minimum, 'max': np.maximum,
    'equal': lambda a, b: boolean(a == b), 'notEqual': lambda a, b: boolean(a != b), 'greater': lambda a, b: boolean(a > b),
    'greaterOrEqual': lambda a, b: boolean(a >= b), 'lesser': lambda a, b: boolean(a < b), 'lesserOrEqual': lambda a, b: boolean(a <= b),
    'logicalAnd': lambda a, b: boolean((a != 0) & (b != 0)), 'logicalOr': lambda a, b: boolean((a != 0) | (b != 0)),
    'logicalXor': lambda a, b: boolean((a != 0) ^ (b != 0)), 'prelu': lambda x, slope: np.where(x < 0, x * slope, x),
}
REDUCTIONS: dict[str, Callable[..., np.ndarray]] = {
    'reduceSum': np.sum, 'reduceMean': np.mean, 'reduceMax': np.max, 'reduceMin': np.min, 'reduceProduct': np.prod,
    'reduceL1': lambda x, **over: np.abs(x).sum(**over), 'reduceL2': lambda x, **over: np.sqrt((x * x).sum(**over)),
    'reduceSumSquare': lambda x, **over: (x * x).sum(**over), 'reduceLogSum': lambda x, **over: np.log(x.sum(**over)),
}


def reduced(function: Callable[..., np.ndarray]) -> Operation:
    return lambda operands, given, options: function(operands[0], axis=tuple(options['axes']), keepdims=options.get('keepDimensions', False))


def matmul(operands: Arrays, given: list, options: dict) -> np.ndarray:
    a, b = operands
    assert min(a.ndim, b.ndim) >= 2
    return np.matmul(a, b)


def gemm(operands: Arrays, given: list, options: dict) -> np.ndarray:
    a, b = (x.T if options.get(name) else x for x, name in zip(operands, ('aTranspose', 'bTranspose'), strict=True))
    result = options.get('alpha', 1.0) * (a @ b)
    if 'c' in options:
        added = options.get('beta', 1.0) * options['c']
        assert np.broadcast_shapes(added.shape, result.shape) == result.shape
        result = result + added
    return result


def taken(operands: Arrays, given: list, options: dict) -> np.ndarray:
    """Indices are clamped, as implementations do."""
    x, indices = operands
    axis = options['axis']
    return np.take(x, np.clip(indices, -x.shape[axis], x.shape[axis] - 1), axis=axis)


def taken_along(operands: Arrays, given: list, options: dict) -> np.ndarray:
    x, indices = operands
    axis = options['axis']
    return np.take_along_axis(x, np.clip(indices, -x.shape[axis], x.shape[axis] - 1), axis=axis)


def sliced(operands: Arrays, given: list, options: dict) -> np.ndarray:
    (x,), (starts, sizes) = operands, given
    strides = options.get('strides', [1] * x.ndim)
    assert len(starts) == len(sizes) == len(strides) == x.ndim
    for start, size, dim in zip(starts, sizes, x.shape, strict=True):
        assert 0 <= start and size > 0 and start + size <= dim
    return x[tuple(slice(start, start + size, step) for start, size, step in zip(starts, sizes, strides, strict=True))]


def reshaped(operands: Arrays, given: list, options: dict) -> np.ndarray:
    assert min(given[0], default=1) > 0
    return operands[0].reshape(given[0])


def expanded(operands: Arrays, given: list, options: dict) -> np.ndarray:
    return np.broadcast_to(operands[0], given[0])


def split(operands: Arrays, given: list, options: dict) -> list[np.ndarray]:
    sizes, axis = given[0], options['axis']
    assert sum(sizes) == operands[0].shape[axis]
    return np.split(operands[0], np.cumsum(sizes)[:-1], axis)


def padded(operands: Arrays, given: list, options: dict) -> np.ndarray:
    mode = {'constant': 'constant', 'edge': 'edge', 'reflection': 'reflect'}[options['mode']]
    more = {'constant_values': options.get('value', 0)} if mode == 'constant' else {}
    return np.pad(operands[0], list(zip(given[0], given[1], strict=True)), mode, **more)


def normalized(operands: Arrays, given: list, options: dict) -> np.ndarray:
    x, axes = operands[0], options['axes']
    mean, variance = x.mean(tuple(axes), keepdims=True), x.var(tuple(axes), keepdims=True)
    result = (x - mean) / np.sqrt(variance + options['epsilon'])
    for name, join in (('scale', np.multiply), ('bias', np.add)):
        if name in options:
            assert list(options[name].shape) == [x.shape[axis] for axis in axes]
            result = join(result, options[name])
    return result


def batch_normalized(operands: Arrays, given: list, options: dict) -> np.ndarray:
    x, mean, variance = operands
    shape = [1] * x.ndim
    shape[options['axis']] = -1
    spread = [part.reshape(shape) for part in (mean, variance, options['scale'], options['bias'])]
    return (x - spread[0]) / np.sqrt(spread[1] + options['epsilon']) * spread[2] + spread[3]


def instance_normalized(operands: Arrays, given: list, options: dict) -> np.ndarray:
    assert options['layout'] == 'nchw'
    x = operands[0]
    spread = {name: options[name].reshape(1, -1, 1, 1) for name in ('scale', 'bias')}
    return (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + options['epsilon']) * spread['scale'] + spread['bias']


def windows_of(x: np.ndarray, kernel: list[int], options: dict, fill: float) -> np.ndarray:
    """[N, C, H, W, kernel h, kernel w]."""
    top, bottom, left, right = options['padding']
    step, apart = options['strides'], options['dilations']
    x = np.pad(x, [(0, 0), (0, 0), (top, bottom), (left, right)], constant_values=fill)
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, apart, strict=True)]
    return np.lib.stride_tricks.sliding_window_view(x, extent, (2, 3))[:, :, :: step[0], :: step[1], :: apart[0], :: apart[1]]


def conv2d(operands: Arrays, given: list, options: dict) -> np.ndarray:
    x, weights = operands
    groups = options['groups']
    assert x.shape[1] == weights.shape[1] * groups and weights.shape[0] % groups == 0
    seen = windows_of(x, list(weights.shape[2:]), options, 0)
    parts = [
        np.einsum('nchwij,ocij->nohw', one, w, optimize=True)
        for one, w in zip(np.split(seen, groups, 1), np.split(weights, groups, 0), strict=True)
    ]
    result = np.concatenate(parts, 1)
    return result + options['bias'].reshape(1, -1, 1, 1) if 'bias' in options else result


def max_pool(operands: Arrays, given: list, options: dict) -> np.ndarray:
    return windows_of(operands[0], options['windowDimensions'], options, -np.inf).max((4, 5))


def average_pool(operands: Arrays, given: list, options: dict) -> np.ndarray:
    count = windows_of(np.ones_like(operands[0]), options['windowDimensions'], options, 0).sum((4, 5))
    return windows_of(operands[0], options['windowDimensions'], options, 0).sum((4, 5)) / count


def dequantized(operands: Arrays, given: list, options: dict) -> np.ndarray:
    x, scale, zero = operands
    assert scale.shape == zero.shape and scale.ndim == x.ndim
    return (x.astype(np.float32) - zero.astype(np.float32)) * scale


def triangular(operands: Arrays, given: list, options: dict) -> np.ndarray:
    return (np.triu if options['upper'] else np.tril)(operands[0], options['diagonal'])


def cumulative_sum(operands: Arrays, given: list, options: dict) -> np.ndarray:
    axis, x = given[0], operands[0]
    x = np.flip(x, axis) if options['reversed'] else x
    result = np.cumsum(x, axis, dtype=x.dtype)
    result = result - x if options['exclusive'] else result
    return np.flip(result, axis) if options['reversed'] else result


OPERATIONS: dict[str, Operation] = {
    **{name: (lambda operands, given, options, f=function: f(operands[0])) for name, function in UNARY.items()},
    **{name: (lambda operands, given, options, f=function: f(*operands)) for name, function in BINARY.items()},
    **{name: reduced(function) for name, function in REDUCTIONS.items()},
    'matmul': matmul, 'gemm': gemm, 'gather': taken, 'gatherElements': taken_along, 'slice': sliced, 'reshape': reshaped, 'expand': expanded,
    'split': split, 'pad': padded, 'layerNormalization': normalized, 'batchNormalization': batch_normalized, 'instanceNormalization': instance_normalized, 'conv2d': conv2d,
    'maxPool2d': max_pool, 'averagePool2d': average_pool, 'dequantizeLinear': dequantized, 'triangular': triangular, 'cumulativeSum': cumulative_sum,
    'transpose': lambda operands, given, options: np.transpose(operands[0], options['permutation']),
    'concat': lambda operands, given, options: np.concatenate(operands, given[0]),
    'cast': lambda operands, given, options: operands[0].astype(given[0]),
    'softmax': lambda operands, given, options: softmax(operands[0], given[0]),
    'where': lambda operands, given, options: np.where(operands[0] != 0, operands[1], operands[2]),
    'clamp': lambda operands, given, options: np.clip(operands[0], options['minValue'], options['maxValue']),
    'tile': lambda operands, given, options: np.tile(operands[0], given[0]),
    'reverse': lambda operands, given, options: np.flip(operands[0], options['axes']),
    'argMax': lambda operands, given, options: operands[0].argmax(given[0], keepdims=options.get('keepDimensions', False)).astype(options['outputDataType']),
    'argMin': lambda operands, given, options: operands[0].argmin(given[0], keepdims=options.get('keepDimensions', False)).astype(options['outputDataType']),
    'leakyRelu': lambda operands, given, options: np.where(operands[0] < 0, operands[0] * options['alpha'], operands[0]),
    'elu': lambda operands, given, options: np.where(operands[0] < 0, options['alpha'] * np.expm1(operands[0]), operands[0]),
    'hardSigmoid': lambda operands, given, options: np.clip(options['alpha'] * operands[0] + options['beta'], 0, 1),
}
# What gives another type than its first operand, and is not told which.
BOOLEAN = {'equal', 'notEqual', 'greater', 'greaterOrEqual', 'lesser', 'lesserOrEqual', 'logicalAnd', 'logicalOr', 'logicalXor', 'logicalNot', 'isNaN', 'isInfinite'}

OPTIONS: dict[str, set[str]] = {
    **{name: {'axes', 'keepDimensions'} for name in REDUCTIONS},
    **{name: {'axis'} for name in ('gather', 'gatherElements', 'split')},
    **{name: {'keepDimensions', 'outputDataType'} for name in ('argMax', 'argMin')},
    'gemm': {'c', 'alpha', 'beta', 'aTranspose', 'bTranspose'}, 'slice': {'strides'}, 'pad': {'mode', 'value'},
    'layerNormalization': {'axes', 'scale', 'bias', 'epsilon'}, 'batchNormalization': {'axis', 'scale', 'bias', 'epsilon'},
    'instanceNormalization': {'scale', 'bias', 'epsilon', 'layout'},
    'conv2d': {'padding', 'strides', 'dilations', 'groups', 'bias'}, 'maxPool2d': {'padding', 'strides', 'dilations', 'windowDimensions'},
    'averagePool2d': {'padding', 'strides', 'dilations', 'windowDimensions'}, 'triangular': {'upper', 'diagonal'},
    'cumulativeSum': {'exclusive', 'reversed'}, 'transpose': {'permutation'}, 'clamp': {'minValue', 'maxValue'}, 'reverse': {'axes'},
    'leakyRelu': {'alpha'}, 'elu': {'alpha'}, 'hardSigmoid': {'alpha', 'beta'},
}
