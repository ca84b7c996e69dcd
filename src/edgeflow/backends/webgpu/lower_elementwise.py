"""Lowerings of elementwise operators as chains."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.backends.wasm.lower_elementwise import PARAMETERS, right_operand, rounds_to_half
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering
from edgeflow.backends.webgpu.chain_text import SIGNED, dispatch_chain
from edgeflow.backends.webgpu.chains import MOST_OPS, Chain, View, broadcast_view, offset_through, strides_through
from edgeflow.ir.attributes import number_of, text_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at

FEW_OPS = 3

# Float operators of one input, their attributes (lower_elementwise.PARAMETERS of WASM) as @0, @1.
FLOAT_UNARY: dict[str, str] = {
    'Abs': 'abs(%0)', 'Neg': '-%0', 'Sign': 'select(sign(%0), %0, is_nan(%0))', 'Ceil': 'ceil(%0)', 'Floor': 'floor(%0)', 'Round': 'round(%0)',
    'Sqrt': 'sqrt(%0)', 'Reciprocal': '1.0 / %0', 'Relu': 'most(%0, F())', 'HardSigmoid': 'limit(@0 * %0 + @1, F(), F(1.0))',
    'HardSwish': '%0 * limit(%0 / 6.0 + 0.5, F(), F(1.0))', 'Softsign': '%0 / (1.0 + abs(%0))', 'LeakyRelu': 'select(%0, @0 * %0, %0 < F())',
    'ThresholdedRelu': 'select(F(), %0, %0 > F(@0))', 'Shrink': 'select(select(F(), %0 - @1, %0 > F(@0)), %0 + @1, %0 < F(-@0))',
    'Sigmoid': 'sigmoid(%0)', 'Softplus': 'softplus(%0)', 'Elu': 'select(%0, @0 * (expo(%0) - 1.0), %0 < F())',
    'Selu': '@1 * select(%0, @0 * (expo(%0) - 1.0), %0 < F())', 'Celu': 'select(%0, @0 * (expo(%0 / @0) - 1.0), %0 < F())',
    'Mish': '%0 * tanh_real(softplus(%0))', 'Swish': '%0 * sigmoid(@0 * %0)', 'Exp': 'expo(%0)', 'Log': 'loga(%0)', 'Sin': 'sine(%0, F())',
    'Cos': 'sine(%0, F(1.0))', 'Tan': 'sine(%0, F()) / sine(%0, F(1.0))', 'Tanh': 'tanh_real(%0)', 'Erf': 'erf(%0)', 'IsNaN': 'is_nan(%0)',
}
INT_UNARY: dict[str, str] = {'Abs': 'abs(%0)', 'Neg': '-%0', 'Sign': 'sign(%0)', 'Relu': 'max(%0, I())'}
# The functions of edgeflow and com.microsoft operators, by ir/ops/fused.py's ACTIVATIONS.
ACTIVATIONS: dict[str, str] = {
    'relu': 'most(%0, F())', 'gelu': 'gelu(%0)', 'gelu_tanh': 'gelu_tanh(%0)', 'tanh': 'tanh_real(%0)', 'sigmoid': 'sigmoid(%0)',
    'silu': '%0 * sigmoid(%0)', 'quick_gelu': '%0 * sigmoid(1.702 * %0)',
}
ARITHMETIC: dict[str, str] = {'Add': '%0 + %1', 'Sub': '%0 - %1', 'Mul': '%0 * %1', 'Div': '%0 / %1'}
FLOAT_BINARY: dict[str, str] = {
    'Pow': 'power(%0, %1)', 'Min': 'least(%0, %1)', 'Max': 'most(%0, %1)', 'PRelu': 'select(%0, %0 * %1, %0 < F())', 'Sum': '%0 + %1', 'Mean': '%0 + %1',
}
INT_BINARY: dict[str, str] = {'Min': 'min(%0, %1)', 'Max': 'max(%0, %1)'}
BOOL_BINARY: dict[str, str] = {'And': '%0 & %1', 'Or': '%0 | %1', 'Xor': '%0 != %1', 'Equal': '%0 == %1'}
COMPARISONS: dict[str, str] = {'Equal': '%0 == %1', 'Less': '%0 < %1', 'LessOrEqual': '%0 <= %1', 'Greater': '%0 > %1', 'GreaterOrEqual': '%0 >= %1'}
# Powers that are common, as products and roots: the exponent is a constant.
POWERS: list[tuple[float, str]] = [
    (2.0, '%0 * %0'), (3.0, '%0 * %0 * %0'), (1.0, '%0'), (-1.0, '1.0 / %0'),
]
# What narrow types wrap to.
WRAPS: dict[str, str] = {
    'uint4': '%0 & U(15u)', 'uint8': '%0 & U(255u)', 'uint16': '%0 & U(65535u)',
    'int4': '(%0 << U(28u)) >> U(28u)', 'int8': '(%0 << U(24u)) >> U(24u)', 'int16': '(%0 << U(16u)) >> U(16u)',
}


def type_of(b: GpuBuilder, value: Value) -> str:
    """The type of the value's elements in a chain; '' if it cannot be in one."""
    kind = b.kind(value)
    if value.dtype == 'bool':
        return 'B'
    if kind == 'bytes':
        return 'I' if value.dtype in SIGNED else 'U'
    return '' if kind == '' else 'I' if kind == 'i32' else 'U' if kind == 'u32' else 'F'


def operand(b: GpuBuilder, chain: Chain, value: Value, view: View | None = None) -> int:
    """Add an input of a node to a chain, seen through `view` (None: broadcast): a number, the chain that makes it, or a load."""
    if value.constant and value.count() == 1 and b.kind(value) != 'bytes':
        number = scalar_of(b, chain, value)
        if number >= 0:
            return number
    seen = broadcast_view(value.shape, chain.shape) if view is None else view
    made = b.chains.get(value.number)
    if made is not None and made.output is value and made.shape == value.shape and b.uses.get(value.name, 2) == 1:
        few = len(made.ops) <= FEW_OPS + len(made.reads) or value.count() == element_count(chain.shape)
        if few and len(made.ops) + len(chain.ops) <= MOST_OPS and len(made.values()) + len(chain.values()) < b.features.buffers - 1:
            return chain.append(made, seen)
    return chain.load(value, type_of(b, value), offset_through(seen, value.shape), strides_through(seen, value.shape))


def scalar_of(b: GpuBuilder, chain: Chain, value: Value) -> int:
    """A constant of one element as a number; -1 if it has no such form."""
    type = type_of(b, value)
    if type == 'F':
        return chain.op('F(@0)', 'F', [], [b.real(b.floats(value)[0])])
    if type == 'I':
        number = b.ints(value)[0]
        return chain.op('I(#0)', 'I', [], [max(-2147483648, min(2147483647, number))])
    return -1


def finish(b: GpuBuilder, chain: Chain, output: Value) -> bool:
    """The chain makes `output`: dispatch it, alone or as the end of a kernel whose result it reads, and remember it for whoever reads the output."""
    taken = False
    for value in chain.values():
        taker = b.takers.get(value.number)
        taken = taken or (taker is not None and b.uses.get(value.name, 2) == 1 and taker(chain, output))
    if not taken and not dispatch_chain(b, chain, output):
        return False
    chain.output = output
    b.chains[output.number] = chain
    return True


def pair(inputs: list[Value | None], outputs: list[Value | None]) -> tuple[Value, Value] | None:
    """The first input and the first output, if both are there."""
    x = at(inputs, 0)
    y = at(outputs, 0)
    return None if x is None or y is None else (x, y)


def unary_lowering(name: str) -> GpuLowering:
    def lower(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
        both = pair(inputs, outputs)
        if both is None:
            return False
        type = type_of(b, both[0])
        text = FLOAT_UNARY.get(name) if type == 'F' else INT_UNARY.get(name) if type == 'I' and both[0].dtype in ['int64', 'int32'] else None
        if text is None:
            return False
        chain = Chain(both[1].shape)
        numbers: list[int] = []
        for parameter in PARAMETERS.get(name, []):
            numbers.append(b.real(number_of(node, parameter[0], parameter[1])))
        x = operand(b, chain, both[0])
        chain.op(text, type_of(b, both[1]), [x], numbers)
        return finish(b, chain, both[1])

    return lower


def lower_not(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    both = pair(inputs, outputs)
    if both is None:
        return False
    chain = Chain(both[1].shape)
    chain.op('!%0', 'B', [operand(b, chain, both[0])])
    return finish(b, chain, both[1])


def binary_text(name: str, type: str) -> str | None:
    """The WGSL of an operator of two operands of a type; None if there is none."""
    if name in COMPARISONS and type != 'B':
        return COMPARISONS[name]
    if type == 'F':
        return FLOAT_BINARY.get(name, ARITHMETIC.get(name))
    if type == 'B':
        return BOOL_BINARY.get(name)
    return INT_BINARY.get(name, ARITHMETIC.get(name)) if type != '' else None


def binary_lowering(name: str) -> GpuLowering:
    """Operators of two inputs, and those of any number that go pair by pair."""

    def lower(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
        both = pair(inputs, outputs)
        if both is None:
            return False
        first, output = both
        text = binary_text(name, type_of(b, first))
        if text is None:
            return False
        second = at(inputs, 1)
        if name == 'Add' and second is not None and b.added(first, second, output):
            return True
        chain = Chain(output.shape)
        result = operand(b, chain, first)
        type = type_of(b, output)
        for i in range(1, len(inputs)):
            other = right_operand(b, node, inputs) if i == 1 else inputs[i]
            if other is None:
                return False
            if name == 'Pow' and common_power(b, chain, result, other):
                continue
            given = operand(b, chain, other)
            if type_of(b, other) != type_of(b, first):
                if name != 'Pow' or type_of(b, first) != 'F':
                    return False
                given = chain.op('F(%0)', 'F', [given])
            result = chain.op(text, type, [result, given])
            if name in ARITHMETIC and output.dtype in WRAPS:
                result = chain.op(WRAPS[output.dtype], type, [result])
        if name == 'Mean':
            chain.op('%0 * @0', 'F', [result], [b.real(1.0 / len(inputs))])
        return finish(b, chain, output)

    return lower


def common_power(b: GpuBuilder, chain: Chain, base: int, exponent: Value) -> bool:
    """Add the power with a common constant exponent; False if it is none."""
    if not exponent.constant or exponent.count() != 1:
        return False
    number = b.floats(exponent)[0] if exponent.dtype == 'float32' else b.ints(exponent)[0]
    for known, text in POWERS:
        if number == known:
            chain.op(text, 'F', [base])
            return True
    if number == 0.5:
        # The square root of -inf is NaN, its power inf.
        chain.op('select(sqrt(%0), abs(%0), (bitcast<U>(%0) == U(0xff800000u)))', 'F', [base])
        return True
    return False


def lower_clip(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    both = pair(inputs, outputs)
    if both is None:
        return False
    type = type_of(b, both[0])
    chain = Chain(both[1].shape)
    result = operand(b, chain, both[0])
    if type != 'F' and type != 'I':
        return False
    for i in [1, 2]:
        bound = at(inputs, i)
        name = ['', 'min', 'max'][i]
        sign = '<' if i == 1 else '>'
        text = f'select(%0, %1, %0 {sign} %1)'
        if bound is not None:
            one = broadcast_view([], both[1].shape) if bound.count() == 1 else None
            scalar = bound if len(bound.shape) == 0 else None
            if scalar is None and not bound.constant:
                one = View([-1] * len(both[1].shape), [1] * len(both[1].shape), [0] * len(bound.shape))
            result = chain.op(text, type, [result, operand(b, chain, bound, one)])
        elif name in node.attributes and type == 'F':
            limit = chain.op('F(@0)', 'F', [], [b.real(number_of(node, name, 0.0))])
            result = chain.op(text, type, [result, limit])
    return finish(b, chain, both[1])


def lower_where(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    condition = at(inputs, 0)
    left = at(inputs, 1)
    right = at(inputs, 2)
    output = at(outputs, 0)
    if condition is None or left is None or right is None or output is None:
        return False
    type = type_of(b, output)
    if type == '' or type_of(b, left) != type or type_of(b, right) != type:
        return False
    chain = Chain(output.shape)
    numbers = [operand(b, chain, condition), operand(b, chain, left), operand(b, chain, right)]
    chain.op('select(%2, %1, %0)', type, numbers)
    return finish(b, chain, output)


def cast_op(chain: Chain, x: int, source: str, target: str, dtype: str) -> int:
    """The step that makes the chain type `target` (of `dtype`) of `source`."""
    if source == target:
        result = x
    elif target == 'B':
        result = chain.op(f'%0 != {source}()', 'B', [x])
    elif source == 'F' and target == 'U' and dtype in WRAPS:
        result = chain.op('U(I(%0))', 'U', [x])
    else:
        result = chain.op(f'{target}(%0)', target, [x])
    if dtype in WRAPS and source != 'B':
        result = chain.op(WRAPS[dtype], target, [result])
    return result


def lower_cast(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    both = pair(inputs, outputs)
    if both is None:
        return False
    source, output = both
    rounds = rounds_to_half(node) and output.dtype == 'float32'
    if not rounds and source.dtype == output.dtype and b.kind(source) == b.kind(output):
        b.alias(output, source)
        return True
    types = (type_of(b, source), type_of(b, output))
    if types[0] == '' or types[1] == '':
        return False
    chain = Chain(output.shape)
    result = cast_op(chain, operand(b, chain, source), types[0], types[1], output.dtype)
    if rounds:
        chain.op('half_of(%0)', 'F', [result])
    return finish(b, chain, output)


def lower_copy(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    both = pair(inputs, outputs)
    if both is None or type_of(b, both[0]) == '' or type_of(b, both[0]) != type_of(b, both[1]):
        return False
    chain = Chain(both[1].shape)
    operand(b, chain, both[0])
    return finish(b, chain, both[1])


def lower_identity(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    both = pair(inputs, outputs)
    if both is None or at(outputs, 1) is not None:
        return False
    b.alias(both[1], both[0])
    return True


def activation_chain(b: GpuBuilder, name: str, source: Value, bias: Value | None, output: Value) -> bool:
    """output = act(source + bias), bias along the last dim."""
    if type_of(b, source) != 'F':
        return False
    chain = Chain(output.shape)
    result = operand(b, chain, source)
    if bias is not None:
        result = chain.op('%0 + %1', 'F', [result, operand(b, chain, bias)])
    if name != '':
        chain.op(ACTIVATIONS[name], 'F', [result])
    return finish(b, chain, output)


def activation_lowering(choose: Callable[[Node], str]) -> GpuLowering:
    """Operators that are an activation of input 0 plus, if given, a bias."""

    def lower(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
        both = pair(inputs, outputs)
        return both is not None and activation_chain(b, choose(node), both[0], at(inputs, 1), both[1])

    return lower


def _gelu_name(node: Node) -> str:
    return 'gelu_tanh' if text_of(node, 'approximate', 'none') == 'tanh' else 'gelu'


def _table() -> dict[str, GpuLowering]:
    gelu = activation_lowering(lambda node: 'gelu')
    table: dict[str, GpuLowering] = {
        'Not': lower_not,
        'Clip': lower_clip,
        'Where': lower_where,
        'Cast': lower_cast, 'edgeflow:Copy': lower_copy,
        'CastLike': lower_cast,
        'Identity': lower_identity,
        'Dropout': lower_identity,
        'Gelu': activation_lowering(_gelu_name),
        'edgeflow:Gelu': activation_lowering(_gelu_name),
        'edgeflow:BiasAct': activation_lowering(lambda node: text_of(node, 'activation', '')),
        'com.microsoft:BiasGelu': gelu,
        'com.microsoft:Gelu': gelu,
        'com.microsoft:FastGelu': activation_lowering(lambda node: 'gelu_tanh'),
    }
    for name in FLOAT_UNARY:
        table[name] = unary_lowering(name)
    for names in [ARITHMETIC, FLOAT_BINARY, BOOL_BINARY, COMPARISONS]:
        for name in names:
            table[name] = binary_lowering(name)
    return table


ELEMENTWISE_LOWERINGS: dict[str, GpuLowering] = _table()
