"""Lowerings of operators that move elements or fill tensors: views where the elements already lie right, else copy_nd."""

from __future__ import annotations

from edgeflow.backends.wasm.lower_dense import given
from edgeflow.backends.wasm.lower_elementwise import dtype_code
from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import broadcast_strides, copy_steps, item_size, row_major
from edgeflow.host.platform import float_bits, read_i32
from edgeflow.ir.attributes import int_of, ints_of, tensor_of, text_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.elements import elements
from edgeflow.ir.graph import Node, TensorData
from edgeflow.ir.ops.movement import pads_of, slice_of, split_sizes
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.values import Value, Word, at

ONE_F64 = 1072693248


def lower_view(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """Reshape, Squeeze, Unsqueeze, Flatten: another shape for the same elements."""
    b.alias(given(b, outputs), given(b, inputs))


def view_or_copy(b: StepBuilder, source: Value, output: Value, start: int, strides: list[int]) -> None:
    """output[i...] = source[start + i * strides ...]: a view if these elements lie in one piece and in order."""
    item = item_size(output)
    if output.count() == 0 or (start >= 0 and _in_order(output.shape, strides)):
        b.alias(output, source, 0 if output.count() == 0 else start * item)
        return
    copy_steps(b, item, b.pointer(source, start * item), b.pointer(output), output.shape, strides, row_major(output.shape))


def _in_order(shape: list[int], strides: list[int]) -> bool:
    wanted = row_major(shape)
    for i in range(len(shape)):
        if shape[i] != 1 and strides[i] != wanted[i]:
            return False
    return True


def lower_transpose(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    rank = len(source.shape)
    perm = ints_of(node, 'perm')
    if perm is None:
        perm = [rank - 1 - i for i in range(rank)]
    strides = row_major(source.shape)
    view_or_copy(b, source, given(b, outputs), 0, [strides[axis] for axis in perm])


def lower_expand(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    output = given(b, outputs)
    view_or_copy(b, source, output, 0, broadcast_strides(source.shape, output.shape))


def lower_slice(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    strides = row_major(source.shape)
    start = 0
    ranges = slice_of(context_of(b, node, inputs))
    for i in range(len(ranges)):
        start = start + ranges[i][0] * strides[i]
        strides[i] = strides[i] * ranges[i][2]
    view_or_copy(b, source, given(b, outputs), start, strides)


def lower_split(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    rank = len(source.shape)
    axis = int_of(node, 'axis')
    axis = axis + rank if axis < 0 else axis
    strides = row_major(source.shape)
    sizes = split_sizes(context_of(b, node, inputs), source.shape[axis])
    start = 0
    for i in range(len(outputs)):
        output = outputs[i]
        if output is not None:
            view_or_copy(b, source, output, start * strides[axis], strides)
        start = start + sizes[i]


def lower_concat(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    output = given(b, outputs)
    rank = len(output.shape)
    axis = int_of(node, 'axis', 1 if b.opset < 4 else 0)
    axis = axis + rank if axis < 0 else axis
    if len(inputs) == 1:
        b.alias(output, given(b, inputs))
        return
    item = item_size(output)
    outer = element_count(output.shape[:axis])
    row = element_count(output.shape[axis:])
    start = 0
    for i in range(len(inputs)):
        part = given(b, inputs, i)
        size = element_count(part.shape[axis:])
        if part.count() > 0:
            copy_steps(b, item, b.pointer(part), b.pointer(output, start * item), [outer, size], [size, 1], [row, 1])
        start = start + size


def lower_tile(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    output = given(b, outputs)
    if output.count() == source.count():
        b.alias(output, source)
        return
    from_strides = row_major(source.shape)
    to_strides = row_major(output.shape)
    dims: list[int] = []
    reading: list[int] = []
    writing: list[int] = []
    for i in range(len(source.shape)):
        dim = source.shape[i]
        dims.extend([output.shape[i] // dim if dim > 0 else 0, dim])
        reading.extend([0, from_strides[i]])
        writing.extend([dim * to_strides[i], to_strides[i]])
    copy_steps(b, item_size(output), b.pointer(source), b.pointer(output), dims, reading, writing)


def literal_words(dtype: str, number: float) -> list[int]:
    """The bytes of a small whole number (any number for float32) as an element of `dtype`, padded to whole words."""
    if dtype == 'float32':
        return [float_bits(number)]
    if dtype == 'float64':
        if number != 0 and number != 1:
            raise ValueError(f'0 or 1 expected, not {number}')
        return [0, ONE_F64 if number == 1 else 0]
    whole = int(number)
    return [whole, -1 if whole < 0 else 0]


def fill_step(b: StepBuilder, output: Value, element: Word) -> None:
    """Every element of `output` = the element to which `element` points."""
    copy_steps(b, item_size(output), element, b.pointer(output), [output.count()], [0], [1])


def _tensor_words(tensor: TensorData, held: str) -> list[int]:
    """The one element of `tensor` as it lies in memory when held as `held`."""
    if tensor.dtype != held:
        return literal_words(held, elements(tensor)[0])
    words: list[int] = []
    size = len(tensor.data)
    if size >= 4:
        for i in range(size // 4):
            words.append(read_i32(tensor.data, 4 * i))
        return words
    word = 0
    for i in range(size):
        word = word + tensor.data[i] * 256 ** i
    return [word]


def lower_constant_of_shape(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    output = given(b, outputs)
    tensor = tensor_of(node, 'value')
    fill_step(b, output, b.table(literal_words('float32', 0) if tensor is None else _tensor_words(tensor, output.dtype)))


def lower_pad(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """The middle is copied; then the border: a fill before it all, or axis by axis from what already lies in the output."""
    source = given(b, inputs)
    output = given(b, outputs)
    item = item_size(output)
    mode = text_of(node, 'mode', 'constant')
    pads = pads_of(context_of(b, node, inputs))
    if mode == 'constant':
        value = at(inputs, 2)
        number = node.attributes.get('value')
        if value is not None:
            fill_step(b, output, b.pointer(value))
        else:
            padding = number if isinstance(number, (int, float)) else 0
            if output.dtype == 'float64' and padding != 0 and padding != 1:
                raise b.unsupported(f'padding float64 with the attribute {padding}')
            fill_step(b, output, b.table(literal_words(output.dtype, padding)))
    from_strides = row_major(source.shape)
    to_strides = row_major(output.shape)
    middle: list[int] = []
    begin: list[int] = []
    reading = 0
    writing = 0
    for i in range(len(pads)):
        begin.append(max(0, pads[i][0]))
        middle.append(source.shape[i] + min(0, pads[i][0]) + min(0, pads[i][1]))
        reading = reading + max(0, -pads[i][0]) * from_strides[i]
        writing = writing + begin[i] * to_strides[i]
    if element_count(middle) == 0:
        return
    copy_steps(b, item, b.pointer(source, reading * item), b.pointer(output, writing * item), middle, from_strides, to_strides)
    if mode == 'constant':
        return
    for axis in range(len(pads)):
        _pad_axis(b, mode, output, to_strides, axis, begin, middle, max(0, pads[axis][1]))
        # From now on this axis is full for those after it.
        middle[axis] = output.shape[axis]
        begin[axis] = 0


def _pad_axis(b: StepBuilder, mode: str, output: Value, strides: list[int], axis: int, begin: list[int], middle: list[int], after: int) -> None:
    """Fill both borders along `axis` from the block that starts at `begin` and has `middle` elements."""
    base = 0
    for i in range(len(begin)):
        if i != axis:
            base = base + begin[i] * strides[i]
    item = item_size(output)
    for run in _border_runs(mode, begin[axis], middle[axis], after):
        dims = middle[:]
        dims[axis] = run[2]
        reading = strides[:]
        reading[axis] = run[3] * strides[axis]
        copy_steps(b, item, b.pointer(output, (base + run[1] * strides[axis]) * item), b.pointer(output, (base + run[0] * strides[axis]) * item),
                   dims, reading, strides)


def _border_runs(mode: str, first: int, size: int, after: int) -> list[list[int]]:
    """Runs [where to, where from, count, step] that fill the `first` places before a block and the `after` behind it from the block."""
    runs: list[list[int]] = []
    run: list[int] = []
    for place in list(range(first)) + list(range(first + size, first + size + after)):
        source = first + _mirrored(mode, place - first, size)
        if len(run) > 0 and place == run[0] + run[2] and (source == run[1] + run[2] * run[3] or (run[2] == 1 and abs(source - run[1]) == 1)):
            run[3] = source - run[1] if run[2] == 1 else run[3]
            run[2] = run[2] + 1
        else:
            run = [place, source, 1, 0]
            runs.append(run)
    return runs


def _mirrored(mode: str, offset: int, size: int) -> int:
    """Which element of a block stands for the place `offset` from its beginning; 'reflect' does not repeat the edge."""
    if mode == 'edge' or size == 1:
        return max(0, min(size - 1, offset))
    if mode == 'wrap':
        return offset % size
    phase = offset % (2 * size - 2)
    return min(phase, 2 * size - 2 - phase)


def lower_range(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    output = given(b, outputs)
    b.step('range', [dtype_code(output), b.pointer(given(b, inputs)), b.pointer(given(b, inputs, 2)), b.pointer(output), output.count()])


def lower_eye_like(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    output = given(b, outputs)
    rows = output.shape[0]
    columns = output.shape[1]
    k = int_of(node, 'k')
    fill_step(b, output, b.table(literal_words(output.dtype, 0)))
    row = max(0, -k)
    column = max(0, k)
    count = min(rows - row, columns - column)
    if count > 0:
        item = item_size(output)
        copy_steps(b, item, b.table(literal_words(output.dtype, 1)), b.pointer(output, (row * columns + column) * item), [count], [0], [columns + 1])


def lower_trilu(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    output = given(b, outputs)
    rank = len(source.shape)
    b.may_reuse(output, source)
    b.step('trilu', [item_size(output), b.pointer(source), b.pointer(output), element_count(source.shape[:rank - 2]), source.shape[rank - 2],
                     source.shape[rank - 1], b.pointer(at(inputs, 1)), int_of(node, 'upper', 1)])


def _reorder(b: StepBuilder, source: Value, output: Value, dims: list[int], perm: list[int]) -> None:
    """Read the source as `dims`, transpose, and give the result the output's shape."""
    strides = row_major(dims)
    shape = [dims[axis] for axis in perm]
    copy_steps(b, item_size(output), b.pointer(source), b.pointer(output), shape, [strides[axis] for axis in perm], row_major(shape))


def lower_depth_to_space(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    block = int_of(node, 'blocksize', 1)
    n = source.shape[0]
    channels = source.shape[1] // (block * block)
    height = source.shape[2]
    width = source.shape[3]
    if text_of(node, 'mode', 'DCR') == 'CRD':
        _reorder(b, source, given(b, outputs), [n, channels, block, block, height, width], [0, 1, 4, 2, 5, 3])
    else:
        _reorder(b, source, given(b, outputs), [n, block, block, channels, height, width], [0, 3, 4, 1, 5, 2])


def lower_space_to_depth(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    block = int_of(node, 'blocksize', 1)
    dims = [source.shape[0], source.shape[1], source.shape[2] // block, block, source.shape[3] // block, block]
    perm = [0, 1, 3, 5, 2, 4] if text_of(node, 'mode', 'DCR') == 'CRD' else [0, 3, 5, 1, 2, 4]
    _reorder(b, source, given(b, outputs), dims, perm)


MOVEMENT_LOWERINGS: dict[str, Lowering] = {
    'Reshape': lower_view,
    'Squeeze': lower_view,
    'Unsqueeze': lower_view,
    'Flatten': lower_view,
    'Transpose': lower_transpose,
    'Expand': lower_expand,
    'Slice': lower_slice,
    'Split': lower_split,
    'Concat': lower_concat,
    'Tile': lower_tile,
    'Pad': lower_pad,
    'ConstantOfShape': lower_constant_of_shape,
    'Range': lower_range,
    'EyeLike': lower_eye_like,
    'Trilu': lower_trilu,
    'DepthToSpace': lower_depth_to_space,
    'SpaceToDepth': lower_space_to_depth,
}
