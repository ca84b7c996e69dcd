"""Lowerings of QuantizeLinear and DequantizeLinear, and of elementwise operators that few models have, as chains."""

from __future__ import annotations

from edgeflow.backends.wasm.lower_convert import scale_loops
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering
from edgeflow.backends.webgpu.chains import Chain
from edgeflow.backends.webgpu.lower_elementwise import FLOAT_UNARY, finish, operand, pair, type_of
from edgeflow.ir.attributes import int_of, number_of
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at

LIMITS: dict[str, tuple[float, float]] = {'uint8': (0.0, 255.0), 'int8': (-128.0, 127.0)}


def lower_is_inf(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    both = pair(inputs, outputs)
    if both is None or type_of(b, both[0]) != 'F':
        return False
    low = int_of(node, 'detect_negative', 1) != 0
    high = int_of(node, 'detect_positive', 1) != 0
    chain = Chain(both[1].shape)
    x = operand(b, chain, both[0])
    bits = 'bitcast<U>(%0) & U(0x7fffffffu)' if low and high else 'bitcast<U>(%0)'
    chain.op(f'({bits}) == U({"0x7f800000u" if high else "0xff800000u"})' if low or high else '%0 != %0 & !is_nan(%0)', 'B', [x])
    return finish(b, chain, both[1])


def lower_mod(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """Of integers: the sign is the divisor's, with fmod the dividend's."""
    both = pair(inputs, outputs)
    other = at(inputs, 1)
    type = '' if both is None else type_of(b, both[0])
    if both is None or other is None or type not in ['I', 'U']:
        return False
    chain = Chain(both[1].shape)
    x = operand(b, chain, both[0])
    y = operand(b, chain, other)
    # Vulkan leaves % of negative numbers open.
    rest = chain.op('%0 - %0 / %1 * %1', type, [x, y])
    if type == 'I' and int_of(node, 'fmod') != 1:
        chain.op('select(%0, %0 + %1, (%0 != I()) & ((%0 ^ %1) < I()))', 'I', [rest, y])
    return finish(b, chain, both[1])


def lower_quick_gelu(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    both = pair(inputs, outputs)
    if both is None or type_of(b, both[0]) != 'F':
        return False
    chain = Chain(both[1].shape)
    chain.op(FLOAT_UNARY['Swish'], 'F', [operand(b, chain, both[0])], [b.real(number_of(node, 'alpha', 1.702))])
    return finish(b, chain, both[1])


def _scaled(b: GpuBuilder, node: Node, inputs: list[Value | None], output: Value) -> tuple[Chain, list[int]] | None:
    """A chain with x, scale and zero point (-1 without one) of QuantizeLinear or DequantizeLinear."""
    source = at(inputs, 0)
    scale = at(inputs, 1)
    zero = at(inputs, 2)
    if source is None or scale is None or type_of(b, source) == '' or type_of(b, scale) != 'F':
        return None
    loops = scale_loops(source.shape, scale.count(), int_of(node, 'axis', 1), int_of(node, 'block_size'))
    if loops[6] != 1:
        return None
    chain = Chain(loops[:3])
    whole = [loops[1] * loops[2], loops[2], 1]
    numbers = [chain.load(source, type_of(b, source), 0, whole), chain.load(scale, 'F', 0, loops[3:6]), -1]
    if zero is not None:
        if type_of(b, zero) == '':
            return None
        numbers[2] = chain.load(zero, type_of(b, zero), 0, loops[3:6])
    return (chain, numbers)


def lower_dequantize(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    output = at(outputs, 0)
    made = None if output is None else _scaled(b, node, inputs, output)
    if output is None or made is None or type_of(b, output) != 'F':
        return False
    chain, numbers = made
    if numbers[2] < 0:
        chain.op('F(%0) * %1', 'F', [numbers[0], numbers[1]])
    else:
        chain.op('F(I(%0) - I(%2)) * %1', 'F', numbers)
    return finish(b, chain, output)


def lower_quantize(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    output = at(outputs, 0)
    made = None if output is None or output.dtype not in LIMITS else _scaled(b, node, inputs, output)
    if output is None or made is None:
        return False
    chain, numbers = made
    low, high = LIMITS[output.dtype]
    type = type_of(b, output)
    value = chain.op('round(quotient(%0, %1))', 'F', numbers[:2]) if numbers[2] < 0 else chain.op('round(quotient(%0, %1)) + F(%2)', 'F', numbers)
    # What is no number becomes the lower limit, as WASM has it.
    chain.op(f'{type}(clamp(%0, F({low}), F({high})))', type, [value])
    return finish(b, chain, output)


SCALE_LOWERINGS: dict[str, GpuLowering] = {
    'IsInf': lower_is_inf,
    'Mod': lower_mod,
    'DequantizeLinear': lower_dequantize,
    'QuantizeLinear': lower_quantize,
    'com.microsoft:QuickGelu': lower_quick_gelu,
}
