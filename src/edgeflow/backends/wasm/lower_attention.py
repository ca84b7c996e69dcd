"""Lowerings of attention: edgeflow:Sdpa and com.microsoft:Attention. Words: wasm/kernels_dense.h, wasm/attention.c."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeflow.backends.wasm.lower_dense import ceil_div, f32_form, given, matmul_steps, require_float
from edgeflow.backends.wasm.strides import broadcast_strides, row_major
from edgeflow.ir.attributes import int_of, ints_of, number_of
from edgeflow.ir.dtype import DTYPE_CODES
from edgeflow.ir.graph import Node
from edgeflow.plan.builder import Lowering, PackedForm, StepBuilder
from edgeflow.plan.values import Value, Word, at

QUERY_ROWS = 48
MASK_NONE = 0
MASK_ADDED = 1
MASK_KEEP = 2
MASK_ADD_WHERE_FALSE = 4
FLOAT = 4
LESS = 16


@dataclass
class Sdpa:
    """The words of one sdpa_f32: a [batch, heads, rows, width] tensor is a pointer and its strides in that order."""

    q: Word
    k: Word
    v: Word
    out: Word
    dims: list[int]
    q_strides: list[int]
    k_strides: list[int]
    v_strides: list[int]
    out_strides: list[int]
    scale: float
    mask: Word = 0
    mask_strides: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    mask_type: int = MASK_NONE
    fill: float = 0.0
    softcap: float = 0.0
    causal: int = 0
    causal_offset: int = 0
    guard: int = 0


def sdpa_step(b: StepBuilder, call: Sdpa) -> None:
    """Write the step. dims: B, H, S, T, D, Dv, group."""
    s = call.dims[2]
    t = call.dims[3]
    d = call.dims[4]
    dv = call.dims[5]
    rows = min(s, QUERY_ROWS)
    wide_t = 8 * ceil_div(t, 8)
    wide_v = 8 * ceil_div(dv, 8)
    scratch = b.scratch(FLOAT * (wide_t * d + wide_v * t + rows * (wide_t + d + wide_v)))
    words: list[Word] = [call.q, call.k, call.v, call.mask, call.out]
    words.extend(call.dims)
    words.extend(call.q_strides)
    words.extend(call.k_strides)
    words.extend(call.v_strides)
    words.extend(call.out_strides)
    words.extend(call.mask_strides)
    words.extend([call.mask_type, b.real(call.fill), b.real(call.scale), b.real(call.softcap) if call.softcap != 0 else 0,
                  call.causal, call.causal_offset, call.guard, b.pointer(scratch)])
    b.step('sdpa_f32', words)


def picked(numbers: list[int], order: list[int]) -> list[int]:
    """numbers[order[0]], numbers[order[1]], ..."""
    return [numbers[i] for i in order]


def lower_sdpa(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    q = require_float(b, given(b, inputs))
    k = given(b, inputs, 1)
    v = given(b, inputs, 2)
    output = given(b, outputs)
    same = [0, 1, 2, 3]
    q_perm = ints_of(node, 'q_perm') or same
    k_perm = ints_of(node, 'k_perm') or same
    v_perm = ints_of(node, 'v_perm') or same
    out_perm = ints_of(node, 'out_perm') or same
    q_shape = picked(q.shape, q_perm)
    k_shape = picked(k.shape, k_perm)
    v_shape = picked(v.shape, v_perm)
    batch = max(q_shape[0], k_shape[0], v_shape[0])
    if min(q_shape[0], k_shape[0], v_shape[0]) == 0:
        batch = 0
    q_strides = picked(row_major(q.shape), q_perm)
    k_strides = picked(row_major(k.shape), k_perm)
    v_strides = picked(row_major(v.shape), v_perm)
    for pair in [(q_shape, q_strides), (k_shape, k_strides), (v_shape, v_strides)]:
        if pair[0][0] == 1:
            pair[1][0] = 0
    given_strides = row_major(output.shape)
    out_strides = [0, 0, 0, 0]
    for i in range(4):
        out_strides[out_perm[i]] = given_strides[i]
    dims = [batch, q_shape[1], q_shape[2], k_shape[2], q_shape[3], v_shape[3], q_shape[1] // k_shape[1]]
    call = Sdpa(b.pointer(q), b.pointer(k), b.pointer(v), b.pointer(output), dims, q_strides, k_strides, v_strides, out_strides,
                number_of(node, 'scale', 1.0))
    mask = at(inputs, 3)
    if mask is not None:
        call.mask = b.pointer(mask)
        call.mask_strides = broadcast_strides(mask.shape, call.dims[:4])
        call.mask_type = MASK_KEEP if mask.dtype == 'bool' else MASK_ADDED
        call.fill = float('-inf')
        if mask.dtype != 'bool':
            require_float(b, mask)
    sdpa_step(b, call)


def attention_form(node: Node, inputs: list[Value | None]) -> PackedForm | None:
    """The weights of com.microsoft:Attention: Q, K and V side by side."""
    return f32_form(at(inputs, 1), 1, False)


def lower_attention(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """com.microsoft:Attention: one product gives Q, K and V side by side; attention reads them there by strides."""
    source = require_float(b, given(b, inputs))
    weights = given(b, inputs, 1)
    output = given(b, outputs)
    if at(inputs, 4) is not None or at(outputs, 1) is not None:
        raise b.unsupported('past and present keys and values')
    if int_of(node, 'do_rotary') != 0:
        raise b.unsupported('do_rotary')
    batch = source.shape[0]
    length = source.shape[1]
    heads = int_of(node, 'num_heads', 1)
    width = weights.shape[1]
    sizes = ints_of(node, 'qkv_hidden_sizes') or [width // 3, width // 3, width // 3]
    projected = b.scratch(FLOAT * batch * length * width)
    target = b.new_value(node.name + ':qkv', 'float32', [batch, length, width])
    b.alias(target, projected)
    matmul_steps(b, source, weights, b.packed(attention_form(node, inputs), inputs), at(inputs, 2), None, target, False, False, 1.0, 0)
    d = sizes[0] // heads
    dv = sizes[2] // heads
    rows = [length * width, 0, width, 1]
    call = Sdpa(
        b.pointer(target), b.pointer(target, FLOAT * sizes[0]), b.pointer(target, FLOAT * (sizes[0] + sizes[1])), b.pointer(output),
        [batch, heads, length, length, d, dv, 1], [rows[0], d, rows[2], 1], [rows[0], d, rows[2], 1], [rows[0], dv, rows[2], 1],
        [length * sizes[2], dv, sizes[2], 1], number_of(node, 'scale', 0.0) or 1.0 / d ** 0.5)
    bias = at(inputs, 5)
    mask = at(inputs, 3)
    if bias is not None and mask is not None:
        raise b.unsupported('mask_index together with attention_bias')
    if bias is not None:
        call.mask = b.pointer(require_float(b, bias))
        call.mask_strides = broadcast_strides(bias.shape, call.dims[:4])
        call.mask_type = MASK_ADDED
    elif mask is not None:
        set_mask(b, call, mask, number_of(node, 'mask_filter_value', -10000.0))
    if int_of(node, 'unidirectional') != 0:
        call.causal = 1
    sdpa_step(b, call)


def set_mask(b: StepBuilder, call: Sdpa, mask: Value, fill: float) -> None:
    """The integer mask of com.microsoft:Attention: [B, T], [B, S, T] or [B, 1, S, T] with `fill` added where it is 0; or
    [B] numbers of keys that are seen."""
    rank = len(mask.shape)
    batch = call.dims[0]
    keys = call.dims[3]
    if rank == 1 and mask.shape[0] == batch:
        seen = b.scratch(batch * keys)
        kind = DTYPE_CODES[mask.dtype]
        b.step('binary', [LESS, DTYPE_CODES['int32'], kind, DTYPE_CODES['bool'], b.table(list(range(keys))), b.pointer(mask),
                          b.pointer(seen), 2, batch, keys, 0, 1, 1, 0])
        call.mask = b.pointer(seen)
        call.mask_type = MASK_ADD_WHERE_FALSE
        call.fill = fill
        call.mask_strides = [keys, 0, 0, 1]
        return
    if rank < 2:
        raise b.unsupported(f'mask_index of shape {mask.shape}')
    flags = b.scratch(mask.count())
    b.step('cast', [DTYPE_CODES[mask.dtype], DTYPE_CODES['bool'], b.pointer(mask), b.pointer(flags), mask.count()])
    strides = row_major(mask.shape)
    call.mask = b.pointer(flags)
    call.mask_type = MASK_ADD_WHERE_FALSE
    call.fill = fill
    if rank == 2:
        call.mask_strides = [strides[0], 0, 0, 1]
    elif rank == 3:
        call.mask_strides = [strides[0], 0, strides[1], 1]
    else:
        call.mask_strides = broadcast_strides(mask.shape, call.dims[:4])


ATTENTION_LOWERINGS: dict[str, Lowering] = {
    'edgeflow:Sdpa': lower_sdpa,
    'com.microsoft:Attention': lower_attention,
}
