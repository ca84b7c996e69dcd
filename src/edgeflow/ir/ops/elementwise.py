"""Rules of elementwise operators: the output has the (broadcast) shape of the inputs."""

from __future__ import annotations

from edgeflow.ir.ops.infer import FLOATS, INTEGERS, NUMBERS, SMALL, Infer, InferContext, OpSpec, Type, op

SIGNED = FLOATS + ['int64', 'int32', 'int8', 'int16']
ANY = NUMBERS + SMALL + ['bool', 'string']


def _unary(allowed: list[str]) -> Infer:
    def infer(c: InferContext) -> list[Type]:
        return [Type(c.check_dtype(0, allowed), c.shape(0))]
    return infer


def _unary_to_bool(c: InferContext) -> list[Type]:
    c.check_dtype(0, FLOATS)
    return [Type('bool', c.shape(0))]


def right_shape(c: InferContext) -> list[int]:
    """The shape of input 1 as it is broadcast. Before version 7 it may lie along axis `axis` of input 0, the slope of PRelu along the channels."""
    shape = c.shape(1)
    axis = c.attr_int('axis', -1)
    if c.node.op == 'PRelu' and shape != [1]:
        axis = 1
    if c.opset < 7 and axis >= 0:
        return shape + [1] * (len(c.shape(0)) - axis - len(shape))
    return shape


def _binary(allowed: list[str]) -> Infer:
    def infer(c: InferContext) -> list[Type]:
        c.check_dtype(0, allowed)
        return [Type(c.check_same_dtype(0, 1), c.broadcast([c.shape(0), right_shape(c)]))]
    return infer


def _compare(allowed: list[str]) -> Infer:
    def infer(c: InferContext) -> list[Type]:
        c.check_dtype(0, allowed)
        c.check_same_dtype(0, 1)
        return [Type('bool', c.broadcast([c.shape(0), right_shape(c)]))]
    return infer


def _variadic(allowed: list[str]) -> Infer:
    def infer(c: InferContext) -> list[Type]:
        dtype = c.check_dtype(0, allowed)
        shapes: list[list[int]] = []
        for i in range(len(c.types)):
            c.check_same_dtype(0, i)
            shapes.append(c.shape(i))
        return [Type(dtype, c.broadcast(shapes))]
    return infer


def _pow(c: InferContext) -> list[Type]:
    c.check_dtype(1, NUMBERS)
    return [Type(c.check_dtype(0, NUMBERS), c.broadcast([c.shape(0), right_shape(c)]))]


def _mod(c: InferContext) -> list[Type]:
    dtype = c.check_dtype(0, NUMBERS)
    c.check_same_dtype(0, 1)
    if dtype in FLOATS and c.opset < 28 and c.attr_int('fmod') != 1:
        raise c.fail('fmod = 1 for float types', f'fmod = {c.attr_int("fmod", 0)}')
    return [Type(dtype, c.broadcast([c.shape(0), c.shape(1)]))]


def _bit_shift(c: InferContext) -> list[Type]:
    direction = c.attr_str('direction', '')
    if direction != 'LEFT' and direction != 'RIGHT':
        raise c.fail('direction LEFT or RIGHT', f"'{direction}'")
    return _binary(INTEGERS)(c)


def _prelu(c: InferContext) -> list[Type]:
    dtype = c.check_dtype(0, NUMBERS)
    c.check_same_dtype(0, 1)
    if c.broadcast([c.shape(0), right_shape(c)]) != c.shape(0):
        raise c.fail(f'a slope that can be broadcast to {c.shape(0)}', f'{c.shape(1)}')
    return [Type(dtype, c.shape(0))]


def _clip(c: InferContext) -> list[Type]:
    dtype = c.check_dtype(0, NUMBERS)
    for i in range(1, 3):
        if c.has(i):
            c.check_same_dtype(0, i)
            if len(c.shape(i)) > 1 or (len(c.shape(i)) == 1 and c.shape(i)[0] != 1):
                raise c.fail(f'input {i} to be a scalar', f'shape {c.shape(i)}')
    return [Type(dtype, c.shape(0))]


def _dropout(c: InferContext) -> list[Type]:
    if c.has(2):
        training = c.maybe_ints(2)
        if training is None or (len(training) > 0 and training[0] != 0):
            raise c.unsupported('training_mode must be false')
    return [Type(c.check_dtype(0, FLOATS), c.shape(0)), Type('bool', c.shape(0))]


def _where(c: InferContext) -> list[Type]:
    c.check_dtype(0, ['bool'])
    return [Type(c.check_same_dtype(1, 2), c.broadcast([c.shape(0), c.shape(1), c.shape(2)]))]


def _cast(c: InferContext) -> list[Type]:
    if not c.has_attr('to'):
        raise c.fail("attribute 'to'", 'nothing')
    return [Type(c.attr_dtype('to', 0), c.shape(0))]


def _cast_like(c: InferContext) -> list[Type]:
    return [Type(c.dtype(1), c.shape(0))]


# One input, of floats, and the first opset that has the operator.
FLOAT_UNARY: dict[str, int] = {
    'Ceil': 1, 'Floor': 1, 'Round': 11, 'Sqrt': 1, 'Reciprocal': 1, 'Exp': 1, 'Log': 1, 'Sin': 7, 'Cos': 7, 'Tan': 7, 'Asin': 7, 'Acos': 7,
    'Atan': 7, 'Sinh': 9, 'Cosh': 9, 'Tanh': 1, 'Asinh': 9, 'Acosh': 9, 'Atanh': 9, 'Sigmoid': 1, 'HardSigmoid': 1, 'HardSwish': 14,
    'Softplus': 1, 'Softsign': 1, 'Elu': 1, 'Selu': 1, 'Celu': 12, 'LeakyRelu': 1, 'ThresholdedRelu': 1, 'Mish': 18, 'Swish': 24, 'Gelu': 20,
}

_ON_NUMBERS: Infer = _binary(NUMBERS)
_ON_INTEGERS: Infer = _binary(INTEGERS)
_ON_BOOLS: Infer = _binary(['bool'])
_COMPARE: Infer = _compare(NUMBERS)

# Two inputs that are broadcast to each other.
BINARY: dict[str, OpSpec] = {
    'Add': op(_ON_NUMBERS, 2),
    'Sub': op(_ON_NUMBERS, 2),
    'Mul': op(_ON_NUMBERS, 2),
    'Div': op(_ON_NUMBERS, 2),
    'Pow': op(_pow, 2),
    'Mod': op(_mod, 2, 2, 10),
    'PRelu': op(_prelu, 2),
    'BitShift': op(_bit_shift, 2, 2, 11),
    'BitwiseAnd': op(_ON_INTEGERS, 2, 2, 18),
    'BitwiseOr': op(_ON_INTEGERS, 2, 2, 18),
    'BitwiseXor': op(_ON_INTEGERS, 2, 2, 18),
    'And': op(_ON_BOOLS, 2),
    'Or': op(_ON_BOOLS, 2),
    'Xor': op(_ON_BOOLS, 2),
    'Equal': op(_compare(NUMBERS + ['bool', 'string']), 2),
    'Greater': op(_COMPARE, 2),
    'GreaterOrEqual': op(_COMPARE, 2, 2, 12),
    'Less': op(_COMPARE, 2),
    'LessOrEqual': op(_COMPARE, 2, 2, 12),
}

_OTHERS: dict[str, OpSpec] = {
    'Abs': op(_unary(NUMBERS)),
    'Neg': op(_unary(SIGNED)),
    'Sign': op(_unary(NUMBERS), 1, 1, 9),
    'Erf': op(_unary(NUMBERS), 1, 1, 9),
    'Relu': op(_unary(SIGNED)),
    'Shrink': op(_unary(NUMBERS), 1, 1, 9),
    'Not': op(_unary(['bool'])),
    'BitwiseNot': op(_unary(INTEGERS), 1, 1, 18),
    'IsNaN': op(_unary_to_bool, 1, 1, 9),
    'IsInf': op(_unary_to_bool, 1, 1, 10),
    'Identity': op(_unary(ANY)),
    'Clip': op(_clip, 1, 3),
    'Dropout': op(_dropout, 1, 3),
    'Cast': op(_cast),
    'CastLike': op(_cast_like, 2, 2, 15),
    'Max': op(_variadic(NUMBERS), 1, -1),
    'Min': op(_variadic(NUMBERS), 1, -1),
    'Sum': op(_variadic(FLOATS), 1, -1),
    'Mean': op(_variadic(FLOATS), 1, -1),
    'Where': op(_where, 3, 3, 9),
}


def _float_unary() -> dict[str, OpSpec]:
    infer: Infer = _unary(FLOATS)
    table: dict[str, OpSpec] = {}
    for name in FLOAT_UNARY:
        table[name] = op(infer, 1, 1, FLOAT_UNARY[name])
    return table


ELEMENTWISE_OPS: list[dict[str, OpSpec]] = [_float_unary(), BINARY, _OTHERS]
