"""Lowerings of operators that move, repeat or join elements: views where the elements already lie right, else chains without steps."""

from __future__ import annotations

from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import item_size, row_major
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering
from edgeflow.backends.webgpu.chain_text import ChainWriter, chain_loops
from edgeflow.backends.webgpu.chains import Chain, View, broadcast_view, offset_through, strides_through
from edgeflow.backends.webgpu.lower_elementwise import finish, operand, pair, type_of
from edgeflow.ir.attributes import int_of, ints_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.movement import slice_of, split_sizes
from edgeflow.plan.values import Value, at

ALIGNMENT = 256


def lower_view(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """Reshape, Squeeze, Unsqueeze, Flatten: another shape for the same elements."""
    both = pair(inputs, outputs)
    if both is None:
        return False
    b.alias(both[1], both[0])
    return True


def seen_through(b: GpuBuilder, source: Value, output: Value, view: View) -> bool:
    """output = the source seen through `view`: an alias if its elements lie in one piece, aligned as bindings must be."""
    if type_of(b, source) == '':
        return False
    start = offset_through(view, source.shape)
    strides = strides_through(view, source.shape)
    wanted = row_major(output.shape)
    whole = b.kind(source) != 'bytes' and start >= 0 and start * 4 % ALIGNMENT == 0
    for i in range(len(wanted)):
        whole = whole and (output.shape[i] == 1 or strides[i] == wanted[i])
    if output.count() == 0 or whole:
        b.alias(output, source, 0 if output.count() == 0 else start * item_size(source))
        return True
    chain = Chain(output.shape)
    operand(b, chain, source, view)
    return finish(b, chain, output)


def lower_transpose(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    both = pair(inputs, outputs)
    if both is None:
        return False
    rank = len(both[0].shape)
    perm = ints_of(node, 'perm')
    if perm is None:
        perm = [rank - 1 - i for i in range(rank)]
    axes = [axis + rank if axis < 0 else axis for axis in perm]
    return seen_through(b, both[0], both[1], View(axes, [1] * rank, [0] * rank))


def lower_expand(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    both = pair(inputs, outputs)
    return both is not None and seen_through(b, both[0], both[1], broadcast_view(both[0].shape, both[1].shape))


def lower_slice(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    both = pair(inputs, outputs)
    if both is None:
        return False
    ranges = slice_of(context_of(b, node, inputs))
    axes = [i for i in range(len(ranges))]
    return seen_through(b, both[0], both[1], View(axes, [part[2] for part in ranges], [part[0] for part in ranges]))


def part_view(shape: list[int], axis: int, start: int) -> View:
    """The elements from `start` on along an axis."""
    starts = [0] * len(shape)
    starts[axis] = start
    return View([i for i in range(len(shape))], [1] * len(shape), starts)


def lower_split(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    source = at(inputs, 0)
    if source is None:
        return False
    rank = len(source.shape)
    axis = int_of(node, 'axis')
    axis = axis + rank if axis < 0 else axis
    sizes = split_sizes(context_of(b, node, inputs), source.shape[axis])
    start = 0
    for i in range(len(outputs)):
        output = outputs[i]
        if output is not None and not seen_through(b, source, output, part_view(source.shape, axis, start)):
            return False
        start = start + sizes[i]
    return True


def lower_last_row(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """edgeflow:LastRow, the last of the middle axis."""
    both = pair(inputs, outputs)
    return both is not None and seen_through(b, both[0], both[1], part_view(both[0].shape, 1, max(0, both[0].shape[1] - 1)))


def lower_concat(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    output = at(outputs, 0)
    if output is None:
        return False
    rank = len(output.shape)
    axis = int_of(node, 'axis', 1 if b.opset < 4 else 0)
    axis = axis + rank if axis < 0 else axis
    kind = b.kind(output)
    parts: list[Value] = []
    width = 4
    for value in inputs:
        if value is None or b.kind(value) not in ['f32', 'f16', 'i32', 'u32']:
            return False
        if value.count() > 0:
            parts.append(value)
            if element_count(value.shape[axis:]) % 4 != 0:
                width = 1
    if kind == '' or len(parts) == 0:
        return kind != ''
    if len(parts) == 1:
        b.alias(output, parts[0])
        return True
    outer = element_count(output.shape[:axis])
    total = element_count(output.shape[axis:]) // width
    start = 0
    most = b.features.buffers - 1
    for first in range(0, len(parts), most):
        start = _join(b, parts[first:first + most], output, [axis, outer, total, start, width])
    return True


def _join(b: GpuBuilder, parts: list[Value], output: Value, sizes: list[int]) -> int:
    """Write some of the parts of a Concat; sizes: axis, outer, units of an output row, where these parts start in it, width of a unit."""
    axis, outer, total, start, width = sizes
    chain = Chain([0])
    writer = ChainWriter(b, chain, chain_loops(chain), width)
    kind = b.kind(output)
    element = kind if width == 1 else f'vec4<{kind}>'
    row = 0
    for part in parts:
        row = row + element_count(part.shape[axis:]) // width
    name = writer.bind(output, 'read_write', element)
    size = writer.word('row', 'u32', row)
    writer.lines.append(f'let o = u / {size}; var j = u % {size};')
    writer.lines.append(f'let to = o * {writer.word("total", "u32", total)} + j + {writer.word("start", "u32", start)};')
    for i in range(len(parts)):
        held = b.kind(parts[i])
        source = writer.bind(parts[i], 'read', held if width == 1 else f'vec4<{held}>')
        n = writer.word(f'n{i}', 'u32', element_count(parts[i].shape[axis:]) // width)
        writer.lines.append(f'if (j < {n}) {{ {name}[to] = {element}({source}[o * {n} + j]); return; }}\nj -= {n};')
    writer.dispatch(outer * row * width)
    return start + row


MOVEMENT_LOWERINGS: dict[str, GpuLowering] = {
    'Reshape': lower_view,
    'Squeeze': lower_view,
    'Unsqueeze': lower_view,
    'Flatten': lower_view,
    'Transpose': lower_transpose,
    'Expand': lower_expand,
    'Slice': lower_slice,
    'Split': lower_split,
    'Concat': lower_concat,
    'edgeflow:LastRow': lower_last_row,
}
