"""Shape and type rules: what each operator makes of its inputs, in old and new opsets, and what it refuses."""

from __future__ import annotations

import pytest

from edgeflow.backends.wasm.lower_spatial import install_spatial
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_bytes
from edgeflow.ir.graph import Attribute, Node, TensorData
from edgeflow.ir.ops.infer import InferContext, Type
from edgeflow.ir.ops.movement import clamp_slice
from edgeflow.ir.ops.table import OPS, infer_types

BIG = 9223372036854775807


def types_of(
    op: str, inputs: list[Type | None], attributes: dict[str, Attribute] | None = None, known: dict[int, list[float]] | None = None,
    opset: int = 17, outputs: int = 1, domain: str = '',
) -> list[Type]:
    """The types of a node's outputs. known: the elements of inputs, by index."""
    values: dict[int, list[float]] = known if known is not None else {}
    names = [f'x{i}' for i in range(len(inputs))]
    results = [f'y{i}' for i in range(outputs)]
    node = Node(op, domain, 'n', names, results, attributes if attributes is not None else {})
    return infer_types(InferContext(node, opset, inputs, lambda i: values.get(i), lambda i: values.get(i)))


def shape_of(
    op: str, shapes: list[list[int]], attributes: dict[str, Attribute] | None = None, known: dict[int, list[float]] | None = None, opset: int = 17,
) -> list[int]:
    """The shape of the first output for float32 inputs; inputs whose elements are known are int64."""
    given: list[Type | None] = []
    for i in range(len(shapes)):
        given.append(Type('int64' if known is not None and i in known else 'float32', shapes[i]))
    return types_of(op, given, attributes, known, opset)[0].shape


def code_of(
    op: str, shapes: list[list[int]], attributes: dict[str, Attribute] | None = None, known: dict[int, list[float]] | None = None, opset: int = 17,
) -> str:
    """The code of the error that a node gives."""
    with pytest.raises(EdgeflowError) as caught:
        shape_of(op, shapes, attributes, known, opset)
    return caught.value.code


@pytest.mark.parametrize('left, right, result', [
    ([], [], []), ([3], [], [3]), ([2, 1], [3], [2, 3]), ([4, 1, 5], [1, 6, 1], [4, 6, 5]), ([0], [1], [0]), ([1, 2], [0, 1], [0, 2]),
])
def test_broadcasting(left: list[int], right: list[int], result: list[int]) -> None:
    assert shape_of('Add', [left, right]) == result
    assert shape_of('Add', [right, left]) == result


def test_shapes_that_do_not_broadcast_are_refused() -> None:
    assert code_of('Add', [[2], [3]]) == 'invalid-graph'
    assert code_of('Mul', [[0], [2]]) == 'invalid-graph'


def test_types_of_elementwise_operators() -> None:
    a = Type('int64', [2])
    assert types_of('Less', [a, a]) == [Type('bool', [2])]
    assert types_of('Pow', [Type('float32', [2]), a]) == [Type('float32', [2])]
    assert types_of('Cast', [a], {'to': 10}) == [Type('float16', [2])]
    assert types_of('Where', [Type('bool', [3, 1]), a, Type('int64', [])]) == [Type('int64', [3, 2])]
    with pytest.raises(EdgeflowError, match='of one type'):
        types_of('Add', [a, Type('int32', [2])])
    with pytest.raises(EdgeflowError, match='float32 or float16'):
        types_of('Sin', [a])


@pytest.mark.parametrize('wanted, result', [
    ([6, 4], [6, 4]), ([-1], [24]), ([0, -1], [2, 12]), ([0, 0, 2, 2], [2, 3, 2, 2]), ([4, -1, 2], [4, 3, 2]),
])
def test_reshape(wanted: list[int], result: list[int]) -> None:
    assert shape_of('Reshape', [[2, 3, 4], [len(wanted)]], {}, {1: wanted}) == result


def test_reshape_with_zeros() -> None:
    assert shape_of('Reshape', [[0, 3], [2]], {'allowzero': 1}, {1: [3, 0]}) == [3, 0]
    assert shape_of('Reshape', [[0, 3], [2]], {}, {1: [0, -1]}) == [0, 0]
    assert shape_of('Reshape', [[2, 3]], {'shape': [3, 2]}, {}, 1) == [3, 2]


@pytest.mark.parametrize('wanted', [[5], [-1, -1], [-2, 12], [7, -1], [0, 0, 0, 0]])
def test_reshape_refuses(wanted: list[int]) -> None:
    assert code_of('Reshape', [[2, 3, 4], [len(wanted)]], {}, {1: wanted}) == 'invalid-graph'


def test_axes_are_attributes_before_13_and_inputs_after() -> None:
    assert shape_of('Squeeze', [[1, 3, 1]], {'axes': [0]}, {}, 11) == [3, 1]
    assert shape_of('Squeeze', [[1, 3, 1], [1]], {}, {1: [-1]}, 13) == [1, 3]
    assert shape_of('Squeeze', [[1, 3, 1]]) == [3]
    assert shape_of('Unsqueeze', [[3]], {'axes': [0, 2]}, {}, 11) == [1, 3, 1]
    assert shape_of('Unsqueeze', [[3], [2]], {}, {1: [-1, 0]}, 13) == [1, 3, 1]
    assert shape_of('ReduceMean', [[2, 3, 4]], {'axes': [-1]}, {}, 11) == [2, 3, 1]
    assert shape_of('ReduceMean', [[2, 3, 4], [2]], {'keepdims': 0}, {1: [0, 2]}, 18) == [3]
    assert shape_of('ReduceSum', [[2, 3], [0]], {'noop_with_empty_axes': 1}, {1: []}, 13) == [2, 3]
    assert shape_of('ReduceSum', [[2, 3]], {'keepdims': 0}) == []


@pytest.mark.parametrize('op, shapes, axes', [
    ('Squeeze', [[2, 1], [1]], [0]), ('Squeeze', [[2, 1], [1]], [2]), ('Unsqueeze', [[2], [2]], [0, 0]), ('ReduceSum', [[2], [1]], [-2]),
])
def test_wrong_axes_are_refused(op: str, shapes: list[list[int]], axes: list[int]) -> None:
    assert code_of(op, shapes, {}, {1: axes}) == 'invalid-graph'


@pytest.mark.parametrize('dim, start, end, step, result', [
    (10, 2, 5, 1, [2, 3]), (10, -3, BIG, 1, [7, 3]), (10, 0, -1, 3, [0, 3]), (10, 20, 30, 1, [10, 0]), (10, 5, 2, 1, [5, 0]),
    (10, -1, -BIG, -1, [9, 10]), (10, 7, 2, -2, [7, 3]), (10, 3, 3, -1, [3, 0]), (0, 0, BIG, 1, [0, 0]), (0, -1, -BIG, -1, [-1, 0]),
])
def test_slices_are_clamped(dim: int, start: int, end: int, step: int, result: list[int]) -> None:
    assert clamp_slice(dim, start, end, step) == result


def test_slice_of_every_opset() -> None:
    assert shape_of('Slice', [[5, 6]], {'starts': [1], 'ends': [3], 'axes': [1]}, {}, 9) == [5, 2]
    assert shape_of('Slice', [[5, 6], [2], [2]], {}, {1: [1, 0], 2: [-1, BIG]}) == [3, 6]
    assert shape_of('Slice', [[5, 6], [1], [1], [1], [1]], {}, {1: [-1], 2: [-BIG], 3: [-1], 4: [-4]}) == [5, 2]
    assert code_of('Slice', [[5], [1], [1], [1], [1]], {}, {1: [0], 2: [3], 3: [0], 4: [0]}) == 'invalid-graph'


def test_concat_and_split() -> None:
    assert shape_of('Concat', [[2, 3], [2, 0], [2, 5]], {'axis': -1}) == [2, 8]
    assert code_of('Concat', [[2, 3], [3, 3]], {'axis': 1}) == 'invalid-graph'
    x = Type('float32', [2, 7])
    assert [t.shape for t in types_of('Split', [x], {'axis': 1, 'num_outputs': 3}, {}, 18, 3)] == [[2, 3], [2, 3], [2, 1]]
    assert [t.shape for t in types_of('Split', [x], {'axis': 1, 'split': [5, 2]}, {}, 11, 2)] == [[2, 5], [2, 2]]
    assert [t.shape for t in types_of('Split', [x, Type('int64', [2])], {'axis': -1}, {1: [0, 7]}, 13, 2)] == [[2, 0], [2, 7]]
    with pytest.raises(EdgeflowError):
        types_of('Split', [x], {'axis': 1}, {}, 13, 2)


def test_other_movements() -> None:
    assert shape_of('Transpose', [[2, 3, 4]]) == [4, 3, 2]
    assert shape_of('Transpose', [[2, 3, 4]], {'perm': [1, 0, 2]}) == [3, 2, 4]
    assert code_of('Transpose', [[2, 3]], {'perm': [0, 0]}) == 'invalid-graph'
    assert shape_of('Flatten', [[2, 3, 4]], {'axis': 2}) == [6, 4]
    assert shape_of('Flatten', [[2, 3, 4]], {'axis': 0}) == [1, 24]
    assert shape_of('Expand', [[3, 1], [3]], {}, {1: [2, 1, 6]}) == [2, 3, 6]
    assert shape_of('Tile', [[2, 3], [2]], {}, {1: [2, 0]}) == [4, 0]
    assert shape_of('Pad', [[2, 3], [4]], {}, {1: [0, 1, 0, -2]}) == [2, 2]
    assert shape_of('Shape', [[2, 3, 4]], {'start': -2}) == [2]
    assert shape_of('ConstantOfShape', [[2]], {}, {0: [2, 3]}) == [2, 3]
    assert shape_of('DepthToSpace', [[1, 8, 2, 3]], {'blocksize': 2}) == [1, 2, 4, 6]
    assert types_of('Constant', [], {'value': TensorData('int8', [2, 2], new_bytes(4))}) == [Type('int8', [2, 2])]


@pytest.mark.parametrize('start, limit, delta, count', [(0, 5, 1, 5), (0, 5, 2, 3), (5, 0, -2, 3), (1, 1, 1, 0), (3, 1, 1, 0)])
def test_range(start: int, limit: int, delta: int, count: int) -> None:
    assert shape_of('Range', [[], [], []], {}, {0: [start], 1: [limit], 2: [delta]}) == [count]


def test_indexing() -> None:
    i = Type('int64', [5, 6])
    assert types_of('Gather', [Type('float32', [2, 3, 4]), i], {'axis': 1}) == [Type('float32', [2, 5, 6, 4])]
    assert types_of('Gather', [Type('float32', [2, 3]), Type('int32', [])], {}) == [Type('float32', [3])]
    assert types_of('GatherElements', [Type('float32', [5, 9]), i], {'axis': 1}) == [Type('float32', [5, 6])]
    assert types_of('GatherND', [Type('float32', [2, 3, 4]), Type('int64', [7, 2])]) == [Type('float32', [7, 4])]
    assert types_of('GatherND', [Type('float32', [2, 3, 4]), Type('int64', [2, 1])], {'batch_dims': 1}) == [Type('float32', [2, 4])]
    assert types_of('ScatterND', [Type('float32', [4, 4]), Type('int64', [2, 1]), Type('float32', [2, 4])]) == [Type('float32', [4, 4])]
    assert types_of('TopK', [Type('float32', [3, 9]), Type('int64', [1])], {}, {1: [4]}, 11, 2) == [Type('float32', [3, 4]), Type('int64', [3, 4])]
    assert types_of('OneHot', [Type('int64', [2]), Type('int64', []), Type('float32', [2])], {'axis': 0}, {1: [5]}) == [Type('float32', [5, 2])]
    assert types_of('ArgMax', [Type('float32', [3, 9])], {'axis': 1, 'keepdims': 0}) == [Type('int64', [3])]
    with pytest.raises(EdgeflowError):
        types_of('ScatterND', [Type('float32', [4, 4]), Type('int64', [2, 1]), Type('float32', [2, 3])])
    with pytest.raises(EdgeflowError):
        types_of('GatherElements', [Type('float32', [4, 9]), i], {'axis': 1})


def test_matrix_products() -> None:
    assert shape_of('MatMul', [[2, 1, 3, 4], [5, 4, 6]]) == [2, 5, 3, 6]
    assert shape_of('MatMul', [[4], [4, 6]]) == [6]
    assert shape_of('MatMul', [[3, 4], [4]]) == [3]
    assert shape_of('MatMul', [[4], [4]]) == []
    assert code_of('MatMul', [[3, 4], [5, 6]]) == 'invalid-graph'
    assert shape_of('Gemm', [[4, 3], [6, 4], [6]], {'transA': 1, 'transB': 1}) == [3, 6]
    assert types_of('MatMulInteger', [Type('uint8', [3, 4]), Type('int8', [4, 5])]) == [Type('int32', [3, 5])]
    assert types_of('DynamicQuantizeLinear', [Type('float32', [3, 4])], {}, {}, 11, 3)[1] == Type('float32', [])
    assert types_of('LayerNormalization', [Type('float16', [2, 3, 4]), Type('float16', [4])], {}, {}, 17, 2)[1] == Type('float32', [2, 3, 1])


def test_quantisation() -> None:
    x = Type('float32', [2, 6])
    assert types_of('QuantizeLinear', [x, Type('float32', [])]) == [Type('uint8', [2, 6])]
    assert types_of('QuantizeLinear', [x, Type('float32', [6]), Type('int8', [6])]) == [Type('int8', [2, 6])]
    assert types_of('DequantizeLinear', [Type('int8', [2, 6]), Type('float32', [2])], {'axis': 0}) == [x]
    assert types_of('DequantizeLinear', [Type('int8', [2, 6]), Type('float32', [2, 2])], {'axis': 1, 'block_size': 3}, {}, 21) == [x]
    with pytest.raises(EdgeflowError, match='of one element or of 6'):
        types_of('DequantizeLinear', [Type('int8', [2, 6]), Type('float32', [2])])


def test_convolutions_and_pools() -> None:
    install_spatial()
    assert shape_of('Conv', [[1, 3, 32, 32], [8, 3, 3, 3]], {'strides': [2, 2], 'pads': [1, 1, 1, 1]}) == [1, 8, 16, 16]
    assert shape_of('Conv', [[1, 4, 10], [6, 2, 3]], {'group': 2, 'dilations': [2]}) == [1, 6, 6]
    assert shape_of('Conv', [[1, 3, 7, 7], [8, 3, 3, 3]], {'auto_pad': 'SAME_UPPER', 'strides': [2, 2]}) == [1, 8, 4, 4]
    assert shape_of('MaxPool', [[1, 3, 7, 7]], {'kernel_shape': [2, 2], 'strides': [2, 2], 'ceil_mode': 1}) == [1, 3, 4, 4]
    assert shape_of('GlobalAveragePool', [[1, 3, 7, 7]]) == [1, 3, 1, 1]
    assert shape_of('ConvTranspose', [[1, 3, 4, 4], [3, 5, 2, 2]], {'strides': [2, 2]}) == [1, 5, 8, 8]
    assert code_of('Conv', [[1, 3, 2, 2], [8, 3, 3, 3]]) == 'invalid-graph'
    assert code_of('Conv', [[1, 4, 8, 8], [8, 3, 3, 3]]) == 'invalid-graph'


def test_contrib_operators() -> None:
    x = Type('float32', [2, 5, 8])
    v = Type('float32', [8])
    got = types_of('SkipLayerNormalization', [x, x, v, v], {}, {}, 1, 4, 'com.microsoft')
    assert [t.shape for t in got] == [[2, 5, 8], [2, 5, 1], [2, 5, 1], [2, 5, 8]]
    got = types_of('Attention', [x, Type('float32', [8, 24]), Type('float32', [24])], {'num_heads': 2}, {}, 1, 2, 'com.microsoft')
    assert [t.shape for t in got] == [[2, 5, 8], [2, 2, 2, 5, 4]]
    with pytest.raises(EdgeflowError, match='num_heads'):
        types_of('Attention', [x, Type('float32', [8, 24])], {'num_heads': 3}, {}, 1, 1, 'com.microsoft')


def test_what_depends_on_data_is_unsupported() -> None:
    assert code_of('Reshape', [[2, 3], [2]]) == 'unsupported-op'
    assert code_of('ConstantOfShape', [[2]]) == 'unsupported-op'


def test_unknown_operators_and_versions() -> None:
    assert code_of('Nonsense', [[1]]) == 'unsupported-op'
    assert code_of('GreaterOrEqual', [[1], [1]], {}, {}, 11) == 'unsupported-op'


def test_arity_is_checked() -> None:
    assert code_of('Add', [[1]]) == 'invalid-graph'
    assert code_of('Relu', [[1], [1]]) == 'invalid-graph'
    with pytest.raises(EdgeflowError, match='at most 1 outputs'):
        types_of('Relu', [Type('float32', [1])], {}, {}, 17, 2)


def test_results_that_no_memory_holds_are_refused() -> None:
    assert code_of('Expand', [[1], [2]], {}, {1: [100000, 100000]}) == 'invalid-graph'
    assert code_of('ConstantOfShape', [[1]], {}, {0: [-1]}) == 'invalid-graph'


def test_attributes_of_a_wrong_kind_are_refused() -> None:
    assert code_of('Transpose', [[2, 3]], {'perm': 'x'}) == 'invalid-graph'
    assert code_of('Flatten', [[2, 3]], {'axis': [1]}) == 'invalid-graph'
    assert code_of('Flatten', [[2, 3]], {'axis': 1.5}) == 'invalid-graph'


def test_every_entry_of_the_table_has_sensible_arity() -> None:
    for key, spec in OPS.items():
        assert spec.since >= 1, key
        assert spec.max_inputs == -1 or spec.max_inputs >= spec.min_inputs, key
