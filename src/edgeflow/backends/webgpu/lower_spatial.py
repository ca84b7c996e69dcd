"""Lowerings of poolings: a thread goes over the window of each element of the output."""

from __future__ import annotations

from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import row_major
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering
from edgeflow.backends.webgpu.chain_text import ChainWriter, chain_loops
from edgeflow.backends.webgpu.chains import Chain
from edgeflow.backends.webgpu.lower_elementwise import pair
from edgeflow.backends.webgpu.lower_reduce import MINUS_INFINITY, reduce_axes
from edgeflow.ir.attributes import int_of, ints_of
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.windows import find_windows
from edgeflow.plan.values import Value, at

REALS: list[str] = ['f32', 'f16']


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


SPATIAL_LOWERINGS: dict[str, GpuLowering] = {
    'MaxPool': lower_max_pool,
    'AveragePool': lower_average_pool,
    'GlobalAveragePool': global_pool_lowering('ReduceMean'),
    'GlobalMaxPool': global_pool_lowering('ReduceMax'),
}
