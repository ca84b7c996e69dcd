"""Lowerings of quantised matrix products: 8 bit (dynamic), and weights of 2, 4 or 8 bits in blocks. Words: wasm/kernels_dense.h."""

from __future__ import annotations

from edgeflow.backends.wasm.lower_dense import ACTIVATION_IDS, FLOAT, ceil_div, given, lined_size, packed_f32_size, require_float
from edgeflow.ir.attributes import int_of, text_of
from edgeflow.ir.dtype import DTYPE_CODES, element_count
from edgeflow.ir.graph import Node
from edgeflow.plan.builder import Lowering, PackedForm, StepBuilder
from edgeflow.plan.values import Value, Word, at

SCALE_BYTES = 4


def packed_i8_size(k: int, n: int) -> int:
    """Bytes of a [K, N] matrix packed by pack_i8, with the first bytes of its lines."""
    return lined_size(4 * ceil_div(n, 8) * (64 + 8 * ceil_div(k, 4)))


def i8_scratch_size(m: int, k: int) -> int:
    """Scratch bytes of gemm_i8 and matmul_integer."""
    return m * (12 * ceil_div(k, 4) + 8)


def pack_i8_step(b: StepBuilder, weight: Value, start: int, target: Value) -> None:
    """Pack the row-major [K, N] matrix at element `start` of `weight`."""
    k = weight.shape[len(weight.shape) - 2]
    n = weight.shape[len(weight.shape) - 1]
    b.step('pack_i8', [b.pointer(weight, start), b.pointer(target), k, n, n, 1, DTYPE_CODES[weight.dtype]])


def i8_form(node: Node, inputs: list[Value | None]) -> PackedForm | None:
    """B of MatMulInteger and edgeflow:QMatMul."""
    weight = at(inputs, 1)
    if weight is None or len(weight.shape) != 2 or (weight.dtype != 'int8' and weight.dtype != 'uint8'):
        return None

    def pack(b: StepBuilder, values: list[Value | None], target: Value) -> None:
        pack_i8_step(b, given(b, values, 1), 0, target)

    return PackedForm('i8', [1], packed_i8_size(weight.shape[0], weight.shape[1]), pack)


def packed_i8(b: StepBuilder, node: Node, inputs: list[Value | None], start: int) -> Value:
    """B packed at load, or else by a step of its own."""
    packed = b.packed(i8_form(node, inputs), inputs)
    if packed is not None:
        return packed
    weight = given(b, inputs, 1)
    rank = len(weight.shape)
    target = b.scratch(packed_i8_size(weight.shape[rank - 2], weight.shape[rank - 1]))
    pack_i8_step(b, weight, start, target)
    return target


def lower_dynamic_quantize(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = require_float(b, given(b, inputs))
    b.step('quantize_dynamic', [b.pointer(source), b.pointer(given(b, outputs)), b.pointer(given(b, outputs, 1)),
                                b.pointer(given(b, outputs, 2)), source.count()])


def lower_qmatmul(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """edgeflow:QMatMul. Its A is quantised here unless it comes quantised too (inputs 6, 7, 8)."""
    source = require_float(b, given(b, inputs))
    weight = given(b, inputs, 1)
    scale = given(b, inputs, 2)
    zero = at(inputs, 3)
    residual = at(inputs, 5)
    output = given(b, outputs)
    quantized = at(inputs, 6)
    if quantized is None:
        codes: Word = b.pointer(b.scratch(source.count()))
        a_scale: Word = b.pointer(b.scratch(SCALE_BYTES))
        a_zero: Word = b.pointer(b.scratch(1))
        b.step('quantize_dynamic', [b.pointer(source), codes, a_scale, a_zero, source.count()])
    else:
        codes = b.pointer(quantized)
        a_scale = b.pointer(given(b, inputs, 7))
        a_zero = b.pointer(given(b, inputs, 8))
    k = weight.shape[0]
    n = weight.shape[1]
    m = element_count(source.shape[:len(source.shape) - 1])
    packed = packed_i8(b, node, inputs, 0)
    b.may_reuse(output, residual)
    b.step('gemm_i8', [
        codes, DTYPE_CODES['uint8'], a_scale, a_zero, b.pointer(packed), DTYPE_CODES[weight.dtype], b.pointer(scale), scale.count(),
        b.pointer(zero), 1 if zero is None else zero.count(), b.pointer(at(inputs, 4)), b.pointer(residual), b.pointer(output),
        m, n, k, ACTIVATION_IDS[text_of(node, 'activation', '')], b.pointer(b.scratch(i8_scratch_size(m, k)))])


def lower_matmul_integer(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """MatMulInteger. A matrix B takes all rows of A at once; with batches of B, which are rare, each pair is a step."""
    source = given(b, inputs)
    weight = given(b, inputs, 1)
    output = given(b, outputs)
    a_zero = at(inputs, 2)
    b_zero = at(inputs, 3)
    rank = len(weight.shape)
    if len(source.shape) < 2 or rank < 2:
        raise b.unsupported(f'shapes {source.shape} and {weight.shape}; it runs for matrices')
    k = weight.shape[rank - 2]
    n = weight.shape[rank - 1]
    rows = element_count(source.shape[:len(source.shape) - 1])
    single = rank == 2 or element_count(weight.shape[:rank - 2]) == 1
    m = rows if single else source.shape[len(source.shape) - 2]
    if not single and source.shape[:len(source.shape) - 2] != weight.shape[:rank - 2]:
        raise b.unsupported(f'batches of shapes {source.shape} and {weight.shape}')
    for zero, size in [(a_zero, rows), (b_zero, n)]:
        if zero is not None and zero.count() != 1 and (zero.count() != size or not single):
            raise b.unsupported(f'zero points of shape {zero.shape}')
    scratch = b.scratch(i8_scratch_size(m, k))
    for i in range(1 if single else element_count(weight.shape[:rank - 2])):
        packed = packed_i8(b, node, inputs, i * k * n)
        b.step('matmul_integer', [
            b.pointer(source, i * m * k), DTYPE_CODES[source.dtype], b.pointer(a_zero), 1 if a_zero is None else a_zero.count(), b.pointer(packed),
            DTYPE_CODES[weight.dtype], b.pointer(b_zero), 1 if b_zero is None else b_zero.count(), b.pointer(output, 4 * i * m * n), m, n, k,
            b.pointer(scratch)])


def _all_initializers(values: list[Value | None], indices: list[int]) -> bool:
    for i in indices:
        value = at(values, i)
        if value is None or value.initializer == '':
            return False
    return True


def nbits_packing(node: Node, inputs: list[Value | None]) -> PackedForm:
    """How MatMulNBits' weights, scales and zero points are packed together."""
    k = int_of(node, 'K')
    n = int_of(node, 'N')
    bits = int_of(node, 'bits', 4)
    block = int_of(node, 'block_size', 32)
    with_zeros = len(node.inputs) > 3 and node.inputs[3] != ''
    size = ceil_div(n, 8) * ceil_div(k, block) * ((64 if with_zeros else 32) + block * bits)

    def pack(b: StepBuilder, values: list[Value | None], target: Value) -> None:
        zeros = at(values, 3)
        kind = 0 if zeros is None else 1 if zeros.dtype == 'uint8' else 2
        b.step('pack_nbits', [b.pointer(values[1]), b.pointer(values[2]), b.pointer(zeros), b.pointer(target), n, k, block, bits, kind])

    return PackedForm('nbits', [1, 2, 3] if with_zeros else [1, 2], size, pack)


def nbits_form(node: Node, inputs: list[Value | None]) -> PackedForm | None:
    form = nbits_packing(node, inputs)
    return form if _all_initializers(inputs, form.sources) else None


def lower_matmul_nbits(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = require_float(b, given(b, inputs))
    output = given(b, outputs)
    packed = b.packed(nbits_form(node, inputs), inputs)
    if packed is None:
        form = nbits_packing(node, inputs)
        packed = b.scratch(form.size)
        form.pack(b, inputs, packed)
    k = int_of(node, 'K')
    n = int_of(node, 'N')
    block = int_of(node, 'block_size', 32)
    m = element_count(source.shape[:len(source.shape) - 1])
    blocks = ceil_div(k, block)
    bits = int_of(node, 'bits', 4)
    # accuracy_level 4: the activations may have 8 bits.
    codes = int_of(node, 'accuracy_level') == 4 and bits != 2
    scratch = b.scratch(m * blocks * (block + 8) if codes else 32 * blocks * block if m >= 4 else 0)
    b.step('gemm_nbits', [b.pointer(source), b.pointer(packed), b.pointer(output), b.pointer(at(inputs, 5)), 0, m, n, k, k, n, n, block,
                          bits, 0, b.pointer(scratch), 0 if at(inputs, 3) is None else 1, 1 if codes else 0])


def bnb4_packing(node: Node) -> PackedForm:
    """MatMulBnb4's weights become float32: its blocks run across rows, which no product kernel follows."""
    k = int_of(node, 'K')
    n = int_of(node, 'N')

    def pack(b: StepBuilder, values: list[Value | None], target: Value) -> None:
        plain = b.scratch(FLOAT * n * k)
        b.step('dequantize_bnb4', [b.pointer(values[1]), b.pointer(values[2]), b.pointer(plain), n * k, int_of(node, 'block_size', 64),
                                   int_of(node, 'quant_type', 1)])
        b.step('pack_f32', [b.pointer(plain), b.pointer(target), k, n, 1, k, 0])

    return PackedForm('bnb4', [1, 2], packed_f32_size(k, n), pack)


def bnb4_form(node: Node, inputs: list[Value | None]) -> PackedForm | None:
    form = bnb4_packing(node)
    return form if _all_initializers(inputs, form.sources) else None


def lower_matmul_bnb4(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = require_float(b, given(b, inputs))
    packed = b.packed(bnb4_form(node, inputs), inputs)
    if packed is None:
        form = bnb4_packing(node)
        packed = b.scratch(form.size)
        form.pack(b, inputs, packed)
    k = int_of(node, 'K')
    n = int_of(node, 'N')
    m = element_count(source.shape[:len(source.shape) - 1])
    b.step('gemm_f32', [b.pointer(source), b.pointer(packed), b.pointer(given(b, outputs)), 0, 0, m, n, k, k, n, n, b.real(1.0), 0, 0])


QUANTIZED_LOWERINGS: dict[str, Lowering] = {
    'DynamicQuantizeLinear': lower_dynamic_quantize,
    'MatMulInteger': lower_matmul_integer,
    'edgeflow:QMatMul': lower_qmatmul,
    'com.microsoft:MatMulNBits': lower_matmul_nbits,
    'com.microsoft:MatMulBnb4': lower_matmul_bnb4,
}
