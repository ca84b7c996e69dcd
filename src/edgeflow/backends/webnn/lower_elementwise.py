"""WebNN lowerings of elementwise operators."""

from __future__ import annotations

from edgeflow.backends.webnn.emitter import Emitter, NnLowering, Operand
from edgeflow.ir.attributes import int_of, number_of, text_of
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at

# Methods of MLGraphBuilder by operator. Not softplus, which Chromium's cpu makes of exp and log as they are: inexact for what is far below 0.
UNARY: dict[str, str] = {
    'Abs': 'abs', 'Neg': 'neg', 'Sign': 'sign', 'Ceil': 'ceil', 'Floor': 'floor', 'Round': 'roundEven', 'Sqrt': 'sqrt', 'Reciprocal': 'reciprocal',
    'Relu': 'relu', 'Softsign': 'softsign', 'Sigmoid': 'sigmoid', 'Exp': 'exp', 'Log': 'log', 'Sin': 'sin', 'Cos': 'cos',
    'Tan': 'tan', 'Tanh': 'tanh', 'Erf': 'erf', 'Not': 'logicalNot', 'IsNaN': 'isNaN', 'HardSwish': 'hardSwish', 'LeakyRelu': 'leakyRelu',
    'Elu': 'elu', 'HardSigmoid': 'hardSigmoid',
}
# Attributes, which are options of that name too, and their defaults.
PARAMETERS: dict[str, dict[str, float]] = {'LeakyRelu': {'alpha': 0.01}, 'Elu': {'alpha': 1.0}, 'HardSigmoid': {'alpha': 0.2, 'beta': 0.5}}

BINARY: dict[str, str] = {
    'Add': 'add', 'Sub': 'sub', 'Mul': 'mul', 'Div': 'div', 'Pow': 'pow', 'PRelu': 'prelu', 'And': 'logicalAnd', 'Or': 'logicalOr', 'Xor': 'logicalXor',
    'Min': 'min', 'Max': 'max', 'Sum': 'add', 'Mean': 'add',
}
COMPARE: dict[str, str] = {
    'Equal': 'equal', 'Less': 'lesser', 'LessOrEqual': 'lesserOrEqual', 'Greater': 'greater', 'GreaterOrEqual': 'greaterOrEqual',
}
# Divided by zero, integers are a failure on WASM; and WebNN's pow of integers goes by way of floats.
REALS_ONLY: list[str] = ['Div', 'Pow', 'Mean']

GELU_TANH = 0.7978845608028654


def unary_lowering(method: str, parameters: dict[str, float]) -> NnLowering:
    def lower(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        options: dict[str, object] = {name: number_of(node, name, default) for name, default in parameters.items()}
        e.give(at(outputs, 0), e.call(method, [e.value(at(inputs, 0))], options))

    return lower


def binary_lowering(name: str) -> NnLowering:
    """Of two inputs, or (Min, Max, Sum, Mean) of any number."""

    def lower(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        check_broadcast(e, inputs)
        result = e.value(at(inputs, 0))
        if name in REALS_ONLY and result.dtype != 'float32':
            raise e.refuse('WASM divides integers')
        for value in inputs[1:]:
            other = e.value(value)
            if other.dtype != result.dtype:
                other = e.call('cast', [other, result.dtype])
            result = e.call(BINARY[name], [result, other])
        if name == 'Mean':
            result = e.call('div', [result, e.number(result, len(inputs))])
        e.give(at(outputs, 0), result)

    return lower


def check_broadcast(e: Emitter, inputs: list[Value | None]) -> None:
    """Before version 7, the shapes are matched in another way."""
    first = at(inputs, 0)
    if e.b.opset < 7 and e.b.node is not None and e.b.node.domain == '':
        for value in inputs:
            if value is not None and first is not None and value.shape != first.shape:
                raise e.refuse('shapes that are broadcast as before version 7')


def wide(e: Emitter, operand: Operand) -> Operand:
    """What comparisons take: small integers as int32."""
    return e.call('cast', [operand, 'int32']) if operand.dtype in ['int8', 'uint8'] else operand


def compare_lowering(method: str) -> NnLowering:
    def lower(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        check_broadcast(e, inputs)
        e.give(at(outputs, 0), e.call(method, [wide(e, e.value(at(inputs, 0))), wide(e, e.value(at(inputs, 1)))]))

    return lower


def lower_where(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    given: list[object] = [e.value(value) for value in inputs]
    e.give(at(outputs, 0), e.call('where', given))


def lower_clip(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """Bounds are inputs from version 11 on, attributes before."""
    result = e.value(at(inputs, 0))
    for method, i, name in [('max', 1, 'min'), ('min', 2, 'max')]:
        if at(inputs, i) is not None:
            result = e.call(method, [result, e.value(at(inputs, i))])
        elif name in node.attributes:
            result = e.call(method, [result, e.number(result, number_of(node, name, 0.0))])
    e.give(at(outputs, 0), result)


def lower_cast(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = e.value(at(inputs, 0))
    given = at(inputs, 0)
    output = at(outputs, 0)
    if output is None or given is None:
        raise e.refuse('a value is left out')
    if output.dtype == 'bool':
        source = wide(e, source)
        e.give(output, e.call('notEqual', [source, e.number(source, 0)]))
        return
    if given.dtype.startswith('float') and not output.dtype.startswith('float'):
        # What is beyond the type's range depends on the machine.
        raise e.refuse('WASM makes integers of floats')
    if output.dtype in ['int4', 'uint4', 'int8', 'uint8'] and given.dtype != 'bool':
        raise e.refuse('WASM cuts off high bits')
    e.give(output, e.call('cast', [source, 'uint8' if output.dtype == 'bool' else output.dtype]))


def lower_is_inf(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    if int_of(node, 'detect_negative', 1) == 0 or int_of(node, 'detect_positive', 1) == 0:
        raise e.refuse('infinities of one sign')
    e.give(at(outputs, 0), e.call('isInfinite', [e.value(at(inputs, 0))]))


def activated(e: Emitter, x: Operand, name: str) -> Operand:
    """An activation of ir/ops/fused.py."""
    if name in ['relu', 'gelu', 'tanh', 'sigmoid']:
        return e.call(name, [x])
    if name == 'silu':
        return e.call('mul', [x, e.call('sigmoid', [x])])
    if name == 'quick_gelu':
        return swish(e, x, 1.702)
    if name == 'gelu_tanh':
        cube = e.call('mul', [e.call('mul', [x, x]), x])
        inner = e.call('add', [x, e.call('mul', [cube, e.number(x, 0.044715)])])
        ratio = e.call('tanh', [e.call('mul', [inner, e.number(x, GELU_TANH)])])
        half = e.call('mul', [x, e.number(x, 0.5)])
        return e.call('mul', [half, e.call('add', [ratio, e.number(x, 1.0)])])
    return x


def swish(e: Emitter, x: Operand, alpha: float) -> Operand:
    scaled = x if alpha == 1 else e.call('mul', [x, e.number(x, alpha)])
    return e.call('mul', [x, e.call('sigmoid', [scaled])])


def lower_swish(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    e.give(at(outputs, 0), swish(e, e.value(at(inputs, 0)), number_of(node, 'alpha', 1.702 if node.op == 'QuickGelu' else 1.0)))


def lower_gelu(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """Gelu of both domains and ours, BiasGelu, FastGelu, edgeflow:BiasAct."""
    x = e.value(at(inputs, 0))
    if at(inputs, 1) is not None:
        x = e.call('add', [x, e.value(at(inputs, 1))])
    name = 'gelu'
    if node.op == 'BiasAct':
        name = text_of(node, 'activation', '')
    elif node.op == 'FastGelu' or text_of(node, 'approximate', 'none') == 'tanh' or text_of(node, 'activation', '') == 'gelu_tanh':
        name = 'gelu_tanh'
    e.give(at(outputs, 0), activated(e, x, name))


def _table() -> dict[str, NnLowering]:
    table: dict[str, NnLowering] = {
        'Where': lower_where, 'Clip': lower_clip, 'Cast': lower_cast, 'CastLike': lower_cast, 'IsInf': lower_is_inf, 'Swish': lower_swish,
        'com.microsoft:QuickGelu': lower_swish, 'Gelu': lower_gelu, 'com.microsoft:Gelu': lower_gelu, 'com.microsoft:BiasGelu': lower_gelu,
        'com.microsoft:FastGelu': lower_gelu, 'edgeflow:Gelu': lower_gelu, 'edgeflow:BiasAct': lower_gelu,
    }
    for name, method in UNARY.items():
        table[name] = unary_lowering(method, PARAMETERS.get(name, {}))
    for name in BINARY:
        table[name] = binary_lowering(name)
    for name, method in COMPARE.items():
        table[name] = compare_lowering(method)
    return table


ELEMENTWISE_LOWERINGS: dict[str, NnLowering] = _table()
