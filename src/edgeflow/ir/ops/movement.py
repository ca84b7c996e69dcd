"""Rules of operators that move elements or make tensors of shapes: Reshape, Transpose, Slice, Concat, Shape, Range ..."""

from __future__ import annotations

from edgeflow.ir.dtype import element_count
from edgeflow.ir.ops.infer import FLOATS, NUMBERS, InferContext, OpSpec, Type, op

BIG = 9223372036854775807


def axes_of(c: InferContext, index: int) -> list[int] | None:
    """Axes as input `index` (newer opsets) or attribute `axes` (older ones); None if neither is given."""
    if c.has(index):
        return c.ints(index)
    return c.attr_ints('axes')


def _reshape(c: InferContext) -> list[Type]:
    source = c.type(0)
    wanted = c.ints(1) if c.has(1) else c.attr_ints('shape')
    if wanted is None:
        raise c.fail('a shape', 'nothing')
    allow_zero = c.attr_int('allowzero') == 1
    shape: list[int] = []
    free = -1
    known: int = 1
    for i in range(len(wanted)):
        dim = wanted[i]
        if dim == 0 and not allow_zero:
            if i >= len(source.shape):
                raise c.fail(f'no 0 past the rank of {source.shape}', f'shape {wanted}')
            dim = source.shape[i]
        if dim == -1:
            if free >= 0:
                raise c.fail('at most one -1', f'shape {wanted}')
            free = i
        elif dim < -1:
            raise c.fail('dims of -1 or more', f'shape {wanted}')
        else:
            known = known * dim
        shape.append(dim)
    count = element_count(source.shape)
    if free >= 0:
        if known == 0:
            # 0 elements: the free dim is undetermined, and 0 is what onnxruntime and numpy accept only if nothing is lost.
            if count != 0:
                raise c.fail(f'a shape of {count} elements', f'{wanted}')
            shape[free] = 0
        else:
            if count % known != 0:
                raise c.fail(f'a shape that {source.shape} fills', f'{wanted}')
            shape[free] = count // known
    elif known != count:
        raise c.fail(f'a shape of {count} elements, as {source.shape} has', f'{wanted}')
    return c.shaped(shape)


def _transpose(c: InferContext) -> list[Type]:
    source = c.type(0)
    rank = len(source.shape)
    perm = c.attr_ints('perm')
    if perm is None:
        perm = [rank - 1 - i for i in range(rank)]
    if len(perm) != rank or len(c.axes(perm, rank)) != rank:
        raise c.fail(f'a permutation of {rank} axes', f'{perm}')
    return c.shaped([source.shape[axis] for axis in c.axes(perm, rank)])


def _squeeze(c: InferContext) -> list[Type]:
    source = c.type(0)
    rank = len(source.shape)
    given = axes_of(c, 1)
    if given is None:
        return c.shaped([dim for dim in source.shape if dim != 1])
    axes = c.axes(given, rank)
    shape: list[int] = []
    for i in range(rank):
        if i not in axes:
            shape.append(source.shape[i])
        elif source.shape[i] != 1:
            raise c.fail(f'dim {i} to be 1', f'shape {source.shape}')
    return c.shaped(shape)


def _unsqueeze(c: InferContext) -> list[Type]:
    source = c.type(0)
    given = axes_of(c, 1)
    if given is None:
        raise c.fail('axes', 'nothing')
    rank = len(source.shape) + len(given)
    axes = c.axes(given, rank)
    shape: list[int] = []
    next_dim = 0
    for i in range(rank):
        if i in axes:
            shape.append(1)
        else:
            shape.append(source.shape[next_dim])
            next_dim = next_dim + 1
    return c.shaped(shape)


def _flatten(c: InferContext) -> list[Type]:
    source = c.type(0)
    rank = len(source.shape)
    axis = c.attr_int('axis', 1)
    if axis < -rank or axis > rank:
        raise c.fail(f'an axis from {-rank} to {rank}', f'{axis}')
    if axis < 0:
        axis = axis + rank
    return c.shaped([element_count(source.shape[:axis]), element_count(source.shape[axis:])])


def _expand(c: InferContext) -> list[Type]:
    source = c.type(0)
    wanted = c.check_dims(c.ints(1))
    return c.shaped(c.broadcast([source.shape, wanted]))


def _concat(c: InferContext) -> list[Type]:
    first = c.type(0)
    rank = c.check_rank(0, 1, -1)
    axis = c.axis(c.attr_int('axis', 1 if c.opset < 4 else 0), rank)
    shape = first.shape[:]
    for i in range(1, len(c.types)):
        c.check_same_dtype(0, i)
        other = c.shape(i)
        if len(other) != rank:
            raise c.fail(f'input {i} of rank {rank}', f'shape {other}')
        for k in range(rank):
            if k == axis:
                shape[k] = shape[k] + other[k]
            elif other[k] != shape[k]:
                raise c.fail(f'input {i} to match {first.shape} but for axis {axis}', f'{other}')
    return [Type(first.dtype, shape)]


def split_sizes(c: InferContext, dim: int) -> list[int]:
    """The size of each output of a Split along an axis of `dim` elements."""
    outputs = len(c.node.outputs)
    sizes = c.ints(1) if c.has(1) else c.attr_ints('split')
    if sizes is not None:
        total = 0
        for size in sizes:
            if size < 0:
                raise c.fail('sizes of 0 or more', f'{sizes}')
            total = total + size
        if total != dim or len(sizes) != outputs:
            raise c.fail(f'{outputs} sizes that add up to {dim}', f'{sizes}')
        return sizes
    count = c.attr_int('num_outputs', outputs)
    if count != outputs or count < 1:
        raise c.fail(f'num_outputs {outputs}', f'{count}')
    if dim % count != 0 and c.opset < 18:
        raise c.fail(f'an axis that {count} divides', f'{dim}')
    part = (dim + count - 1) // count
    result: list[int] = []
    left = dim
    for _ in range(count):
        size = part if part < left else left
        result.append(size)
        left = left - size
    return result


def _split(c: InferContext) -> list[Type]:
    source = c.type(0)
    axis = c.axis(c.attr_int('axis'), len(source.shape))
    result: list[Type] = []
    for size in split_sizes(c, source.shape[axis]):
        shape = source.shape[:]
        shape[axis] = size
        result.append(Type(source.dtype, shape))
    return result


def clamp_slice(dim: int, start: int, end: int, step: int) -> list[int]:
    """[start, length] of a slice as ONNX and numpy clamp it."""
    if start < 0:
        start = start + dim
    if end < 0:
        end = end + dim
    if step > 0:
        start = min(max(start, 0), dim)
        end = min(max(end, 0), dim)
        return [start, max(0, (end - start + step - 1) // step)]
    start = min(max(start, -1), dim - 1)
    end = min(max(end, -1), dim - 1)
    return [start, max(0, (start - end - step - 1) // -step)]


def slice_ranges(shape: list[int], starts: list[int], ends: list[int], axes: list[int], steps: list[int]) -> list[list[int]]:
    """[start, length, step] for every axis. `axes` count from the front."""
    ranges = [[0, dim, 1] for dim in shape]
    for i in range(len(axes)):
        dim = shape[axes[i]]
        step = steps[i]
        # A step past the dim takes one element at most, and keeps products of strides small.
        if step > dim:
            step = dim + 1
        elif step < -dim:
            step = -dim - 1
        clamped = clamp_slice(dim, starts[i], ends[i], step)
        ranges[axes[i]] = [clamped[0], clamped[1], step]
    return ranges


def slice_of(c: InferContext) -> list[list[int]]:
    """[start, length, step] for every axis of a Slice node of any opset."""
    shape = c.shape(0)
    rank = len(shape)
    starts = c.ints(1) if c.has(1) else c.attr_ints('starts')
    ends = c.ints(2) if c.has(2) else c.attr_ints('ends')
    if starts is None or ends is None:
        raise c.fail('starts and ends', 'nothing')
    given = axes_of(c, 3)
    axes = [i for i in range(len(starts))] if given is None else given
    steps = c.ints(4) if c.has(4) else [1] * len(starts)
    if len(ends) != len(starts) or len(axes) != len(starts) or len(steps) != len(starts):
        raise c.fail(f'{len(starts)} ends, axes and steps', f'{len(ends)}, {len(axes)} and {len(steps)}')
    for step in steps:
        if step == 0:
            raise c.fail('steps other than 0', f'{steps}')
    return slice_ranges(shape, starts, ends, c.axes(axes, rank), steps)


def _slice(c: InferContext) -> list[Type]:
    return c.shaped([part[1] for part in slice_of(c)])


def _tile(c: InferContext) -> list[Type]:
    source = c.type(0)
    repeats = c.check_dims(c.ints(1))
    if len(repeats) != len(source.shape):
        raise c.fail(f'{len(source.shape)} repeats', f'{repeats}')
    return c.shaped([source.shape[i] * repeats[i] for i in range(len(repeats))])


def pads_of(c: InferContext) -> list[list[int]]:
    """[before, after] for every axis of a Pad node of any opset; they may be negative (cropping)."""
    rank = len(c.shape(0))
    pads = c.ints(1) if c.has(1) else c.attr_ints('paddings' if c.opset < 2 else 'pads')
    if pads is None:
        raise c.fail('pads', 'nothing')
    axes = c.axes(c.ints(3), rank) if c.has(3) else [i for i in range(rank)]
    if len(pads) != 2 * len(axes):
        raise c.fail(f'{2 * len(axes)} pads', f'{pads}')
    result = [[0, 0] for _ in range(rank)]
    for i in range(len(axes)):
        result[axes[i]] = [pads[i], pads[len(axes) + i]]
    return result


def _pad(c: InferContext) -> list[Type]:
    source = c.type(0)
    mode = c.attr_str('mode', 'constant')
    if mode not in ['constant', 'reflect', 'edge', 'wrap']:
        raise c.fail('mode constant, reflect, edge or wrap', f"'{mode}'")
    if c.has(2):
        c.check_same_dtype(0, 2)
        if element_count(c.shape(2)) != 1:
            raise c.fail('one padding value', f'shape {c.shape(2)}')
    pads = pads_of(c)
    shape: list[int] = []
    for i in range(len(pads)):
        dim = source.shape[i] + pads[i][0] + pads[i][1]
        kept = source.shape[i] + min(0, pads[i][0]) + min(0, pads[i][1])
        if dim < 0 or kept < 0 or (kept == 0 and dim > 0 and mode != 'constant'):
            raise c.fail(f'pads that {source.shape} allows in mode {mode}', f'{pads}')
        shape.append(dim)
    return c.shaped(shape)


def shape_part(c: InferContext) -> list[int]:
    """The dims that a Shape node gives: all, or those from `start` to `end`."""
    shape = c.shape(0)
    rank = len(shape)
    start = c.attr_int('start')
    end = c.attr_int('end', rank)
    start = min(max(start + rank if start < 0 else start, 0), rank)
    end = min(max(end + rank if end < 0 else end, 0), rank)
    return shape[start:max(start, end)]


def _shape(c: InferContext) -> list[Type]:
    return [Type('int64', [len(shape_part(c))])]


def _size(c: InferContext) -> list[Type]:
    c.type(0)
    return [Type('int64', [])]


def _constant(c: InferContext) -> list[Type]:
    tensor = c.attr_tensor('value')
    if tensor is not None:
        return [Type(tensor.dtype, tensor.shape)]
    if c.has_attr('value_float'):
        return [Type('float32', [])]
    if c.has_attr('value_int'):
        return [Type('int64', [])]
    ints = c.attr_ints('value_ints')
    if ints is not None:
        return [Type('int64', [len(ints)])]
    floats = c.node.attributes.get('value_floats')
    if isinstance(floats, list):
        return [Type('float32', [len(floats)])]
    raise c.unsupported('the kind of its value (sparse or string)')


def _constant_of_shape(c: InferContext) -> list[Type]:
    value = c.attr_tensor('value')
    if value is not None and element_count(value.shape) != 1:
        raise c.fail('a value of one element', f'shape {value.shape}')
    return [Type('float32' if value is None else value.dtype, c.check_dims(c.ints(0)))]


def _range(c: InferContext) -> list[Type]:
    dtype = c.check_dtype(0, ['float32', 'float64', 'float16', 'int64', 'int32', 'int16'])
    c.check_same_dtype(0, 1)
    c.check_same_dtype(0, 2)
    values: list[float] = []
    for i in range(3):
        part = c.floats(i) if dtype in FLOATS else c.ints(i)
        if len(part) != 1:
            raise c.fail(f'input {i} to be a scalar', f'shape {c.shape(i)}')
        values.append(part[0])
    start = values[0]
    limit = values[1]
    delta = values[2]
    if delta == 0:
        raise c.fail('a delta other than 0', '0')
    steps = (limit - start) / delta
    if not steps < BIG:
        raise c.fail('a finite range', f'{start} to {limit} by {delta}')
    count = 0
    if steps > 0:
        whole = steps // 1
        count = int(whole) + (1 if steps > whole else 0)
    return [Type(dtype, [count])]


def _eye_like(c: InferContext) -> list[Type]:
    c.check_rank(0, 2, 2)
    dtype = c.attr_dtype('dtype', 0) if c.has_attr('dtype') else c.dtype(0)
    if dtype not in NUMBERS and dtype != 'bool':
        raise c.unsupported(f'output type {dtype}')
    return [Type(dtype, c.shape(0))]


def _trilu(c: InferContext) -> list[Type]:
    c.check_rank(0, 2, -1)
    return [c.type(0)]


def _depth_to_space(c: InferContext) -> list[Type]:
    c.check_rank(0, 4, 4)
    shape = c.shape(0)
    block = c.attr_int('blocksize')
    if block < 1 or shape[1] % (block * block) != 0:
        raise c.fail('a blocksize whose square divides the channels', f'blocksize {block}, shape {shape}')
    return c.shaped([shape[0], shape[1] // (block * block), shape[2] * block, shape[3] * block])


def _space_to_depth(c: InferContext) -> list[Type]:
    c.check_rank(0, 4, 4)
    shape = c.shape(0)
    block = c.attr_int('blocksize')
    if block < 1 or shape[2] % block != 0 or shape[3] % block != 0:
        raise c.fail('a blocksize that divides height and width', f'blocksize {block}, shape {shape}')
    return c.shaped([shape[0], shape[1] * block * block, shape[2] // block, shape[3] // block])


MOVEMENT_OPS: dict[str, OpSpec] = {
    'Reshape': op(_reshape, 1, 2),
    'Transpose': op(_transpose),
    'Squeeze': op(_squeeze, 1, 2),
    'Unsqueeze': op(_unsqueeze, 1, 2),
    'Flatten': op(_flatten),
    'Expand': op(_expand, 2, 2, 8),
    'Concat': op(_concat, 1, -1),
    'Split': op(_split, 1, 2),
    'Slice': op(_slice, 1, 5),
    'Tile': op(_tile, 2, 2, 6),
    'Pad': op(_pad, 1, 4),
    'Shape': op(_shape),
    'Size': op(_size),
    'Constant': op(_constant, 0),
    'ConstantOfShape': op(_constant_of_shape, 1, 1, 9),
    'Range': op(_range, 3, 3, 11),
    'EyeLike': op(_eye_like, 1, 1, 9),
    'Trilu': op(_trilu, 1, 2, 14),
    'DepthToSpace': op(_depth_to_space),
    'SpaceToDepth': op(_space_to_depth),
}
