"""Lowerings of poolings, where a thread goes over the window of each element of the output, and of resizing."""

from __future__ import annotations

from edgeflow.backends.wasm.lowerings import LOWERINGS
from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import row_major
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering
from edgeflow.backends.webgpu.chain_text import ChainWriter, chain_loops
from edgeflow.backends.webgpu.chains import Chain
from edgeflow.backends.webgpu.lower_elementwise import finish, pair
from edgeflow.backends.webgpu.lower_reduce import MINUS_INFINITY, reduce_axes
from edgeflow.ir.attributes import int_of, ints_of
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.windows import find_windows
from edgeflow.plan.values import Pointer, Value, at

REALS: list[str] = ['f32', 'f16']
# With more, as antialiasing has, WASM resizes.
MOST_TAPS = 8


def lower_max_pool(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    return pool(b, node, inputs, outputs, True)


def lower_average_pool(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    return pool(b, node, inputs, outputs, False)


def pool(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None], largest: bool) -> bool:
    """MaxPool without indices, AveragePool; what lies beyond the padding (ceil_mode) counts for no average."""
    both = pair(inputs, outputs)
    kernel = ints_of(node, 'kernel_shape')
    if both is None or kernel is None or at(outputs, 1) is not None or b.kind(both[0]) not in REALS:
        return False
    source, output = both
    spatial = source.shape[2:]
    rank = len(spatial)
    windows = find_windows(context_of(b, node, inputs), spatial, kernel)
    padded = int_of(node, 'count_include_pad') == 1
    writer = ChainWriter(b, Chain([0]), chain_loops(Chain([0])), 1)
    x = writer.bind(source, 'read', b.kind(source))
    kind = b.kind(output)
    y = writer.bind(output, 'read_write', kind)
    strides = row_major(source.shape)
    lines = writer.lines
    lines.append('var r = u; var count = 0.0;')
    lines.append('var all = ' + (writer.word('least', 'f32', MINUS_INFINITY) if largest else '0.0') + ';')
    for i in range(rank - 1, -1, -1):
        dim = writer.word(f'd{i}', 'u32', windows.output[i])
        step = writer.word(f's{i}', 'i32', windows.strides[i])
        before = writer.word(f'b{i}', 'i32', windows.pads[i])
        lines.append(f'let c{i} = i32(r % {dim}) * {step} - {before}; r = r / {dim};')
    lines.append(f'let a = r * {writer.word("size", "u32", strides[1])};')
    place = 'a'
    inside: list[str] = []
    counted: list[str] = []
    for i in range(rank):
        n = writer.word(f'n{i}', 'i32', spatial[i])
        lines.append(f'for (var k{i} = 0; k{i} < {writer.word(f"k{i}", "i32", kernel[i])}; k{i}++) {{')
        lines.append(f'let i{i} = c{i} + k{i} * {writer.word(f"l{i}", "i32", windows.dilations[i])};')
        inside.append(f'i{i} >= 0 && i{i} < {n}')
        if padded:
            counted.append(f'i{i} < {n} + {writer.word(f"e{i}", "i32", windows.pads[rank + i])}')
        place = place + (f' + u32(i{i})' if strides[2 + i] == 1 else f' + u32(i{i}) * {writer.word(f"t{i}", "u32", strides[2 + i])}')
    if padded:
        lines.append(f'count += select(0.0, 1.0, {" && ".join(counted)});')
    lines.append(f'if ({" && ".join(inside)}) {{\nlet v = f32({x}[{place}]);')
    if largest:
        lines.append('all = most(all, v);')
    else:
        lines.append('all += v;' + ('' if padded else ' count += 1.0;'))
    lines.append('}' * (rank + 1))
    lines.append(f'{y}[u] = {kind}(' + ('all' if largest else 'all / count') + ');')
    return writer.dispatch(output.count())


def global_pool_lowering(reduction: str) -> GpuLowering:
    """The poolings whose window is the whole image."""

    def lower(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
        both = pair(inputs, outputs)
        if both is None or b.kind(both[0]) not in REALS:
            return False
        return reduce_axes(b, reduction, both[0], both[1], [i for i in range(2, len(both[0].shape))])

    return lower


def lower_resize(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """One axis after the other, as WASM: its lowering says of what each place is made, by tables that chains read here."""
    both = pair(inputs, outputs)
    near = LOWERINGS.get(node.key())
    if both is None or near is None or b.kind(both[0]) != 'f32':
        return False
    near(b, node, inputs, outputs)
    steps = b.steps
    b.steps = []
    b.scratches = []
    made: dict[int, Value] = {}
    for step in steps:
        words = step.words
        values: list[Value] = []
        sizes: list[int] = []
        for word in words:
            if isinstance(word, Pointer):
                values.append(word.value)
            else:
                sizes.append(word)
        # gather: bytes of a row, source, indices, their type, target, outer, size, wanted; interpolate_f32: source, target, outer, size, wanted,
        # inner, taps, indices, weights.
        nearest = step.kernel == 'gather'
        source = values[0]
        target = values[2] if nearest else values[1]
        axis = [sizes[2], sizes[3], sizes[4], sizes[0] // 4, 1] if nearest else sizes
        indices = values[1] if nearest else values[2]
        literal = indices.literal
        if (not nearest and step.kernel != 'interpolate_f32') or axis[4] > MOST_TAPS or literal is None or -1 in literal:
            return False
        if target is not both[1]:
            made[target.number] = b.temporary('float32', target.shape)
        if not _resized(b, made.get(source.number, source), made.get(target.number, target), axis, indices, None if nearest else values[3]):
            return False
    return True


def _resized(b: GpuBuilder, source: Value, target: Value, axis: list[int], indices: Value, weights: Value | None) -> bool:
    """axis: the elements before it, its size in the source and in the target, the elements behind it, how many make one."""
    outer, size, wanted, inner, taps = axis
    chain = Chain([outer, wanted, inner])
    result = -1
    for tap in range(taps):
        index = chain.load(indices, 'I', tap, [0, taps, 0])
        part = chain.load(source, 'F', 0, [size * inner, 0, 1], [index], [inner, size])
        if weights is not None:
            part = chain.op('%0 * bitcast<F>(%1)', 'F', [part, chain.load(weights, 'I', tap, [0, taps, 0])])
        result = part if result < 0 else chain.op('%0 + %1', 'F', [result, part])
    return finish(b, chain, target)


SPATIAL_LOWERINGS: dict[str, GpuLowering] = {
    'MaxPool': lower_max_pool,
    'AveragePool': lower_average_pool,
    'GlobalAveragePool': global_pool_lowering('ReduceMean'),
    'GlobalMaxPool': global_pool_lowering('ReduceMax'),
    'Resize': lower_resize,
    'Upsample': lower_resize,
}
