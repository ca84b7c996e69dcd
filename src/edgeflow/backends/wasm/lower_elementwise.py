"""Lowerings of elementwise operators. Words: wasm/kernels_tensor.h."""

from __future__ import annotations

import math

from edgeflow.backends.wasm.lower_dense import ACTIVATION_IDS, activation_steps, given
from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import broadcast_strides, collapse, copy_steps, item_size, loop_words, reuse_if_alike
from edgeflow.ir.attributes import int_of, number_of, text_of
from edgeflow.ir.dtype import DTYPE_CODES, SMALL_FLOATS
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.elementwise import right_shape
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.values import Value, Word, at

FLOAT32 = 1

UNARY_IDS: dict[str, int] = {
    'Abs': 0, 'Neg': 1, 'Sign': 2, 'Ceil': 3, 'Floor': 4, 'Round': 5, 'Sqrt': 6, 'Reciprocal': 7, 'Relu': 8, 'HardSigmoid': 9,
    'HardSwish': 10, 'Softsign': 11, 'LeakyRelu': 12, 'ThresholdedRelu': 13, 'Shrink': 14, 'IsNaN': 15, 'IsInf': 16, 'Not': 17,
    'BitwiseNot': 18, 'Sigmoid': 19, 'Softplus': 20, 'Elu': 21, 'Selu': 22, 'Celu': 23, 'Mish': 24, 'Swish': 25,
    'Exp': 28, 'Log': 29, 'Sin': 30, 'Cos': 31, 'Tan': 32, 'Asin': 33, 'Acos': 34, 'Atan': 35, 'Sinh': 36, 'Cosh': 37, 'Tanh': 38,
    'Asinh': 39, 'Acosh': 40, 'Atanh': 41, 'Erf': 42,
}

BINARY_IDS: dict[str, int] = {
    'Add': 0, 'Sub': 1, 'Mul': 2, 'Div': 3, 'Pow': 4, 'Mod': 5, 'Min': 7, 'Max': 8, 'PRelu': 9, 'BitwiseAnd': 10, 'And': 10,
    'BitwiseOr': 11, 'Or': 11, 'BitwiseXor': 12, 'Xor': 12, 'Equal': 15, 'Less': 16, 'LessOrEqual': 17,
}
FMOD = 6
SHIFT_LEFT = 13
SHIFT_RIGHT = 14

# Attributes that become alpha and beta, with their defaults.
PARAMETERS: dict[str, list[tuple[str, float]]] = {
    'HardSigmoid': [('alpha', 0.2), ('beta', 0.5)],
    'LeakyRelu': [('alpha', 0.01)],
    'ThresholdedRelu': [('alpha', 1.0)],
    'Shrink': [('lambd', 0.5), ('bias', 0.0)],
    'IsInf': [('detect_negative', 1), ('detect_positive', 1)],
    'Elu': [('alpha', 1.0)],
    'Selu': [('alpha', 1.6732632423543772), ('gamma', 1.0507009873554805)],
    'Celu': [('alpha', 1.0)],
    'Swish': [('alpha', 1.0)],
}

# float32 has kernels of its own for these (wasm/activations.c).
FAST: dict[str, str] = {'Relu': 'relu', 'Tanh': 'tanh', 'Sigmoid': 'sigmoid', 'Erf': 'erf', 'Exp': 'exp'}


def dtype_code(value: Value) -> int:
    return DTYPE_CODES[value.dtype]


def unary_lowering(name: str) -> Lowering:
    """The lowering of an operator that is one function of the kernel `unary`."""

    def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        source = given(b, inputs)
        output = given(b, outputs)
        if source.dtype == 'float32' and name in FAST:
            activation_steps(b, ACTIVATION_IDS[FAST[name]], source, None, output)
            return
        parameters: list[Word] = []
        for parameter in PARAMETERS.get(name, []):
            parameters.append(b.real(number_of(node, parameter[0], parameter[1])))
        while len(parameters) < 2:
            parameters.append(0)
        reuse_if_alike(b, output, source, [])
        words: list[Word] = [UNARY_IDS[name], dtype_code(source), dtype_code(output), b.pointer(source), b.pointer(output), output.count()]
        b.step('unary', words + parameters)

    return lower


def binary_step(b: StepBuilder, op: int, left: Value, right: Value, output: Value) -> None:
    """output = op(left, right), both broadcast to the shape of the output."""
    loops = collapse(output.shape, [broadcast_strides(left.shape, output.shape), broadcast_strides(right.shape, output.shape)])
    words: list[Word] = [op, dtype_code(left), dtype_code(right), dtype_code(output), b.pointer(left), b.pointer(right), b.pointer(output)]
    b.step('binary', words + loop_words(loops))


def scalar_step(b: StepBuilder, op: int, source: Value, scalar: Word, scalar_type: int, output: Value) -> None:
    """output = op(source, scalar), where `scalar` points to one element."""
    b.step('binary', [op, dtype_code(source), scalar_type, dtype_code(output), b.pointer(source), scalar, b.pointer(output),
                      1, output.count(), 1, 0])


def _binary(b: StepBuilder, op: int, left: Value, right: Value, output: Value) -> None:
    reuse_if_alike(b, output, left, [right])
    reuse_if_alike(b, output, right, [left])
    binary_step(b, op, left, right, output)


def right_operand(b: StepBuilder, node: Node, inputs: list[Value | None]) -> Value:
    """Input 1 in the shape in which it is broadcast."""
    value = given(b, inputs, 1)
    if b.opset >= 7:
        return value
    view = b.new_value(value.name, value.dtype, right_shape(context_of(b, node, inputs)))
    b.alias(view, value)
    return view


def binary_lowering(name: str) -> Lowering:
    """The lowering of an operator that is one operation of the kernel `binary`."""

    def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        _binary(b, BINARY_IDS[name], given(b, inputs), right_operand(b, node, inputs), given(b, outputs))

    return lower


def swapped_lowering(name: str) -> Lowering:
    """Greater is Less with its inputs exchanged."""

    def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        _binary(b, BINARY_IDS[name], right_operand(b, node, inputs), given(b, inputs), given(b, outputs))

    return lower


def lower_mod(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    op = FMOD if int_of(node, 'fmod') == 1 else BINARY_IDS['Mod']
    _binary(b, op, given(b, inputs), given(b, inputs, 1), given(b, outputs))


def lower_bit_shift(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    op = SHIFT_LEFT if text_of(node, 'direction', '') == 'LEFT' else SHIFT_RIGHT
    _binary(b, op, given(b, inputs), given(b, inputs, 1), given(b, outputs))


def variadic_lowering(name: str) -> Lowering:
    """Min, Max, Sum, Mean of any number of inputs: one pair after the other."""
    op = BINARY_IDS['Add'] if name == 'Sum' or name == 'Mean' else BINARY_IDS[name]

    def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        output = given(b, outputs)
        first = given(b, inputs)
        if len(inputs) == 1:
            b.alias(output, first)
            return
        _reuse_first(b, output, inputs)
        binary_step(b, op, first, given(b, inputs, 1), output)
        for i in range(2, len(inputs)):
            binary_step(b, op, output, given(b, inputs, i), output)
        if name == 'Mean':
            scalar_step(b, BINARY_IDS['Div'], output, b.table([b.real(len(inputs))]), FLOAT32, output)

    return lower


def _reuse_first(b: StepBuilder, output: Value, inputs: list[Value | None]) -> None:
    """Only what the first step reads, and no later one, may be overwritten by it."""
    first = given(b, inputs)
    for i in range(2, len(inputs)):
        if given(b, inputs, i).root() is first.root():
            return
    reuse_if_alike(b, output, first, [at(inputs, 1)])


def lower_clip(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """Bounds are inputs from version 11 on, attributes before."""
    source = given(b, inputs)
    output = given(b, outputs)
    low = at(inputs, 1)
    high = at(inputs, 2)
    current = source
    if low is None and high is None and 'min' not in node.attributes and 'max' not in node.attributes:
        b.alias(output, source)
        return
    reuse_if_alike(b, output, source, [low, high])
    if low is not None:
        scalar_step(b, BINARY_IDS['Max'], current, b.pointer(low), dtype_code(low), output)
        current = output
    elif 'min' in node.attributes:
        scalar_step(b, BINARY_IDS['Max'], current, b.table([b.real(number_of(node, 'min', -math.inf))]), FLOAT32, output)
        current = output
    if high is not None:
        scalar_step(b, BINARY_IDS['Min'], current, b.pointer(high), dtype_code(high), output)
    elif 'max' in node.attributes:
        scalar_step(b, BINARY_IDS['Min'], current, b.table([b.real(number_of(node, 'max', math.inf))]), FLOAT32, output)


def lower_where(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    condition = given(b, inputs)
    left = given(b, inputs, 1)
    right = given(b, inputs, 2)
    output = given(b, outputs)
    reuse_if_alike(b, output, left, [condition, right])
    reuse_if_alike(b, output, right, [condition, left])
    strides = [broadcast_strides(value.shape, output.shape) for value in [condition, left, right]]
    words: list[Word] = [item_size(output), b.pointer(condition), b.pointer(left), b.pointer(right), b.pointer(output)]
    b.step('where', words + loop_words(collapse(output.shape, strides)))


def lower_identity(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    b.alias(given(b, outputs), given(b, inputs))


def lower_dropout(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """At inference nothing is dropped."""
    b.alias(given(b, outputs), given(b, inputs))
    mask = at(outputs, 1)
    if mask is not None:
        copy_steps(b, 1, b.table([1]), b.pointer(mask), [mask.count()], [0], [1])


def same_bits(source: str, target: str) -> bool:
    """Whether a Cast leaves every byte as it is (integers of one size wrap into each other, smaller ones into larger bytes)."""
    if source == target:
        return True
    for group in [['int8', 'uint8'], ['int16', 'uint16'], ['int32', 'uint32'], ['int64', 'uint64']]:
        if source in group and target in group:
            return True
    return source in ['bool', 'int4', 'uint4', 'int2', 'uint2'] and (target == 'int8' or target == 'uint8')


def cast_step(b: StepBuilder, source: Value, output: Value, flags: int = 0) -> None:
    b.step('cast', [dtype_code(source), dtype_code(output) + flags, b.pointer(source), b.pointer(output), output.count()])


def rounds_to_half(node: Node) -> bool:
    """Whether this is a Cast to float16."""
    return int_of(node, 'to') == DTYPE_CODES['float16']


def lower_cast(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    output = given(b, outputs)
    if rounds_to_half(node) and output.dtype == 'float32' and source.dtype != 'string':
        # What is held as float32 keeps the digits that float16 has.
        half = b.typed_scratch('uint16', output.shape)
        code = DTYPE_CODES['float16']
        b.step('cast', [dtype_code(source), code, b.pointer(source), b.pointer(half), output.count()])
        b.step('cast', [code, dtype_code(output), b.pointer(half), b.pointer(output), output.count()])
    elif same_bits(source.dtype, output.dtype):
        b.alias(output, source)
    else:
        if source.dtype == 'string' or output.dtype == 'string':
            raise b.unsupported('strings have no kernels')
        cast_step(b, source, output, cast_flags(node, output))


def cast_flags(node: Node, output: Value) -> int:
    """What base.h adds to the type that is written, if it is a float of 8 bits or fewer."""
    if output.dtype not in SMALL_FLOATS:
        return 0
    modes: dict[str, int] = {'up': 0, 'down': 512, 'nearest': 1024}
    return (0 if int_of(node, 'saturate', 1) != 0 else 256) + modes.get(text_of(node, 'round_mode', 'up'), 0)


def _table() -> dict[str, Lowering]:
    table: dict[str, Lowering] = {
        'Greater': swapped_lowering('Less'),
        'GreaterOrEqual': swapped_lowering('LessOrEqual'),
        'Mod': lower_mod,
        'BitShift': lower_bit_shift,
        'Clip': lower_clip,
        'Where': lower_where,
        'Identity': lower_identity,
        'Dropout': lower_dropout,
        'Cast': lower_cast,
        'CastLike': lower_cast,
    }
    for name in UNARY_IDS:
        table[name] = unary_lowering(name)
    for name in ['Min', 'Max', 'Sum', 'Mean']:
        table[name] = variadic_lowering(name)
    for name in ['Add', 'Sub', 'Mul', 'Div', 'Pow', 'PRelu', 'BitwiseAnd', 'BitwiseOr', 'BitwiseXor', 'And', 'Or', 'Xor', 'Equal', 'Less',
                 'LessOrEqual']:
        table[name] = binary_lowering(name)
    return table


ELEMENTWISE_LOWERINGS: dict[str, Lowering] = _table()
