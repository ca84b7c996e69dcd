"""Every file of tests/models, read by edgeflow and by the onnx package: the same nodes, attributes, constants, inputs, outputs."""

from __future__ import annotations

from pathlib import Path

import numpy
import onnx
import pytest
from onnx import numpy_helper

from edgeflow.ir.dtype import DTYPE_NAMES
from edgeflow.ir.graph import Graph, Node, TensorData, ValueInfo
from edgeflow.ir.verify import verify
from edgeflow.onnx.reader import external_files, read_model
from tests.onnx.evaluate import MODELS, load

MODEL_FILES = sorted(MODELS.glob('*/onnx/*.onnx'))
LARGEST_INT = 2**53 - 1


def test_all_models_are_here() -> None:
    assert len(MODEL_FILES) == 79


def check_tensor(ours: TensorData, theirs: onnx.TensorProto, folder: Path) -> None:
    assert ours.dtype == DTYPE_NAMES[theirs.data_type]
    assert ours.shape == list(theirs.dims)
    if theirs.HasField('raw_data'):
        assert bytes(ours.data) == theirs.raw_data
    else:
        assert bytes(ours.data) == numpy_helper.to_array(theirs, str(folder)).tobytes()


def check_attribute(ours: object, theirs: onnx.AttributeProto, folder: Path) -> None:
    value = onnx.helper.get_attribute_value(theirs)
    if isinstance(value, onnx.TensorProto):
        check_tensor(ours, value, folder)
    elif isinstance(value, onnx.GraphProto):
        check_graph(ours, value, folder)
    elif isinstance(value, bytes):
        assert ours == value.decode()
    elif theirs.type == onnx.AttributeProto.STRINGS:
        assert ours == [text.decode() for text in value]
    elif theirs.type in (onnx.AttributeProto.INT, onnx.AttributeProto.INTS):
        given = list(value) if theirs.type == onnx.AttributeProto.INTS else [value]
        held = [max(-LARGEST_INT, min(LARGEST_INT, x)) for x in given]
        assert ours == (held if theirs.type == onnx.AttributeProto.INTS else held[0])
    else:
        assert ours == (list(value) if isinstance(value, (list, tuple)) or hasattr(value, 'extend') else value)


def check_info(ours: ValueInfo, theirs: onnx.ValueInfoProto) -> None:
    assert ours.name == theirs.name
    kind = theirs.type.tensor_type
    assert ours.dtype == DTYPE_NAMES.get(kind.elem_type, '')
    if not kind.HasField('shape'):
        assert ours.shape is None
        return
    dims = [dim.dim_value if dim.HasField('dim_value') else dim.dim_param for dim in kind.shape.dim]
    assert ours.shape == dims


def check_node(ours: Node, theirs: onnx.NodeProto, folder: Path) -> None:
    assert (ours.op, ours.name) == (theirs.op_type, theirs.name)
    assert ours.domain == ('' if theirs.domain == 'ai.onnx' else theirs.domain)
    assert ours.inputs == list(theirs.input)
    assert ours.outputs == list(theirs.output)
    assert list(ours.attributes) == [attribute.name for attribute in theirs.attribute]
    for attribute in theirs.attribute:
        check_attribute(ours.attributes[attribute.name], attribute, folder)


def check_graph(ours: Graph, theirs: onnx.GraphProto, folder: Path) -> None:
    constants = {tensor.name: tensor for tensor in theirs.initializer}
    assert list(ours.initializers) == list(constants)
    for name, tensor in constants.items():
        check_tensor(ours.initializers[name], tensor, folder)
    inputs = [info for info in theirs.input if info.name not in constants]
    for mine, info in zip(ours.inputs, inputs, strict=True):
        check_info(mine, info)
    for mine, info in zip(ours.outputs, theirs.output, strict=True):
        check_info(mine, info)
    by_output = {node.output[0]: node for node in theirs.node}
    assert len(ours.nodes) == len(theirs.node)
    for node in ours.nodes:
        check_node(node, by_output[node.outputs[0]], folder)


@pytest.mark.parametrize('path', MODEL_FILES, ids=lambda path: f'{path.parts[-3]}-{path.stem}')
def test_same_as_onnx(path: Path) -> None:
    theirs = onnx.load(path, load_external_data=False)
    ours = load(path)
    assert ours.ir_version == theirs.ir_version
    assert ours.producer == theirs.producer_name
    assert ours.metadata == {entry.key: entry.value for entry in theirs.metadata_props}
    assert ours.graph.opsets == {'' if x.domain == 'ai.onnx' else x.domain: x.version for x in theirs.opset_import}
    check_graph(ours.graph, theirs.graph, path.parent)
    verify(ours.graph)


@pytest.mark.parametrize('path', MODEL_FILES, ids=lambda path: f'{path.parts[-3]}-{path.stem}')
def test_weights_are_views_into_the_file(path: Path) -> None:
    data = numpy.frombuffer(path.read_bytes(), numpy.uint8)
    names = external_files(memoryview(data))
    files = {name: numpy.frombuffer((path.parent / name).read_bytes(), numpy.uint8) for name in names}

    graph = read_model(memoryview(data), lambda name: memoryview(files[name])).graph
    constants = onnx.load(path, load_external_data=False).graph.initializer
    varints = {tensor.name for tensor in constants if tensor.int32_data or tensor.int64_data}
    for name, tensor in graph.initializers.items():
        if len(tensor.data) > 0 and name not in varints:
            view = numpy.frombuffer(tensor.data, numpy.uint8)
            assert any(numpy.shares_memory(view, whole) for whole in [data, *files.values()])
