"""WebNN lowerings of quantisation."""

from __future__ import annotations

from edgeflow.backends.webnn.emitter import Emitter, NnLowering, Operand
from edgeflow.backends.webnn.lower_movement import positive
from edgeflow.ir.attributes import int_of
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at


def spread(e: Emitter, node: Node, x: Operand, value: Value | None) -> Operand | None:
    """A scale or zero point with the rank of `x`: of one element, or along the axis. None if it is left out."""
    if value is None:
        return None
    operand = e.value(value)
    rank = len(x.shape)
    if int_of(node, 'block_size') != 0:
        if len(operand.shape) != rank:
            raise e.refuse('blocks of another rank')
        return operand
    shape = [1] * rank
    if value.count() > 1:
        shape[positive(int_of(node, 'axis', 1), rank)] = value.count()
    return e.reshape(operand, shape)


def quantize_lowering(method: str) -> NnLowering:
    def lower(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        output = at(outputs, 0)
        if output is None or (method == 'quantizeLinear' and output.dtype not in ['int8', 'uint8']):
            raise e.refuse('types other than int8 and uint8')
        x = e.value(at(inputs, 0))
        scale = spread(e, node, x, at(inputs, 1))
        if scale is None:
            raise e.refuse('no scale')
        zero = spread(e, node, x, at(inputs, 2))
        if zero is None:
            count = 1
            for dim in scale.shape:
                count = count * dim
            zero = e.numbers(output.dtype if method == 'quantizeLinear' else x.dtype, scale.shape, [0] * count)
        if method == 'quantizeLinear':
            # Chromium 153 ends the page when it quantises what conv2d gave with weights that are no codes.
            x = e.call('identity', [x])
        e.give(output, e.call(method, [x, scale, zero]))

    return lower


QUANTIZED_LOWERINGS: dict[str, NnLowering] = {
    'QuantizeLinear': quantize_lowering('quantizeLinear'), 'DequantizeLinear': quantize_lowering('dequantizeLinear'),
}
