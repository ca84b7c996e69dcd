"""Lowerings of operators that pick or place elements by index, as chains whose loads or stores depend on other loads."""

from __future__ import annotations

from edgeflow.backends.wasm.strides import row_major
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering, gpu_size
from edgeflow.backends.webgpu.chain_text import dispatch_scatter
from edgeflow.backends.webgpu.chains import Chain, View
from edgeflow.backends.webgpu.lower_elementwise import finish, operand, pair, type_of
from edgeflow.backends.webgpu.lower_movement import seen_through
from edgeflow.backends.webgpu.products import part_of, parts_of
from edgeflow.ir.attributes import int_of, text_of
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at

COMBINATIONS: dict[str, str] = {
    'none': '', 'add': '%0 + %1', 'mul': '%0 * %1', 'min': 'select(min(%0, %1), %0 + %1, %0 != %0 || %1 != %1)',
    'max': 'select(max(%0, %1), %0 + %1, %0 != %0 || %1 != %1)',
}


def _indexed(b: GpuBuilder, inputs: list[Value | None], outputs: list[Value | None]) -> tuple[Value, Value, Value] | None:
    """The data, the indices and the output, if all can be in a chain."""
    both = pair(inputs, outputs)
    indices = at(inputs, 1)
    if both is None or indices is None or type_of(b, both[0]) == '' or type_of(b, indices) != 'I':
        return None
    return (both[0], indices, both[1])


def positive(axis: int, rank: int) -> int:
    return axis + rank if axis < 0 else axis


def lower_gather(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    given = _indexed(b, inputs, outputs)
    if given is None:
        return False
    source, indices, output = given
    rank = len(source.shape)
    axis = positive(int_of(node, 'axis'), rank)
    over = len(indices.shape)
    if indices.constant and indices.count() == 1:
        start = b.ints(indices)[0]
        start = start + source.shape[axis] if start < 0 else start
        if start >= 0 and start < source.shape[axis]:
            starts = [0] * rank
            starts[axis] = start
            axes = [i for i in range(axis)] + [-1] * over + [i for i in range(axis + 1, rank)]
            return seen_through(b, source, output, View(axes, [1] * len(axes), starts))
    strides = row_major(source.shape)
    chain = Chain(output.shape)
    index = chain.load(indices, 'I', 0, [0] * axis + row_major(indices.shape) + [0] * (rank - axis - 1))
    if gpu_size(source) > b.features.binding:
        return axis == 0 and _gather_parts(b, chain, source, index, [0] * over + strides[1:], output)
    chain.load(source, type_of(b, source), 0, strides[:axis] + [0] * over + strides[axis + 1:], [index], [strides[axis], source.shape[axis]])
    return finish(b, chain, output)


def _gather_parts(b: GpuBuilder, chain: Chain, source: Value, index: int, strides: list[int], output: Value) -> bool:
    """Rows of a weight larger than a kernel can bind: each is looked for in every part, one out of range in the first."""
    rows = source.shape[0]
    type = type_of(b, source)
    index = chain.op('%0 + select(I(), I(#0), %0 < I())', 'I', [index], [rows])
    result = -1
    for part in parts_of(b, source, rows):
        if result < 0:
            row = chain.op('select(clamp(%0, I(), I(#0 - 1)), I(#0), (%0 < I()) | (%0 >= I(#1)))', 'I', [index], [part[1], rows])
        else:
            row = chain.op('clamp(%0 - I(#0), I(), I(#1 - 1))', 'I', [index], part)
        picked = chain.load(part_of(b, source, rows, part), type, 0, strides, [row], [source.count() // rows, part[1]])
        result = picked if result < 0 else chain.op('select(%0, %1, %2 >= I(#0))', type, [result, picked, index], [part[0]])
    return result >= 0 and finish(b, chain, output)


def lower_gather_elements(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    given = _indexed(b, inputs, outputs)
    if given is None:
        return False
    source, indices, output = given
    axis = positive(int_of(node, 'axis'), len(source.shape))
    strides = row_major(source.shape)
    chain = Chain(output.shape)
    index = operand(b, chain, indices)
    chain.load(source, type_of(b, source), 0, [0 if i == axis else strides[i] for i in range(len(strides))], [index], [strides[axis], source.shape[axis]])
    return finish(b, chain, output)


def _tuples(chain: Chain, indices: Value, depth: int, inner: int) -> list[int]:
    """Loads of the `depth` numbers of an index; `inner` dims follow those of the indices."""
    last = len(indices.shape) - 1
    strides = row_major(indices.shape)[:last] + [0] * inner
    return [chain.load(indices, 'I', i, strides) for i in range(depth)]


def _spans(shape: list[int], first: int, depth: int) -> list[int]:
    """Stride and dim of `depth` axes from `first` on."""
    strides = row_major(shape)
    spans: list[int] = []
    for i in range(first, first + depth):
        spans.extend([strides[i], shape[i]])
    return spans


def lower_gather_nd(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    given = _indexed(b, inputs, outputs)
    if given is None:
        return False
    source, indices, output = given
    batch = int_of(node, 'batch_dims')
    last = len(indices.shape) - 1
    depth = indices.shape[last]
    rest = row_major(source.shape)
    chain = Chain(output.shape)
    numbers = _tuples(chain, indices, depth, len(source.shape) - batch - depth)
    strides = rest[:batch] + [0] * (last - batch) + rest[batch + depth:]
    chain.load(source, type_of(b, source), 0, strides, numbers, _spans(source.shape, batch, depth))
    return finish(b, chain, output)


def _copied(b: GpuBuilder, source: Value, output: Value) -> bool:
    """Scatters write into a copy of the data."""
    chain = Chain(output.shape)
    chain.load(source, type_of(b, source), 0, row_major(source.shape))
    return finish(b, chain, output)


def _scatter(b: GpuBuilder, node: Node, given: tuple[Value, Value, Value], chain: Chain, element: int, strides: list[int],
             numbers: list[int], spans: list[int]) -> bool:
    source, _, output = given
    combine = COMBINATIONS[text_of(node, 'reduction', 'none')]
    if combine != '' and b.kind(output) == 'f16':
        return False
    if not _copied(b, source, output):
        return False
    # What is read of the output later is not what the copy's chain made.
    b.chains[output.number] = Chain([])
    chain.load(output, type_of(b, output), 0, strides, numbers, spans)
    return dispatch_scatter(b, chain, element, output, combine)


def lower_scatter_nd(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    given = _indexed(b, inputs, outputs)
    updates = at(inputs, 2)
    if given is None or updates is None or b.kind(given[0]) == 'bytes':
        return False
    source, indices, _ = given
    last = len(indices.shape) - 1
    depth = indices.shape[last]
    chain = Chain(updates.shape)
    numbers = _tuples(chain, indices, depth, len(source.shape) - depth)
    element = chain.load(updates, type_of(b, updates), 0, row_major(updates.shape))
    strides = [0] * last + row_major(source.shape)[depth:]
    return _scatter(b, node, given, chain, element, strides, numbers, _spans(source.shape, 0, depth))


def lower_scatter_elements(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    given = _indexed(b, inputs, outputs)
    updates = at(inputs, 2)
    if given is None or updates is None or b.kind(given[0]) == 'bytes':
        return False
    source, indices, _ = given
    axis = positive(int_of(node, 'axis'), len(source.shape))
    strides = row_major(source.shape)
    chain = Chain(indices.shape)
    index = chain.load(indices, 'I', 0, row_major(indices.shape))
    element = chain.load(updates, type_of(b, updates), 0, row_major(updates.shape))
    return _scatter(b, node, given, chain, element, [0 if i == axis else strides[i] for i in range(len(strides))], [index], [strides[axis], source.shape[axis]])


def lower_one_hot(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    indices = at(inputs, 0)
    values = at(inputs, 2)
    output = at(outputs, 0)
    if indices is None or values is None or output is None or type_of(b, indices) not in ['I', 'F'] or type_of(b, output) == '':
        return False
    rank = len(output.shape)
    axis = positive(int_of(node, 'axis', -1), rank)
    type = type_of(b, output)
    given = row_major(indices.shape)
    chain = Chain(output.shape)
    index = chain.load(indices, type_of(b, indices), 0, given[:axis] + [0] + given[axis:])
    place = chain.load(None, 'I', 0, [1 if i == axis else 0 for i in range(rank)])
    hit = chain.op('(I(%0) + select(I(), I(#0), I(%0) < I())) == %1', 'B', [index, place], [output.shape[axis]])
    off = chain.load(values, type, 0, [0] * rank)
    on = chain.load(values, type, 1, [0] * rank)
    chain.op('select(%0, %1, %2)', type, [off, on, hit])
    return finish(b, chain, output)


INDEXING_LOWERINGS: dict[str, GpuLowering] = {
    'Gather': lower_gather,
    'GatherElements': lower_gather_elements,
    'GatherND': lower_gather_nd,
    'Scatter': lower_scatter_elements,
    'ScatterElements': lower_scatter_elements,
    'ScatterND': lower_scatter_nd,
    'OneHot': lower_one_hot,
}
