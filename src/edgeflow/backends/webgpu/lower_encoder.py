"""Lowerings of the operators in which onnxruntime's tools fuse encoders: their attention and their embedding."""

from __future__ import annotations

from edgeflow.backends.wasm.strides import broadcast_strides, row_major
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering
from edgeflow.backends.webgpu.chains import Chain
from edgeflow.backends.webgpu.lower_attention import Attention, attention
from edgeflow.backends.webgpu.lower_elementwise import finish, operand, type_of
from edgeflow.backends.webgpu.lower_norm import Rows, norm_rows
from edgeflow.backends.webgpu.lower_reduce import reduce_axes
from edgeflow.backends.webgpu.products import dispatch_product, matmul_product
from edgeflow.ir.attributes import int_of, ints_of, number_of
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at


def lower_contrib_attention(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """com.microsoft:Attention: one product gives Q, K and V side by side; attention reads them there by strides."""
    source = at(inputs, 0)
    weights = at(inputs, 1)
    output = at(outputs, 0)
    bias = at(inputs, 5)
    mask = at(inputs, 3)
    if source is None or weights is None or output is None or at(inputs, 4) is not None or at(outputs, 1) is not None:
        return False
    if int_of(node, 'do_rotary') != 0 or (bias is not None and (mask is not None or bias.dtype != 'float32')):
        return False
    batch = source.shape[0]
    length = source.shape[1]
    heads = int_of(node, 'num_heads', 1)
    width = weights.shape[1]
    sizes = ints_of(node, 'qkv_hidden_sizes') or [width // 3, width // 3, width // 3]
    projected = b.temporary('float32', [batch, length, width])
    product = matmul_product(source, weights, projected, False, False)
    product.bias = at(inputs, 2)
    if not dispatch_product(b, product):
        return False
    d = sizes[0] // heads
    dv = sizes[2] // heads
    rows = [length * width, d, width]
    call = Attention(projected, projected, projected, output, [batch, heads, length, length, d, dv, 1], rows, rows, [length * width, dv, width],
                     [length * sizes[2], dv, sizes[2]], number_of(node, 'scale', 0.0) or 1.0 / d ** 0.5, [0, sizes[0], sizes[0] + sizes[1]],
                     causal=int_of(node, 'unidirectional') != 0)
    if bias is not None:
        call.mask = bias
        call.mask_strides = broadcast_strides(bias.shape, call.dims[:4])
    elif mask is not None and not set_mask(b, call, mask, number_of(node, 'mask_filter_value', -10000.0)):
        return False
    return attention(b, call)


def set_mask(b: GpuBuilder, call: Attention, mask: Value, fill: float) -> bool:
    """The integer mask: [B, T], [B, S, T] or [B, 1, S, T] with `fill` added where it is 0; or [B] numbers of keys that are seen."""
    rank = len(mask.shape)
    if b.kind(mask) != 'i32' or rank < 1 or (rank == 1 and mask.shape[0] != call.dims[0]):
        return False
    call.mask = mask
    call.fill = fill
    strides = row_major(mask.shape)
    call.lengths = rank == 1
    if rank == 1:
        call.mask_strides = [1, 0, 0, 0]
    elif rank == 2:
        call.mask_strides = [strides[0], 0, 0, 1]
    elif rank == 3:
        call.mask_strides = [strides[0], 0, strides[1], 1]
    else:
        call.mask_strides = broadcast_strides(mask.shape, call.dims[:4])
    return True


def lower_embed_norm(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """EmbedLayerNormalization: inputs ids, segment ids, three tables (word, position, segment), gamma, beta, mask, position ids.

    The rows of the tables are added by a chain; then they are normalised.
    """
    ids = at(inputs, 0)
    output = at(outputs, 0)
    table = at(inputs, 2)
    if ids is None or table is None or output is None:
        return False
    width = table.shape[1]
    given = at(outputs, 2)
    total = b.temporary('float32', output.shape) if given is None else given
    chain = Chain(output.shape)
    result = -1
    for index, rows in [(ids, table), (at(inputs, 8), at(inputs, 3)), (at(inputs, 1), at(inputs, 4))]:
        if rows is None:
            continue
        if type_of(b, rows) != 'F' or (index is not None and type_of(b, index) != 'I'):
            return False
        if index is None and rows is not at(inputs, 3):
            continue
        if index is None:
            row = chain.load(rows, 'F', 0, [0, width, 1])
        else:
            one = chain.load(index, 'I', 0, [0 if index.shape[0] == 1 and ids.shape[0] > 1 else index.shape[1], 1, 0])
            row = chain.load(rows, 'F', 0, [0, 0, 1], [one], [width, rows.shape[0]])
        result = row if result < 0 else chain.op('%0 + %1', 'F', [result, row])
    if not finish(b, chain, total) or not _lengths(b, at(inputs, 7), at(outputs, 1)):
        return False
    norm = Rows(ids.count(), width, True, number_of(node, 'epsilon', 1e-12))
    return norm_rows(b, total, at(inputs, 5), at(inputs, 6), output, norm)


def _lengths(b: GpuBuilder, mask: Value | None, lengths: Value | None) -> bool:
    """lengths[b] = how many elements of row b of the mask are 1; 0 without a mask."""
    if lengths is None:
        return True
    if mask is None:
        chain = Chain(lengths.shape)
        chain.op('I()', 'I', [])
        return finish(b, chain, lengths)
    if type_of(b, mask) != 'I':
        return False
    ones = b.temporary('int32', mask.shape)
    chain = Chain(mask.shape)
    chain.op('select(I(), I(1), %0 == I(1))', 'I', [operand(b, chain, mask)])
    return finish(b, chain, ones) and reduce_axes(b, 'ReduceSum', ones, lengths, [1])


ENCODER_LOWERINGS: dict[str, GpuLowering] = {
    'com.microsoft:Attention': lower_contrib_attention,
    'com.microsoft:EmbedLayerNormalization': lower_embed_norm,
}
