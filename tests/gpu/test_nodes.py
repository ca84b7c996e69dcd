"""ONNX's own node tests of single operators, by their GPU lowerings."""

from __future__ import annotations

import functools
import re

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests

from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS
from edgeflow.ir.graph import Attribute, TensorData
from tests.gpu.driver import NotTaken, run_node

# Inputs whose elements a lowering reads while planning.
PLANNED: dict[str, list[int]] = {
    'CumSum': [1], 'Dropout': [2], 'Expand': [1], 'OneHot': [1], 'Pad': [1, 3], 'Reshape': [1], 'Slice': [1, 2, 3, 4], 'Split': [1],
    'Squeeze': [1], 'Tile': [1], 'TopK': [1], 'Unsqueeze': [1], 'Trilu': [1], 'Resize': [1, 2, 3], 'Upsample': [1],
    **{name: [1] for name in GPU_LOWERINGS if name.startswith('Reduce')},
}
# Their expected values have four digits.
ROUNDED = ['test_averagepool_2d_ceil_last_window_starts_on_pad']
TYPES = {onnx.TensorProto.DataType.Value(name) for name in ('FLOAT', 'FLOAT16', 'INT8', 'INT16', 'INT32', 'INT64', 'UINT8', 'UINT16', 'UINT32', 'BOOL')}


@functools.cache
def cases() -> dict[str, TestCase]:
    """Tests of one node of an operator that has a GPU lowering, all tensors of types that can be on the GPU."""
    found: dict[str, TestCase] = {}
    for case in load_model_tests(kind='node'):
        if case.model is None or not case.data_sets or len(case.model.graph.node) != 1:
            continue
        graph = case.model.graph
        kinds = {info.type.tensor_type.elem_type if info.type.HasField('tensor_type') else -1 for info in [*graph.input, *graph.output]}
        node = graph.node[0]
        if node.domain == '' and node.op_type in GPU_LOWERINGS and kinds <= TYPES and 'training' not in case.name:
            found[case.name] = case
    return found


def attribute(given: onnx.AttributeProto) -> Attribute:
    value = onnx.helper.get_attribute_value(given)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        array = numpy_helper.to_array(value)
        return TensorData(array.dtype.name, list(array.shape), memoryview(array.tobytes()))
    return list(value) if given.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS) else value


def as_array(given: object) -> np.ndarray:
    return numpy_helper.to_array(given) if isinstance(given, onnx.TensorProto) else np.asarray(given)


def run_case(case: TestCase) -> None:
    """Run it and compare; NotTaken where the lowering leaves it to WASM."""
    graph = case.model.graph
    node = graph.node[0]
    opset = next(entry.version for entry in case.model.opset_import if entry.domain == '')
    inputs, expected = case.data_sets[0]
    feeds = dict(zip((info.name for info in graph.input), inputs, strict=True))
    results = dict(zip((info.name for info in graph.output), expected, strict=True))
    arrays = [as_array(feeds[name]) if name else None for name in node.input]
    got = run_node(node.op_type, arrays, {item.name: attribute(item) for item in node.attribute}, outputs=len(node.output), opset=opset,
                   known=PLANNED.get(node.op_type, []), wanted=[i for i, name in enumerate(node.output) if name])
    for name, array in zip(node.output, got, strict=True):
        if name:
            assert array is not None
            wanted = as_array(results[name])
            assert array.shape == wanted.shape
            exact = wanted.dtype.kind in 'iub'
            loose = 1e-3 if wanted.dtype == np.float16 or case.name in ROUNDED else 1e-5
            np.testing.assert_allclose(array.astype(np.float64), wanted.astype(np.float64), rtol=0 if exact else loose, atol=0 if exact else loose)


# What the GPU leaves to WASM: outputs for training, remainders of real numbers, powers of integers, scales of blocks that do not divide ...
LEFT = re.compile(
    'test_(layer_normalization_(2d|3d|4d|default)|mod_.*float|pow_types_int|dropout_default_mask|maxpool_(with_argmax|2d_uint8)|'
    'convtranspose_3d|dequantizelinear_blocked|quantizelinear_(u?int16|blocked)|reduce_(max|min)_(empty_set_)?bool|resize_tf_crop_and_resize_extrap)')


@pytest.mark.parametrize('name', sorted(name for name in cases() if not LEFT.match(name)))
def test_node(name: str) -> None:
    run_case(cases()[name])


def test_what_is_left_to_wasm() -> None:
    for name in ['test_layer_normalization_2d_axis0', 'test_pow_types_int32_int32', 'test_mod_mixed_sign_float32']:
        with pytest.raises(NotTaken):
            run_case(cases()[name])
