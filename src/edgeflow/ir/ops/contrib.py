"""Rules of the com.microsoft operators that exporters and onnxruntime's optimizer put into models."""

from __future__ import annotations

from edgeflow.ir.ops.dense import matmul_shape
from edgeflow.ir.ops.fused import transposed
from edgeflow.ir.ops.infer import FLOATS, InferContext, OpSpec, Type, op


def _same(c: InferContext) -> list[Type]:
    return [Type(c.check_dtype(0, FLOATS), c.shape(0))]


def _bias_activation(c: InferContext) -> list[Type]:
    source = c.type(0)
    rank = c.check_rank(0, 1, -1)
    if c.has(1):
        c.check_same_dtype(0, 1)
        if c.shape(1) != [source.shape[rank - 1]]:
            raise c.fail(f'a bias of shape {[source.shape[rank - 1]]}', f'{c.shape(1)}')
    return _same(c)


def _attention(c: InferContext) -> list[Type]:
    c.check_rank(0, 3, 3)
    c.check_rank(1, 2, 2)
    shape = c.shape(0)
    weight = c.shape(1)
    sizes = c.attr_ints('qkv_hidden_sizes')
    if weight[0] != shape[2]:
        raise c.fail(f'weights of {shape[2]} rows', f'{weight}')
    if sizes is None:
        if weight[1] % 3 != 0:
            raise c.fail('weights for Q, K and V of one width', f'{weight}')
        hidden = weight[1] // 3
    else:
        if len(sizes) != 3 or sizes[0] + sizes[1] + sizes[2] != weight[1]:
            raise c.fail(f'three qkv_hidden_sizes that add up to {weight[1]}', f'{sizes}')
        hidden = sizes[2]
    heads = c.attr_int('num_heads')
    if heads < 1 or hidden % heads != 0:
        raise c.fail(f'num_heads that divides {hidden}', f'{heads}')
    result = [Type(c.dtype(0), [shape[0], shape[1], hidden])]
    past = 0
    if c.has(4):
        c.check_rank(4, 5, 5)
        past = c.shape(4)[3]
    result.append(Type(c.dtype(0), [2, shape[0], heads, past + shape[1], hidden // heads]))
    return result


def _check_vector(c: InferContext, index: int, size: int) -> None:
    if c.has(index) and c.shape(index) != [size]:
        raise c.fail(f'input {index} of shape {[size]}', f'{c.shape(index)}')


def _embed_layer_norm(c: InferContext) -> list[Type]:
    c.check_rank(0, 2, 2)
    c.check_rank(2, 2, 2)
    shape = c.shape(0)
    width = c.shape(2)[1]
    for i in [3, 4]:
        if c.has(i) and (len(c.shape(i)) != 2 or c.shape(i)[1] != width):
            raise c.fail(f'an embedding table of width {width}', f'{c.shape(i)}')
    _check_vector(c, 5, width)
    _check_vector(c, 6, width)
    if c.has(1) and c.shape(1) != shape:
        raise c.fail(f'segment ids of shape {shape}', f'{c.shape(1)}')
    if c.has(8) and c.shape(8) != shape and c.shape(8) != [1, shape[1]]:
        raise c.fail(f'position ids of shape {shape} or [1, {shape[1]}]', f'{c.shape(8)}')
    full = Type(c.dtype(2), [shape[0], shape[1], width])
    return [full, Type('int32', [shape[0]]), full]


def _skip_layer_norm(c: InferContext) -> list[Type]:
    """Y, mean, inverse deviation, sum. The simplified one has no beta: gamma, bias."""
    shape = c.shape(0)
    rank = c.check_rank(0, 2, 3)
    width = shape[rank - 1]
    c.check_same_dtype(0, 1)
    skip = c.shape(1)
    if c.broadcast([skip, shape]) != shape or skip[len(skip) - 1] != width or (len(skip) > 1 and skip[len(skip) - 2] != shape[rank - 2]):
        raise c.fail(f'a skip of shape {shape}', f'{skip}')
    for i in range(2, len(c.types)):
        _check_vector(c, i, width)
    full = Type(c.dtype(0), shape)
    stash = Type('float32', shape[:rank - 1] + [1])
    return [full, stash, stash, full]


def _matmul_blocks(c: InferContext) -> list[Type]:
    """MatMulNBits and MatMulBnb4: A times a quantised [N, K] matrix."""
    dtype = c.check_dtype(0, FLOATS)
    rank = c.check_rank(0, 1, -1)
    k = c.attr_int('K')
    n = c.attr_int('N')
    shape = c.shape(0)
    if k < 1 or n < 1 or shape[rank - 1] != k:
        raise c.fail(f'A with {k} columns (K) and N of 1 or more', f'shape {shape}, N {n}')
    return [Type(dtype, shape[:rank - 1] + [n])]


def _matmul_nbits(c: InferContext) -> list[Type]:
    k = c.attr_int('K')
    n = c.attr_int('N')
    bits = c.attr_int('bits', 4)
    block = c.attr_int('block_size')
    if bits not in [2, 4, 8] or block < 16 or k < 1 or n < 1:
        raise c.unsupported(f'bits {bits}, block_size {block}, K {k}, N {n}')
    blocks = (k + block - 1) // block
    count = 1
    for dim in c.shape(1):
        count = count * dim
    if c.dtype(1) != 'uint8' or count != n * blocks * (block * bits // 8):
        raise c.fail(f'uint8 weights of shape {[n, blocks, block * bits // 8]}', f'{c.dtype(1)} {c.shape(1)}')
    scales = 1
    for dim in c.shape(2):
        scales = scales * dim
    if scales != n * blocks:
        raise c.fail(f'{n * blocks} scales', f'shape {c.shape(2)}')
    if c.has(3):
        zeros = 1
        for dim in c.shape(3):
            zeros = zeros * dim
        wanted = n * ((blocks * bits + 7) // 8) if c.dtype(3) == 'uint8' else n * blocks
        if zeros != wanted:
            raise c.fail(f'{wanted} zero points', f'shape {c.shape(3)}')
    if c.has(4):
        raise c.unsupported('g_idx (deprecated)')
    _check_vector(c, 5, n)
    return _matmul_blocks(c)


def _matmul_bnb4(c: InferContext) -> list[Type]:
    k = c.attr_int('K')
    n = c.attr_int('N')
    block = c.attr_int('block_size')
    if block < 16 or k < 1 or n < 1 or c.attr_int('quant_type', 1) not in [0, 1]:
        raise c.unsupported(f'block_size {block}, K {k}, N {n}')
    count = 1
    for dim in c.shape(1):
        count = count * dim
    scales = 1
    for dim in c.shape(2):
        scales = scales * dim
    if c.dtype(1) != 'uint8' or count != (n * k + 1) // 2 or scales != (n * k + block - 1) // block:
        raise c.fail(f'{(n * k + 1) // 2} uint8 weights and {(n * k + block - 1) // block} scales', f'{c.dtype(1)} {c.shape(1)}, {c.shape(2)}')
    return _matmul_blocks(c)


def _fused_matmul(c: InferContext) -> list[Type]:
    """numpy.matmul of A and B, each with its last two dims exchanged if asked, times alpha."""
    if c.attr_int('transBatchA') != 0 or c.attr_int('transBatchB') != 0:
        raise c.unsupported('transBatchA and transBatchB must be 0')
    dtype = c.check_dtype(0, FLOATS)
    c.check_same_dtype(0, 1)
    a = c.shape(0)
    b = c.shape(1)
    if c.attr_int('transA') != 0 and c.check_rank(0, 1, -1) > 1:
        a = transposed(a)
    if c.attr_int('transB') != 0 and c.check_rank(1, 1, -1) > 1:
        b = transposed(b)
    return [Type(dtype, matmul_shape(c, a, b))]


# Without 'com.microsoft:', which table.py puts before them.
CONTRIB_OPS: dict[str, OpSpec] = {
    'FusedMatMul': op(_fused_matmul, 2),
    'Gelu': op(_same),
    'QuickGelu': op(_same),
    'BiasGelu': op(_bias_activation, 2),
    'FastGelu': op(_bias_activation, 1, 2),
    'Attention': op(_attention, 2, 7),
    'EmbedLayerNormalization': op(_embed_layer_norm, 7, 9),
    'SkipLayerNormalization': op(_skip_layer_norm, 3, 5),
    'SkipSimplifiedLayerNormalization': op(_skip_layer_norm, 3, 4),
    'MatMulNBits': op(_matmul_nbits, 3, 6),
    'MatMulBnb4': op(_matmul_bnb4, 3),
}
