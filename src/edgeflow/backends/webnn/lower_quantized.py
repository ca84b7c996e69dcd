"""WebNN lowerings of quantisation.

QuantizeLinear is made of its parts: quantizeLinear of Chromium's cpu rounds halves away from zero, and makes integer kernels of what is between it and
dequantizeLinear, whose results are not ONNX's (version 153 ends the page where conv2d with real weights comes before it).
"""

from __future__ import annotations

from edgeflow.backends.webnn.emitter import Emitter, NnLowering, Operand
from edgeflow.backends.webnn.lower_movement import positive
from edgeflow.ir.attributes import int_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at

RANGES: dict[str, tuple[int, int]] = {'uint8': (0, 255), 'int8': (-128, 127)}


def spread(e: Emitter, node: Node, x: Operand, value: Value | None) -> Operand:
    """A scale or zero point with the rank of `x`: of one element, or along the axis."""
    operand = e.value(value)
    rank = len(x.shape)
    if int_of(node, 'block_size') != 0:
        raise e.refuse('blocks')
    count = element_count(operand.shape)
    shape = [1] * rank
    if count > 1:
        shape[positive(int_of(node, 'axis', 1), rank)] = count
    return e.reshape(operand, shape)


def codes_of(e: Emitter, x: Operand, scale: Operand, zero: Operand | None, dtype: str) -> Operand:
    """The codes of `x`, still float32. zero: float32."""
    low, high = RANGES[dtype]
    code = e.call('roundEven', [e.call('div', [x, scale])])
    if zero is not None:
        code = e.call('add', [code, zero])
    return e.call('clamp', [code], {'minValue': low, 'maxValue': high})


def lower_quantize(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    output = at(outputs, 0)
    x = e.value(at(inputs, 0))
    if output is None or output.dtype not in RANGES or x.dtype != 'float32':
        raise e.refuse('types other than float32 to int8 and uint8')
    zero: Operand | None = None
    if at(inputs, 2) is not None:
        zero = e.call('cast', [spread(e, node, x, at(inputs, 2)), 'float32'])
    e.give(output, codes_of(e, x, spread(e, node, x, at(inputs, 1)), zero, output.dtype))


def lower_dequantize(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    x = e.value(at(inputs, 0))
    scale = spread(e, node, x, at(inputs, 1))
    zero = e.numbers(x.dtype, scale.shape, [0] * element_count(scale.shape)) if at(inputs, 2) is None else spread(e, node, x, at(inputs, 2))
    e.give(at(outputs, 0), e.call('dequantizeLinear', [x, scale, zero]))


QUANTIZED_LOWERINGS: dict[str, NnLowering] = {'QuantizeLinear': lower_quantize, 'DequantizeLinear': lower_dequantize}
