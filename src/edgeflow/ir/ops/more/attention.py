"""Rules of attention, its rotary embedding and its caches, in the operators of ai.onnx itself (versions 23 and later)."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.ir.ops.infer import FLOATS, InferContext, OpSpec, Type, op


@dataclass(frozen=True)
class AttentionDims:
    """batch, heads of Q, heads of K and V, queries, new keys, past keys, width of Q and K, width of V. flat: [batch, rows, hidden]."""

    batch: int
    heads: int
    groups: int
    rows: int
    keys: int
    past: int
    width: int
    value_width: int
    flat: bool


def attention_dims(c: InferContext) -> AttentionDims:
    """The sizes of an Attention node, whose inputs are checked against each other."""
    rank = c.check_rank(0, 3, 4)
    shapes = [c.shape(0), c.shape(1), c.shape(2)]
    heads = [c.attr_int('q_num_heads'), c.attr_int('kv_num_heads'), c.attr_int('kv_num_heads')]
    split: list[list[int]] = []
    for i in range(3):
        shape = shapes[i]
        if len(shape) != rank or (rank == 3 and (heads[i] < 1 or shape[2] % heads[i] != 0)):
            raise c.fail('Q, K and V of one rank, 3 with q_num_heads and kv_num_heads or 4', f'{shapes}')
        split.append(shape if rank == 4 else [shape[0], heads[i], shape[1], shape[2] // heads[i]])
    q = split[0]
    k = split[1]
    v = split[2]
    if k[:3] != v[:3] or q[0] != k[0] or q[3] != k[3] or k[1] < 1 or q[1] % k[1] != 0:
        raise c.fail('Q [B, H, S, D], K [B, G, T, D] and V [B, G, T, E] where G divides H', f'{split}')
    past: int = 0
    if c.has(4) and c.has(5):
        past = c.shape(4)[2] if len(c.shape(4)) == 4 else 0
        if c.shape(4) != [q[0], k[1], past, k[3]] or c.shape(5) != [q[0], k[1], past, v[3]]:
            raise c.fail(f'past keys and values [{q[0]}, {k[1]}, P, ...]', f'{c.shape(4)} and {c.shape(5)}')
    elif c.has(4) or c.has(5):
        raise c.fail('past_key and past_value, or neither', 'one of them')
    if c.has(6) and (past > 0 or c.shape(6) != [q[0]]):
        raise c.fail(f'nonpad_kv_seqlen of shape [{q[0]}], without past keys', f'{c.shape(6)}')
    return AttentionDims(q[0], q[1], k[1], q[2], k[2], past, q[3], v[3], rank == 3)


def _attention(c: InferContext) -> list[Type]:
    dtype = c.check_dtype(0, FLOATS)
    d = attention_dims(c)
    total = d.past + d.keys
    if c.has(3):
        shape = c.shape(3)
        rank = len(shape)
        if c.dtype(3) != 'bool':
            c.check_dtype(3, FLOATS)
        if rank < 1 or shape[rank - 1] > total or c.broadcast([shape[:rank - 1] + [1], [d.batch, d.heads, d.rows, 1]]) != [d.batch, d.heads, d.rows, 1]:
            raise c.fail(f'a mask that can be broadcast to {[d.batch, d.heads, d.rows, total]}', f'{shape}')
    output = [d.batch, d.rows, d.heads * d.value_width] if d.flat else [d.batch, d.heads, d.rows, d.value_width]
    return [Type(dtype, output), Type(c.dtype(1), [d.batch, d.groups, total, d.width]), Type(c.dtype(2), [d.batch, d.groups, total, d.value_width]),
            Type(dtype, [d.batch, d.heads, d.rows, total])]


def _flex_attention(c: InferContext) -> list[Type]:
    """It is replaced by other nodes before planning (backends/wasm/more/expansions.py)."""
    c.check_rank(0, 4, 4)
    d = attention_dims(c)
    return [Type(c.check_dtype(0, FLOATS), [d.batch, d.heads, d.rows, d.value_width])]


def rotary_dims(c: InferContext) -> list[int]:
    """batch, heads, rows, width, and half of what is turned."""
    shape = c.shape(0)
    heads = c.attr_int('num_heads')
    if c.check_rank(0, 3, 4) == 3:
        if heads < 1 or shape[2] % heads != 0:
            raise c.fail(f'num_heads that divides {shape[2]}', f'{heads}')
        shape = [shape[0], heads, shape[1], shape[2] // heads]
    turned = c.attr_int('rotary_embedding_dim')
    half = (turned if turned > 0 else shape[3]) // 2
    wanted = [shape[0], shape[2], half]
    for i in [1, 2]:
        cache = c.shape(i)
        if c.has(3):
            wanted = [cache[0], half]
        if cache != wanted:
            raise c.fail(f'input {i} of shape {wanted}', f'{cache}')
    if 2 * half > shape[3] or (c.has(3) and c.shape(3) != [shape[0], shape[2]]):
        raise c.fail('a rotary_embedding_dim of at most the width and positions [batch, rows]', f'{turned}')
    return [shape[0], shape[1], shape[2], shape[3], half]


def _rotary(c: InferContext) -> list[Type]:
    rotary_dims(c)
    return [Type(c.check_dtype(0, FLOATS), c.shape(0))]


def _tensor_scatter(c: InferContext) -> list[Type]:
    c.check_same_dtype(0, 1)
    shape = c.shape(0)
    axis = c.axis(c.attr_int('axis', -2), c.check_rank(0, 2, -1))
    update = c.shape(1)
    if axis == 0 or len(update) != len(shape) or update[axis] > shape[axis] or update[:axis] != shape[:axis] or update[axis + 1:] != shape[axis + 1:]:
        raise c.fail(f'an update of shape {shape}, or less along axis {axis}, which is not 0', f'{update}')
    if c.has(2) and c.shape(2) != [shape[0]]:
        raise c.fail(f'{shape[0]} write_indices', f'{c.shape(2)}')
    return [c.type(0)]


def _swiglu(c: InferContext) -> list[Type]:
    if c.shape(0) != c.shape(1):
        raise c.fail('inputs of one shape', f'{c.shape(0)} and {c.shape(1)}')
    return [Type(c.check_dtype(0, FLOATS), c.shape(0))]


def _linear_attention(c: InferContext) -> list[Type]:
    heads = c.attr_int('q_num_heads')
    groups = c.attr_int('kv_num_heads')
    for i in range(3):
        c.check_rank(i, 3, 3)
    q = c.shape(0)
    v = c.shape(2)
    if groups < 1 or heads < 1 or heads % groups != 0 or q[2] % heads != 0 or v[2] % groups != 0 or c.shape(1) != [q[0], q[1], q[2] // heads * groups] or v[:2] != q[:2]:
        raise c.fail('query [B, T, H * D], key [B, T, G * D] and value [B, T, G * E] where G divides H', f'{q}, {c.shape(1)} and {v}')
    rule = c.attr_str('update_rule', 'gated_delta')
    if c.has(4) != rule.startswith('gated') or c.has(5) != rule.endswith('delta'):
        raise c.fail('decay with gated rules, and beta with delta rules', rule)
    for i in range(4, 6):
        if c.has(i) and (c.check_rank(i, 3, 3) != 3 or c.shape(i)[:2] != q[:2]):
            raise c.fail(f'input {i} [{q[0]}, {q[1]}, ...]', f'{c.shape(i)}')
    if c.has(5) and c.shape(5)[2] != groups and c.shape(5)[2] != 1:
        raise c.fail(f'beta of {groups} or 1 columns', f'{c.shape(5)}')
    if c.has(4) and c.shape(4)[2] != groups and c.shape(4)[2] != c.shape(1)[2]:
        raise c.fail(f'decay of {groups} or {c.shape(1)[2]} columns', f'{c.shape(4)}')
    state = [q[0], groups, q[2] // heads, v[2] // groups]
    if c.has(3) and c.shape(3) != state:
        raise c.fail(f'past_state {state}', f'{c.shape(3)}')
    return [Type(c.check_dtype(0, FLOATS), [q[0], q[1], heads * state[3]]), Type(c.dtype(3) if c.has(3) else c.dtype(0), state)]


def _causal_conv(c: InferContext) -> list[Type]:
    c.check_rank(0, 3, 3)
    shape = c.shape(0)
    c.check_rank(1, 3, 3)
    width = c.shape(1)[2]
    state = [shape[0], shape[1], width - 1]
    if c.shape(1) != [shape[1], 1, width] or width < 1 or (c.has(2) and c.shape(2) != [shape[1]]) or (c.has(3) and c.shape(3) != state):
        raise c.fail(f'weights [{shape[1]}, 1, K], a bias [{shape[1]}] and a past_state {state}', f'{c.shape(1)}')
    if c.attr_str('activation', 'none') not in ['none', 'silu', 'swish']:
        raise c.fail('activation none, silu or swish', c.attr_str('activation', ''))
    return [Type(c.check_dtype(0, FLOATS), shape), Type(c.dtype(0), state)]


MORE_ATTENTION_OPS: dict[str, OpSpec] = {
    'Attention': op(_attention, 3, 7, 23),
    'ai.onnx.preview:FlexAttention': op(_flex_attention, 3),
    'RotaryEmbedding': op(_rotary, 3, 4, 23),
    'TensorScatter': op(_tensor_scatter, 2, 3, 24),
    'SwiGLU': op(_swiglu, 2),
    'LinearAttention': op(_linear_attention, 3, 6),
    'CausalConvWithState': op(_causal_conv, 2, 4),
}
