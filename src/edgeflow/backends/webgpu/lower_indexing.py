"""Lowerings of operators that pick or place elements by index, as chains whose loads or stores depend on other loads."""

from __future__ import annotations

from edgeflow.backends.wasm.strides import row_major
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering, gpu_size
from edgeflow.backends.webgpu.chains import Chain, View
from edgeflow.backends.webgpu.lower_elementwise import finish, operand, pair, type_of
from edgeflow.backends.webgpu.lower_movement import seen_through
from edgeflow.backends.webgpu.products import part_of, parts_of
from edgeflow.ir.attributes import int_of
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at


def indexed(b: GpuBuilder, inputs: list[Value | None], outputs: list[Value | None]) -> tuple[Value, Value, Value] | None:
    """The data, the indices and the output, if all can be in a chain."""
    both = pair(inputs, outputs)
    indices = at(inputs, 1)
    if both is None or indices is None or type_of(b, both[0]) == '' or type_of(b, indices) != 'I':
        return None
    return (both[0], indices, both[1])


def positive(axis: int, rank: int) -> int:
    return axis + rank if axis < 0 else axis


def lower_gather(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    given = indexed(b, inputs, outputs)
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
    given = indexed(b, inputs, outputs)
    if given is None:
        return False
    source, indices, output = given
    axis = positive(int_of(node, 'axis'), len(source.shape))
    strides = row_major(source.shape)
    chain = Chain(output.shape)
    index = operand(b, chain, indices)
    chain.load(source, type_of(b, source), 0, [0 if i == axis else strides[i] for i in range(len(strides))], [index], [strides[axis], source.shape[axis]])
    return finish(b, chain, output)


INDEXING_LOWERINGS: dict[str, GpuLowering] = {
    'Gather': lower_gather,
    'GatherElements': lower_gather_elements,
}
