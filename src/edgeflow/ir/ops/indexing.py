"""Rules of operators that pick or place elements by index."""

from __future__ import annotations

from edgeflow.ir.dtype import element_count
from edgeflow.ir.ops.infer import NUMBERS, InferContext, OpSpec, Type, op

INDEX = ['int64', 'int32']


def _gather(c: InferContext) -> list[Type]:
    source = c.type(0)
    c.check_dtype(1, INDEX)
    axis = c.axis(c.attr_int('axis'), c.check_rank(0, 1, -1))
    return c.shaped(source.shape[:axis] + c.shape(1) + source.shape[axis + 1:])


def _check_same_but(c: InferContext, index: int, axis: int) -> None:
    """The indices may be smaller than the data along every axis but `axis`, along which any size will do."""
    source = c.shape(0)
    given = c.shape(index)
    if len(given) != len(source):
        raise c.fail(f'input {index} of rank {len(source)}', f'shape {given}')
    for i in range(len(source)):
        if i != axis and given[i] > source[i]:
            raise c.fail(f'input {index} no larger than {source} but along axis {axis}', f'{given}')


def _gather_elements(c: InferContext) -> list[Type]:
    c.check_dtype(1, INDEX)
    axis = c.axis(c.attr_int('axis'), c.check_rank(0, 1, -1))
    _check_same_but(c, 1, axis)
    return c.shaped(c.shape(1))


def _gather_nd(c: InferContext) -> list[Type]:
    c.check_dtype(1, ['int64'])
    source = c.shape(0)
    indices = c.shape(1)
    batch = c.attr_int('batch_dims')
    if len(source) < 1 or len(indices) < 1 or batch < 0 or batch >= len(source) or batch >= len(indices):
        raise c.fail('batch_dims less than both ranks', f'{batch}, shapes {source} and {indices}')
    depth = indices[len(indices) - 1]
    if depth < 1 or batch + depth > len(source) or source[:batch] != indices[:batch]:
        raise c.fail(f'equal batch dims and at most {len(source) - batch} numbers an index', f'shapes {source} and {indices}')
    return c.shaped(indices[:len(indices) - 1] + source[batch + depth:])


def _check_reduction(c: InferContext) -> None:
    name = c.attr_str('reduction', 'none')
    if name not in ['none', 'add', 'mul', 'min', 'max']:
        raise c.fail('reduction none, add, mul, min or max', f"'{name}'")
    if name != 'none' and c.dtype(0) not in NUMBERS:
        raise c.unsupported(f'reduction {name} of {c.dtype(0)}')


def _scatter_nd(c: InferContext) -> list[Type]:
    c.check_dtype(1, ['int64'])
    c.check_same_dtype(0, 2)
    _check_reduction(c)
    source = c.shape(0)
    indices = c.shape(1)
    if len(source) < 1 or len(indices) < 1:
        raise c.fail('ranks of 1 or more', f'shapes {source} and {indices}')
    depth = indices[len(indices) - 1]
    if depth > len(source) or c.shape(2) != indices[:len(indices) - 1] + source[depth:]:
        raise c.fail(f'updates of shape {indices[:len(indices) - 1] + source[depth:]}', f'{c.shape(2)}')
    return [c.type(0)]


def _scatter_elements(c: InferContext) -> list[Type]:
    c.check_dtype(1, INDEX)
    c.check_same_dtype(0, 2)
    _check_reduction(c)
    axis = c.axis(c.attr_int('axis'), c.check_rank(0, 1, -1))
    _check_same_but(c, 1, axis)
    if c.shape(2) != c.shape(1):
        raise c.fail(f'updates of shape {c.shape(1)}', f'{c.shape(2)}')
    return [c.type(0)]


def _one_hot(c: InferContext) -> list[Type]:
    c.check_dtype(0, NUMBERS)
    c.check_dtype(1, NUMBERS)
    depth = c.floats(1)
    if len(depth) != 1 or depth[0] < 0 or not depth[0] < 2147483648:
        raise c.fail('a depth of one number, 0 or more', f'{depth}')
    if c.shape(2) != [2]:
        raise c.fail('values of shape [2]', f'{c.shape(2)}')
    indices = c.shape(0)
    axis = c.axis(c.attr_int('axis', -1), len(indices) + 1)
    return [Type(c.dtype(2), indices[:axis] + [int(depth[0])] + indices[axis:])]


def _top_k(c: InferContext) -> list[Type]:
    dtype = c.check_dtype(0, NUMBERS)
    axis = c.axis(c.attr_int('axis', -1), c.check_rank(0, 1, -1))
    if c.has(1):
        given = c.ints(1)
        if len(given) != 1:
            raise c.fail('one k', f'{given}')
        k = given[0]
    else:
        k = c.attr_int('k', -1)
    shape = c.shape(0)[:]
    if k < 0 or k > shape[axis]:
        raise c.fail(f'k from 0 to {shape[axis]}', f'{k}')
    shape[axis] = k
    return [Type(dtype, shape), Type('int64', shape)]


def _compress(c: InferContext) -> list[Type]:
    c.check_dtype(1, ['bool'])
    kept = 0
    condition = c.ints(1)
    source = c.shape(0)
    axis = c.axis(c.attr_int('axis'), len(source)) if c.has_attr('axis') else -1
    dim = element_count(source) if axis < 0 else source[axis]
    for i in range(min(len(condition), dim)):
        if condition[i] != 0:
            kept = kept + 1
    if axis < 0:
        return c.shaped([kept])
    return c.shaped(source[:axis] + [kept] + source[axis + 1:])


def _reverse_sequence(c: InferContext) -> list[Type]:
    c.check_rank(0, 2, -1)
    c.check_dtype(1, ['int64'])
    batch = c.attr_int('batch_axis', 1)
    time = c.attr_int('time_axis')
    if batch + time != 1 or batch * time != 0:
        raise c.fail('batch_axis and time_axis 0 and 1', f'{batch} and {time}')
    if c.shape(1) != [c.shape(0)[batch]]:
        raise c.fail(f'{c.shape(0)[batch]} sequence lengths', f'shape {c.shape(1)}')
    return [c.type(0)]


INDEXING_OPS: dict[str, OpSpec] = {
    'Gather': op(_gather, 2),
    'GatherElements': op(_gather_elements, 2, 2, 11),
    'GatherND': op(_gather_nd, 2, 2, 11),
    'Scatter': op(_scatter_elements, 3, 3, 9),
    'ScatterElements': op(_scatter_elements, 3, 3, 11),
    'ScatterND': op(_scatter_nd, 3, 3, 11),
    'OneHot': op(_one_hot, 3, 3, 9),
    'TopK': op(_top_k, 1, 2),
    'Compress': op(_compress, 2, 2, 9),
    'ReverseSequence': op(_reverse_sequence, 2, 2, 10),
}
