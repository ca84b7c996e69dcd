"""Rules of the operators of domain 'edgeflow', which our passes make."""

from __future__ import annotations

from edgeflow.ir.dtype import element_count
from edgeflow.ir.ops.dense import matmul_shape
from edgeflow.ir.ops.infer import FLOATS, InferContext, OpSpec, Type, op

ACTIVATIONS = ['', 'relu', 'gelu', 'gelu_tanh', 'tanh', 'sigmoid', 'silu', 'quick_gelu']


def transposed(shape: list[int]) -> list[int]:
    """The shape with its last two dims exchanged."""
    last = len(shape) - 1
    return shape[:last - 1] + [shape[last], shape[last - 1]]


def permuted(shape: list[int], perm: list[int]) -> list[int]:
    """The shape that Transpose with `perm` gives."""
    return [shape[axis] for axis in perm]


def _check_activation(c: InferContext) -> None:
    name = c.attr_str('activation', '')
    if name not in ACTIVATIONS:
        raise c.fail('an activation of ' + ', '.join(ACTIVATIONS), name)


def _check_bias_and_residual(c: InferContext, index: int, shape: list[int]) -> None:
    columns = shape[len(shape) - 1]
    if c.has(index) and c.shape(index) != [columns]:
        raise c.fail(f'a bias of shape {[columns]}', f'{c.shape(index)}')
    if c.has(index + 1) and element_count(c.shape(index + 1)) != element_count(shape):
        raise c.fail(f'a residual of shape {shape}', f'{c.shape(index + 1)}')


def _matmul(c: InferContext) -> list[Type]:
    _check_activation(c)
    a = c.shape(0)
    b = c.shape(1)
    if c.attr_int('trans_a') != 0:
        c.check_rank(0, 2, -1)
        a = transposed(a)
    if c.attr_int('trans_b') != 0:
        c.check_rank(1, 2, -1)
        b = transposed(b)
    shape = matmul_shape(c, a, b)
    if len(b) > 1:
        _check_bias_and_residual(c, 2, shape)
    elif c.has(2) or c.has(3):
        raise c.fail('no bias and no residual with a vector B', 'one')
    return [Type(c.check_same_dtype(0, 1), shape)]


def _qmatmul(c: InferContext) -> list[Type]:
    """A stays float32; it is quantised on the way, or given quantised too as inputs 6, 7, 8."""
    _check_activation(c)
    c.check_dtype(1, ['uint8', 'int8'])
    c.check_rank(1, 2, 2)
    c.check_rank(0, 1, -1)
    shape = matmul_shape(c, c.shape(0), c.shape(1))
    columns = c.shape(1)[1]
    for i in [2, 3]:
        if c.has(i) and element_count(c.shape(i)) not in [1, columns]:
            raise c.fail(f'1 or {columns} elements in input {i}', f'shape {c.shape(i)}')
    _check_bias_and_residual(c, 4, shape)
    return [Type(c.check_dtype(0, FLOATS), shape)]


def _heads(c: InferContext, index: int, perm: str) -> list[int]:
    """The shape [batch, heads, rows, width] of Q, K or V."""
    shape = c.shape(index)
    order = c.attr_ints(perm)
    if order is None:
        order = [0, 1, 2, 3]
    if len(order) != 4 or len(shape) != 4:
        raise c.fail(f'{perm} and input {index} of rank 4', f'{order} and {shape}')
    return permuted(shape, order)


def _sdpa(c: InferContext) -> list[Type]:
    dtype = c.check_dtype(0, FLOATS)
    q = _heads(c, 0, 'q_perm')
    k = _heads(c, 1, 'k_perm')
    v = _heads(c, 2, 'v_perm')
    if q[3] != k[3] or k[2] != v[2] or k[1] != v[1]:
        raise c.fail('Q [B, H, S, D], K [B, G, T, D] and V [B, G, T, E]', f'{q}, {k} and {v}')
    if k[1] == 0 or q[1] % k[1] != 0:
        raise c.fail('heads of Q that are a multiple of those of K', f'{q[1]} and {k[1]}')
    batch = c.broadcast([[q[0]], [k[0]], [v[0]]])[0]
    if c.has(3):
        scores = [batch, q[1], q[2], k[2]]
        if c.broadcast([c.shape(3), scores]) != scores:
            raise c.fail(f'a mask that can be broadcast to {scores}', f'{c.shape(3)}')
    order = c.attr_ints('out_perm')
    full = [batch, q[1], q[2], v[3]]
    return [Type(dtype, full if order is None else permuted(full, order))]


def _skip_layer_norm(c: InferContext) -> list[Type]:
    source = c.type(0)
    rank = c.check_rank(0, 1, -1)
    width = source.shape[rank - 1]
    if c.broadcast([c.shape(1), source.shape]) != source.shape:
        raise c.fail(f'a skip that can be broadcast to {source.shape}', f'{c.shape(1)}')
    for i in [2, 3, 4]:
        if c.has(i) and c.shape(i) != [width]:
            raise c.fail(f'input {i} of shape {[width]}', f'{c.shape(i)}')
    return [source, source]


def _same(c: InferContext) -> list[Type]:
    _check_activation(c)
    c.check_dtype(0, FLOATS)
    if c.has(1):
        rank = c.check_rank(0, 1, -1)
        if c.shape(1) != [c.shape(0)[rank - 1]]:
            raise c.fail(f'a bias of shape {[c.shape(0)[rank - 1]]}', f'{c.shape(1)}')
    return [c.type(0)]


def _pool_tokens(c: InferContext) -> list[Type]:
    c.check_rank(0, 3, 3)
    shape = c.shape(0)
    if c.shape(1) != shape[:2]:
        raise c.fail(f'a mask of shape {shape[:2]}', f'{c.shape(1)}')
    return [Type(c.check_dtype(0, ['float32']), [shape[0], shape[2]])]


FUSED_OPS: dict[str, OpSpec] = {
    'edgeflow:MatMul': op(_matmul, 2, 4),
    'edgeflow:QMatMul': op(_qmatmul, 3, 9),
    'edgeflow:Sdpa': op(_sdpa, 3, 4),
    'edgeflow:SkipLayerNorm': op(_skip_layer_norm, 3, 5),
    'edgeflow:Gelu': op(_same),
    'edgeflow:BiasAct': op(_same, 2),
    'edgeflow:PoolTokens': op(_pool_tokens, 2),
}
