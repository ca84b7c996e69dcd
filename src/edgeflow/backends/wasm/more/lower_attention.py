"""Lowerings of ai.onnx Attention and what belongs to it (ir/ops/more/attention.py), as steps of other operators and of sdpa_f32."""

from __future__ import annotations

from edgeflow.backends.wasm.lower_attention import MASK_ADDED, MASK_KEEP, Sdpa, sdpa_step
from edgeflow.backends.wasm.lower_dense import given, require_float
from edgeflow.backends.wasm.more.compose import Composer
from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import broadcast_strides, row_major
from edgeflow.ir.attributes import int_of, number_of, text_of
from edgeflow.ir.dtype import DTYPE_NAMES
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.more.attention import AttentionDims, attention_dims, rotary_dims
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.values import Value, Word, at


def lower_attention(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    d = attention_dims(context_of(b, node, inputs))
    keys = _present(c, d, given(b, inputs, 1), at(inputs, 4), at(outputs, 1), d.width)
    values = _present(c, d, given(b, inputs, 2), at(inputs, 5), at(outputs, 2), d.value_width)
    mask = _mask(c, d, node, at(inputs, 3), at(inputs, 6))
    scale = number_of(node, 'scale', 0.0) or 1.0 / d.width ** 0.5
    q = given(b, inputs)
    output = given(b, outputs)
    if q.dtype != 'float32' or at(outputs, 3) is not None:
        _by_operators(c, d, node, _heads(c, q, d.heads, d.flat), keys, values, mask, scale, outputs)
        return
    rows = [d.rows * d.heads * d.width, d.width, d.heads * d.width, 1] if d.flat else row_major(q.shape)
    to = [d.rows * d.heads * d.value_width, d.value_width, d.heads * d.value_width, 1] if d.flat else row_major(output.shape)
    total = d.past + d.keys
    call = Sdpa(b.pointer(q), b.pointer(keys), b.pointer(values), b.pointer(output),
                [d.batch, d.heads, d.rows, total, d.width, d.value_width, d.heads // d.groups], rows, row_major(keys.shape), row_major(values.shape), to,
                scale, softcap=number_of(node, 'softcap', 0.0), guard=1)
    if _simply_causal(node, at(inputs, 6)):
        call.causal = 1
        call.causal_offset = d.past
    if mask is not None:
        call.mask = b.pointer(mask)
        call.mask_strides = broadcast_strides(mask.shape, [d.batch, d.heads, d.rows, total])
        call.mask_type = MASK_KEEP if mask.dtype == 'bool' else MASK_ADDED
        call.fill = float('-inf')
    sdpa_step(b, call)


def _heads(c: Composer, value: Value, heads: int, flat: bool) -> Value:
    """[batch, rows, hidden] as [batch, heads, rows, width]."""
    if not flat:
        return value
    shape = value.shape
    return c.transposed(c.reshaped(value, [shape[0], shape[1], heads, shape[2] // heads]), [0, 2, 1, 3])


def _present(c: Composer, d: AttentionDims, new: Value, past: Value | None, output: Value | None, width: int) -> Value:
    """All keys or values, [batch, groups, past + new, width]."""
    heads = _heads(c, new, d.groups, d.flat)
    if past is not None and d.past > 0:
        return c.joined([past, heads], 2, output)
    c.give(heads, output)
    return heads


def _simply_causal(node: Node, lengths: Value | None) -> bool:
    """Whether the keys a query sees depend on its number alone, and end at it."""
    return int_of(node, 'is_causal') != 0 and lengths is None


def _mask(c: Composer, d: AttentionDims, node: Node, given_mask: Value | None, lengths: Value | None) -> Value | None:
    """What is seen (bool) or added, for all that the kernel's own causal rule does not cover."""
    total = d.past + d.keys
    mask = given_mask
    if mask is not None and mask.shape[len(mask.shape) - 1] < total:
        fill = c.whole(0, 'bool') if mask.dtype == 'bool' else c.real(float('-inf'), mask.dtype)
        rank = len(mask.shape)
        mask = c.op('Pad', [mask, c.ints([0] * (2 * rank - 1) + [total - mask.shape[rank - 1]]), fill])
    left = int_of(node, 'left_window_size', -1)
    right = int_of(node, 'right_window_size', -1)
    causal = int_of(node, 'is_causal') != 0 and lengths is not None
    if left < 0 and right < 0 and lengths is None:
        return mask
    keys = c.ints(list(range(total)))
    last: Value = c.reshaped(c.ints([d.past + i for i in range(d.rows)]), [d.rows, 1])
    seen: list[Value] = []
    if lengths is not None:
        each = c.reshaped(lengths, [d.batch, 1, 1, 1])
        last = c.op('Add', [c.op('Sub', [each, c.whole(d.rows)]), last])
        seen.append(c.op('Less', [keys, each]))
    if causal or right >= 0:
        ahead = last if causal or right == 0 else c.op('Add', [last, c.whole(right)])
        seen.append(c.op('LessOrEqual', [keys, ahead]))
    if left >= 0:
        seen.append(c.op('GreaterOrEqual', [keys, c.op('Sub', [last, c.whole(left)])]))
    keep = seen[0]
    for i in range(1, len(seen)):
        keep = c.op('And', [keep, seen[i]])
    if mask is None:
        return keep
    if mask.dtype == 'bool':
        return c.op('And', [keep, mask])
    return c.op('Where', [keep, mask, c.real(float('-inf'), mask.dtype)])


def repeated_heads(c: Composer, value: Value, times: int) -> Value:
    """Each head `times` times."""
    if times == 1:
        return value
    shape = value.shape
    wide = c.op('Expand', [c.reshaped(value, [shape[0], shape[1], 1, shape[2], shape[3]]), c.ints([shape[0], shape[1], times, shape[2], shape[3]])])
    return c.reshaped(wide, [shape[0], shape[1] * times, shape[2], shape[3]])


def products(c: Composer, q: Value, k: Value, scale: float) -> Value:
    """scale * Q K^T."""
    return c.op('Mul', [c.op('MatMul', [q, c.transposed(k, [0, 1, 3, 2])]), c.real(scale, q.dtype)])


def _by_operators(
    c: Composer, d: AttentionDims, node: Node, q: Value, keys: Value, values: Value, mask: Value | None, scale: float, outputs: list[Value | None],
) -> None:
    """Operator by operator: for other types than float32, and for nodes that give what lies between."""
    b = c.b
    times = d.heads // d.groups
    stages: list[Value] = [products(c, q, repeated_heads(c, keys, times), scale)]
    softcap = number_of(node, 'softcap', 0.0)
    scores = stages[0]
    if softcap > 0:
        cap = c.real(softcap, q.dtype)
        scores = c.op('Mul', [c.op('Tanh', [c.op('Div', [scores, cap])]), cap])
    stages.append(scores)
    none = c.real(float('-inf'), q.dtype)
    if int_of(node, 'is_causal') != 0 and mask is None:
        mask = c.op('Trilu', [c.op('Expand', [c.whole(1, 'bool'), c.ints([d.rows, d.past + d.keys])]), c.whole(d.past)], {'upper': 0})
    elif int_of(node, 'is_causal') != 0 and mask is not None:
        seen = c.op('Trilu', [c.op('Expand', [c.whole(1, 'bool'), c.ints([d.rows, d.past + d.keys])]), c.whole(d.past)], {'upper': 0})
        mask = c.op('And', [seen, mask]) if mask.dtype == 'bool' else c.op('Where', [seen, mask, none])
    if mask is not None:
        bias = c.op('Where', [mask, c.real(0.0, q.dtype), none]) if mask.dtype == 'bool' else mask
        scores = c.op('Add', [scores, bias])
    stages.append(scores)
    weights = c.op('Softmax', [c.cast(scores, DTYPE_NAMES[int_of(node, 'softmax_precision', 1)])], {'axis': -1})
    weights = c.cast(weights, q.dtype)
    # A query that sees nothing gives 0, not NaN.
    least = c.op('ReduceMax', [scores, c.ints([-1])])
    weights = c.op('Where', [c.op('IsInf', [least], {'detect_positive': 0}), c.real(0.0, q.dtype), weights])
    stages.append(weights)
    extra = at(outputs, 3)
    if extra is not None:
        c.give(stages[int_of(node, 'qk_matmul_output_mode')], extra)
    output = given(b, outputs)
    if d.flat:
        result = c.transposed(c.op('MatMul', [weights, repeated_heads(c, values, times)]), [0, 2, 1, 3])
        c.give(c.reshaped(result, output.shape), output)
    else:
        c.op('MatMul', [weights, repeated_heads(c, values, times)], None, output)


def lower_rotary(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = require_float(b, given(b, inputs))
    dims = rotary_dims(context_of(b, node, inputs))
    cos = given(b, inputs, 1)
    output = given(b, outputs)
    positions = at(inputs, 3)
    if positions is None:
        # Without positions there is a row of the tables for each row of each batch.
        positions = b.int64s(list(range(dims[0] * dims[2])))
    strides = row_major(source.shape)[:3] if len(source.shape) == 4 else [dims[2] * dims[1] * dims[3], dims[3], dims[1] * dims[3]]
    b.may_reuse(output, source)
    words: list[Word] = [b.pointer(source), b.pointer(output)]
    words.extend(dims[:4])
    words.extend(strides)
    words.extend(strides)
    words.extend([b.pointer(positions), b.pointer(cos), b.pointer(given(b, inputs, 2)), dims[4], int_of(node, 'interleaved'), 1,
                  cos.count() // max(1, dims[4])])
    b.step('rotary', words)


def lower_tensor_scatter(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """A ScatterElements along the axis, at the write indices and behind them."""
    c = Composer(b)
    cache = given(b, inputs)
    update = given(b, inputs, 1)
    rank = len(cache.shape)
    axis = int_of(node, 'axis', -2)
    axis = axis + rank if axis < 0 else axis
    shape: list[int] = [1] * rank
    shape[axis] = update.shape[axis]
    places = c.reshaped(c.ints(list(range(update.shape[axis]))), shape)
    begins = at(inputs, 2)
    if begins is not None:
        places = c.op('Add', [places, c.reshaped(begins, [cache.shape[0]] + [1] * (rank - 1))])
    if text_of(node, 'mode', 'linear') == 'circular':
        places = c.op('Mod', [places, c.whole(cache.shape[axis])])
    c.op('ScatterElements', [cache, c.op('Expand', [places, c.ints(update.shape)]), update], {'axis': axis}, given(b, outputs))


def lower_swiglu(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    c = Composer(b)
    gate = c.op('Swish', [given(b, inputs)], {'alpha': number_of(node, 'alpha', 1.0)})
    c.op('Mul', [gate, given(b, inputs, 1)], None, given(b, outputs))


def lower_causal_conv(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """A depthwise convolution over what was before and what is new: one product and sum for each column of the weights."""
    c = Composer(b)
    source = given(b, inputs)
    weight = given(b, inputs, 1)
    batch = source.shape[0]
    channels = source.shape[1]
    length = source.shape[2]
    width = weight.shape[2]
    past = at(inputs, 3)
    if past is None:
        past = c.op('Expand', [c.real(0.0, source.dtype), c.ints([batch, channels, width - 1])])
    padded = source if width == 1 else c.joined([past, source], 2)
    columns = c.reshaped(weight, [channels, width])
    bias = at(inputs, 2)
    total: Value | None = None if bias is None else c.reshaped(bias, [channels, 1])
    for i in range(width):
        part = c.op('Mul', [c.sliced(padded, 2, i, i + length), c.sliced(columns, 1, i, i + 1)])
        total = part if total is None else c.op('Add', [part, total])
    if total is not None:
        if text_of(node, 'activation', 'none') == 'none':
            c.give(total, at(outputs, 0))
        else:
            c.op('Swish', [total], {'alpha': 1.0}, at(outputs, 0))
    state = at(outputs, 1)
    if state is not None:
        c.sliced(padded, 2, length, length + width - 1, state)


MORE_ATTENTION_LOWERINGS: dict[str, Lowering] = {
    'Attention': lower_attention,
    'RotaryEmbedding': lower_rotary,
    'TensorScatter': lower_tensor_scatter,
    'SwiGLU': lower_swiglu,
    'CausalConvWithState': lower_causal_conv,
}
