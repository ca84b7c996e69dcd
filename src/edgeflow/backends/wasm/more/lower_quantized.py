"""Lowerings of quantized operators: integer products rescaled, and all else computed in float32 between DequantizeLinear and QuantizeLinear."""

from __future__ import annotations

from edgeflow.backends.wasm.lower_dense import given
from edgeflow.backends.wasm.lower_quantized import pack_i8_step, packed_i8_size
from edgeflow.backends.wasm.more.compose import Composer
from edgeflow.backends.wasm.weights import FormOf
from edgeflow.ir.attributes import int_of, number_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Attribute, Node
from edgeflow.ir.ops.more.numeric import BYTES8
from edgeflow.plan.builder import Lowering, PackedForm, StepBuilder
from edgeflow.plan.values import Value, at


# What a convolution within another operator takes from it.
CONV = ['auto_pad', 'dilations', 'group', 'kernel_shape', 'pads', 'strides']


def _rescaled(c: Composer, sums: Value, scale: Value, divisor: Value, zero: Value | None, output: Value) -> None:
    """output = quantized sums * scale / divisor, rounded once as one product."""
    factor = c.op('Div', [scale, divisor])
    values = c.op('Mul', [c.cast(sums, 'float32'), factor])
    c.op('QuantizeLinear', [values, c.real(1.0), _scalar(c, zero) if zero is not None else c.whole(0, output.dtype)], None, output)


def _scalar(c: Composer, value: Value) -> Value:
    return c.reshaped(value, []) if value.count() == 1 else value


def _column(c: Composer, value: Value, rows: int) -> Value:
    """A scale or zero point for each row, to be broadcast over columns."""
    return c.reshaped(value, [rows, 1]) if value.shape == [rows] and rows > 1 else value


def lower_qlinear_matmul(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    left = given(b, inputs)
    rank = len(left.shape)
    sums = c.op('MatMulInteger', [left, given(b, inputs, 3), _scalar(c, given(b, inputs, 2)), _scalar(c, given(b, inputs, 5))])
    rows = left.shape[rank - 2] if rank > 1 else 1
    scale = c.op('Mul', [_column(c, given(b, inputs, 1), rows), given(b, inputs, 4)])
    _rescaled(c, sums, scale, given(b, inputs, 6), given(b, inputs, 7), given(b, outputs))


def product_form(source: int) -> FormOf:
    """Input `source`, a matrix [K, N], packed as MatMulInteger wants it."""
    def form_of(node: Node, inputs: list[Value | None]) -> PackedForm | None:
        weight = at(inputs, source)
        if weight is None or len(weight.shape) != 2 or weight.dtype not in BYTES8 or int_of(node, 'transB') != 0:
            return None

        def pack(b: StepBuilder, values: list[Value | None], target: Value) -> None:
            pack_i8_step(b, given(b, values, source), 0, target)

        return PackedForm('i8', [source], packed_i8_size(weight.shape[0], weight.shape[1]), pack)

    return form_of


MORE_FORMS: dict[str, FormOf] = {
    'QLinearMatMul': product_form(3),
    'com.microsoft:QGemm': product_form(3),
    'com.microsoft:MatMulIntegerToFloat': product_form(1),
    'com.microsoft:DynamicQuantizeMatMul': product_form(1),
}


def lower_qlinear_conv(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    x = given(b, inputs)
    w = given(b, inputs, 3)
    sums = c.op('ConvInteger', [x, w, _scalar(c, given(b, inputs, 2)), _scalar(c, given(b, inputs, 5))], kept(node, CONV))
    each = [w.shape[0]] + [1] * (len(x.shape) - 2)
    bias = at(inputs, 8)
    if bias is not None:
        sums = c.op('Add', [sums, c.reshaped(bias, each)])
    scale = given(b, inputs, 4)
    scale = c.op('Mul', [_scalar(c, given(b, inputs, 1)), c.reshaped(scale, each) if scale.count() > 1 else _scalar(c, scale)])
    _rescaled(c, sums, scale, _scalar(c, given(b, inputs, 6)), given(b, inputs, 7), given(b, outputs))


def _real(c: Composer, inputs: list[Value | None], index: int) -> Value:
    """The number that input `index` stands for, with its scale and zero point behind it."""
    zero = at(inputs, index + 2)
    return c.op('DequantizeLinear', [given(c.b, inputs, index), _scalar(c, given(c.b, inputs, index + 1)), None if zero is None else _scalar(c, zero)])


def _quantized(c: Composer, value: Value, inputs: list[Value | None], index: int, output: Value) -> None:
    """The output, with the scale that is input `index` and the zero point behind it."""
    zero = at(inputs, index + 1)
    c.op('QuantizeLinear', [value, _scalar(c, given(c.b, inputs, index)), c.whole(0, output.dtype) if zero is None else _scalar(c, zero)], None, output)


def kept(node: Node, names: list[str]) -> dict[str, Attribute]:
    return {name: node.attributes[name] for name in names if name in node.attributes}


def quantized_lowering(op: str, count: int, names: list[str]) -> Lowering:
    """The operator `op` of `count` quantized inputs, with those attributes that it shares."""
    def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        c = Composer(b)
        parts: list[Value | None] = []
        for i in range(count):
            parts.append(_real(c, inputs, 3 * i))
        _quantized(c, c.op(op, parts, kept(node, names)), inputs, 3 * count, given(b, outputs))

    return lower


def lower_qlinear_softmax(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    value = _real(c, inputs, 0)
    shape = value.shape
    axis = int_of(node, 'axis', -1)
    axis = axis + len(shape) if axis < 0 else axis
    if int_of(node, 'opset', 13) < 13:
        value = c.reshaped(value, [element_count(shape[:axis]), element_count(shape[axis:])])
        axis = 1
    _quantized(c, c.reshaped(c.op('Softmax', [value], {'axis': axis}), shape), inputs, 3, given(b, outputs))


def lower_qlinear_where(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    _quantized(c, c.op('Where', [given(b, inputs), _real(c, inputs, 1), _real(c, inputs, 4)]), inputs, 7, given(b, outputs))


def lower_qlinear_concat(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    parts: list[Value | None] = []
    for i in range(2, len(inputs), 3):
        parts.append(_real(c, inputs, i))
    _quantized(c, c.joined(parts, int_of(node, 'axis')), inputs, 0, given(b, outputs))


def lower_qlinear_pool(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    value = _real(c, inputs, 0)
    rank = len(value.shape)
    last = int_of(node, 'channels_last') == 1
    if last:
        value = c.transposed(value, [0, rank - 1] + list(range(1, rank - 1)))
    if node.op == 'QLinearGlobalAveragePool':
        value = c.op('ReduceMean', [value, c.ints(list(range(2, rank)))])
    else:
        value = c.op('AveragePool', [value], kept(node, ['kernel_shape', 'strides', 'pads', 'auto_pad', 'ceil_mode', 'count_include_pad']))
    if last:
        value = c.transposed(value, [0] + list(range(2, rank)) + [1])
    _quantized(c, value, inputs, 3, given(b, outputs))


def lower_qlinear_reduce(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    value = _real(c, inputs, 0)
    axes = node.attributes.get('axes')
    parts: list[Value | None] = [value]
    if isinstance(axes, list):
        parts.append(c.ints([int(axis) for axis in axes if isinstance(axis, (int, float))]))
    _quantized(c, c.op('ReduceMean', parts, kept(node, ['keepdims'])), inputs, 3, given(b, outputs))


def lower_qgemm(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    left = given(b, inputs)
    right = given(b, inputs, 3)
    output = given(b, outputs)
    if int_of(node, 'transA') != 0:
        left = c.transposed(left, [1, 0])
    if int_of(node, 'transB') != 0:
        right = c.transposed(right, [1, 0])
    sums = c.op('MatMulInteger', [left, right, _scalar(c, given(b, inputs, 2)), _scalar(c, given(b, inputs, 5))])
    if at(inputs, 6) is not None:
        sums = c.op('Add', [sums, at(inputs, 6)])
    scale = c.op('Mul', [_scalar(c, given(b, inputs, 1)), _scalar(c, given(b, inputs, 4))])
    alpha = number_of(node, 'alpha', 1.0)
    if alpha != 1:
        scale = c.op('Mul', [scale, c.real(alpha)])
    divisor = at(inputs, 7)
    if divisor is None:
        c.op('Mul', [c.cast(sums, 'float32'), scale], None, output)
    else:
        _rescaled(c, sums, scale, _scalar(c, divisor), at(inputs, 8), output)


def _float_product(c: Composer, sums: Value, scale: Value, bias: Value | None, output: Value) -> None:
    product = c.op('Mul', [c.cast(sums, 'float32'), scale], None, output if bias is None else None)
    if bias is not None:
        c.op('Add', [product, bias], None, output)


def lower_matmul_integer_to_float(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    zeros = [None if value is None else _scalar(c, value) for value in [at(inputs, 4), at(inputs, 5)]]
    sums = c.op('MatMulInteger', [given(b, inputs), given(b, inputs, 1), zeros[0], zeros[1]])
    scale = c.op('Mul', [_scalar(c, given(b, inputs, 2)), _scalar(c, given(b, inputs, 3))])
    _float_product(c, sums, scale, at(inputs, 6), given(b, outputs))


def lower_dynamic_quantize_matmul(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    codes = c.ops('DynamicQuantizeLinear', [given(b, inputs)], None, 3)
    zero = at(inputs, 3)
    sums = c.op('MatMulInteger', [codes[0], given(b, inputs, 1), codes[2], None if zero is None else _scalar(c, zero)])
    _float_product(c, sums, c.op('Mul', [codes[1], _scalar(c, given(b, inputs, 2))]), at(inputs, 4), given(b, outputs))


def lower_qattention(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """com.microsoft:Attention of what input and weights stand for."""
    c = Composer(b)
    x = _real(c, [given(b, inputs), at(inputs, 3), at(inputs, 6)], 0)
    w_scale = given(b, inputs, 4)
    w_zero = at(inputs, 7)
    weight = given(b, inputs, 1)
    numbers = c.cast(weight, 'float32')
    if w_zero is not None:
        numbers = c.op('Sub', [numbers, c.cast(w_zero, 'float32')])
    numbers = c.op('Mul', [numbers, w_scale])
    attributes = kept(node, ['num_heads', 'unidirectional', 'scale', 'mask_filter_value'])
    c.op('com.microsoft:Attention', [x, numbers, given(b, inputs, 2), at(inputs, 5)], attributes, given(b, outputs))


MORE_QUANTIZED_LOWERINGS: dict[str, Lowering] = {
    'QLinearMatMul': lower_qlinear_matmul,
    'QLinearConv': lower_qlinear_conv,
    'com.microsoft:QLinearAdd': quantized_lowering('Add', 2, []),
    'com.microsoft:QLinearMul': quantized_lowering('Mul', 2, []),
    'com.microsoft:QLinearSigmoid': quantized_lowering('Sigmoid', 1, []),
    'com.microsoft:QLinearLeakyRelu': quantized_lowering('LeakyRelu', 1, ['alpha']),
    'com.microsoft:QLinearSoftmax': lower_qlinear_softmax,
    'com.microsoft:QLinearWhere': lower_qlinear_where,
    'com.microsoft:QLinearConcat': lower_qlinear_concat,
    'com.microsoft:QLinearGlobalAveragePool': lower_qlinear_pool,
    'com.microsoft:QLinearAveragePool': lower_qlinear_pool,
    'com.microsoft:QLinearReduceMean': lower_qlinear_reduce,
    'com.microsoft:QGemm': lower_qgemm,
    'com.microsoft:MatMulIntegerToFloat': lower_matmul_integer_to_float,
    'com.microsoft:DynamicQuantizeMatMul': lower_dynamic_quantize_matmul,
    'com.microsoft:QAttention': lower_qattention,
}
