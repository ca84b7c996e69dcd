"""Rules of com.microsoft's rarer operators: mixtures of experts, fused convolutions, and those that ai.onnx has too."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.ir.ops.infer import FLOATS, InferContext, OpSpec, Type, op
from edgeflow.ir.ops.more.quantized import channels_first
from edgeflow.ir.ops.movement import MOVEMENT_OPS
from edgeflow.ir.ops.spatial import conv_windows


@dataclass(frozen=True)
class Experts:
    """rows, hidden, inner width, number of experts, columns that the first layer makes. bits of a weight; block that shares a scale (0: a row)."""

    rows: int
    hidden: int
    inner: int
    count: int
    made: int
    bits: int
    block: int


def experts_of(c: InferContext) -> Experts:
    """The sizes of MoE and QMoE."""
    quantized = c.node.op == 'QMoE'
    bits = c.attr_int('expert_weight_bits', 4) if quantized else 32
    first = 2
    second = 5 if quantized else 4
    shape = c.shape(0)
    hidden = shape[c.check_rank(0, 2, 3) - 1]
    rows = shape[0] if len(shape) == 2 else shape[0] * shape[1]
    router = c.shape(1)
    c.check_rank(first, 3, 3)
    count = c.shape(first)[0]
    made = c.shape(first)[1]
    each = 8 // bits if quantized else 1
    inner = made // 2 if c.attr_str('activation_type', 'relu') == 'swiglu' else made
    if bits not in [4, 8, 32] or router != [rows, count] or c.shape(first) != [count, made, hidden // each] or c.shape(second) != [count, hidden, inner // each]:
        raise c.fail(f'router [{rows}, experts], first weights [experts, inner, {hidden // each}] and second ones [experts, {hidden}, inner]',
                     f'{router}, {c.shape(first)} and {c.shape(second)}')
    k = c.attr_int('k', 1)
    if k < 1 or k > count or c.attr_int('use_sparse_mixer') != 0:
        raise c.unsupported(f'k {k} of {count} experts, or use_sparse_mixer')
    return Experts(rows, hidden, inner, count, made, bits, c.attr_int('block_size'))


def _moe(c: InferContext) -> list[Type]:
    experts_of(c)
    return [Type(c.check_dtype(0, FLOATS), c.shape(0))]


def _replaced(c: InferContext) -> list[Type]:
    raise c.unsupported('other nodes stand in its place (backends/wasm/more/expansions.py)')


def _nhwc_conv(c: InferContext) -> list[Type]:
    """The channels are last, in X and Y; the weights are as ever."""
    c.check_rank(0, 3, -1)
    inner = InferContext(c.node, c.opset, [Type(c.dtype(0), channels_first(c.shape(0), True)), c.type(1)], lambda i: None, lambda i: None)
    return [Type(c.check_dtype(0, FLOATS), [c.shape(0)[0]] + conv_windows(inner).output + [c.shape(1)[0]])]


def _range(c: InferContext) -> list[Type]:
    """As ai.onnx's; the step may be left out."""
    if c.has(2):
        return MOVEMENT_OPS['Range'].infer(c)
    types: list[Type | None] = [c.type(0), c.type(1), Type(c.dtype(0), [])]
    return MOVEMENT_OPS['Range'].infer(InferContext(c.node, c.opset, types, lambda i: [1] if i == 2 else c.ints(i), lambda i: [1.0] if i == 2 else c.floats(i)))


MORE_CONTRIB_OPS: dict[str, OpSpec] = {
    'com.microsoft:MoE': op(_moe, 5, 8),
    'com.microsoft:QMoE': op(_moe, 7, 14),
    'com.microsoft:FusedConv': op(_replaced, 2, 4),
    'com.microsoft:FusedGemm': op(_replaced, 2, 3),
    'com.microsoft:QuantizeLinear': op(_replaced, 2, 3),
    'com.microsoft:DequantizeLinear': op(_replaced, 2, 3),
    'com.microsoft:NhwcConv': op(_nhwc_conv, 2, 3),
    'com.microsoft:NhwcFusedConv': op(_nhwc_conv, 2, 3),
    'com.microsoft:Range': op(_range, 2, 3),
    'com.microsoft:Trilu': op(MOVEMENT_OPS['Trilu'].infer, 1, 2),
}
