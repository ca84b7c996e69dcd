"""Lowerings of reductions and of operators along one axis."""

from __future__ import annotations

from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import collapse, row_major
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering
from edgeflow.backends.webgpu.lanes import lanes_of, row_groups, unit_code
from edgeflow.backends.webgpu.lower_elementwise import pair
from edgeflow.ir.attributes import int_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.reduce import reduced_axes
from edgeflow.plan.values import Value

INFINITY = 2139095040
MINUS_INFINITY = -8388608
LEAST_INT = -2147483648
MOST_INT = 2147483647


# Of each reduction: how two results join, what each element v becomes, what the result `one` of all becomes.
REDUCTIONS: dict[str, tuple[str, str, str]] = {
    'ReduceSum': ('a + b', 'v', 'one'), 'ReduceMean': ('a + b', 'v', 'one * p.share'), 'ReduceProd': ('a * b', 'v', 'one'),
    'ReduceMax': ('most', 'v', 'one'), 'ReduceMin': ('least', 'v', 'one'), 'ReduceL1': ('a + b', 'abs(v)', 'one'),
    'ReduceL2': ('a + b', 'v * v', 'sqrt(one)'), 'ReduceSumSquare': ('a + b', 'v * v', 'one'), 'ReduceLogSum': ('a + b', 'v', 'loga(one)'),
}
WHOLE: list[str] = ['ReduceSum', 'ReduceProd', 'ReduceMax', 'ReduceMin', 'ReduceL1', 'ReduceSumSquare']


def _join_text(join: str, type: str, width: int) -> str:
    """How two units join; the larger and the smaller of two keep what is no number."""
    if join != 'most' and join != 'least':
        return join
    order = '>' if join == 'most' else '<'
    chosen = f'select(b, a, a {order} b)'
    if type != 'f32':
        return chosen
    bits = 'u32' if width == 1 else 'vec4u'
    return f'select({chosen}, a, (bitcast<{bits}>(a) & {bits}(0x7fffffffu)) > {bits}(0x7f800000u))'


def place_text(name: str, index: str, dims: list[int], strides: list[int], fields: list[str], words: list[int]) -> str:
    """WGSL that adds to `at` the place of number `index` of loops over `dims`; what it needs goes to the parameters."""
    lines: list[str] = []
    for i in range(len(dims) - 1, -1, -1):
        stride = f'{name}s{i}'
        fields.append(f'{stride}: u32')
        words.append(strides[i])
        if i == 0:
            lines.append(f'at += {index} * p.{stride};')
            continue
        fields.append(f'{name}d{i}: u32')
        words.append(dims[i])
        lines.append(f'at += ({index} % p.{name}d{i}) * p.{stride}; {index} = {index} / p.{name}d{i};')
    return '\n'.join(lines)


def reduce_lowering(name: str) -> GpuLowering:
    def lower(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
        both = pair(inputs, outputs)
        if both is None:
            return False
        source, output = both
        kind = b.kind(source)
        if kind != b.kind(output) or source.dtype == 'bool' or (kind not in ['f32', 'f16'] and not (kind == 'i32' and name in WHOLE)):
            return False
        axes = reduced_axes(context_of(b, node, inputs))
        if len(axes) == 0 and REDUCTIONS[name][1] == 'v' and REDUCTIONS[name][2] == 'one':
            b.alias(output, source)
            return True
        return reduce_axes(b, name, source, output, axes)

    return lower


def reduce_axes(b: GpuBuilder, name: str, source: Value, output: Value, axes: list[int]) -> bool:
    """output = the reduction of `source` over `axes`."""
    kind = b.kind(source)
    strides = row_major(source.shape)
    kept = [i for i in range(len(source.shape)) if i not in axes]
    outer = collapse([source.shape[i] for i in kept], [[strides[i] for i in kept]])
    inner = collapse([source.shape[i] for i in axes], [[strides[i] for i in axes]])
    n = element_count(inner.dims)
    type = 'f32' if kind == 'f16' else kind
    last = len(inner.dims) - 1
    width = 4 if inner.strides[0][last] == 1 and inner.dims[last] % 4 == 0 and n > 0 else 1
    outer_strides = outer.strides[0]
    inner_strides = inner.strides[0][:]
    dims = inner.dims[:]
    if width == 4:
        dims[last] = dims[last] // 4
        for i in range(last):
            inner_strides[i] = inner_strides[i] // 4
        for stride in outer_strides:
            if stride % 4 != 0:
                width = 1
    if width == 1:
        dims = inner.dims
        inner_strides = inner.strides[0]
    else:
        outer_strides = [stride // 4 for stride in outer_strides]
    join, each, end = REDUCTIONS[name]
    rows = element_count(outer.dims)
    start = 0
    if join == 'a * b':
        start = 1 if type == 'i32' else b.real(1.0)
    elif join == 'most':
        start = LEAST_INT if type == 'i32' else MINUS_INFINITY
    elif join == 'least':
        start = MOST_INT if type == 'i32' else INFINITY
    units = n // width
    words = [rows, units, start, b.real(1.0 / n) if n > 0 else b.real(float('nan'))]
    fields: list[str] = []
    row_text = place_text('k', 'r', outer.dims, outer_strides, fields, words)
    inner_text = place_text('g', 'j', dims, inner_strides, fields, words)
    unit = type if width == 1 else f'vec4<{type}>'
    lanes = lanes_of(b, rows, units)
    code = unit_code(kind, width)
    if width == 4 and name == 'ReduceLogSum':
        end = 'loga(F(one)).x'
    code.update({
        '$PARAMS': ', '.join(fields), '$A': type, '$V': unit, '$O': b.kind(output),
        '$JOIN1': _join_text(join, type, 1), '$JOIN4': _join_text(join, type, width), '$EACH': each,
        '$FOLD': 'all' if width == 1 else 'join(join(all.x, all.y), join(all.z, all.w))', '$LAST': end,
        '$ROW': 'var r = row; var base = 0u;\n' + row_text.replace('at +=', 'base +='),
        '$PLACE': 'var j = i; var at = base;\n' + inner_text})
    b.dispatch('reduce', [source, output], words, row_groups(b, rows, lanes), lanes, code)
    return True


def lower_softmax(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    return softmax(b, node, inputs, outputs, False)


def lower_log_softmax(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    return softmax(b, node, inputs, outputs, True)


def softmax(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None], log: bool) -> bool:
    """Before version 13 all dims from `axis` (default 1) on are one; from then on it is `axis` (default -1) alone."""
    both = pair(inputs, outputs)
    if both is None or b.kind(both[0]) not in ['f32', 'f16']:
        return False
    source, output = both
    flat = b.opset < 13
    rank = max(1, len(source.shape))
    axis = int_of(node, 'axis', 1 if flat else -1)
    axis = axis + rank if axis < 0 else axis
    n = element_count(source.shape[axis:]) if flat else element_count(source.shape[axis:axis + 1])
    inner = 1 if flat else element_count(source.shape[axis + 1:])
    rows = element_count(source.shape[:axis]) * inner
    width = 4 if inner == 1 and n % 4 == 0 else 1
    kind = b.kind(source)
    lanes = lanes_of(b, rows, n // width)
    code = unit_code(kind, width)
    # Exponentials wait in the output, unless that is too coarse for them.
    held = kind == 'f32' and not log
    code['$EACH'] = 'y[start + i * p.step] = e;' if held else ''
    code['$LAST'] = 'F(x[at]) - top - log(sum)' if log else 'y[at] / sum' if held else 'expo(F(x[at]) - top) / sum'
    b.dispatch('softmax', [source, output], [rows, n // width, inner], row_groups(b, rows, lanes), lanes, code)
    return True


def _table() -> dict[str, GpuLowering]:
    table: dict[str, GpuLowering] = {
        'Softmax': lower_softmax,
        'LogSoftmax': lower_log_softmax,
    }
    for name in REDUCTIONS:
        table[name] = reduce_lowering(name)
    return table


REDUCE_LOWERINGS: dict[str, GpuLowering] = _table()
