"""Lowerings of com.microsoft's rarer operators. Words: wasm/more/kernels_numeric.h."""

from __future__ import annotations

from edgeflow.backends.wasm.lower_dense import ACTIVATION_IDS, given
from edgeflow.backends.wasm.lower_elementwise import dtype_code
from edgeflow.backends.wasm.more.compose import Composer
from edgeflow.backends.wasm.more.lower_quantized import CONV, kept
from edgeflow.backends.wasm.rules import context_of
from edgeflow.ir.attributes import int_of, number_of, text_of
from edgeflow.ir.graph import Attribute, Node
from edgeflow.ir.ops.more.contrib import experts_of
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.values import Value, Word, at

# How the kernel calls the activations of experts.
EXPERTS: dict[str, str] = {'relu': 'relu', 'gelu': 'gelu_tanh', 'silu': 'silu', 'identity': '', 'swiglu': ''}


def lower_moe(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    e = experts_of(context_of(b, node, inputs))
    quantized = node.op == 'QMoE'
    activation = text_of(node, 'activation_type', 'relu')
    if activation not in EXPERTS:
        raise b.unsupported(f"activation '{activation}'; expected one of " + ', '.join(list(EXPERTS.keys())))
    gated = activation == 'swiglu'
    fusion = int_of(node, 'swiglu_fusion')
    if gated and fusion not in [1, 2]:
        raise b.unsupported(f'swiglu_fusion {fusion}; expected 1 or 2')
    reals = [None if value is None or value.dtype == 'uint8' else c.cast(value, 'float32') for value in inputs]
    output = given(b, outputs)
    result = output if output.dtype == 'float32' else c.value('float32', output.shape)
    normalized = 1 if quantized else int_of(node, 'normalize_routing_weights')
    words: list[Word] = [
        b.pointer(given(b, reals)), b.pointer(given(b, reals, 1)), b.pointer(result), e.rows, e.hidden, e.inner, e.count, int_of(node, 'k', 1), normalized,
        ACTIVATION_IDS[EXPERTS[activation]], fusion if gated else 0, b.real(number_of(node, 'activation_alpha', 1.0)),
        b.real(number_of(node, 'activation_beta', 0.0)), b.real(number_of(node, 'swiglu_limit', 0.0)), e.bits, e.block]
    for i in range(3):
        first = 2 + 3 * i if quantized else 2 + 2 * i
        words.extend([
            b.pointer(at(inputs, first) if quantized else at(reals, first)), b.pointer(at(reals, first + 1)) if quantized else 0,
            b.pointer(at(inputs, 11 + i)) if quantized else 0, b.pointer(at(reals, first + (2 if quantized else 1)))])
    floats = e.count + max(e.hidden, e.inner) + 3 * e.inner + e.hidden
    b.step('moe', words + [b.pointer(b.scratch(4 * floats))])
    if result is not output:
        c.give(c.cast(result, output.dtype), output)


def _activated(c: Composer, node: Node, value: Value, output: Value) -> None:
    """What stands behind a fused convolution."""
    name = text_of(node, 'activation', '')
    numbers = node.attributes.get('activation_params')
    given_numbers = [float(x) for x in numbers if isinstance(x, (int, float))] if isinstance(numbers, list) else []
    attributes: dict[str, Attribute] = {}
    if name == 'Clip' and len(given_numbers) == 2:
        c.op('Clip', [value, c.real(given_numbers[0]), c.real(given_numbers[1])], None, output)
        return
    for i in range(len(given_numbers)):
        attributes[['alpha', 'beta'][i]] = given_numbers[i]
    if name == '':
        c.give(value, output)
    else:
        c.op(name, [value], attributes, output)


def lower_nhwc_conv(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    source = given(b, inputs)
    rank = len(source.shape)
    parts: list[Value | None] = [c.transposed(source, [0, rank - 1] + list(range(1, rank - 1)))]
    parts.extend(inputs[1:])
    value = c.transposed(c.op('Conv', parts, kept(node, CONV)), [0] + list(range(2, rank)) + [1])
    _activated(c, node, value, given(b, outputs))


def lower_range(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """As ai.onnx's; the step may be left out."""
    start = given(b, inputs)
    step = at(inputs, 2)
    if step is None:
        step = Composer(b).number(1, start.dtype)
    output = given(b, outputs)
    b.step('range', [dtype_code(output), b.pointer(start), b.pointer(step), b.pointer(output), output.count()])


def lower_trilu(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    Composer(b).op('Trilu', inputs, {'upper': int_of(node, 'upper', 1)}, given(b, outputs))


MORE_CONTRIB_LOWERINGS: dict[str, Lowering] = {
    'com.microsoft:MoE': lower_moe,
    'com.microsoft:QMoE': lower_moe,
    'com.microsoft:NhwcConv': lower_nhwc_conv,
    'com.microsoft:NhwcFusedConv': lower_nhwc_conv,
    'com.microsoft:Range': lower_range,
    'com.microsoft:Trilu': lower_trilu,
}
