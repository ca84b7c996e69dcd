"""Rules of rarer numeric operators: Einsum, losses, recurrent layers, quantized products, determinants."""

from __future__ import annotations

from edgeflow.ir.dtype import ITEM_BITS
from edgeflow.ir.ops.infer import FLOATS, INTEGERS, NUMBERS, InferContext, OpSpec, Type, op
from edgeflow.ir.ops.windows import conv_windows

BYTES8 = ['uint8', 'int8']


def _bit_cast(c: InferContext) -> list[Type]:
    dtype = c.attr_dtype('to', 0)
    if ITEM_BITS.get(dtype, 0) != ITEM_BITS.get(c.dtype(0), -1):
        raise c.fail(f'a type as wide as {c.dtype(0)}', dtype)
    return [Type(dtype, c.shape(0))]


def _square(c: InferContext) -> list[int]:
    shape = c.shape(0)
    rank = c.check_rank(0, 2, -1)
    if shape[rank - 1] != shape[rank - 2]:
        raise c.fail('square matrices', f'{shape}')
    return shape


def _det(c: InferContext) -> list[Type]:
    shape = _square(c)
    return [Type(c.check_dtype(0, FLOATS), shape[:len(shape) - 2])]


def _inverse(c: InferContext) -> list[Type]:
    return [Type(c.check_dtype(0, FLOATS), _square(c))]


def einsum_labels(c: InferContext) -> list[list[str]]:
    """The labels of the dims of each input, and last those of the output. Dims that '...' stands for are called '-1', '-2' ... from behind."""
    equation = c.attr_str('equation', '').replace(' ', '')
    sides = equation.split('->')
    terms = sides[0].split(',')
    if len(sides) > 2 or len(terms) != len(c.types):
        raise c.fail(f'an equation of {len(c.types)} terms', f"'{equation}'")
    labels: list[list[str]] = []
    widest = 0
    for i in range(len(terms)):
        extra = len(c.shape(i)) - (len(terms[i]) - 3 if '...' in terms[i] else len(terms[i]))
        if extra < 0 or (extra > 0 and '...' not in terms[i]):
            raise c.fail(f"input {i} of as many dims as '{terms[i]}'", f'shape {c.shape(i)}')
        if '...' in terms[i]:
            widest = max(widest, extra)
        labels.append(_letters(terms[i], extra))
    if len(sides) == 2:
        labels.append(_letters(sides[1], widest))
        return labels
    once: list[str] = []
    seen: list[str] = []
    for term in labels:
        for label in term:
            if label in once:
                once.remove(label)
            elif label not in seen and not label.startswith('-'):
                once.append(label)
            seen.append(label)
    labels.append(_letters('...', widest) + sorted(once))
    return labels


def _letters(term: str, extra: int) -> list[str]:
    """A term's labels, `extra` of them for its '...'."""
    found: list[str] = []
    at = 0
    while at < len(term):
        if term[at] == '.':
            for i in range(extra):
                found.append(f'-{extra - i}')
            at = at + 3
        else:
            found.append(term[at])
            at = at + 1
    return found


def einsum_dims(c: InferContext, labels: list[list[str]]) -> dict[str, int]:
    """The size of each label."""
    dims: dict[str, int] = {}
    for i in range(len(c.types)):
        shape = c.shape(i)
        for k in range(len(shape)):
            known = dims.get(labels[i][k], 1)
            if shape[k] != 1 and known != 1 and known != shape[k]:
                raise c.fail(f"one size of '{labels[i][k]}'", f'{known} and {shape[k]}')
            dims[labels[i][k]] = shape[k] if known == 1 else known
    return dims


def _einsum(c: InferContext) -> list[Type]:
    labels = einsum_labels(c)
    dims = einsum_dims(c, labels)
    shape: list[int] = []
    for label in labels[len(labels) - 1]:
        if label not in dims:
            raise c.fail('an output of labels that inputs have', f"'{label}'")
        shape.append(dims[label])
    for i in range(len(c.types)):
        c.check_same_dtype(0, i)
    return [Type(c.check_dtype(0, NUMBERS), shape)]


def _nll_loss(c: InferContext) -> list[Type]:
    shape = c.shape(0)
    c.check_rank(0, 2, -1)
    c.check_dtype(1, INTEGERS)
    target = shape[:1] + shape[2:]
    if c.shape(1) != target or (c.has(2) and c.shape(2) != [shape[1]]):
        raise c.fail(f'targets {target} and weights {[shape[1]]}', f'{c.shape(1)}')
    reduction = c.attr_str('reduction', 'mean')
    if reduction not in ['none', 'sum', 'mean']:
        raise c.fail('reduction none, sum or mean', reduction)
    return [Type(c.check_dtype(0, FLOATS), target if reduction == 'none' else []), Type(c.dtype(0), shape)]


def _center_crop_pad(c: InferContext) -> list[Type]:
    shape = c.shape(0)[:]
    wanted = c.check_dims(c.ints(1))
    axes = center_axes(c)
    if len(axes) != len(wanted):
        raise c.fail(f'{len(axes)} sizes', f'{wanted}')
    for i in range(len(axes)):
        shape[axes[i]] = wanted[i]
    return c.shaped(shape)


def center_axes(c: InferContext) -> list[int]:
    """The axes that CenterCropPad works on."""
    rank = len(c.shape(0))
    given = c.attr_ints('axes')
    return [i for i in range(rank)] if given is None else c.axes(given, rank)


def _conv_integer_like(c: InferContext, weight: int) -> list[int]:
    """The shape of a convolution whose weights are input `weight`."""
    inner = InferContext(c.node, c.opset, [c.type(0), c.type(weight)], lambda i: None, lambda i: None)
    return [c.shape(0)[0], c.shape(weight)[0]] + conv_windows(inner).output


def _qlinear_conv(c: InferContext) -> list[Type]:
    c.check_dtype(0, BYTES8)
    c.check_dtype(3, BYTES8)
    return [Type(c.check_dtype(7, BYTES8), _conv_integer_like(c, 3))]


GATES: dict[str, int] = {'RNN': 1, 'GRU': 3, 'LSTM': 4}


def _recurrent(c: InferContext) -> list[Type]:
    """Y, the last states, and of LSTM the last cells."""
    dtype = c.check_dtype(0, FLOATS)
    gates = GATES[c.node.op]
    for i in range(3):
        c.check_rank(i, 3, 3)
    x = c.shape(0)
    directions = 2 if c.attr_str('direction', 'forward') == 'bidirectional' else 1
    first = c.attr_int('layout') == 1
    batch = x[0] if first else x[1]
    steps = x[1] if first else x[0]
    hidden = c.shape(2)[2]
    state = [batch, directions, hidden] if first else [directions, batch, hidden]
    wanted: list[list[int]] = [[directions, gates * hidden, x[2]], [directions, gates * hidden, hidden], [directions, 2 * gates * hidden], [batch],
                               state, state, [directions, 3 * hidden]]
    for i in range(len(wanted)):
        if c.has(i + 1) and c.shape(i + 1) != wanted[i]:
            raise c.fail(f'input {i + 1} of shape {wanted[i]}', f'{c.shape(i + 1)}')
    if c.attr_int('hidden_size', hidden) != hidden:
        raise c.fail(f'hidden_size {hidden}', f'{c.attr_int("hidden_size")}')
    rows = [batch, steps, directions, hidden] if first else [steps, directions, batch, hidden]
    return [Type(dtype, rows), Type(dtype, state), Type(dtype, state)][:3 if gates == 4 else 2]


def nonzero_places(shape: list[int], numbers: list[float]) -> list[int]:
    """The indices of elements that are not 0, for each axis in turn; a scalar counts as one row."""
    places = [i for i in range(len(numbers)) if numbers[i] != 0]
    rows: list[int] = []
    stride = len(numbers)
    for dim in shape if len(shape) > 0 else [1]:
        stride = stride // max(dim, 1)
        rows.extend([place // stride % dim for place in places])
    return rows


def _nonzero(c: InferContext) -> list[Type]:
    shape = c.shape(0)
    rank = max(len(shape), 1)
    return [Type('int64', [rank, len(nonzero_places(shape, c.floats(0))) // rank])]


MORE_NUMERIC_OPS: dict[str, OpSpec] = {
    'BitCast': op(_bit_cast),
    'Det': op(_det),
    'com.microsoft:Inverse': op(_inverse),
    'Einsum': op(_einsum, 1, -1, 12),
    'NonZero': op(_nonzero, 1, 1, 9),
    'NegativeLogLikelihoodLoss': op(_nll_loss, 2, 3, 12),
    'SoftmaxCrossEntropyLoss': op(_nll_loss, 2, 3, 12),
    'CenterCropPad': op(_center_crop_pad, 2, 2, 18),
    'QLinearConv': op(_qlinear_conv, 8, 9, 10),
    'RNN': op(_recurrent, 3, 6),
    'GRU': op(_recurrent, 3, 6),
    'LSTM': op(_recurrent, 3, 8),
}
