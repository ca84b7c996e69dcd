"""Lowerings of operators that move elements and that few models have: padding, tiling, triangles, blocks of pixels."""

from __future__ import annotations

from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import row_major
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering
from edgeflow.backends.webgpu.chain_text import ChainWriter, chain_loops
from edgeflow.backends.webgpu.chains import Chain
from edgeflow.backends.webgpu.lower_elementwise import finish, operand, pair, type_of
from edgeflow.ir.attributes import int_of, number_of, text_of
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.movement import pads_of
from edgeflow.plan.values import Value, at


def reordered(b: GpuBuilder, source: Value, output: Value, dims: list[int], perm: list[int]) -> bool:
    """The source read as `dims`, transposed, is the output but for its shape."""
    if type_of(b, source) == '':
        return False
    strides = row_major(dims)
    chain = Chain([dims[axis] for axis in perm])
    chain.load(source, type_of(b, source), 0, [strides[axis] for axis in perm])
    return finish(b, chain, output)


def lower_depth_to_space(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    both = pair(inputs, outputs)
    if both is None:
        return False
    n, c, height, width = both[0].shape
    block = int_of(node, 'blocksize', 1)
    channels = c // (block * block)
    if text_of(node, 'mode', 'DCR') == 'CRD':
        return reordered(b, both[0], both[1], [n, channels, block, block, height, width], [0, 1, 4, 2, 5, 3])
    return reordered(b, both[0], both[1], [n, block, block, channels, height, width], [0, 3, 4, 1, 5, 2])


def lower_space_to_depth(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    both = pair(inputs, outputs)
    if both is None:
        return False
    n, c, height, width = both[0].shape
    block = int_of(node, 'blocksize', 1)
    perm = [0, 1, 3, 5, 2, 4] if text_of(node, 'mode', 'DCR') == 'CRD' else [0, 3, 5, 1, 2, 4]
    return reordered(b, both[0], both[1], [n, c, height // block, block, width // block, block], perm)


def lower_tile(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """Each dim as repeats and the dim itself."""
    both = pair(inputs, outputs)
    if both is None or type_of(b, both[0]) == '':
        return False
    source, output = both
    given = row_major(source.shape)
    dims: list[int] = []
    strides: list[int] = []
    for i in range(len(given)):
        dim = source.shape[i]
        dims.extend([output.shape[i] // dim if dim > 0 else 0, dim])
        strides.extend([0, given[i]])
    chain = Chain(dims)
    chain.load(source, type_of(b, source), 0, strides)
    return finish(b, chain, output)
# The place of an element along an axis from its offset f in a block of #, by mode.
MIRRORS: dict[str, str] = {
    'edge': 'f = clamp(f, 0, # - 1);', 'wrap': 'f = f - f / # * #; f = select(f, f + #, f < 0);', 'constant': 'inside = inside && f >= 0 && f < #;',
    'reflect': 'if (# > 1) { let t = 2 * # - 2; f = f - f / t * t; f = select(f, f + t, f < 0); f = min(f, t - f); } else { f = 0; }',
}


def lower_pad(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    both = pair(inputs, outputs)
    if both is None or b.kind(both[0]) != b.kind(both[1]) or b.kind(both[0]) == 'bytes' or b.kind(both[0]) == '':
        return False
    source, output = both
    mode = text_of(node, 'mode', 'constant')
    pads = pads_of(context_of(b, node, inputs))
    filler = at(inputs, 2)
    chain = Chain(output.shape)
    # Nothing is collapsed: each dim has its own borders.
    writer = ChainWriter(b, chain, chain_loops(Chain([output.count()])), 1)
    kind = b.kind(source)
    y = writer.bind(output, 'read_write', kind)
    x = writer.bind(source, 'read', kind)
    fill = f'{kind}()'
    if filler is not None:
        fill = kind + '(' + writer.bind(filler, 'read', b.kind(filler)) + '[0])'
    elif 'value' in node.attributes:
        fill = f'{kind}({writer.word("fill", "f32", b.real(number_of(node, "value", 0.0)))})'
    given = row_major(source.shape)
    writer.lines.append('var r = u; var a = 0; var inside = true; var f: i32;')
    for i in range(len(pads) - 1, -1, -1):
        dim = writer.word(f'd{i}', 'u32', output.shape[i])
        before = writer.word(f'b{i}', 'i32', max(0, pads[i][0]))
        size = writer.word(f'n{i}', 'i32', source.shape[i] + min(0, pads[i][0]) + min(0, pads[i][1]))
        stride = writer.word(f's{i}', 'i32', given[i])
        first = writer.word(f'c{i}', 'i32', max(0, -pads[i][0]))
        writer.lines.append(f'f = i32(r % {dim}) - {before}; r = r / {dim};')
        writer.lines.append(MIRRORS[mode].replace('#', size))
        writer.lines.append(f'a += (f + {first}) * {stride};')
    writer.lines.append(f'if (inside) {{ {y}[u] = {x}[a]; }} else {{ {y}[u] = {fill}; }}')
    return writer.dispatch(output.count())


def lower_trilu(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    both = pair(inputs, outputs)
    k = at(inputs, 1)
    if both is None or type_of(b, both[0]) == '' or b.kind(both[0]) == 'bytes' or (k is not None and not k.constant):
        return False
    type = type_of(b, both[0])
    chain = Chain(both[1].shape)
    rank = len(both[1].shape)
    strides = [0] * rank
    strides[rank - 2] = -1
    strides[rank - 1] = 1
    x = operand(b, chain, both[0])
    # How far to the right of the diagonal.
    place = chain.load(None, 'I', 0, strides)
    kept = chain.op('%0 >= I(#0)' if int_of(node, 'upper', 1) != 0 else '%0 <= I(#0)', 'B', [place], [0 if k is None else b.ints(k)[0]])
    chain.op(f'select({type}(), %0, %1)', type, [x, kept])
    return finish(b, chain, both[1])


PADDING_LOWERINGS: dict[str, GpuLowering] = {
    'Tile': lower_tile,
    'Pad': lower_pad,
    'Trilu': lower_trilu,
    'DepthToSpace': lower_depth_to_space,
    'SpaceToDepth': lower_space_to_depth,
}
