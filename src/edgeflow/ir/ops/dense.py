"""Rules of matrix products, normalisations and quantisation."""

from __future__ import annotations

from edgeflow.ir.dtype import element_count
from edgeflow.ir.ops.infer import FLOATS, INTEGERS, SMALL, InferContext, OpSpec, Type, op

BYTES8 = ['uint8', 'int8']
QUANTIZED = ['uint8', 'int8', 'uint16', 'int16'] + SMALL


def matmul_shape(c: InferContext, a: list[int], b: list[int]) -> list[int]:
    """The shape of numpy.matmul(a, b)."""
    if len(a) == 0 or len(b) == 0:
        raise c.fail('ranks of 1 or more', f'shapes {a} and {b}')
    left = [1] + a if len(a) == 1 else a
    right = b + [1] if len(b) == 1 else b
    if left[len(left) - 1] != right[len(right) - 2]:
        raise c.fail('equal inner dims', f'shapes {a} and {b}')
    shape = c.broadcast([left[:len(left) - 2], right[:len(right) - 2]])
    if len(a) > 1:
        shape.append(left[len(left) - 2])
    if len(b) > 1:
        shape.append(right[len(right) - 1])
    return shape


def _matmul(c: InferContext) -> list[Type]:
    c.check_dtype(0, FLOATS + INTEGERS)
    return [Type(c.check_same_dtype(0, 1), matmul_shape(c, c.shape(0), c.shape(1)))]


def _matmul_integer(c: InferContext) -> list[Type]:
    c.check_dtype(0, BYTES8)
    c.check_dtype(1, BYTES8)
    for i in range(2, 4):
        if c.has(i):
            c.check_same_dtype(i - 2, i)
    return [Type('int32', matmul_shape(c, c.shape(0), c.shape(1)))]


def _qlinear_matmul(c: InferContext) -> list[Type]:
    c.check_dtype(0, BYTES8)
    c.check_dtype(3, BYTES8)
    return [Type(c.check_dtype(7, BYTES8), matmul_shape(c, c.shape(0), c.shape(3)))]


def _gemm(c: InferContext) -> list[Type]:
    dtype = c.check_same_dtype(0, 1)
    c.check_rank(0, 2, 2)
    c.check_rank(1, 2, 2)
    a = c.shape(0) if c.attr_int('transA') == 0 else [c.shape(0)[1], c.shape(0)[0]]
    b = c.shape(1) if c.attr_int('transB') == 0 else [c.shape(1)[1], c.shape(1)[0]]
    if a[1] != b[0]:
        raise c.fail('equal inner dims', f'{a} and {b}')
    shape = [a[0], b[1]]
    if c.has(2) and c.broadcast([shape, c.shape(2)]) != shape:
        raise c.fail(f'input 2 that can be broadcast to {shape}', f'{c.shape(2)}')
    return [Type(dtype, shape)]


def _dynamic_quantize(c: InferContext) -> list[Type]:
    c.check_dtype(0, FLOATS)
    return [Type('uint8', c.shape(0)), Type('float32', []), Type('uint8', [])]


def check_scale(c: InferContext, index: int, axis_default: int) -> None:
    """A scale or zero point: one element, one for each index of `axis`, or one for each block along `axis`."""
    shape = c.shape(0)
    scale = c.shape(index)
    count: int = 1
    for dim in scale:
        count = count * dim
    block = c.attr_int('block_size')
    if block == 0 and count == 1 and len(scale) <= 1:
        return
    axis = c.axis(c.attr_int('axis', axis_default), len(shape))
    if block == 0:
        if len(scale) != 1 or scale[0] != shape[axis]:
            raise c.fail(f'a scale and zero point of one element or of {shape[axis]}', f'shape {scale}')
        return
    wanted = shape[:]
    wanted[axis] = (shape[axis] + block - 1) // block if block > 0 else -1
    if block < 0 or scale != wanted:
        raise c.fail(f'a scale and zero point of shape {wanted} (blocks of {block})', f'{scale}')


def _check_zero_point(c: InferContext) -> None:
    if c.shape(2) != c.shape(1) and (element_count(c.shape(1)) != 1 or element_count(c.shape(2)) != 1):
        raise c.fail('a zero point of the shape of the scale', f'{c.shape(1)} and {c.shape(2)}')


def _quantize(c: InferContext) -> list[Type]:
    c.check_dtype(0, FLOATS + ['int32'])
    check_scale(c, 1, 1)
    dtype = 'uint8'
    if c.has(2):
        dtype = c.check_dtype(2, QUANTIZED)
        _check_zero_point(c)
    elif c.attr_int('output_dtype') != 0:
        dtype = c.attr_dtype('output_dtype', 0)
    if dtype not in QUANTIZED:
        raise c.unsupported(f'output type {dtype}')
    return [Type(dtype, c.shape(0))]


def _dequantize(c: InferContext) -> list[Type]:
    c.check_dtype(0, QUANTIZED + ['int32'])
    c.check_dtype(1, FLOATS)
    check_scale(c, 1, 1)
    if c.has(2):
        c.check_same_dtype(0, 2)
        _check_zero_point(c)
    dtype = c.attr_dtype('output_dtype', 0) if c.attr_int('output_dtype') != 0 else c.dtype(1)
    return [Type(dtype, c.shape(0))]


def _layer_norm(c: InferContext) -> list[Type]:
    source = c.type(0)
    c.check_dtype(0, FLOATS)
    rank = c.check_rank(0, 1, -1)
    axis = c.axis(c.attr_int('axis', -1), rank)
    for i in range(1, 3):
        if c.has(i) and c.broadcast([c.shape(i), source.shape]) != source.shape:
            raise c.fail(f'input {i} that can be broadcast to {source.shape}', f'{c.shape(i)}')
    stash = source.shape[:axis] + [1] * (rank - axis)
    return [Type(source.dtype, source.shape), Type('float32', stash), Type('float32', stash)]


def _rms_norm(c: InferContext) -> list[Type]:
    """As the above, of the scale's type."""
    return [Type(c.dtype(1), _layer_norm(c)[0].shape)]


def _per_channel(c: InferContext) -> list[Type]:
    """Inputs 1.. are vectors with one number a channel (axis 1)."""
    c.check_dtype(0, FLOATS)
    c.check_rank(0, 2, -1)
    channels = c.shape(0)[1]
    for i in range(1, len(c.types)):
        if c.shape(i) != [channels]:
            raise c.fail(f'input {i} of shape {[channels]}', f'{c.shape(i)}')
    return [c.type(0)]


def _batch_norm(c: InferContext) -> list[Type]:
    made = _per_channel(c)
    if c.attr_int('training_mode') != 0:
        return made + [c.type(3), c.type(4)]
    return made


def _group_norm(c: InferContext) -> list[Type]:
    c.check_dtype(0, FLOATS)
    c.check_rank(0, 2, -1)
    groups = c.attr_int('num_groups')
    channels = c.shape(0)[1]
    if groups < 1 or channels % groups != 0:
        raise c.fail(f'num_groups that divides {channels}', f'{groups}')
    wanted = [groups] if c.opset < 21 else [channels]
    for i in range(1, 3):
        if c.shape(i) != wanted:
            raise c.fail(f'input {i} of shape {wanted}', f'{c.shape(i)}')
    return [c.type(0)]


DENSE_OPS: dict[str, OpSpec] = {
    'MatMul': op(_matmul, 2),
    'Gemm': op(_gemm, 2, 3),
    'MatMulInteger': op(_matmul_integer, 2, 4, 10),
    'QLinearMatMul': op(_qlinear_matmul, 8, 8, 10),
    'DynamicQuantizeLinear': op(_dynamic_quantize, 1, 1, 11),
    'QuantizeLinear': op(_quantize, 2, 3, 10),
    'DequantizeLinear': op(_dequantize, 2, 3, 10),
    'LayerNormalization': op(_layer_norm, 2, 3),
    'SimplifiedLayerNormalization': op(_layer_norm, 2),
    'RMSNormalization': op(_rms_norm, 2, 2, 23),
    'BatchNormalization': op(_batch_norm, 5),
    'InstanceNormalization': op(_per_channel, 3),
    'GroupNormalization': op(_group_norm, 3, 3, 18),
}
