"""Lowerings of operators that pick or place elements by index. Words: wasm/kernels_tensor.h."""

from __future__ import annotations

from edgeflow.backends.wasm.lower_dense import given
from edgeflow.backends.wasm.lower_elementwise import cast_step, dtype_code
from edgeflow.backends.wasm.lower_reduce import axis_parts
from edgeflow.backends.wasm.strides import collapse, copy_steps, item_size, loop_words, row_major
from edgeflow.ir.attributes import int_of, text_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.values import Value, Word

REDUCTIONS: dict[str, int] = {'none': -1, 'add': 0, 'mul': 2, 'min': 7, 'max': 8}


def lower_gather(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    indices = given(b, inputs, 1)
    output = given(b, outputs)
    parts = axis_parts(source.shape, int_of(node, 'axis'))
    _gather_step(b, source, indices, output, parts)


def _gather_step(b: StepBuilder, source: Value, indices: Value, output: Value, parts: list[int]) -> None:
    b.step('gather', [parts[2] * item_size(source), b.pointer(source), b.pointer(indices), dtype_code(indices), b.pointer(output),
                      parts[0], parts[1], indices.count()])


def lower_compress(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """A gather: which elements are kept is known, or the output would have no shape yet."""
    source = given(b, inputs)
    output = given(b, outputs)
    parts = axis_parts(source.shape, int_of(node, 'axis')) if 'axis' in node.attributes else [1, source.count(), 1]
    condition = b.ints(given(b, inputs, 1))
    kept: list[int] = []
    for i in range(min(len(condition), parts[1])):
        if condition[i] != 0:
            kept.append(i)
    if len(kept) > 0:
        _gather_step(b, source, b.int64s(kept), output, parts)


def _axis_words(source: Value, indices: Value, axis: int) -> list[Word]:
    """axis stride, axis dim, rank, dims of the indices, strides of the source (0 along the axis)."""
    rank = len(source.shape)
    at_axis = axis + rank if axis < 0 else axis
    strides = row_major(source.shape)
    axis_stride = strides[at_axis]
    strides[at_axis] = 0
    words: list[Word] = [axis_stride, source.shape[at_axis]]
    # Places of the indices are counted through, so their own strides only tell which dims may be joined.
    loops = collapse(indices.shape, [strides])
    return words + loop_words(loops)


def lower_gather_elements(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    indices = given(b, inputs, 1)
    output = given(b, outputs)
    words: list[Word] = [item_size(source), b.pointer(source), b.pointer(indices), dtype_code(indices), b.pointer(output)]
    b.step('gather_elements', words + _axis_words(source, indices, int_of(node, 'axis')))


def _index_words(shape: list[int]) -> list[Word]:
    """depth, dims, strides (in blocks) of the dims that the numbers of an index go over."""
    words: list[Word] = [len(shape)]
    words.extend(shape)
    words.extend(row_major(shape))
    return words


def lower_gather_nd(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    indices = given(b, inputs, 1)
    output = given(b, outputs)
    batch = int_of(node, 'batch_dims')
    last = len(indices.shape) - 1
    depth = indices.shape[last]
    indexed = source.shape[batch:batch + depth]
    block = element_count(source.shape[batch + depth:])
    words: list[Word] = [block * item_size(source), b.pointer(source), b.pointer(indices), b.pointer(output), element_count(source.shape[:batch]),
                         element_count(indices.shape[batch:last]), element_count(indexed)]
    b.step('gather_nd', words + _index_words(indexed))


def _copy_data(b: StepBuilder, source: Value, output: Value, others: list[Value | None]) -> None:
    """Scatters write into a copy of the data, or into the data itself if nobody needs it any more."""
    shared = False
    for other in others:
        if other is not None and other.root() is source.root():
            shared = True
    if not shared:
        b.may_reuse(output, source)
    copy_steps(b, item_size(output), b.pointer(source), b.pointer(output), [output.count()], [1], [1])


def lower_scatter_nd(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    indices = given(b, inputs, 1)
    updates = given(b, inputs, 2)
    output = given(b, outputs)
    _copy_data(b, source, output, [indices, updates])
    last = len(indices.shape) - 1
    depth = indices.shape[last]
    block = element_count(source.shape[depth:])
    words: list[Word] = [dtype_code(source), b.pointer(output), b.pointer(indices), b.pointer(updates), element_count(indices.shape[:last]), block,
                         REDUCTIONS[text_of(node, 'reduction', 'none')]]
    b.step('scatter_nd', words + _index_words(source.shape[:depth]))


def lower_scatter_elements(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    indices = given(b, inputs, 1)
    updates = given(b, inputs, 2)
    output = given(b, outputs)
    _copy_data(b, source, output, [indices, updates])
    words: list[Word] = [dtype_code(source), b.pointer(output), b.pointer(indices), dtype_code(indices), b.pointer(updates),
                         REDUCTIONS[text_of(node, 'reduction', 'none')]]
    b.step('scatter_elements', words + _axis_words(source, indices, int_of(node, 'axis')))


def lower_one_hot(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    indices = given(b, inputs)
    output = given(b, outputs)
    rank = len(output.shape)
    axis = int_of(node, 'axis', -1)
    axis = axis + rank if axis < 0 else axis
    if indices.dtype != 'int64':
        whole = b.scratch(8 * indices.count())
        whole.dtype = 'int64'
        whole.shape = indices.shape
        cast_step(b, indices, whole)
        indices = whole
    b.step('one_hot', [item_size(output), b.pointer(indices), b.pointer(given(b, inputs, 2)), b.pointer(output),
                       element_count(output.shape[:axis]), output.shape[axis], element_count(output.shape[axis + 1:])])


def lower_reverse_sequence(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    output = given(b, outputs)
    batch_axis = int_of(node, 'batch_axis', 1)
    block = element_count(source.shape[2:])
    batch = source.shape[batch_axis]
    time = source.shape[1 - batch_axis]
    b.step('reverse_sequence', [b.pointer(source), b.pointer(given(b, inputs, 1)), b.pointer(output), block * item_size(output), batch, time,
                                time if batch_axis == 0 else 1, 1 if batch_axis == 0 else batch])


INDEXING_LOWERINGS: dict[str, Lowering] = {
    'Gather': lower_gather,
    'GatherElements': lower_gather_elements,
    'GatherND': lower_gather_nd,
    'Scatter': lower_scatter_elements,
    'ScatterElements': lower_scatter_elements,
    'ScatterND': lower_scatter_nd,
    'OneHot': lower_one_hot,
    'Compress': lower_compress,
    'ReverseSequence': lower_reverse_sequence,
}
