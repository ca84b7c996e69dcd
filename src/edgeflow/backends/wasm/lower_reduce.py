"""Lowerings of reductions and of operators along one axis. Words: wasm/kernels_tensor.h."""

from __future__ import annotations

from edgeflow.backends.wasm.lower_dense import given
from edgeflow.backends.wasm.lower_elementwise import dtype_code
from edgeflow.backends.wasm.lower_movement import literal_words
from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import Loops, collapse, item_size, row_major
from edgeflow.ir.attributes import int_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.reduce import reduced_axes
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.values import Value, Word, at

REDUCE_IDS: dict[str, int] = {
    'ReduceSum': 0, 'ReduceMean': 1, 'ReduceMax': 2, 'ReduceMin': 3, 'ReduceProd': 4, 'ReduceL1': 5, 'ReduceL2': 6, 'ReduceSumSquare': 7,
    'ReduceLogSum': 8, 'ReduceLogSumExp': 9,
}
# What these make of a single element is the element.
IDENTITIES: list[str] = ['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceLogSumExp']


def _loops(shape: list[int], strides: list[int], axes: list[int]) -> Loops:
    return collapse([shape[i] for i in axes], [[strides[i] for i in axes]])


def reduce_lowering(name: str) -> Lowering:
    def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        source = given(b, inputs)
        output = given(b, outputs)
        axes = reduced_axes(context_of(b, node, inputs))
        if source.count() == output.count() and source.count() > 0 and name in IDENTITIES:
            b.alias(output, source)
            return
        if name == 'ReduceLogSumExp' and source.dtype != 'float32' and source.dtype != 'float64':
            raise b.unsupported(f'type {source.dtype}; it runs in float types')
        strides = row_major(source.shape)
        kept = _loops(source.shape, strides, [i for i in range(len(source.shape)) if i not in axes])
        gone = _loops(source.shape, strides, axes)
        words: list[Word] = [REDUCE_IDS[name], dtype_code(source), b.pointer(source), b.pointer(output), len(kept.dims), len(gone.dims)]
        words.extend(kept.dims)
        words.extend(kept.strides[0])
        words.extend(gone.dims)
        words.extend(gone.strides[0])
        b.step('reduce', words)

    return lower


def axis_parts(shape: list[int], axis: int) -> list[int]:
    """[outer, n, inner]: the elements before, along and behind an axis (counted from either end)."""
    if len(shape) == 0:
        return [1, 1, 1]
    at_axis = axis + len(shape) if axis < 0 else axis
    return [element_count(shape[:at_axis]), shape[at_axis], element_count(shape[at_axis + 1:])]


def _extreme_words(b: StepBuilder, source: Value, output: Word, parts: list[int], flags: int) -> list[Word]:
    words: list[Word] = [dtype_code(source), b.pointer(source), output]
    words.extend(parts)
    words.append(flags)
    return words


def lower_arg_max(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    _arg_steps(b, node, inputs, outputs, 0)


def lower_arg_min(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    _arg_steps(b, node, inputs, outputs, 1)


def _arg_steps(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None], least: int) -> None:
    source = given(b, inputs)
    flags = least + (2 if int_of(node, 'select_last_index') == 1 else 0)
    parts = axis_parts(source.shape, int_of(node, 'axis'))
    b.step('arg_reduce', _extreme_words(b, source, b.pointer(given(b, outputs)), parts, flags))


def cumulate_lowering(flag: int) -> Lowering:
    def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        source = given(b, inputs)
        output = given(b, outputs)
        axis = b.ints(given(b, inputs, 1))[0]
        flags = flag + (1 if int_of(node, 'exclusive') == 1 else 0) + (2 if int_of(node, 'reverse') == 1 else 0)
        b.may_reuse(output, source)
        b.step('cumulate', _extreme_words(b, source, b.pointer(output), axis_parts(source.shape, axis), flags))

    return lower


def lower_top_k(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    source = given(b, inputs)
    values = at(outputs, 0)
    indices = at(outputs, 1)
    written = values if values is not None else given(b, outputs, 1)
    axis = int_of(node, 'axis', -1)
    parts = axis_parts(source.shape, axis)
    k = axis_parts(written.shape, axis)[1]
    words: list[Word] = [dtype_code(source), b.pointer(source), b.pointer(values), b.pointer(indices)]
    words.extend(parts)
    words.extend([k, int_of(node, 'largest', 1), b.pointer(b.scratch(16 * k))])
    b.step('top_k', words)


def lower_hardmax(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """1 at the first largest element, else 0. Before version 13 all dims from `axis` on are one."""
    source = given(b, inputs)
    output = given(b, outputs)
    flat = b.opset < 13
    parts: list[int] = axis_parts(source.shape, int_of(node, 'axis', 1 if flat else -1))
    if flat:
        parts = [parts[0], parts[1] * parts[2], 1]
    indices = b.pointer(b.scratch(8 * parts[0] * parts[2]))
    b.step('arg_reduce', _extreme_words(b, source, indices, parts, 0))
    values = b.table(literal_words(output.dtype, 0) + literal_words(output.dtype, 1))
    words: list[Word] = [item_size(output), indices, values, b.pointer(output)]
    words.extend(parts)
    b.step('one_hot', words)


def _table() -> dict[str, Lowering]:
    table: dict[str, Lowering] = {
        'ArgMax': lower_arg_max,
        'ArgMin': lower_arg_min,
        'CumSum': cumulate_lowering(0),
        'CumProd': cumulate_lowering(4),
        'TopK': lower_top_k,
        'Hardmax': lower_hardmax,
    }
    for name in REDUCE_IDS:
        table[name] = reduce_lowering(name)
    return table


REDUCE_LOWERINGS: dict[str, Lowering] = _table()
