"""Lowerings of rarer numeric operators (ir/ops/more/numeric.py), most of them as steps of other operators."""

from __future__ import annotations

from edgeflow.backends.wasm.lower_dense import given
from edgeflow.backends.wasm.lower_elementwise import dtype_code
from edgeflow.backends.wasm.lowerings import LOWERINGS, either
from edgeflow.backends.wasm.more.compose import Composer
from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import copy_steps, item_size, row_major
from edgeflow.ir.attributes import int_of, number_of, text_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.more.numeric import center_axes, einsum_dims, einsum_labels, nonzero_places
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.values import Value, at


def lower_bit_cast(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    b.alias(given(b, outputs), given(b, inputs))


def lower_nonzero(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    places = nonzero_places(source.shape, b.floats(source))
    copy_steps(b, 8, b.pointer(b.int64s(places)), b.pointer(given(b, outputs)), [len(places)], [1], [1])


def det_lowering(inverse: int) -> Lowering:
    def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        source = given(b, inputs)
        rank = len(source.shape)
        n = source.shape[rank - 1]
        b.step('det', [dtype_code(source), b.pointer(source), b.pointer(given(b, outputs)), element_count(source.shape[:rank - 2]), n, inverse,
                       b.pointer(b.scratch(16 * n * n))])

    return lower


# Einsum


def _distinct(c: Composer, value: Value, labels: list[str], dims: dict[str, int]) -> tuple[Value, list[str]]:
    """The value with each label once (diagonals are copied out) and in its full size."""
    found: list[str] = []
    steps: list[int] = []
    strides = row_major(value.shape)
    for i in range(len(labels)):
        step = 0 if value.shape[i] == 1 else strides[i]
        if labels[i] in found:
            steps[found.index(labels[i])] += step
        else:
            found.append(labels[i])
            steps.append(step)
    shape = [dims[label] for label in found]
    if len(found) == len(labels) and shape == value.shape:
        return (value, found)
    copy = c.value(value.dtype, shape)
    copy_steps(c.b, item_size(value), c.b.pointer(value), c.b.pointer(copy), shape, steps, row_major(shape))
    return (copy, found)


def _summed(c: Composer, value: Value, labels: list[str], kept: list[str]) -> tuple[Value, list[str]]:
    """The value summed over the labels that nobody else asks for."""
    axes = [i for i in range(len(labels)) if labels[i] not in kept]
    if len(axes) == 0:
        return (value, labels)
    return (c.op('ReduceSum', [value, c.ints(axes)], {'keepdims': 0}), [label for label in labels if label in kept])


def _arranged(c: Composer, value: Value, labels: list[str], groups: list[list[str]], dims: dict[str, int]) -> Value:
    """Transposed and reshaped to one dim for each group of labels."""
    order: list[int] = []
    for group in groups:
        for label in group:
            order.append(labels.index(label))
    return c.reshaped(c.transposed(value, order), [element_count([dims[label] for label in group]) for group in groups])


def lower_einsum(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """From left to right: a matrix product for each further input, over the labels that neither the output nor a later input has."""
    c = Composer(b)
    context = context_of(b, node, inputs)
    terms = einsum_labels(context)
    dims = einsum_dims(context, terms)
    target = terms[len(terms) - 1]
    value = given(b, inputs)
    labels: list[str] = []
    for i in range(len(inputs)):
        kept = target[:]
        for term in terms[i + 1:len(inputs)]:
            kept.extend(term)
        part = _distinct(c, given(b, inputs, i), terms[i], dims)
        if i == 0:
            part = _summed(c, part[0], part[1], kept)
            value = part[0]
            labels = part[1]
            continue
        part = _summed(c, part[0], part[1], kept + labels)
        left = _summed(c, value, labels, kept + part[1])
        shared = [label for label in left[1] if label in part[1]]
        batch = [label for label in shared if label in kept]
        inner = [label for label in shared if label not in kept]
        rows = [label for label in left[1] if label not in shared]
        columns = [label for label in part[1] if label not in shared]
        product = c.op('MatMul', [_arranged(c, left[0], left[1], [batch, rows, inner], dims), _arranged(c, part[0], part[1], [batch, inner, columns], dims)])
        labels = batch + rows + columns
        value = c.reshaped(product, [dims[label] for label in labels])
    c.transposed(value, [labels.index(label) for label in target], given(b, outputs))


# Losses


def _likelihood_loss(c: Composer, node: Node, source: Value, inputs: list[Value | None], output: Value) -> None:
    """The negative log likelihoods of the targets, weighted, and their sum or weighted mean."""
    target = c.cast(given(c.b, inputs, 1), 'int64')
    weight = at(inputs, 2)
    reduction = text_of(node, 'reduction', 'mean')
    zero = c.real(0.0, source.dtype)
    ignored: Value | None = None
    if 'ignore_index' in node.attributes:
        ignored = c.op('Equal', [target, c.whole(int_of(node, 'ignore_index'))])
        target = c.op('Where', [ignored, c.whole(0), target])
    column = c.reshaped(target, [source.shape[0], 1] + source.shape[2:])
    picked = c.reshaped(c.op('GatherElements', [source, column], {'axis': 1}), target.shape)
    factors = c.op('Expand', [c.real(1.0, source.dtype), c.ints(target.shape)]) if weight is None else c.op('Gather', [weight, target])
    if ignored is not None:
        factors = c.op('Where', [ignored, zero, factors])
        picked = c.op('Where', [ignored, zero, picked])
    loss = c.op('Mul', [c.op('Neg', [picked]), factors], None, output if reduction == 'none' else None)
    if reduction == 'sum':
        c.op('ReduceSum', [loss], {'keepdims': 0}, output)
    elif reduction == 'mean':
        c.op('Div', [c.op('ReduceSum', [loss], {'keepdims': 0}), c.op('ReduceSum', [factors], {'keepdims': 0})], None, output)


def lower_nll_loss(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    _likelihood_loss(Composer(b), node, given(b, inputs), inputs, given(b, outputs))


def lower_cross_entropy(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    scores = c.op('LogSoftmax', [given(b, inputs)], {'axis': 1}, at(outputs, 1))
    _likelihood_loss(c, node, scores, inputs, given(b, outputs))


def lower_center_crop_pad(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    value = given(b, inputs)
    output = given(b, outputs)
    rank = len(value.shape)
    pads = [0] * (2 * rank)
    for axis in center_axes(context_of(b, node, inputs)):
        extra = output.shape[axis] - value.shape[axis]
        if extra < 0:
            start = -extra // 2
            value = c.sliced(value, axis, start, start + output.shape[axis])
        pads[axis] = max(0, extra) // 2
        pads[rank + axis] = max(0, extra) - pads[axis]
    c.op('Pad', [value, c.ints(pads)], {'mode': 'constant'}, output)


# Products and normalisations in types, and with outputs, that the kernels of models lack.


def lower_any_matmul(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """numpy.matmul in any type: sums of products over strides."""
    left = given(b, inputs)
    right = given(b, inputs, 1)
    output = given(b, outputs)
    a = [1] + left.shape if len(left.shape) == 1 else left.shape
    z = right.shape + [1] if len(right.shape) == 1 else right.shape
    k = a[len(a) - 1]
    rank = max(len(a), len(z))
    dims: list[int] = []
    steps: list[list[int]] = [[], []]
    pair = [[1] * (rank - len(a)) + a, [1] * (rank - len(z)) + z]
    strides = [row_major(pair[0]), row_major(pair[1])]
    for i in range(rank - 2):
        dims.append(max(pair[0][i], pair[1][i]) if min(pair[0][i], pair[1][i]) > 0 else 0)
        for side in range(2):
            steps[side].append(0 if pair[side][i] == 1 else strides[side][i])
    columns = z[len(z) - 1]
    dims.extend([a[len(a) - 2], columns])
    steps[0].extend([k, 0])
    steps[1].extend([0, 1])
    b.step('contract', [dtype_code(left), dtype_code(output), b.pointer(left), b.pointer(right), b.pointer(output), rank, 1]
           + dims + steps[0] + steps[1] + [k, 1, columns])


def lower_any_gemm(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    left = given(b, inputs)
    right = given(b, inputs, 1)
    output = given(b, outputs)
    if int_of(node, 'transA') != 0:
        left = c.transposed(left, [1, 0])
    if int_of(node, 'transB') != 0:
        right = c.transposed(right, [1, 0])
    addend = at(inputs, 2)
    alpha = number_of(node, 'alpha', 1.0)
    beta = number_of(node, 'beta', 1.0)
    product = c.op('MatMul', [left, right], None, output if addend is None and alpha == 1 else None)
    if alpha != 1:
        product = c.op('Mul', [product, c.number(alpha, left.dtype)], None, output if addend is None else None)
    if addend is not None:
        c.op('Add', [product, addend if beta == 1 else c.op('Mul', [addend, c.number(beta, left.dtype)])], None, output)


def softmax_lowering(log: bool) -> Lowering:
    def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        """Before version 13 all dims from `axis` (default 1) on are one; from then on it is `axis` (default -1) alone."""
        c = Composer(b)
        source = given(b, inputs)
        output = given(b, outputs)
        flat = b.opset < 13
        rank = len(source.shape)
        axis = int_of(node, 'axis', 1 if flat else -1)
        axis = axis + rank if axis < 0 else axis
        axes = c.ints(list(range(axis, rank)) if flat else [axis])
        shifted = c.op('Sub', [source, c.op('ReduceMax', [source, axes])])
        powers = c.op('Exp', [shifted])
        total = c.op('ReduceSum', [powers, axes])
        if log:
            c.op('Sub', [shifted, c.op('Log', [total])], None, output)
        else:
            c.op('Div', [powers, total], None, output)

    return lower


def norm_lowering(centred: bool) -> Lowering:
    def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        """LayerNormalization and RMSNormalization with all outputs."""
        c = Composer(b)
        source = given(b, inputs)
        rank = len(source.shape)
        axis = int_of(node, 'axis', -1)
        axes = c.ints(list(range(axis + rank if axis < 0 else axis, rank)))
        value = source
        if centred:
            mean = c.op('ReduceMean', [source, axes])
            value = c.op('Sub', [source, mean])
            if at(outputs, 1) is not None:
                c.give(c.cast(mean, 'float32'), at(outputs, 1))
        spread = c.op('ReduceMean', [c.op('Mul', [value, value]), axes])
        scale = c.op('Reciprocal', [c.op('Sqrt', [c.op('Add', [spread, c.real(number_of(node, 'epsilon', 1e-5), source.dtype)])])])
        if at(outputs, 2) is not None:
            c.give(c.cast(scale, 'float32'), at(outputs, 2))
        weights = given(b, inputs, 1)
        value = c.cast(c.op('Mul', [value, scale]), weights.dtype)
        bias = at(inputs, 2)
        value = c.op('Mul', [value, weights], None, given(b, outputs) if bias is None else None)
        if bias is not None:
            c.op('Add', [value, bias], None, given(b, outputs))

    return lower


def lower_any_gelu(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    kind = dtype_code(source)
    b.step('unary', [GELU + (1 if text_of(node, 'approximate', 'none') == 'tanh' else 0), kind, kind, b.pointer(source), b.pointer(given(b, outputs)),
                     source.count(), 0, 0])


def narrowed_lowering(key: str, more: Lowering | None) -> Lowering:
    """The lowering for float32 of the core or of this part, with casts before and behind it where a type is another."""
    def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        core = LOWERINGS.get(key)
        target = more if core is None else core if more is None else either(core, more)
        if target is None:
            raise b.unsupported('no backend has this operator')
        c = Composer(b)
        source = given(b, inputs)
        narrow: list[Value | None] = []
        for value in inputs:
            narrow.append(c.cast(value, 'float32') if value is not None and (value is source or value.dtype == 'float64') else value)
        made: list[Value | None] = []
        for value in outputs:
            made.append(c.value('float32', value.shape) if value is not None and value.dtype in ['float64', source.dtype] else value)
        if source.dtype == 'float32' and 'float64' not in [value.dtype for value in outputs if value is not None]:
            made = outputs
        target(b, node, narrow, made)
        for i in range(len(outputs)):
            output = outputs[i]
            result = made[i]
            if output is not None and result is not None and result is not output:
                c.give(c.cast(result, output.dtype), output)

    return lower


# Operators whose kernels are for float32 alone: other types are converted, with its precision.
NARROWED: list[str] = [
    'Conv', 'ConvTranspose', 'AveragePool', 'GlobalAveragePool', 'GlobalMaxPool', 'InstanceNormalization', 'GroupNormalization', 'LpPool',
    'GlobalLpPool', 'LRN', 'GridSample', 'DeformConv', 'RoiAlign', 'Col2Im', 'RotaryEmbedding',
]

GELU = 26

# For operators of the core: what is taken where a node's types are not float32.
WIDE_LOWERINGS: dict[str, Lowering] = {
    'MatMul': lower_any_matmul,
    'Gemm': lower_any_gemm,
    'Softmax': softmax_lowering(False),
    'LogSoftmax': softmax_lowering(True),
    'LayerNormalization': norm_lowering(True),
    'RMSNormalization': norm_lowering(False),
    'Gelu': lower_any_gelu,
}

MORE_NUMERIC_LOWERINGS: dict[str, Lowering] = {
    'BitCast': lower_bit_cast,
    'Det': det_lowering(0),
    'com.microsoft:Inverse': det_lowering(1),
    'Einsum': lower_einsum,
    'NonZero': lower_nonzero,
    'NegativeLogLikelihoodLoss': lower_nll_loss,
    'SoftmaxCrossEntropyLoss': lower_cross_entropy,
    'CenterCropPad': lower_center_crop_pad,
}
