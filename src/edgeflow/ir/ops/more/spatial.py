"""Rules of the rarer operators on images: tensors [batch, channels, spatial...]."""

from __future__ import annotations

from edgeflow.ir.ops.infer import FLOATS, InferContext, OpSpec, Type, op
from edgeflow.ir.ops.windows import Windows, find_windows, pool_windows


def _same(c: InferContext) -> list[Type]:
    c.check_dtype(0, FLOATS)
    return [c.type(0)]


def _lp_pool(c: InferContext) -> list[Type]:
    return [Type(c.check_dtype(0, FLOATS), c.shape(0)[:2] + pool_windows(c).output)]


def _global_lp_pool(c: InferContext) -> list[Type]:
    rank = c.check_rank(0, 3, -1)
    return [Type(c.check_dtype(0, FLOATS), c.shape(0)[:2] + [1] * (rank - 2))]


def block_windows(c: InferContext) -> Windows:
    """The windows of Col2Im: over the image of input 1, of the size of input 2."""
    return find_windows(c, c.ints(1), c.ints(2))


def _col2im(c: InferContext) -> list[Type]:
    c.check_rank(0, 3, 3)
    source = c.shape(0)
    windows = block_windows(c)
    taps = 1
    places = 1
    for i in range(len(windows.kernel)):
        taps = taps * windows.kernel[i]
        places = places * windows.output[i]
    if source[1] % taps != 0 or source[2] != places:
        raise c.fail(f'[batch, channels * {taps}, {places}]', f'{source}')
    return c.shaped([source[0], source[1] // taps] + c.ints(1))


def unpooled_shape(c: InferContext) -> list[int]:
    """The shape that the pooling came from, as far as its attributes tell."""
    source = c.shape(0)
    rank = c.check_rank(0, 3, -1)
    kernel = c.attr_ints('kernel_shape')
    strides = c.attr_ints('strides')
    pads = c.attr_ints('pads')
    count = rank - 2
    if kernel is None or len(kernel) != count or (strides is not None and len(strides) != count) or (pads is not None and len(pads) != 2 * count):
        raise c.fail(f'kernel_shape, strides and pads for {count} axes', f'{kernel}, {strides}, {pads}')
    shape = source[:2]
    for i in range(count):
        around = 0 if pads is None else pads[i] + pads[count + i]
        shape.append((source[2 + i] - 1) * (1 if strides is None else strides[i]) - around + kernel[i])
    return shape


def _max_unpool(c: InferContext) -> list[Type]:
    shape = unpooled_shape(c)
    if c.shape(1) != c.shape(0):
        raise c.fail(f'indices of shape {c.shape(0)}', f'{c.shape(1)}')
    if c.has(2):
        wanted = c.ints(2)
        if len(wanted) != len(shape) or min([wanted[i] - shape[i] for i in range(len(shape))]) < 0:
            raise c.fail(f'an output_shape of {shape} or more', f'{wanted}')
        shape = wanted
    return c.shaped(shape)


def _grid_sample(c: InferContext) -> list[Type]:
    rank = c.check_rank(0, 3, 5)
    c.check_dtype(1, FLOATS)
    grid = c.shape(1)
    if len(grid) != rank or grid[0] != c.shape(0)[0] or grid[rank - 1] != rank - 2:
        raise c.fail(f'a grid [{c.shape(0)[0]}, ..., {rank - 2}] of rank {rank}', f'{grid}')
    return c.shaped(c.shape(0)[:2] + grid[1:rank - 1])


def _affine_grid(c: InferContext) -> list[Type]:
    c.check_dtype(0, FLOATS)
    size = c.ints(1)
    rank = len(size) - 2
    if rank < 2 or rank > 3 or c.shape(0) != [size[0], rank, rank + 1]:
        raise c.fail('theta [N, 2, 3] for a size [N, C, H, W], [N, 3, 4] for [N, C, D, H, W]', f'{c.shape(0)} for {size}')
    return c.shaped([size[0]] + size[2:] + [rank])


def deform_windows(c: InferContext) -> Windows:
    """The windows of DeformConv."""
    c.check_rank(0, 4, 4)
    source = c.shape(0)
    weight = c.shape(1)
    group = c.attr_int('group', 1)
    offset_group = c.attr_int('offset_group', 1)
    if len(weight) != 4 or group < 1 or offset_group < 1 or source[1] != weight[1] * group or weight[0] % group != 0 or source[1] % offset_group != 0:
        raise c.fail(f'weights [M, C / group, kH, kW] for {source}, group {group} and offset_group {offset_group}', f'{weight}')
    windows = find_windows(c, source[2:], weight[2:])
    taps = weight[2] * weight[3] * offset_group
    if c.shape(2) != [source[0], 2 * taps] + windows.output or (c.has(4) and c.shape(4) != [source[0], taps] + windows.output):
        raise c.fail(f'offsets (and a mask) of {taps} taps at {windows.output}', f'{c.shape(2)}')
    return windows


def _deform_conv(c: InferContext) -> list[Type]:
    c.check_dtype(0, FLOATS)
    windows = deform_windows(c)
    if c.has(3) and c.shape(3) != [c.shape(1)[0]]:
        raise c.fail(f'a bias of shape {[c.shape(1)[0]]}', f'{c.shape(3)}')
    return c.shaped([c.shape(0)[0], c.shape(1)[0]] + windows.output)


def _regions(c: InferContext, width: int, rows: int, columns: int) -> list[Type]:
    c.check_rank(0, 4, 4)
    rois = c.shape(1)
    if len(rois) != 2 or rois[1] != width or rows < 1 or columns < 1:
        raise c.fail(f'regions [count, {width}] and an output of 1 or more rows and columns', f'{rois}, {rows}, {columns}')
    return [Type(c.check_dtype(0, FLOATS), [rois[0], c.shape(0)[1], rows, columns])]


def _roi_align(c: InferContext) -> list[Type]:
    if len(c.shape(1)) > 0 and c.shape(2) != c.shape(1)[:1]:
        raise c.fail(f'images {c.shape(1)[:1]}', f'{c.shape(2)}')
    return _regions(c, 4, c.attr_int('output_height', 1), c.attr_int('output_width', 1))


def _max_roi_pool(c: InferContext) -> list[Type]:
    pooled = c.attr_ints('pooled_shape')
    if pooled is None or len(pooled) != 2:
        raise c.fail("2 numbers in 'pooled_shape'", f'{pooled}')
    return _regions(c, 5, pooled[0], pooled[1])


MORE_SPATIAL_OPS: dict[str, OpSpec] = {
    'AffineGrid': op(_affine_grid, 2, 2, 20),
    'Col2Im': op(_col2im, 3, 3, 18),
    'DeformConv': op(_deform_conv, 3, 5, 19),
    'GlobalLpPool': op(_global_lp_pool),
    'GridSample': op(_grid_sample, 2, 2, 16),
    'LpNormalization': op(_same),
    'LpPool': op(_lp_pool),
    'LRN': op(_same),
    'MaxRoiPool': op(_max_roi_pool, 2),
    'MaxUnpool': op(_max_unpool, 2, 3, 9),
    'MeanVarianceNormalization': op(_same, 1, 1, 9),
    'RoiAlign': op(_roi_align, 3, 3, 10),
}
