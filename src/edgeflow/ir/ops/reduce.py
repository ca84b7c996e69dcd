"""Rules of reductions and of operators that work along one axis with an unchanged shape."""

from __future__ import annotations

from edgeflow.ir.ops.infer import FLOATS, NUMBERS, Infer, InferContext, OpSpec, Type, op


def reduced_axes(c: InferContext) -> list[int]:
    """The axes over which a Reduce* node of any opset goes, in rising order; none for a no-op."""
    rank = len(c.shape(0))
    given = c.ints(1) if c.has(1) else c.attr_ints('axes')
    if given is None or len(given) == 0:
        if c.attr_int('noop_with_empty_axes') == 1:
            return []
        return [i for i in range(rank)]
    return sorted(c.axes(given, rank))


def reduced_shape(shape: list[int], axes: list[int], keep_dims: bool) -> list[int]:
    result: list[int] = []
    for i in range(len(shape)):
        if i not in axes:
            result.append(shape[i])
        elif keep_dims:
            result.append(1)
    return result


def _reduce(allowed: list[str]) -> Infer:
    def infer(c: InferContext) -> list[Type]:
        dtype = c.check_dtype(0, allowed)
        return [Type(dtype, reduced_shape(c.shape(0), reduced_axes(c), c.attr_int('keepdims', 1) == 1))]
    return infer


def _arg_reduce(c: InferContext) -> list[Type]:
    c.check_dtype(0, NUMBERS)
    shape = c.shape(0)
    axis = c.axis(c.attr_int('axis'), len(shape))
    if shape[axis] == 0:
        raise c.fail(f'at least one element along axis {axis}', f'shape {shape}')
    return [Type('int64', reduced_shape(shape, [axis], c.attr_int('keepdims', 1) == 1))]


def _cum_sum(c: InferContext) -> list[Type]:
    c.check_dtype(0, NUMBERS)
    c.check_dtype(1, ['int64', 'int32'])
    axis = c.ints(1)
    if len(axis) != 1:
        raise c.fail('one axis', f'{axis}')
    c.axis(axis[0], len(c.shape(0)))
    return [c.type(0)]


def _along_axis(c: InferContext) -> list[Type]:
    c.check_dtype(0, FLOATS)
    rank = len(c.shape(0))
    axis = c.attr_int('axis', -1 if c.opset >= 13 else 1)
    if rank > 0 and not (c.opset < 13 and axis == rank):
        c.axis(axis, rank)
    return [c.type(0)]


def _table() -> dict[str, OpSpec]:
    table: dict[str, OpSpec] = {
        'ReduceMax': op(_reduce(NUMBERS + ['bool']), 1, 2),
        'ReduceMin': op(_reduce(NUMBERS + ['bool']), 1, 2),
        'ArgMax': op(_arg_reduce),
        'ArgMin': op(_arg_reduce),
        'CumSum': op(_cum_sum, 2, 2, 11),
        'CumProd': op(_cum_sum, 2, 2, 26),
        'Softmax': op(_along_axis),
        'LogSoftmax': op(_along_axis),
        'Hardmax': op(_along_axis),
    }
    for name in REDUCTIONS:
        if name not in table:
            table[name] = op(_reduce(NUMBERS), 1, 2)
    return table


REDUCTIONS: list[str] = [
    'ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL1', 'ReduceL2', 'ReduceSumSquare', 'ReduceLogSum', 'ReduceLogSumExp',
]
REDUCE_OPS: dict[str, OpSpec] = _table()
