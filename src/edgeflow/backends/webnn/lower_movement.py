"""WebNN lowerings of operators that move elements or pick them by index. What is a view of other memory never gets here (emitter.py)."""

from __future__ import annotations

from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.webnn.emitter import Emitter, NnLowering, Operand
from edgeflow.ir.attributes import int_of, ints_of, number_of, text_of
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.movement import pads_of, slice_of, split_sizes
from edgeflow.plan.values import Value, at

PAD_MODES: dict[str, str] = {'constant': 'constant', 'edge': 'edge', 'reflect': 'reflection'}


def positive(axis: int, rank: int) -> int:
    return axis + rank if axis < 0 else axis


def lower_transpose(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    x = e.value(at(inputs, 0))
    rank = len(x.shape)
    perm = ints_of(node, 'perm') or [rank - 1 - i for i in range(rank)]
    e.give(at(outputs, 0), e.call('transpose', [x], {'permutation': [positive(axis, rank) for axis in perm]}))


def lower_expand(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    output = at(outputs, 0)
    if output is None:
        raise e.refuse('no output')
    given: list[object] = [e.value(at(inputs, 0)), output.shape]
    e.give(output, e.call('expand', given))


def lower_slice(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    x = e.value(at(inputs, 0))
    ranges = slice_of(context_of(e.b, node, inputs))
    turned = [i for i in range(len(ranges)) if ranges[i][2] < 0]
    starts: list[int] = []
    sizes: list[int] = []
    strides: list[int] = []
    for i in range(len(ranges)):
        start, length, step = ranges[i]
        # Backwards from the end is forwards from the reversed beginning.
        starts.append(x.shape[i] - 1 - start if step < 0 else start)
        sizes.append((length - 1) * abs(step) + 1)
        strides.append(abs(step))
    if len(turned) > 0:
        x = e.call('reverse', [x], {'axes': turned})
    e.give(at(outputs, 0), e.call('slice', [x, starts, sizes], {'strides': strides}))


def lower_split(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    x = e.value(at(inputs, 0))
    axis = positive(int_of(node, 'axis'), len(x.shape))
    sizes = split_sizes(context_of(e.b, node, inputs), x.shape[axis])
    parts = e.calls('split', [x, sizes], {'axis': axis})
    for i in range(len(outputs)):
        e.give(outputs[i], parts[i])


def lower_concat(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    parts: list[object] = [e.value(value) for value in inputs]
    first = e.value(at(inputs, 0))
    axis = positive(int_of(node, 'axis', 1 if e.b.opset < 4 else 0), len(first.shape))
    given: list[object] = [parts, axis]
    e.give(at(outputs, 0), e.call('concat', given))


def lower_tile(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    x = e.value(at(inputs, 0))
    output = at(outputs, 0)
    if output is None or len(output.shape) != len(x.shape):
        raise e.refuse('repeats of another form')
    e.give(output, e.call('tile', [x, [output.shape[i] // x.shape[i] for i in range(len(x.shape))]]))


def lower_pad(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    x = e.value(at(inputs, 0))
    mode = PAD_MODES.get(text_of(node, 'mode', 'constant'))
    pads = pads_of(context_of(e.b, node, inputs))
    filler = at(inputs, 2)
    if mode is None or min([min(pad) for pad in pads]) < 0:
        raise e.refuse('WebNN pads neither around nor by less than 0')
    fill = number_of(node, 'value', 0.0)
    if filler is not None:
        fill = e.b.floats(filler)[0]
    options: dict[str, object] = {'mode': mode}
    if mode == 'constant' and fill != 0:
        if not x.dtype.startswith('float'):
            raise e.refuse('integers are padded with 0')
        options['value'] = fill
    e.give(at(outputs, 0), e.call('pad', [x, [pad[0] for pad in pads], [pad[1] for pad in pads]], options))


def lower_trilu(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    k = at(inputs, 1)
    diagonal = 0 if k is None else e.b.ints(k)[0]
    x = e.value(at(inputs, 0))
    if abs(diagonal) > x.shape[-1] + x.shape[-2]:
        raise e.refuse('a diagonal beyond the matrix')
    e.give(at(outputs, 0), e.call('triangular', [x], {'upper': int_of(node, 'upper', 1) != 0, 'diagonal': diagonal}))


def reordered(e: Emitter, inputs: list[Value | None], outputs: list[Value | None], dims: list[int], perm: list[int]) -> None:
    """The input read as `dims`, transposed, is the output but for its shape."""
    e.give(at(outputs, 0), e.call('transpose', [e.reshape(e.value(at(inputs, 0)), dims)], {'permutation': perm}))


def lower_depth_to_space(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    n, c, height, width = e.value(at(inputs, 0)).shape
    block = int_of(node, 'blocksize', 1)
    channels = c // (block * block)
    if text_of(node, 'mode', 'DCR') == 'CRD':
        reordered(e, inputs, outputs, [n, channels, block, block, height, width], [0, 1, 4, 2, 5, 3])
    else:
        reordered(e, inputs, outputs, [n, block, block, channels, height, width], [0, 3, 4, 1, 5, 2])


def checked(e: Emitter, indices: Operand, value: Value | None, size: int) -> Operand:
    """Indices from -size to size - 1; WebNN clamps others, and here they fail the run."""
    if value is not None and value.constant:
        numbers = e.b.ints(value)
        if min(numbers) < -size or max(numbers) >= size:
            raise e.refuse('an index out of range')
        return indices
    axes = [i for i in range(len(indices.shape))]
    least = e.call('reduceMin', [indices], {'axes': axes})
    most = e.call('reduceMax', [indices], {'axes': axes})
    low = e.call('greaterOrEqual', [least, e.number(indices, -size)])
    e.check(e.call('logicalAnd', [low, e.call('lesser', [most, e.number(indices, size)])]))
    return indices


def lower_gather(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    x = e.value(at(inputs, 0))
    axis = positive(int_of(node, 'axis'), len(x.shape))
    indices = checked(e, e.value(at(inputs, 1)), at(inputs, 1), x.shape[axis])
    e.picks(at(inputs, 0), at(outputs, 0))
    e.give(at(outputs, 0), e.call('gather', [x, indices], {'axis': axis}))


def lower_gather_elements(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    x = e.value(at(inputs, 0))
    axis = positive(int_of(node, 'axis'), len(x.shape))
    indices = checked(e, e.value(at(inputs, 1)), at(inputs, 1), x.shape[axis])
    e.give(at(outputs, 0), e.call('gatherElements', [x, indices], {'axis': axis}))


def lower_gather_nd(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    x = e.value(at(inputs, 0))
    indices = e.value(at(inputs, 1))
    if int_of(node, 'batch_dims') != 0:
        raise e.refuse('batch_dims')
    for i in range(indices.shape[-1]):
        starts = [0] * len(indices.shape)
        starts[-1] = i
        sizes = indices.shape[:-1] + [1]
        checked(e, e.call('slice', [indices, starts, sizes]), None, x.shape[i])
    e.give(at(outputs, 0), e.call('gatherND', [x, indices]))


def lower_last_row(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """edgeflow:LastRow, the last of the middle axis."""
    x = e.value(at(inputs, 0))
    e.give(at(outputs, 0), e.call('slice', [x, [0, x.shape[1] - 1, 0], [x.shape[0], 1, x.shape[2]]]))


MOVEMENT_LOWERINGS: dict[str, NnLowering] = {
    'Transpose': lower_transpose, 'Expand': lower_expand, 'Slice': lower_slice, 'Split': lower_split, 'Concat': lower_concat, 'Tile': lower_tile,
    'Pad': lower_pad, 'Trilu': lower_trilu, 'DepthToSpace': lower_depth_to_space, 'Gather': lower_gather, 'GatherElements': lower_gather_elements,
    'GatherND': lower_gather_nd, 'edgeflow:LastRow': lower_last_row,
}
