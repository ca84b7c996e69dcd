"""Rules of com.microsoft's quantized operators: values with scale and zero point behind each."""

from __future__ import annotations

from edgeflow.ir.ops.dense import matmul_shape
from edgeflow.ir.ops.infer import Infer, InferContext, OpSpec, Type, op
from edgeflow.ir.ops.more.numeric import BYTES8
from edgeflow.ir.ops.reduce import reduced_shape
from edgeflow.ir.ops.windows import find_windows


def _unary(c: InferContext) -> list[Type]:
    return [Type(c.check_dtype(0, BYTES8), c.shape(0))]


def _binary(c: InferContext) -> list[Type]:
    return [Type(c.check_dtype(0, BYTES8), c.broadcast([c.shape(0), c.shape(3)]))]


def _where(c: InferContext) -> list[Type]:
    c.check_dtype(0, ['bool'])
    return [Type(c.check_dtype(1, BYTES8), c.broadcast([c.shape(0), c.shape(1), c.shape(4)]))]


def _concat(c: InferContext) -> list[Type]:
    count = len(c.types) - 2
    if count < 3 or count % 3 != 0:
        raise c.fail('a scale, a zero point, and three inputs for each part', f'{count + 2} inputs')
    shape = c.shape(2)[:]
    axis = c.axis(c.attr_int('axis'), c.check_rank(2, 1, -1))
    for i in range(5, count + 2, 3):
        other = c.shape(i)
        if len(other) != len(shape) or other[:axis] != shape[:axis] or other[axis + 1:] != shape[axis + 1:]:
            raise c.fail(f'input {i} to match {shape} but for axis {axis}', f'{other}')
        shape[axis] = shape[axis] + other[axis]
    return [Type(c.check_dtype(1, BYTES8), shape)]


def channels_first(shape: list[int], last: bool) -> list[int]:
    """[N, ..., C] as [N, C, ...] if the channels are last."""
    return [shape[0], shape[len(shape) - 1]] + shape[1:len(shape) - 1] if last else shape


def _pool(c: InferContext) -> list[Type]:
    rank = c.check_rank(0, 3, -1)
    last = c.attr_int('channels_last') == 1
    shape = channels_first(c.shape(0), last)
    if c.node.op == 'QLinearGlobalAveragePool':
        spatial = [1] * (rank - 2)
    else:
        kernel = c.attr_ints('kernel_shape')
        if kernel is None or len(kernel) != rank - 2:
            raise c.fail(f'a kernel_shape of {rank - 2} numbers', f'{kernel}')
        spatial = find_windows(c, shape[2:], kernel).output
    output = shape[:1] + spatial + shape[1:2] if last else shape[:2] + spatial
    return [Type(c.check_dtype(0, BYTES8), output)]


def _reduce(c: InferContext) -> list[Type]:
    rank = len(c.shape(0))
    given = c.attr_ints('axes')
    axes = [i for i in range(rank)] if given is None else c.axes(given, rank)
    return [Type(c.check_dtype(0, BYTES8), reduced_shape(c.shape(0), axes, c.attr_int('keepdims', 1) == 1))]


def _qgemm(c: InferContext) -> list[Type]:
    c.check_rank(0, 2, 2)
    c.check_rank(3, 2, 2)
    a = c.shape(0) if c.attr_int('transA') == 0 else [c.shape(0)[1], c.shape(0)[0]]
    b = c.shape(3) if c.attr_int('transB') == 0 else [c.shape(3)[1], c.shape(3)[0]]
    return [Type(c.check_dtype(0, BYTES8) if c.has(7) else 'float32', matmul_shape(c, a, b))]


def _product(right: int) -> Infer:
    def infer(c: InferContext) -> list[Type]:
        return [Type('float32', matmul_shape(c, c.shape(0), c.shape(right)))]
    return infer


def _attention(c: InferContext) -> list[Type]:
    c.check_rank(0, 3, 3)
    c.check_rank(1, 2, 2)
    shape = c.shape(0)
    if c.shape(1)[0] != shape[2] or c.shape(1)[1] % 3 != 0 or c.shape(2) != [c.shape(1)[1]]:
        raise c.fail(f'weights of {shape[2]} rows and a bias for their columns', f'{c.shape(1)} and {c.shape(2)}')
    if c.has(8):
        raise c.unsupported('past keys and values')
    return [Type('float32', [shape[0], shape[1], c.shape(1)[1] // 3])]


# Without 'com.microsoft:', which is put before them.
_OPS: dict[str, OpSpec] = {
    'QLinearAdd': op(_binary, 7, 8),
    'QLinearMul': op(_binary, 7, 8),
    'QLinearSigmoid': op(_unary, 4, 5),
    'QLinearLeakyRelu': op(_unary, 4, 5),
    'QLinearSoftmax': op(_unary, 5),
    'QLinearWhere': op(_where, 9),
    'QLinearConcat': op(_concat, 5, -1),
    'QLinearGlobalAveragePool': op(_pool, 5),
    'QLinearAveragePool': op(_pool, 4, 5),
    'QLinearReduceMean': op(_reduce, 5),
    'QGemm': op(_qgemm, 6, 9),
    'DynamicQuantizeMatMul': op(_product(1), 3, 5),
    'MatMulIntegerToFloat': op(_product(1), 4, 7),
    'QAttention': op(_attention, 5, 9),
}


MORE_QUANTIZED_OPS: dict[str, OpSpec] = {'com.microsoft:' + key: spec for key, spec in _OPS.items()}
