"""Shape rules for ShapeTable: operator -> what its outputs' shapes are, where that can be told from symbols.

Only what passes must prove things about. Concrete shapes are the business of ir/ops. Long because it is one table.
"""

from __future__ import annotations

from edgeflow.ir.attributes import int_of, ints_of
from edgeflow.ir.graph import Graph, Node
from edgeflow.passes.contents import Content, axes_of, slice_bounds
from edgeflow.passes.dims import Dim, add_dims, broadcast_dims, multiply_dims, reshape_dims, shorter_dim
from edgeflow.passes.shapes import ShapeRule, ShapeTable, infer_shapes

MAX_RANK = 32
MAX_EXACT = 9007199254740991


def _shapes(t: ShapeTable, node: Node, count: int) -> list[list[Dim]] | None:
    """The shapes of the first `count` inputs, None if one is missing."""
    found: list[list[Dim]] = []
    for i in range(count):
        shape: list[Dim] | None = t.shape(node.inputs[i]) if i < len(node.inputs) else None
        if shape is None:
            return None
        found.append(shape)
    return found


def _axis(axis: int, rank: int) -> int:
    """A non-negative axis; -1 if it is out of range."""
    at: int = axis + rank if axis < 0 else axis
    return at if 0 <= at < rank else -1


def _same(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 1)
    if given is not None:
        t.set_shape(node.outputs[0], given[0])


def _broadcast(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, len(node.inputs))
    if given is None or len(given) == 0:
        return
    shape: list[Dim] = given[0]
    for other in given[1:]:
        shape = broadcast_dims(shape, other)
    t.set_shape(node.outputs[0], shape)


def _matmul(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 2)
    if given is None or len(given[0]) == 0 or len(given[1]) == 0:
        return
    a: list[Dim] = given[0]
    b: list[Dim] = given[1]
    if len(a) == 1 or len(b) == 1:
        left: list[Dim] = a[:-1]
        right: list[Dim] = b[:-2] + b[-1:] if len(b) > 1 else []
        t.set_shape(node.outputs[0], left + right if len(b) <= 2 or len(a) == 1 else a[:-1])
        return
    t.set_shape(node.outputs[0], broadcast_dims(a[:-2], b[:-2]) + [a[-2], b[-1]])


def _fused_matmul(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 2)
    if given is None or len(given[0]) == 0 or len(given[1]) != 2:
        return
    rows: list[Dim] = given[0][:-1]
    if int_of(node, 'trans_a', 0) != 0 and len(given[0]) >= 2:
        rows = given[0][:-2] + given[0][-1:]
    t.set_shape(node.outputs[0], rows + [given[1][0 if int_of(node, 'trans_b', 0) != 0 else 1]])


def _gemm(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 2)
    if given is None or len(given[0]) != 2 or len(given[1]) != 2:
        return
    m: Dim = given[0][1 if int_of(node, 'transA', 0) != 0 else 0]
    n: Dim = given[1][0 if int_of(node, 'transB', 0) != 0 else 1]
    t.set_shape(node.outputs[0], [m, n])


def _nbits(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 1)
    columns: int = int_of(node, 'N', 0)
    if given is not None and len(given[0]) > 0 and columns > 0:
        t.set_shape(node.outputs[0], given[0][:-1] + [columns])


def _gather(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 2)
    if given is None:
        return
    axis: int = _axis(int_of(node, 'axis', 0), len(given[0]))
    if axis >= 0:
        t.set_shape(node.outputs[0], given[0][:axis] + given[1] + given[0][axis + 1:])


def _reshape(t: ShapeTable, node: Node) -> None:
    wanted: Content | None = t.whole(node.inputs[1]) if len(node.inputs) > 1 else None
    given: list[Dim] | None = t.shape(node.inputs[0]) if len(node.inputs) > 1 else None
    if wanted is None or (given is None and 0 in wanted.values):
        if len(node.inputs) > 1:
            _unknown_of_length(t, node, node.inputs[1])
        return
    shape: list[Dim] = reshape_dims(given if given is not None else [''], list(wanted.values), int_of(node, 'allowzero', 0) != 0)
    t.set_shape(node.outputs[0], shape)


def _unknown_of_length(t: ShapeTable, node: Node, name: str) -> None:
    """The output's rank is the length of the vector `name`; its dims are not known."""
    length: Dim = t.last_dim(name)
    if not isinstance(length, str) and length <= MAX_RANK:
        t.set_shape(node.outputs[0], ['' for _ in range(length)])


def _expand(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 1)
    wanted: Content | None = t.whole(node.inputs[1]) if len(node.inputs) > 1 else None
    if given is None:
        return
    if wanted is not None:
        t.set_shape(node.outputs[0], broadcast_dims(given[0], list(wanted.values)))
    elif len(node.inputs) > 1:
        length: Dim = t.last_dim(node.inputs[1])
        if not isinstance(length, str) and length <= MAX_RANK:
            t.set_shape(node.outputs[0], ['' for _ in range(max(length, len(given[0])))])


def _filled(t: ShapeTable, node: Node) -> None:
    wanted: Content | None = t.whole(node.inputs[0]) if len(node.inputs) > 0 else None
    if wanted is not None and len(wanted.values) <= MAX_RANK:
        t.set_shape(node.outputs[0], list(wanted.values))


def _transpose(t: ShapeTable, node: Node) -> None:
    perm: list[int] | None = ints_of(node, 'perm')
    given = _shapes(t, node, 1)
    if given is None:
        if perm is not None and len(perm) <= MAX_RANK:
            t.set_shape(node.outputs[0], ['' for _ in perm])
        return
    rank: int = len(given[0])
    order: list[int] = perm if perm is not None else list(range(rank - 1, -1, -1))
    if sorted(order) == list(range(rank)):
        t.set_shape(node.outputs[0], [given[0][i] for i in order])


def _input_axes(t: ShapeTable, node: Node, index: int) -> list[int] | None:
    return axes_of(node, t.numbers(node.inputs[index]) if index < len(node.inputs) and node.inputs[index] != '' else None)


def _unsqueeze(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 1)
    axes: list[int] | None = _input_axes(t, node, 1)
    if given is None or axes is None or len(given[0]) + len(axes) > MAX_RANK:
        return
    rank: int = len(given[0]) + len(axes)
    new: set[int] = set([_axis(axis, rank) for axis in axes])
    if len(new) != len(axes) or -1 in new:
        return
    shape: list[Dim] = []
    taken: int = 0
    for i in range(rank):
        if i in new:
            shape.append(1)
        else:
            shape.append(given[0][taken])
            taken = taken + 1
    t.set_shape(node.outputs[0], shape)


def _squeeze(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 1)
    axes: list[int] | None = _input_axes(t, node, 1)
    if given is None or axes is None:
        return
    gone: set[int] = set([_axis(axis, len(given[0])) for axis in axes])
    t.set_shape(node.outputs[0], [given[0][i] for i in range(len(given[0])) if i not in gone])


def _concat(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, len(node.inputs))
    if given is None or len(given) == 0:
        return
    shape: list[Dim] = list(given[0])
    axis: int = _axis(int_of(node, 'axis', 0), len(shape))
    for other in given[1:]:
        if len(other) != len(shape) or axis < 0:
            return
        for i in range(len(shape)):
            if i == axis:
                shape[i] = add_dims(shape[i], other[i])
            elif isinstance(shape[i], str) and not isinstance(other[i], str):
                shape[i] = other[i]
    t.set_shape(node.outputs[0], shape)


def _slice(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 1)
    if given is None:
        return
    shape: list[Dim] = list(given[0])
    if len(node.inputs) < 3:
        t.set_shape(node.outputs[0], ['' for _ in shape])
        return
    starts: list[int] | None = t.numbers(node.inputs[1])
    ends: list[int] | None = t.numbers(node.inputs[2])
    axes: list[int] | None = t.numbers(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] != '' else None
    steps: list[int] | None = t.numbers(node.inputs[4]) if len(node.inputs) > 4 and node.inputs[4] != '' else None
    if len(node.inputs) <= 3 and starts is not None:
        axes = list(range(len(starts)))
    if axes is None:
        t.set_shape(node.outputs[0], ['' for _ in shape])
        return
    for k in range(len(axes)):
        axis: int = _axis(axes[k], len(shape))
        if axis < 0:
            return
        dim: Dim = shape[axis]
        usable: bool = starts is not None and ends is not None and (steps is not None or len(node.inputs) <= 4)
        if not usable or isinstance(dim, str) or k >= len(starts) or k >= len(ends):
            shape[axis] = _sliced_symbol(t, node, k, dim)
        else:
            step: int = steps[k] if steps is not None and k < len(steps) else 1
            shape[axis] = slice_bounds(dim, starts[k], ends[k], step)[1]
    t.set_shape(node.outputs[0], shape)


def _sliced_symbol(t: ShapeTable, node: Node, k: int, dim: Dim) -> Dim:
    """Slices of [0:symbol] with step 1 have the length 'min(symbol,dim)'; dims.broadcast_dim knows this form."""
    starts: list[int] | None = t.numbers(node.inputs[1])
    ends: Content | None = t.whole(node.inputs[2])
    steps: list[int] | None = t.numbers(node.inputs[4]) if len(node.inputs) > 4 else [1 for _ in range(k + 1)]
    if starts is None or ends is None or k >= len(starts) or k >= len(ends.values) or starts[k] != 0:
        return ''
    if steps is None or k >= len(steps) or steps[k] != 1:
        return ''
    end: Dim = ends.values[k]
    if not isinstance(end, str):
        return dim if end >= MAX_EXACT else ''
    return shorter_dim(end, dim)


def _split(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 1)
    if given is None:
        return
    axis: int = _axis(int_of(node, 'axis', 0), len(given[0]))
    if axis < 0:
        return
    sizes: list[int] | None = ints_of(node, 'split')
    if sizes is None and len(node.inputs) > 1:
        sizes = t.numbers(node.inputs[1])
    dim: Dim = given[0][axis]
    for i in range(len(node.outputs)):
        part: Dim = ''
        if sizes is not None and i < len(sizes):
            part = sizes[i]
        elif sizes is None and len(node.inputs) < 2 and not isinstance(dim, str) and dim % len(node.outputs) == 0:
            part = dim // len(node.outputs)
        t.set_shape(node.outputs[i], given[0][:axis] + [part] + given[0][axis + 1:])


def _reduce(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 1)
    if given is None:
        return
    axes: list[int] | None = _input_axes(t, node, 1)
    if axes is None and len(node.inputs) > 1 and node.inputs[1] != '':
        return
    if axes is None or len(axes) == 0:
        axes = list(range(len(given[0]))) if int_of(node, 'noop_with_empty_axes', 0) == 0 else []
    gone: set[int] = set([_axis(axis, len(given[0])) for axis in axes])
    keep: bool = int_of(node, 'keepdims', 1) != 0
    shape: list[Dim] = []
    for i in range(len(given[0])):
        if i not in gone:
            shape.append(given[0][i])
        elif keep:
            shape.append(1)
    t.set_shape(node.outputs[0], shape)


def _convolution(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 2)
    if given is not None and len(given[0]) >= 3 and len(given[1]) == len(given[0]):
        t.set_shape(node.outputs[0], [given[0][0], given[1][0]] + ['' for _ in given[0][2:]])


def _tile(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 1)
    repeats: Content | None = t.whole(node.inputs[1]) if len(node.inputs) > 1 else None
    if given is not None and repeats is not None and len(repeats.values) == len(given[0]):
        t.set_shape(node.outputs[0], [multiply_dims(given[0][i], repeats.values[i]) for i in range(len(given[0]))])


def _gather_elements(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 2)
    if given is not None:
        t.set_shape(node.outputs[0], given[1])


def _flatten(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 1)
    axis: int = int_of(node, 'axis', 1)
    if given is None or axis < 0 or axis > len(given[0]):
        return
    left: Dim = 1
    right: Dim = 1
    for i in range(len(given[0])):
        if i < axis:
            left = multiply_dims(left, given[0][i])
        else:
            right = multiply_dims(right, given[0][i])
    t.set_shape(node.outputs[0], [left, right])


def _quantize(t: ShapeTable, node: Node) -> None:
    _same(t, node)
    for name in node.outputs[1:]:
        t.set_shape(name, [])


def _range(t: ShapeTable, node: Node) -> None:
    """Range(0, n, 1) has n elements."""
    if len(node.inputs) == 3 and t.scalar(node.inputs[0]) == 0 and t.scalar(node.inputs[2]) == 1:
        limit: Content | None = t.whole(node.inputs[1])
        if limit is not None and len(limit.values) == 1:
            t.set_shape(node.outputs[0], [limit.values[0]])
            return
    t.set_shape(node.outputs[0], [''])


def _sdpa(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 3)
    if given is None or len(given[0]) != 4 or len(given[2]) != 4:
        return
    q: list[int] | None = ints_of(node, 'q_perm')
    v: list[int] | None = ints_of(node, 'v_perm')
    out: list[int] | None = ints_of(node, 'out_perm')
    if q is not None and v is not None and out is not None:
        full: list[Dim] = [given[0][q[0]], given[0][q[1]], given[0][q[2]], given[2][v[3]]]
        t.set_shape(node.outputs[0], [full[i] for i in out])


def _skip_layer_norm(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 1)
    if given is not None:
        for name in node.outputs:
            t.set_shape(name, given[0])


def _attention(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 2)
    if given is not None and len(given[0]) == 3 and len(given[1]) == 2 and ints_of(node, 'qkv_hidden_sizes') is None:
        columns: Dim = given[1][1]
        t.set_shape(node.outputs[0], given[0][:2] + ['' if isinstance(columns, str) else columns // 3])


def _embed(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 3)
    if given is not None and len(given[2]) == 2:
        t.set_shape(node.outputs[0], given[0] + [given[2][1]])


def _cached_attention(t: ShapeTable, node: Node) -> None:
    given = _shapes(t, node, 3)
    if given is not None and len(given[0]) == 4 and len(given[2]) == 4:
        t.set_shape(node.outputs[0], given[0][:3] + [given[2][3]])


def _same_rules() -> dict[str, ShapeRule]:
    rules: dict[str, ShapeRule] = {}
    for op in [
        'Identity', 'Cast', 'Sqrt', 'Neg', 'Abs', 'Erf', 'Tanh', 'Sigmoid', 'Relu', 'Softmax', 'LogSoftmax', 'Not', 'Exp', 'Log',
        'Cos', 'Sin', 'Floor', 'Ceil', 'Sign', 'IsNaN', 'Reciprocal', 'Gelu', 'LayerNormalization', 'Clip', 'CumSum', 'Trilu',
        'SimplifiedLayerNormalization', 'DequantizeLinear', 'QuantizeLinear', 'Dropout', 'LeakyRelu', 'Elu', 'HardSigmoid',
        'HardSwish', 'InstanceNormalization', 'BatchNormalization', 'edgeflow:Gelu', 'edgeflow:BiasAct', 'edgeflow:Rotary',
        'com.microsoft:Gelu', 'com.microsoft:BiasGelu', 'com.microsoft:FastGelu', 'com.microsoft:SkipLayerNormalization',
        'com.microsoft:QuickGelu', 'com.microsoft:RotaryEmbedding', 'com.microsoft:SkipSimplifiedLayerNormalization',
    ]:
        rules[op] = _same
    for op in [
        'Add', 'Sub', 'Mul', 'Div', 'Pow', 'Equal', 'Greater', 'Less', 'GreaterOrEqual', 'LessOrEqual', 'And', 'Or', 'Xor', 'Where',
        'Min', 'Max', 'Mod', 'Sum', 'Mean',
    ]:
        rules[op] = _broadcast
    for op in ['ReduceMean', 'ReduceSum', 'ReduceMax', 'ReduceMin', 'ReduceL2', 'ReduceProd', 'ReduceSumSquare']:
        rules[op] = _reduce
    return rules


def _all_rules() -> dict[str, ShapeRule]:
    rules: dict[str, ShapeRule] = _same_rules()
    rules['MatMul'] = _matmul
    rules['MatMulInteger'] = _matmul
    rules['Gemm'] = _gemm
    rules['edgeflow:MatMul'] = _fused_matmul
    rules['edgeflow:QMatMul'] = _fused_matmul
    rules['com.microsoft:MatMulNBits'] = _nbits
    rules['com.microsoft:MatMulBnb4'] = _nbits
    rules['Gather'] = _gather
    rules['Reshape'] = _reshape
    rules['Expand'] = _expand
    rules['ConstantOfShape'] = _filled
    rules['Transpose'] = _transpose
    rules['Unsqueeze'] = _unsqueeze
    rules['Squeeze'] = _squeeze
    rules['Concat'] = _concat
    rules['Slice'] = _slice
    rules['Split'] = _split
    rules['Conv'] = _convolution
    rules['ConvInteger'] = _convolution
    rules['Flatten'] = _flatten
    rules['Tile'] = _tile
    rules['GatherElements'] = _gather_elements
    rules['DynamicQuantizeLinear'] = _quantize
    rules['Range'] = _range
    rules['edgeflow:Sdpa'] = _sdpa
    rules['edgeflow:CachedAttention'] = _cached_attention
    rules['edgeflow:SkipLayerNorm'] = _skip_layer_norm
    rules['com.microsoft:Attention'] = _attention
    rules['com.microsoft:EmbedLayerNormalization'] = _embed
    return rules


SHAPE_RULES: dict[str, ShapeRule] = _all_rules()


def shapes_of(graph: Graph, opset: int) -> ShapeTable:
    """The table of a graph. `opset`: version of the ONNX operators in it."""
    return infer_shapes(graph, opset, SHAPE_RULES)
