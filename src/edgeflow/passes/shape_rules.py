"""Shape rules for ShapeTable: operator -> what its first output's shape is, where that can be told from symbols.

Only what passes must prove things about. Concrete shapes are the business of ir/ops. A rule gets the shapes of the inputs it needs,
all of them known, and gives None where it cannot tell. Long because it is one table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from edgeflow.ir.attributes import int_of, ints_of
from edgeflow.ir.graph import Graph, Node
from edgeflow.ir.ops.elementwise import BINARY, FLOAT_UNARY
from edgeflow.ir.ops.reduce import REDUCTIONS
from edgeflow.passes.contents import Content, axes_of, slice_bounds
from edgeflow.passes.dims import LARGEST, Dim, add_dims, broadcast_dims, multiply_dims, reshape_dims, shorter_dim
from edgeflow.passes.shapes import ShapeRule, ShapeTable, infer_shapes

MAX_RANK = 32

Known = Callable[[ShapeTable, Node, list[list[Dim]]], list[Dim] | None]


def _rule(count: int, known: Known) -> ShapeRule:
    """Applies where the first `count` inputs (-1: all of them) have known shapes."""
    def rule(t: ShapeTable, node: Node) -> None:
        given: list[list[Dim]] = []
        for i in range(count if count >= 0 else len(node.inputs)):
            shape = t.shape(node.inputs[i]) if i < len(node.inputs) else None
            if shape is None:
                return
            given.append(shape)
        result = known(t, node, given)
        if result is not None:
            t.set_shape(node.outputs[0], result)
    return rule


def _axis(axis: int, rank: int) -> int:
    """A non-negative axis; -1 if it is out of range."""
    at: int = axis + rank if axis < 0 else axis
    return at if 0 <= at < rank else -1


def _unknown(length: Dim) -> list[Dim] | None:
    """A shape of so many dims that nobody knows."""
    return None if isinstance(length, str) or length > MAX_RANK else ['' for _ in range(length)]


def _input(node: Node, index: int) -> str:
    """The name of an input, '' where it is left out; the table knows nothing of ''."""
    return node.inputs[index] if index < len(node.inputs) else ''


def _same(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    return given[0]


def _same_for_all(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    for name in node.outputs:
        t.set_shape(name, given[0])
    return None


def _broadcast(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    shape: list[Dim] = []
    for other in given:
        shape = broadcast_dims(shape, other)
    return shape


def _matmul(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    a: list[Dim] = given[0]
    b: list[Dim] = given[1]
    if len(a) == 0 or len(b) == 0:
        return None
    if len(b) == 1:
        return a[:-1]
    if len(a) == 1:
        return b[:-2] + b[-1:]
    return broadcast_dims(a[:-2], b[:-2]) + [a[-2], b[-1]]


def _fused_matmul(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    a: list[Dim] = given[0]
    if len(a) == 0 or len(given[1]) != 2:
        return None
    rows: list[Dim] = a[:-2] + a[-1:] if int_of(node, 'trans_a') != 0 and len(a) >= 2 else a[:-1]
    return rows + [given[1][0 if int_of(node, 'trans_b') != 0 else 1]]


def _gemm(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    if len(given[0]) != 2 or len(given[1]) != 2:
        return None
    return [given[0][1 if int_of(node, 'transA') != 0 else 0], given[1][0 if int_of(node, 'transB') != 0 else 1]]


def _nbits(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    columns: int = int_of(node, 'N')
    return given[0][:-1] + [columns] if len(given[0]) > 0 and columns > 0 else None


def _gather(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    axis: int = _axis(int_of(node, 'axis'), len(given[0]))
    return given[0][:axis] + given[1] + given[0][axis + 1:] if axis >= 0 else None


def _reshape(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    wanted: Content | None = t.whole(_input(node, 1))
    source: list[Dim] | None = t.shape(_input(node, 0))
    if wanted is None or (source is None and 0 in wanted.values):
        return _unknown(t.last_dim(_input(node, 1)))
    return reshape_dims(source if source is not None else [''], cast('list[Dim]', list(wanted.values)), int_of(node, 'allowzero') != 0)


def _expand(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    wanted: Content | None = t.whole(_input(node, 1))
    if wanted is not None:
        return broadcast_dims(given[0], cast('list[Dim]', list(wanted.values)))
    length: Dim = t.last_dim(_input(node, 1))
    return _unknown(length if isinstance(length, str) else max(length, len(given[0])))


def _filled(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    wanted: Content | None = t.whole(_input(node, 0))
    return cast('list[Dim]', list(wanted.values)) if wanted is not None and len(wanted.values) <= MAX_RANK else None


def _transpose(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    perm: list[int] | None = ints_of(node, 'perm')
    shape: list[Dim] | None = t.shape(_input(node, 0))
    if shape is None:
        return _unknown(len(perm)) if perm is not None else None
    rank: int = len(shape)
    order: list[int] = perm if perm is not None else list(range(rank - 1, -1, -1))
    return [shape[i] for i in order] if sorted(order) == list(range(rank)) else None


def _input_axes(t: ShapeTable, node: Node) -> list[int] | None:
    return axes_of(node, t.numbers(_input(node, 1)))


def _unsqueeze(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    axes: list[int] | None = _input_axes(t, node)
    if axes is None or len(given[0]) + len(axes) > MAX_RANK:
        return None
    rank: int = len(given[0]) + len(axes)
    new: set[int] = set([_axis(axis, rank) for axis in axes])
    if len(new) != len(axes) or -1 in new:
        return None
    shape: list[Dim] = list(given[0])
    for i in sorted(new):
        shape.insert(i, 1)
    return shape


def _without(shape: list[Dim], axes: list[int], keep: bool) -> list[Dim]:
    """The shape without these axes, or with 1 in their places."""
    gone: set[int] = set([_axis(axis, len(shape)) for axis in axes])
    if keep:
        return [1 if i in gone else shape[i] for i in range(len(shape))]
    return [shape[i] for i in range(len(shape)) if i not in gone]


def _squeeze(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    axes: list[int] | None = _input_axes(t, node)
    return _without(given[0], axes, False) if axes is not None else None


def _reduce(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    axes: list[int] | None = _input_axes(t, node)
    if axes is None and _input(node, 1) != '':
        return None
    if axes is None or len(axes) == 0:
        axes = list(range(len(given[0]))) if int_of(node, 'noop_with_empty_axes') == 0 else []
    return _without(given[0], axes, int_of(node, 'keepdims', 1) != 0)


def _concat(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    if len(given) == 0:
        return None
    shape: list[Dim] = list(given[0])
    axis: int = _axis(int_of(node, 'axis'), len(shape))
    for other in given[1:]:
        if len(other) != len(shape) or axis < 0:
            return None
        for i in range(len(shape)):
            if i == axis:
                shape[i] = add_dims(shape[i], other[i])
            elif isinstance(shape[i], str) and not isinstance(other[i], str):
                shape[i] = other[i]
    return shape


def _slice(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    shape: list[Dim] = list(given[0])
    starts: list[int] | None = t.numbers(_input(node, 1))
    ends: list[int] | None = t.numbers(_input(node, 2))
    axes: list[int] | None = t.numbers(_input(node, 3))
    steps: list[int] | None = t.numbers(_input(node, 4))
    if len(node.inputs) == 3 and starts is not None:
        axes = list(range(len(starts)))
    if axes is None or len(node.inputs) < 3:
        return _unknown(len(shape))
    for k in range(len(axes)):
        axis: int = _axis(axes[k], len(shape))
        if axis < 0:
            return None
        dim: Dim = shape[axis]
        known: bool = steps is not None or len(node.inputs) <= 4
        if starts is None or ends is None or not known or isinstance(dim, str) or k >= len(starts) or k >= len(ends):
            shape[axis] = _sliced_symbol(t, node, k, dim)
        else:
            step: int = steps[k] if steps is not None and k < len(steps) else 1
            shape[axis] = slice_bounds(dim, starts[k], ends[k], step)[1]
    return shape


def _sliced_symbol(t: ShapeTable, node: Node, k: int, dim: Dim) -> Dim:
    """Slices of [0:symbol] with step 1 have the length 'min(symbol,dim)'; dims.broadcast_dim knows this form."""
    starts: list[int] | None = t.numbers(node.inputs[1])
    ends: Content | None = t.whole(node.inputs[2])
    steps: list[int] | None = t.numbers(node.inputs[4]) if len(node.inputs) > 4 else [1 for _ in range(k + 1)]
    if starts is None or ends is None or k >= len(starts) or k >= len(ends.values) or starts[k] != 0:
        return ''
    if steps is None or k >= len(steps) or steps[k] != 1:
        return ''
    end = cast(Dim, ends.values[k])
    if not isinstance(end, str):
        return dim if end >= LARGEST else ''
    return shorter_dim(end, dim)


def _split(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    axis: int = _axis(int_of(node, 'axis'), len(given[0]))
    if axis < 0:
        return None
    sizes: list[int] | None = ints_of(node, 'split')
    if sizes is None:
        sizes = t.numbers(_input(node, 1))
    dim: Dim = given[0][axis]
    count: int = len(node.outputs)
    for i in range(count):
        part: Dim = ''
        if sizes is not None and i < len(sizes):
            part = sizes[i]
        elif sizes is None and len(node.inputs) < 2 and not isinstance(dim, str) and dim % count == 0:
            part = dim // count
        t.set_shape(node.outputs[i], given[0][:axis] + [part] + given[0][axis + 1:])
    return None


def _convolution(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    shape: list[Dim] = given[0]
    return [shape[0], given[1][0]] + ['' for _ in shape[2:]] if len(shape) >= 3 and len(given[1]) == len(shape) else None


def _tile(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    repeats: Content | None = t.whole(_input(node, 1))
    if repeats is None or len(repeats.values) != len(given[0]):
        return None
    return [multiply_dims(given[0][i], cast(Dim, repeats.values[i])) for i in range(len(given[0]))]


def _gather_elements(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    return given[1]


def _flatten(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    axis: int = int_of(node, 'axis', 1)
    if axis < 0 or axis > len(given[0]):
        return None
    sides: list[Dim] = [1, 1]
    for i in range(len(given[0])):
        side: int = 0 if i < axis else 1
        sides[side] = multiply_dims(sides[side], given[0][i])
    return sides


def _quantize(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    for name in node.outputs[1:]:
        t.set_shape(name, [])
    return t.shape(_input(node, 0))


def _range(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    """Range(0, n, 1) has n elements."""
    limit: Content | None = t.whole(_input(node, 1))
    counts: bool = len(node.inputs) == 3 and t.scalar(node.inputs[0]) == 0 and t.scalar(node.inputs[2]) == 1
    return [cast(Dim, limit.values[0])] if counts and limit is not None and len(limit.values) == 1 else ['']


def _sdpa(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    q: list[int] | None = ints_of(node, 'q_perm')
    v: list[int] | None = ints_of(node, 'v_perm')
    out: list[int] | None = ints_of(node, 'out_perm')
    if len(given[0]) != 4 or len(given[2]) != 4 or q is None or v is None or out is None:
        return None
    full: list[Dim] = [given[0][q[0]], given[0][q[1]], given[0][q[2]], given[2][v[3]]]
    return [full[i] for i in out]


def _attention(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    if len(given[0]) != 3 or len(given[1]) != 2 or ints_of(node, 'qkv_hidden_sizes') is not None:
        return None
    columns: Dim = given[1][1]
    return given[0][:2] + ['' if isinstance(columns, str) else columns // 3]


def _embed(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    return given[0] + [given[2][1]] if len(given[2]) == 2 else None


def _cached_attention(t: ShapeTable, node: Node, given: list[list[Dim]]) -> list[Dim] | None:
    return given[0][:3] + [given[2][3]] if len(given[0]) == 4 and len(given[2]) == 4 else None


def _all_rules() -> dict[str, ShapeRule]:
    matmul: ShapeRule = _rule(2, _matmul)
    fused_matmul: ShapeRule = _rule(2, _fused_matmul)
    nbits: ShapeRule = _rule(1, _nbits)
    convolution: ShapeRule = _rule(2, _convolution)
    rules: dict[str, ShapeRule] = {
        'MatMul': matmul,
        'MatMulInteger': matmul,
        'Gemm': _rule(2, _gemm),
        'edgeflow:MatMul': fused_matmul,
        'edgeflow:QMatMul': fused_matmul,
        'com.microsoft:MatMulNBits': nbits,
        'com.microsoft:MatMulBnb4': nbits,
        'Gather': _rule(2, _gather),
        'Reshape': _rule(0, _reshape),
        'Expand': _rule(1, _expand),
        'ConstantOfShape': _rule(0, _filled),
        'Transpose': _rule(0, _transpose),
        'Unsqueeze': _rule(1, _unsqueeze),
        'Squeeze': _rule(1, _squeeze),
        'Concat': _rule(-1, _concat),
        'Slice': _rule(1, _slice),
        'Split': _rule(1, _split),
        'Conv': convolution,
        'ConvInteger': convolution,
        'Flatten': _rule(1, _flatten),
        'Tile': _rule(1, _tile),
        'GatherElements': _rule(2, _gather_elements),
        'DynamicQuantizeLinear': _rule(0, _quantize),
        'Range': _rule(0, _range),
        'edgeflow:Sdpa': _rule(3, _sdpa),
        'edgeflow:CachedAttention': _rule(3, _cached_attention),
        'edgeflow:SkipLayerNorm': _rule(1, _same_for_all),
        'com.microsoft:Attention': _rule(2, _attention),
        'com.microsoft:EmbedLayerNormalization': _rule(3, _embed),
    }
    same: ShapeRule = _rule(1, _same)
    for op in SAME_SHAPE:
        rules[op] = same
    for op in FLOAT_UNARY:
        rules[op] = same
    broadcast: ShapeRule = _rule(-1, _broadcast)
    for op in BINARY:
        rules[op] = broadcast
    for op in VARIADIC:
        rules[op] = broadcast
    for op in REDUCTIONS:
        rules[op] = _rule(1, _reduce)
    return rules


# Beside the unary operators on floats.
SAME_SHAPE: list[str] = [
    'Identity', 'Cast', 'Neg', 'Abs', 'Erf', 'Relu', 'Softmax', 'LogSoftmax', 'Not', 'Sign', 'IsNaN', 'LayerNormalization', 'Clip', 'CumSum', 'Trilu',
    'SimplifiedLayerNormalization', 'DequantizeLinear', 'QuantizeLinear', 'Dropout', 'InstanceNormalization', 'BatchNormalization',
    'edgeflow:Gelu', 'edgeflow:BiasAct', 'edgeflow:Rotary', 'com.microsoft:Gelu', 'com.microsoft:BiasGelu', 'com.microsoft:FastGelu',
    'com.microsoft:SkipLayerNormalization', 'com.microsoft:QuickGelu', 'com.microsoft:RotaryEmbedding',
    'com.microsoft:SkipSimplifiedLayerNormalization',
]
VARIADIC: list[str] = ['Min', 'Max', 'Sum', 'Mean', 'Where']

SHAPE_RULES: dict[str, ShapeRule] = _all_rules()


def shapes_of(graph: Graph, opset: int) -> ShapeTable:
    """The table of a graph. `opset`: version of the ONNX operators in it."""
    return infer_shapes(graph, opset, SHAPE_RULES)
