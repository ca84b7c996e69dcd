"""Tensors in every encoding that TensorProto has, written by the onnx package; external data; functions; broken files."""

from __future__ import annotations

import hypothesis.strategies as st
import ml_dtypes
import numpy
import onnx
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper, numpy_helper

from edgeflow.errors import EdgeflowError
from edgeflow.ir.elements import elements
from edgeflow.ir.graph import Graph, TensorData
from edgeflow.ir.verify import verify
from edgeflow.onnx.functions import expand_functions
from edgeflow.onnx.reader import external_files, read_model
from tests.onnx.evaluate import run

DTYPES = {
    TensorProto.FLOAT: numpy.float32, TensorProto.DOUBLE: numpy.float64, TensorProto.FLOAT16: numpy.float16,
    TensorProto.BFLOAT16: ml_dtypes.bfloat16, TensorProto.INT8: numpy.int8, TensorProto.UINT8: numpy.uint8,
    TensorProto.INT16: numpy.int16, TensorProto.UINT16: numpy.uint16, TensorProto.INT32: numpy.int32,
    TensorProto.UINT32: numpy.uint32, TensorProto.INT64: numpy.int64, TensorProto.UINT64: numpy.uint64,
    TensorProto.BOOL: numpy.bool_,
}
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


def model_with(*tensors: TensorProto, nodes: list[onnx.NodeProto] | None = None, **fields: object) -> onnx.ModelProto:
    output = helper.make_tensor_value_info(tensors[0].name if tensors else 'y', tensors[0].data_type if tensors else 1, None)
    graph = helper.make_graph(nodes or [], 'g', [], [output], list(tensors))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9, **fields)


def read_tensor(tensor: TensorProto) -> TensorData:
    return read_model(memoryview(model_with(tensor).SerializeToString())).graph.initializers[tensor.name]


@st.composite
def tensors(draw: st.DrawFn) -> tuple[TensorProto, numpy.ndarray]:
    code = draw(st.sampled_from(sorted(DTYPES)))
    shape = draw(SHAPES)
    if code == TensorProto.BFLOAT16:
        values = draw(arrays.arrays(numpy.uint16, shape)).view(ml_dtypes.bfloat16)
    else:
        values = draw(arrays.arrays(DTYPES[code], shape))
    if draw(st.booleans()):
        return helper.make_tensor('t', code, shape, values.tobytes(), raw=True), values
    proto = TensorProto(name='t', data_type=code, dims=shape)
    flat = values.reshape(-1)
    if code == TensorProto.FLOAT:
        proto.float_data.extend(flat.tolist())
    elif code == TensorProto.DOUBLE:
        proto.double_data.extend(flat.tolist())
    elif code == TensorProto.INT64:
        proto.int64_data.extend(flat.tolist())
    elif code in (TensorProto.UINT64, TensorProto.UINT32):
        proto.uint64_data.extend(flat.tolist())
    else:
        bits = flat.view(numpy.uint16) if code in (TensorProto.FLOAT16, TensorProto.BFLOAT16) else flat
        proto.int32_data.extend(bits.astype(numpy.int64).tolist())
    return proto, values


@given(tensors())
def test_numeric_encodings(case: tuple[TensorProto, numpy.ndarray]) -> None:
    proto, values = case
    ours = read_tensor(proto)
    assert ours.shape == list(values.shape)
    assert bytes(ours.data) == values.tobytes()
    if values.dtype not in (numpy.int64, numpy.uint64):
        assert numpy.array_equal(numpy.array(elements(ours), numpy.float64), values.reshape(-1).astype(numpy.float64), equal_nan=True)


@given(arrays.arrays(numpy.int64, SHAPES), st.integers(-128, 127))
def test_large_integers_are_held(values: numpy.ndarray, extra: int) -> None:
    limit = 2**53 - 1
    wanted = [max(-limit, min(limit, int(x))) for x in values.reshape(-1)]
    assert elements(read_tensor(numpy_helper.from_array(values, 't'))) == wanted


@pytest.mark.parametrize('code', [TensorProto.INT4, TensorProto.UINT4])
@pytest.mark.parametrize('raw', [True, False])
@pytest.mark.parametrize('count', [0, 1, 2, 7])
def test_four_bit_integers(code: int, raw: bool, count: int) -> None:
    low = -8 if code == TensorProto.INT4 else 0
    values = [low + (5 * k) % 16 for k in range(count)]
    proto = helper.make_tensor('t', code, [count], values)
    if raw:
        packed = bytes(x & 255 for x in proto.int32_data)
        proto = TensorProto(name='t', data_type=code, dims=[count], raw_data=packed)
    assert elements(read_tensor(proto)) == values


@given(st.lists(st.text(max_size=5), max_size=4))
def test_strings(texts: list[str]) -> None:
    encoded = [text.encode() for text in texts]
    proto = TensorProto(name='t', data_type=TensorProto.STRING, dims=[len(texts)], string_data=encoded)
    assert read_tensor(proto).strings == texts


def unpacked(field: int, wire: int, items: list[bytes]) -> bytes:
    return b''.join(bytes([field << 3 | wire]) + item for item in items)


def test_unpacked_repeated_fields() -> None:
    """proto2 files write each number with a tag of its own."""
    dims = unpacked(1, 0, [b'\x03'])
    floats = dims + unpacked(2, 0, [b'\x01']) + unpacked(4, 5, [numpy.float32(x).tobytes() for x in (1.5, -2, 3)]) + b'\x42\x01t'
    longs = dims + unpacked(2, 0, [b'\x07']) + unpacked(7, 0, [b'\x05', b'\x80\x01', b'\xff' * 9 + b'\x01']) + b'\x42\x01t'
    for data, wanted in ((floats, [1.5, -2, 3]), (longs, [5, 128, -1])):
        assert elements(read_tensor(TensorProto.FromString(data))) == wanted
        model = model_with(TensorProto(name='x'))
        graph = model.graph.SerializeToString()
        proto = b'\x2a' + bytes([len(data)]) + data
        raw = graph.replace(b'\x2a' + bytes([len(TensorProto(name='x').SerializeToString())]) + TensorProto(name='x').SerializeToString(), proto)
        model.ClearField('graph')
        whole = model.SerializeToString() + b'\x3a' + bytes([len(raw)]) + raw
        assert elements(read_model(memoryview(whole)).graph.initializers['t']) == wanted


def external(location: str, **entries: str) -> TensorProto:
    tensor = TensorProto(name='t', data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in {'location': location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def test_external_data_is_a_view() -> None:
    data = model_with(external('w.bin', offset='4', length='8')).SerializeToString()
    weights = numpy.array([9, 1.5, -2, 9], numpy.float32)
    assert external_files(memoryview(data)) == ['w.bin']
    tensor = read_model(memoryview(data), lambda name: memoryview(weights).cast('B')).graph.initializers['t']
    assert elements(tensor) == [1.5, -2]
    assert numpy.shares_memory(numpy.frombuffer(tensor.data, numpy.uint8), weights)


@pytest.mark.parametrize('location', ['../w.bin', '/etc/passwd', 'a/../../w.bin', 'C:\\w.bin', 'a\\..\\w', 'http://x/w', '', 'a\0b'])
def test_external_data_outside_of_the_folder(location: str) -> None:
    data = memoryview(model_with(external(location)).SerializeToString())
    with pytest.raises(EdgeflowError, match="expected a file in the model's folder") as first:
        external_files(data)
    with pytest.raises(EdgeflowError) as second:
        read_model(data, lambda name: memoryview(b''))
    assert (first.value.code, second.value.code) == ('invalid-model', 'invalid-model')


@pytest.mark.parametrize('entries', [{'offset': '9'}, {'length': '12'}, {'offset': '-4'}, {'length': '4'}, {'offset': 'x'}])
def test_external_data_of_a_wrong_size(entries: dict[str, str]) -> None:
    data = memoryview(model_with(external('w', **entries)).SerializeToString())
    with pytest.raises(EdgeflowError) as error:
        read_model(data, lambda name: memoryview(bytes(16)))
    assert error.value.code == 'invalid-model'


def test_missing_external_file() -> None:
    data = memoryview(model_with(external('w.bin')).SerializeToString())
    with pytest.raises(EdgeflowError, match=r"tensor 't' lies in 'w\.bin'") as error:
        read_model(data)
    assert error.value.code == 'file-missing'


@pytest.mark.parametrize('change, code', [
    ({'dims': [3]}, 'invalid-model'), ({'dims': [2, -1]}, 'invalid-model'), ({'dims': [2**40, 2**40]}, 'invalid-model'),
    ({'data_type': 10}, 'invalid-model'), ({'data_type': 17}, 'invalid-model'), ({'data_type': 14}, 'unsupported-op'), ({'data_type': 99}, 'unsupported-op'),
    ({'data_type': 8}, 'invalid-model'), ({'int32_data': [1]}, 'invalid-model'),
])
def test_size_is_checked_against_shape_and_type(change: dict[str, object], code: str) -> None:
    good = {'name': 't', 'data_type': 1, 'dims': [2], 'raw_data': bytes(8)}
    data = memoryview(model_with(TensorProto(**{**good, **change})).SerializeToString())
    with pytest.raises(EdgeflowError) as error:
        read_model(data)
    assert error.value.code == code


def function_model() -> onnx.ModelProto:
    """y = f(f(x)) with f(a) = leaky(a) + c, leaky being another function with an attribute that has a default."""
    opsets = [helper.make_opsetid('', 18), helper.make_opsetid('own', 1)]
    slope = helper.make_node('LeakyRelu', ['a'], ['inner'])
    slope.attribute.add(name='alpha', ref_attr_name='slope', type=onnx.AttributeProto.FLOAT)
    leaky = helper.make_function(
        'own', 'Leaky', ['a'], ['b'], [slope, helper.make_node('Identity', ['inner'], ['b'])], opsets[:1],
        attribute_protos=[helper.make_attribute('slope', 0.5)],
    )
    call = helper.make_node('Leaky', ['a'], ['inner'], domain='own')
    call.attribute.add(name='slope', ref_attr_name='outer', type=onnx.AttributeProto.FLOAT)
    plus = helper.make_function(
        'own', 'Plus', ['a', 'c'], ['b'], [call, helper.make_node('Add', ['inner', 'c'], ['b'])], opsets, ['outer'],
    )
    nodes = [
        helper.make_node('Plus', ['x', 'c'], ['h'], domain='own', outer=0.25),
        helper.make_node('Plus', ['h', 'c'], ['y'], domain='own'),
    ]
    graph = helper.make_graph(
        nodes, 'g', [helper.make_tensor_value_info('x', 1, ['n'])], [helper.make_tensor_value_info('y', 1, ['n'])],
        [numpy_helper.from_array(numpy.float32([1, -3]), 'c')],
    )
    return helper.make_model(graph, opset_imports=opsets, functions=[plus, leaky], ir_version=9)


def read_expanded(model: onnx.ModelProto) -> Graph:
    data = memoryview(model.SerializeToString())
    read = read_model(data)
    expand_functions(read, data, None)
    return read.graph


def test_functions_are_expanded() -> None:
    model = function_model()
    onnx.checker.check_model(model)
    graph = read_expanded(model)
    verify(graph)
    assert [node.key() for node in graph.nodes] == ['LeakyRelu', 'Identity', 'Add'] * 2
    assert [node.attributes.get('alpha') for node in graph.nodes if node.op == 'LeakyRelu'] == [0.25, 0.5]
    x = numpy.float32([-8, 2])
    h = numpy.where(x < 0, x * 0.25, x) + [1, -3]
    assert run(graph, {'x': x})['y'].tolist() == (numpy.where(h < 0, h * 0.5, h) + [1, -3]).tolist()


def test_functions_that_call_themselves() -> None:
    model = function_model()
    model.functions[1].node[0].op_type = 'Plus'
    model.functions[1].node[0].domain = 'own'
    model.functions[1].node[0].input.append('a')
    with pytest.raises(EdgeflowError, match='calls functions more than 16 deep') as error:
        read_expanded(model)
    assert error.value.code == 'invalid-graph'


def test_functions_that_multiply() -> None:
    """Each calls the next a hundred times: a small file, 10^14 nodes."""
    opsets = [helper.make_opsetid('', 18), helper.make_opsetid('own', 1)]
    functions = []
    for depth in range(7):
        op, domain = (f'F{depth + 1}', 'own') if depth < 6 else ('Neg', '')
        nodes = [helper.make_node(op, [f'v{k}'], [f'v{k + 1}'], domain=domain) for k in range(100)]
        functions.append(helper.make_function('own', f'F{depth}', ['v0'], ['v100'], nodes, opsets))
    nodes = [helper.make_node('F0', ['x'], ['y'], domain='own')]
    info = [helper.make_tensor_value_info(name, 1, ['n']) for name in ('x', 'y')]
    graph = helper.make_graph(nodes, 'g', info[:1], info[1:])
    model = helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=9)
    with pytest.raises(EdgeflowError, match='functions make more than 200000 nodes'):
        read_expanded(model)


def test_functions_of_another_opset() -> None:
    model = function_model()
    model.functions[0].opset_import[0].version = 17
    with pytest.raises(EdgeflowError, match='uses opset 17') as error:
        read_expanded(model)
    assert error.value.code == 'unsupported-op'


def test_nodes_out_of_order_are_sorted() -> None:
    nodes = [helper.make_node('Neg', ['b'], ['y']), helper.make_node('Abs', ['x'], ['a']), helper.make_node('Exp', ['a'], ['b'])]
    info = [helper.make_tensor_value_info(name, 1, ['n']) for name in ('x', 'y')]
    model = helper.make_model(helper.make_graph(nodes, 'g', info[:1], info[1:]), opset_imports=[helper.make_opsetid('', 18)])
    graph = read_model(memoryview(model.SerializeToString())).graph
    verify(graph)
    assert [node.op for node in graph.nodes] == ['Abs', 'Exp', 'Neg']


def test_cycle() -> None:
    nodes = [helper.make_node('Add', ['x', 'b'], ['a']), helper.make_node('Neg', ['a'], ['b'])]
    info = [helper.make_tensor_value_info(name, 1, ['n']) for name in ('x', 'b')]
    model = helper.make_model(helper.make_graph(nodes, 'g', info[:1], info[1:]), opset_imports=[helper.make_opsetid('', 18)])
    with pytest.raises(EdgeflowError, match='expected no cycle') as error:
        read_model(memoryview(model.SerializeToString()))
    assert error.value.code == 'invalid-graph'


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    size, length = len(content), b''
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def test_graphs_nested_too_deep() -> None:
    graph = b''
    for _ in range(60):
        attribute = field(1, b'then_branch') + field(6, graph)
        graph = field(1, field(2, b'y') + field(4, b'If') + field(5, attribute))
    data = memoryview(b'\x08\x09' + field(7, graph))
    with pytest.raises(EdgeflowError, match='more than 64 deep') as error:
        read_model(data)
    assert error.value.code == 'invalid-model'


@pytest.mark.parametrize('data', [
    b'', b'<!DOCTYPE html><html>404</html>', b'{"error": "not found"}', b'PK\x03\x04' + bytes(60), bytes(64), b'\xff' * 64,
    b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n', b'\x0b' * 9,
])
def test_files_that_are_no_models(data: bytes) -> None:
    for read in (read_model, external_files):
        with pytest.raises(EdgeflowError) as error:
            read(memoryview(data))
            assert read is external_files and data == b''
            raise EdgeflowError('invalid-model', 'external_files has nothing against an empty file')
        assert error.value.code == 'invalid-model'
