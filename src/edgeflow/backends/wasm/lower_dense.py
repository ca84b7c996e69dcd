"""Lowerings of float matrix products, attention, normalisations and activations. Words: wasm/kernels_dense.h."""

from __future__ import annotations

from typing import cast

from edgeflow.backends.wasm.batches import Batch, batches
from edgeflow.ir.attributes import int_of, number_of, text_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.plan.builder import Lowering, PackedForm, StepBuilder
from edgeflow.plan.values import Step, Value, Word, at

FLOAT = 4
# Bytes that come from memory together (wasm/dense.h).
LINE = 64
# Argument words of gemm_f32.
ROWS = 5
COLUMNS = 6
INNER = 7
ACTIVATION_IDS: dict[str, int] = {
    '': 0, 'relu': 1, 'gelu': 2, 'gelu_tanh': 3, 'tanh': 4, 'sigmoid': 5, 'silu': 6, 'erf': 7, 'exp': 8, 'quick_gelu': 9,
}


def ceil_div(a: int, b: int) -> int:
    return (a + b - 1) // b


def packed_f32_size(k: int, n: int) -> int:
    """Bytes of a [K, N] matrix packed by pack_f32; behind them come the first bytes of their lines, by which weights are brought near."""
    return 4 * 8 * ceil_div(n, 8) * k


def lined_size(size: int) -> int:
    """Bytes of packed weights of `size`, with the first bytes of their lines."""
    return size + ceil_div(size, LINE)


def f32_form(weight: Value | None, source: int, trans: bool) -> PackedForm | None:
    """The packed form of a matrix that is input `source`; trans: it is given as [N, K]."""
    if weight is None or weight.dtype != 'float32' or len(weight.shape) != 2:
        return None
    k = weight.shape[1] if trans else weight.shape[0]
    n = weight.shape[0] if trans else weight.shape[1]
    row = 1 if trans else n
    column = k if trans else 1

    def pack(b: StepBuilder, inputs: list[Value | None], target: Value) -> None:
        b.step('pack_f32', [b.pointer(inputs[source]), b.pointer(target), k, n, row, column, b.pointer(target, packed_f32_size(k, n))])

    return PackedForm('f32t' if trans else 'f32', [source], lined_size(packed_f32_size(k, n)), pack)


def matmul_form(node: Node, inputs: list[Value | None]) -> PackedForm | None:
    """B of MatMul and edgeflow:MatMul."""
    if int_of(node, 'trans_a') != 0:
        return None
    return f32_form(at(inputs, 1), 1, int_of(node, 'trans_b') != 0)


def gemm_form(node: Node, inputs: list[Value | None]) -> PackedForm | None:
    """B of Gemm and com.microsoft:FusedMatMul."""
    if int_of(node, 'transA') != 0:
        return None
    return f32_form(at(inputs, 1), 1, int_of(node, 'transB') != 0)


def product_work(step: Step) -> float:
    """Floating-point operations of a gemm_f32."""
    return 2.0 * cast(int, step.words[ROWS]) * cast(int, step.words[COLUMNS]) * cast(int, step.words[INNER])


def require_float(b: StepBuilder, value: Value) -> Value:
    """`value`, which must be float32 in memory: these kernels have no other type."""
    if value.dtype != 'float32':
        raise b.unsupported(f'type {value.dtype}; it runs in float32 and float16')
    return value


def given(b: StepBuilder, values: list[Value | None], index: int = 0) -> Value:
    """Input or output `index`, which must be there."""
    value = at(values, index)
    if value is None:
        raise b.unsupported(f'input or output {index} is left out')
    return value


def matmul_steps(
    b: StepBuilder, a: Value, weights: Value, packed: Value | None, bias: Value | None, residual: Value | None, output: Value,
    trans_a: bool, trans_b: bool, alpha: float, activation: int,
) -> None:
    """output = act(alpha * A @ B + bias) + residual for numpy.matmul's shapes; `packed` is B packed, if it can be."""
    require_float(b, a)
    require_float(b, weights)
    a_shape = [1] + a.shape if len(a.shape) == 1 else a.shape
    b_shape = weights.shape + [1] if len(weights.shape) == 1 else weights.shape
    a_rank = len(a_shape)
    b_rank = len(b_shape)
    k = a_shape[a_rank - 2] if trans_a else a_shape[a_rank - 1]
    m = a_shape[a_rank - 1] if trans_a else a_shape[a_rank - 2]
    n = b_shape[b_rank - 2] if trans_b else b_shape[b_rank - 1]
    if packed is not None and not trans_a:
        b.may_reuse(output, residual)
        rows = element_count(a_shape[:a_rank - 1])
        b.step('gemm_f32', [b.pointer(a), b.pointer(packed), b.pointer(output), b.pointer(bias), b.pointer(residual),
                            rows, n, k, k, n, n, b.real(alpha), activation, b.pointer(packed, packed_f32_size(k, n))])
        return
    a_row = 1 if trans_a else k
    a_column = m if trans_a else 1
    b_row = 1 if trans_b else n
    b_column = k if trans_b else 1
    scratch = b.scratch(4 * (8 * ceil_div(n, 8) * k + (0 if a_column == 1 else m * k)))
    found = batches(a_shape[:a_rank - 2], b_shape[:b_rank - 2], m * k, k * n, m * n)
    if not trans_a and len(found) == 1 and b_rank == 2:
        m = element_count(a_shape[:a_rank - 1])
        found = [Batch()]
    for part in found:
        b.step('matmul_f32', [
            b.pointer(a, FLOAT * part.a_start), b.pointer(weights, FLOAT * part.b_start), b.pointer(output, FLOAT * part.c_start),
            b.pointer(bias), b.pointer(residual, FLOAT * part.c_start), m, n, k, a_row, a_column, b_row, b_column, n,
            b.real(alpha), activation, b.pointer(scratch), *part.words()])


def lower_matmul(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    packed = b.packed(matmul_form(node, inputs), inputs)
    matmul_steps(b, given(b, inputs), given(b, inputs, 1), packed, None, None, given(b, outputs), False, False, 1.0, 0)


def lower_fused_matmul(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    packed = b.packed(matmul_form(node, inputs), inputs)
    trans_a = int_of(node, 'trans_a') != 0
    trans_b = int_of(node, 'trans_b') != 0
    matmul_steps(b, given(b, inputs), given(b, inputs, 1), packed, at(inputs, 2), at(inputs, 3), given(b, outputs),
                 trans_a, trans_b, number_of(node, 'alpha', 1.0), ACTIVATION_IDS[text_of(node, 'activation', '')])


def lower_contrib_matmul(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """com.microsoft:FusedMatMul, which spells its attributes as Gemm does. A vector has nothing to exchange."""
    a = given(b, inputs)
    weights = given(b, inputs, 1)
    matmul_steps(b, a, weights, b.packed(gemm_form(node, inputs), inputs), None, None, given(b, outputs),
                 int_of(node, 'transA') != 0 and len(a.shape) > 1, int_of(node, 'transB') != 0 and len(weights.shape) > 1,
                 number_of(node, 'alpha', 1.0), 0)


def lower_gemm(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    output = given(b, outputs)
    beta = number_of(node, 'beta', 1.0)
    addend = at(inputs, 2)
    bias: Value | None = None
    residual: Value | None = None
    if addend is not None and beta != 0:
        if beta == 1 and addend.count() == output.shape[1] and addend.shape[len(addend.shape) - 1:] == output.shape[1:]:
            bias = addend
        elif beta == 1 and addend.shape == output.shape:
            residual = addend
        else:
            residual = scaled_to_shape(b, addend, output, beta)
    packed = b.packed(gemm_form(node, inputs), inputs)
    matmul_steps(b, given(b, inputs), given(b, inputs, 1), packed, bias, residual, output, int_of(node, 'transA') != 0,
                 int_of(node, 'transB') != 0, number_of(node, 'alpha', 1.0), 0)


def scaled_to_shape(b: StepBuilder, value: Value, like: Value, factor: float) -> Value:
    """Scratch memory with `factor` times `value`, broadcast to the shape [M, N] of `like`: a product with the 1 x 1 matrix 1."""
    rank = len(value.shape)
    rows = value.shape[rank - 2] if rank > 1 else 1
    columns = value.shape[rank - 1] if rank > 0 else 1
    row_step = 0 if rows == 1 else columns
    column_step = 0 if columns == 1 else 1
    target = b.scratch(like.size)
    m = like.shape[0]
    n = like.shape[1]
    scratch = b.scratch(4 * (8 + n))
    words: list[Word] = [b.pointer(value), b.table([b.real(1.0)]), b.pointer(target), 0, 0, n, 1, 1, column_step, 1, 1, 1, 1, b.real(factor), 0,
                         b.pointer(scratch), m, row_step, 0, n, 1, 0, 0, 0]
    b.step('matmul_f32', words)
    return target


def lower_layer_norm(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    norm_steps(b, 'layer_norm_f32', node, inputs, outputs)


def lower_rms_norm(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    norm_steps(b, 'rms_norm_f32', node, inputs, outputs)


def norm_steps(b: StepBuilder, kernel: str, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """LayerNormalization and RMSNormalization: the last dims from `axis` on are normalised."""
    source = require_float(b, given(b, inputs))
    output = given(b, outputs)
    if at(outputs, 1) is not None or at(outputs, 2) is not None:
        raise b.unsupported('its outputs for training (mean, inverse deviation) are not given')
    rank = len(source.shape)
    axis = int_of(node, 'axis', -1)
    axis = axis + rank if axis < 0 else axis
    n = element_count(source.shape[axis:])
    for i in [1, 2]:
        weights = at(inputs, i)
        if weights is not None and weights.count() != n:
            raise b.unsupported(f'input {i} of shape {weights.shape} where {n} elements are normalised')
    b.may_reuse(output, source)
    rows = element_count(source.shape[:axis])
    b.step(kernel, [b.pointer(source), 0, 0, b.pointer(at(inputs, 1)), b.pointer(at(inputs, 2)), b.pointer(output), 0, rows, n, 1,
                    b.real(number_of(node, 'epsilon', 1e-5))])


def skip_norm_steps(
    b: StepBuilder, kernel: str, source: Value, skip: Value, gamma: Value | None, beta: Value | None, bias: Value | None, output: Value,
    total: Value | None, epsilon: float,
) -> None:
    """output = norm(source + skip + bias), total = source + skip + bias."""
    require_float(b, source)
    n = source.shape[len(source.shape) - 1]
    rows = element_count(source.shape[:len(source.shape) - 1])
    skip_rows = skip_row_count(b, source, skip)
    b.may_reuse(output, source)
    if total is None:
        b.may_reuse(output, skip)
    else:
        b.may_reuse(total, skip)
        b.may_reuse(total, source)
    b.step(kernel, [b.pointer(source), b.pointer(skip), b.pointer(bias), b.pointer(gamma), b.pointer(beta), b.pointer(output),
                    b.pointer(total), rows, n, skip_rows, b.real(epsilon)])


def skip_row_count(b: StepBuilder, source: Value, skip: Value) -> int:
    """Rows of `skip`, which must be the trailing dims of `source` whole, so that its rows repeat."""
    dims: list[int] = skip.shape
    while len(dims) > 1 and dims[0] == 1:
        dims = dims[1:]
    if dims != source.shape[len(source.shape) - len(dims):]:
        raise b.unsupported(f'a skip of shape {skip.shape} for {source.shape}')
    return max(1, element_count(dims[:len(dims) - 1]))


def lower_skip_layer_norm(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    skip_norm_steps(b, 'layer_norm_f32', given(b, inputs), given(b, inputs, 1), at(inputs, 2), at(inputs, 3), at(inputs, 4),
                    given(b, outputs), at(outputs, 1), number_of(node, 'epsilon', 1e-5))


def lower_softmax(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    softmax_steps(b, 'softmax_f32', node, inputs, outputs)


def lower_log_softmax(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    softmax_steps(b, 'log_softmax_f32', node, inputs, outputs)


def softmax_steps(b: StepBuilder, kernel: str, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """Before version 13 all dims from `axis` (default 1) on are one; from then on it is `axis` (default -1) alone."""
    source = require_float(b, given(b, inputs))
    output = given(b, outputs)
    flat = b.opset < 13
    rank = max(1, len(source.shape))
    axis = int_of(node, 'axis', 1 if flat else -1)
    axis = axis + rank if axis < 0 else axis
    n = element_count(source.shape[axis:]) if flat else element_count(source.shape[axis:axis + 1])
    inner = 1 if flat else element_count(source.shape[axis + 1:])
    b.may_reuse(output, source)
    b.step(kernel, [b.pointer(source), b.pointer(output), element_count(source.shape[:axis]), n, inner])


def activation_steps(b: StepBuilder, activation: int, source: Value, bias: Value | None, output: Value) -> None:
    """output = act(source + bias), bias along the last dim."""
    require_float(b, source)
    b.may_reuse(output, source)
    period = 1 if bias is None else bias.count()
    b.step('activation_f32', [activation, b.pointer(source), b.pointer(bias), b.pointer(output), output.count(), period])




def lower_gelu(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    name = 'gelu_tanh' if text_of(node, 'approximate', 'none') == 'tanh' else 'gelu'
    activation_steps(b, ACTIVATION_IDS[name], given(b, inputs), None, given(b, outputs))


def lower_bias_act(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    name = text_of(node, 'activation', '')
    activation_steps(b, ACTIVATION_IDS[name], given(b, inputs), at(inputs, 1), given(b, outputs))


def lower_pool_tokens(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    words: list[Word] = [b.pointer(source), b.pointer(given(b, inputs, 1)), b.pointer(given(b, outputs))]
    words.extend(source.shape)
    words.append(int_of(node, 'flags'))
    b.step('pool_tokens', words)


DENSE_LOWERINGS: dict[str, Lowering] = {
    'MatMul': lower_matmul,
    'Gemm': lower_gemm,
    'com.microsoft:FusedMatMul': lower_contrib_matmul,
    'LayerNormalization': lower_layer_norm,
    'SimplifiedLayerNormalization': lower_rms_norm,
    'RMSNormalization': lower_rms_norm,
    'Softmax': lower_softmax,
    'LogSoftmax': lower_log_softmax,
    'Gelu': lower_gelu,
    'edgeflow:MatMul': lower_fused_matmul,
    'edgeflow:SkipLayerNorm': lower_skip_layer_norm,
    'edgeflow:Gelu': lower_gelu,
    'edgeflow:BiasAct': lower_bias_act,
    'edgeflow:PoolTokens': lower_pool_tokens,
}
